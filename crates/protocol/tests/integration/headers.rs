//! Every typed header against Java's catalogue, in both directions and both encodings.

use std::collections::BTreeMap;

use rocketwire_protocol::{
    Command, Encoding, Fields, HeaderError, RequestHeader, ResponseCode,
    header::{self, *},
};

use crate::support::{decode_one, encode, map};

/// One class of ours: its name, its request code, and what becomes of fields that go through it.
struct Class {
    name: &'static str,
    code: Option<i32>,
    through: fn(&Fields) -> Result<Fields, HeaderError>,
    fresh: fn() -> Fields,
}

fn through<H: header::Header>(fields: &Fields) -> Result<Fields, HeaderError> {
    H::read(fields).map(|header| Fields::of(&header))
}

fn fresh<H: header::Header + Default>() -> Fields {
    Fields::of(&H::default())
}

macro_rules! classes {
    (requests [$($request:ident,)*] responses [$($response:ident,)*] others [$($plain:ident,)*]) => {
        vec![
            $(Class {
                name: stringify!($request),
                code: Some(<$request as RequestHeader>::CODE.0),
                through: through::<$request>,
                fresh: fresh::<$request>,
            },)*
            $(Class {
                name: stringify!($response),
                code: None,
                through: through::<$response>,
                fresh: fresh::<$response>,
            },)*
            $(Class { name: stringify!($plain), code: None, through: through::<$plain>, fresh: fresh::<$plain> },)*
        ]
    };
}

#[rustfmt::skip]
fn classes() -> Vec<Class> {
    classes! {
        requests [
        AckMessageRequestHeader, AddBrokerRequestHeader, ChangeInvisibleTimeRequestHeader,
        CheckRocksdbCqWriteProgressRequestHeader, CheckTransactionStateRequestHeader,
        CloneGroupOffsetRequestHeader, ConsumeMessageDirectlyResultRequestHeader,
        ConsumerSendMsgBackRequestHeader, CreateAclRequestHeader, CreateTopicListRequestHeader,
        CreateTopicRequestHeader, CreateUserRequestHeader, DeleteAclRequestHeader,
        DeleteSubscriptionGroupRequestHeader, DeleteTopicRequestHeader, DeleteUserRequestHeader,
        EndTransactionRequestHeader, ExchangeHAInfoRequestHeader, ExportRocksDBConfigToJsonRequestHeader,
        GetAclRequestHeader, GetAllProducerInfoRequestHeader, GetAllSubscriptionGroupRequestHeader,
        GetAllTopicConfigRequestHeader, GetBrokerMemberGroupRequestHeader, GetConsumeStatsInBrokerHeader,
        GetConsumeStatsRequestHeader, GetConsumerConnectionListRequestHeader,
        GetConsumerListByGroupRequestHeader, GetConsumerRunningInfoRequestHeader,
        GetConsumerStatusRequestHeader, GetEarliestMsgStoretimeRequestHeader, GetMaxOffsetRequestHeader,
        GetMinOffsetRequestHeader, GetProducerConnectionListRequestHeader,
        GetSubscriptionGroupConfigRequestHeader, GetTopicConfigRequestHeader,
        GetTopicStatsInfoRequestHeader, GetTopicsByClusterRequestHeader, GetUserRequestHeader,
        HeartbeatRequestHeader, ListAclsRequestHeader, ListUsersRequestHeader, LockBatchMqRequestHeader,
        NotificationRequestHeader, NotifyBrokerRoleChangedRequestHeader,
        NotifyConsumerIdsChangedRequestHeader, NotifyMinBrokerIdChangeRequestHeader,
        PeekMessageRequestHeader, PollingInfoRequestHeader, PopMessageRequestHeader,
        PullMessageRequestHeader, QueryConsumeQueueRequestHeader, QueryConsumeTimeSpanRequestHeader,
        QueryConsumerOffsetRequestHeader, QueryCorrectionOffsetHeader, QueryMessageRequestHeader,
        QuerySubscriptionByConsumerRequestHeader, QueryTopicConsumeByWhoRequestHeader,
        QueryTopicsByConsumerRequestHeader, RecallMessageRequestHeader, RemoveBrokerRequestHeader,
        ReplyMessageRequestHeader, ResetMasterFlushOffsetHeader, ResetOffsetRequestHeader,
        ResumeCheckHalfMessageRequestHeader, SearchOffsetRequestHeader, SendMessageRequestHeader,
        SendMessageRequestHeaderV2, UnlockBatchMqRequestHeader, UnregisterClientRequestHeader,
        UpdateAclRequestHeader, UpdateConsumerOffsetRequestHeader, UpdateGroupForbiddenRequestHeader,
        UpdateUserRequestHeader, ViewBrokerStatsDataRequestHeader, ViewMessageRequestHeader,
        AlterSyncStateSetRequestHeader, ElectMasterRequestHeader, GetReplicaInfoRequestHeader,
        CleanControllerBrokerDataRequestHeader, ApplyBrokerIdRequestHeader, GetNextBrokerIdRequestHeader,
        RegisterBrokerToControllerRequestHeader, AddWritePermOfBrokerRequestHeader,
        BrokerHeartbeatRequestHeader, DeleteKVConfigRequestHeader, DeleteTopicFromNamesrvRequestHeader,
        GetKVConfigRequestHeader, GetKVListByNamespaceRequestHeader, GetRouteInfoRequestHeader,
        PutKVConfigRequestHeader, QueryDataVersionRequestHeader, RegisterBrokerRequestHeader,
        RegisterTopicRequestHeader, UnRegisterBrokerRequestHeader, WipeWritePermOfBrokerRequestHeader,
        ]
        responses [
        ChangeInvisibleTimeResponseHeader, CheckTransactionStateResponseHeader,
        EndTransactionResponseHeader, ExchangeHAInfoResponseHeader, GetAllSubscriptionGroupResponseHeader,
        GetAllTopicConfigResponseHeader, GetBrokerConfigResponseHeader,
        GetConsumerListByGroupResponseHeader, GetEarliestMsgStoretimeResponseHeader,
        GetMaxOffsetResponseHeader, GetMinOffsetResponseHeader, NotificationResponseHeader,
        PollingInfoResponseHeader, PopMessageResponseHeader, PullMessageResponseHeader,
        QueryConsumerOffsetResponseHeader, QueryMessageResponseHeader, RecallMessageResponseHeader,
        SearchOffsetResponseHeader, SendMessageResponseHeader, UnregisterClientResponseHeader,
        UpdateConsumerOffsetResponseHeader, ViewMessageResponseHeader, AlterSyncStateSetResponseHeader,
        ElectMasterResponseHeader, GetMetaDataResponseHeader, GetReplicaInfoResponseHeader,
        ApplyBrokerIdResponseHeader, GetNextBrokerIdResponseHeader,
        RegisterBrokerToControllerResponseHeader, AddWritePermOfBrokerResponseHeader,
        GetKVConfigResponseHeader, QueryDataVersionResponseHeader, RegisterBrokerResponseHeader,
        WipeWritePermOfBrokerResponseHeader,
        ]
        others [
        InitConsumerOffsetRequestHeader, StatisticsMessagesRequestHeader, RegisterOrderTopicRequestHeader,
        ]
    }
}

/// One class of Java's.
struct Entry {
    name: &'static str,
    code: Option<i32>,
    base: &'static str,
    fields: Vec<Field>,
}

struct Field {
    name: &'static str,
    required: bool,
    kind: &'static str,
    initial: Option<&'static str>,
}

impl Field {
    fn is_primitive(&self) -> bool {
        matches!(self.kind, "i" | "l" | "b")
    }

    /// Whether its absence is an error: Java keeps the initial value of those that have one.
    fn is_mandatory(&self) -> bool {
        self.required && !self.is_primitive() && self.initial.is_none()
    }

    /// A value that no field has by itself.
    fn value(&self, at: usize) -> String {
        match self.kind {
            "S" => format!("v{at} \"\u{4e2d}\u{1}"),
            "I" | "i" => (i32::MIN + at as i32).to_string(),
            "L" | "l" => (i64::MAX - at as i64).to_string(),
            // The other one than a new object has.
            "B" | "b" => (self.initial != Some("true")).to_string(),
            "BT" => "UPPER".to_owned(),
            kind => panic!("unknown type {kind}"),
        }
    }
}

fn catalogue() -> Vec<Entry> {
    include_str!("headers.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut parts = line.splitn(4, " |").map(str::trim);
            let mut next = || parts.next().unwrap_or_default();
            Entry {
                name: next(),
                code: next().parse().ok(),
                base: next(),
                fields: next().split_whitespace().map(field).collect(),
            }
        })
        .collect()
}

fn field(text: &'static str) -> Field {
    let (name, rest) = text.split_once(':').unwrap();
    let (kind, initial) = match rest.split_once('=') {
        Some((kind, initial)) => (kind, Some(initial)),
        None => (rest, None),
    };
    Field { name: name.trim_end_matches('!'), required: name.ends_with('!'), kind, initial }
}

fn base_fields(base: &str) -> &'static [(&'static str, &'static str)] {
    match base {
        "T" => &[("ns", "n"), ("nsd", "true"), ("bname", "b"), ("oway", "false"), ("lo", "true")],
        "R" => &[("ns", "n"), ("nsd", "true"), ("bname", "b"), ("oway", "false")],
        _ => &[],
    }
}

/// Every class with its entry.
fn pairs() -> Vec<(Class, Entry)> {
    let mut classes: BTreeMap<&str, Class> = classes().into_iter().map(|class| (class.name, class)).collect();
    let pairs: Vec<_> = catalogue()
        .into_iter()
        .map(|entry| {
            let class = classes.remove(entry.name);
            (class.unwrap_or_else(|| panic!("{} is missing", entry.name)), entry)
        })
        .collect();
    assert!(classes.is_empty(), "not in the catalogue: {:?}", classes.keys());
    assert_eq!(pairs.len(), 134);
    pairs
}

/// All fields of a class with values, and some that belong to nobody.
fn full(entry: &Entry) -> BTreeMap<String, String> {
    let own = entry.fields.iter().enumerate().map(|(at, field)| (field.name.to_owned(), field.value(at)));
    let base = base_fields(entry.base).iter().map(|(name, value)| (name.to_string(), value.to_string()));
    own.chain(base).collect()
}

fn fields(map: &BTreeMap<String, String>) -> Fields {
    map.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Over the wire and back.
fn travelled(fields: Fields, encoding: Encoding) -> Fields {
    let mut command = Command::response(ResponseCode::SUCCESS);
    command.fields = fields;
    decode_one(&encode(&command, encoding)).unwrap().fields
}

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Binary];

/// spec: remoting H10 H11 H2
#[test]
fn every_field_of_every_class_goes_there_and_back() {
    for (class, entry) in pairs() {
        if class.code.is_some() {
            assert_eq!(class.code, entry.code, "{}", class.name);
        }
        let values = full(&entry);
        let mut sent = values.clone();
        sent.insert("unknownToAll".to_owned(), "x".to_owned());
        for encoding in BOTH {
            let read = (class.through)(&travelled(fields(&sent), encoding));
            let read = read.unwrap_or_else(|e| panic!("{}: {e}", class.name));
            assert_eq!(map(&travelled(read, encoding)), values, "{} {encoding}", class.name);
        }
    }
}

/// spec: remoting H1 H5
#[test]
fn absent_fields_stay_absent_and_primitives_are_always_there() {
    for (class, entry) in pairs() {
        let mut sent: BTreeMap<_, _> = full(&entry);
        sent.retain(|name, _| entry.fields.iter().any(|field| field.name == name && field.is_mandatory()));
        let mut expected = sent.clone();
        for field in entry.fields.iter().filter(|field| field.is_primitive()) {
            let initial = match field.initial {
                Some("now_ms") => "0", // there is no clock here; whoever sends it sets it
                Some(initial) => initial,
                None if field.kind == "b" => "false",
                None => "0",
            };
            expected.insert(field.name.to_owned(), initial.to_owned());
        }
        let read = (class.through)(&fields(&sent)).unwrap_or_else(|e| panic!("{}: {e}", class.name));
        assert_eq!(map(&read), expected, "{}", class.name);
        for field in entry.fields.iter().filter(|field| field.is_mandatory()) {
            let mut less = sent.clone();
            less.remove(field.name);
            assert_eq!(
                (class.through)(&fields(&less)),
                Err(HeaderError::Missing(field.name)),
                "{}",
                class.name
            );
        }
    }
}

#[test]
fn a_new_header_has_what_a_new_object_has() {
    for (class, entry) in pairs() {
        let fresh = map(&(class.fresh)());
        for field in entry.fields.iter().filter(|field| field.is_primitive()) {
            let initial = field.initial.filter(|initial| *initial != "now_ms");
            let initial = initial.unwrap_or(if field.kind == "b" { "false" } else { "0" });
            assert_eq!(fresh.get(field.name).map(String::as_str), Some(initial), "{}", class.name);
        }
    }
}

/// spec: remoting H6
#[test]
fn a_number_that_does_not_parse_is_absent_or_an_error() {
    const FAST: [&str; 4] = [
        "SendMessageRequestHeaderV2",
        "SendMessageResponseHeader",
        "PullMessageRequestHeader",
        "PullMessageResponseHeader",
    ];
    for (class, entry) in pairs() {
        for field in entry.fields.iter().filter(|field| matches!(field.kind, "I" | "L" | "i" | "l")) {
            for bad in ["x", "", " 1", "1 ", "1.0", "+", "-", "9223372036854775808", "0x1"] {
                let mut sent = full(&entry);
                sent.insert(field.name.to_owned(), bad.to_owned());
                let read = (class.through)(&travelled(fields(&sent), Encoding::Json));
                let what = format!("{}.{}={bad:?}", class.name, field.name);
                if FAST.contains(&class.name) || field.is_mandatory() {
                    assert_eq!(read, Err(HeaderError::Invalid(field.name)), "{what}");
                    continue;
                }
                let read = map(&read.unwrap_or_else(|e| panic!("{what}: {e}")));
                let initial = field.initial.filter(|initial| *initial != "now_ms").unwrap_or("0");
                let expected = field.is_primitive().then(|| initial.to_owned());
                assert_eq!(read.get(field.name), expected.as_ref(), "{what}");
            }
            for good in ["+7", "007"] {
                let mut sent = full(&entry);
                sent.insert(field.name.to_owned(), good.to_owned());
                let read = map(&(class.through)(&fields(&sent)).unwrap());
                assert_eq!(read[field.name], "7", "{}.{}", class.name, field.name);
            }
        }
    }
}

/// spec: remoting H3 H4
#[test]
fn booleans_and_enums_are_read_as_java_reads_them() {
    for (class, entry) in pairs() {
        for field in entry.fields.iter().filter(|field| matches!(field.kind, "B" | "b" | "BT")) {
            let cases: &[(&str, &str)] = if field.kind == "BT" {
                &[("upper", "UPPER"), ("LOWER", "LOWER"), ("x", "LOWER")]
            } else {
                &[("TRUE", "true"), ("tRuE", "true"), ("1", "false"), ("yes", "false"), ("false", "false")]
            };
            for (text, meaning) in cases {
                let mut sent = full(&entry);
                sent.insert(field.name.to_owned(), text.to_string());
                let read = map(&(class.through)(&fields(&sent)).unwrap());
                assert_eq!(read[field.name], *meaning, "{}.{}={text}", class.name, field.name);
            }
        }
    }
}

/// spec: remoting H7
#[test]
fn without_any_fields_what_is_required_is_named() {
    let absent = Command::response(ResponseCode::SUCCESS);
    assert_eq!(absent.response_header::<()>(), Ok(()));
    assert_eq!(
        absent.response_header::<SendMessageResponseHeader>(),
        Err(HeaderError::Missing("msgId")),
        "the processor, not this layer, decides what that means"
    );
    let pop: PopMessageResponseHeader = absent.response_header().unwrap();
    assert_eq!(pop, PopMessageResponseHeader::default());
}

// What has to hold for any bytes. The property tests feed these with generated and damaged input, the fuzz
// targets with whatever libFuzzer comes up with; both include this very file.

use bytes::{Bytes, BytesMut};
use rocketwire_protocol::{
    Command, Encoding, LanguageCode, Limits,
    body::{self, *},
    filter::SqlFilter,
    frame,
    message::{
        MessageExt, NewRecord, OffsetMessageId, Properties, RecordView, SysFlag, batch, decompress,
        id::UniqId, properties, record, records,
    },
};

/// Frames: reading never panics, does not depend on how the bytes arrive, and keeps no memory for bytes that
/// were only announced. What was read can be written and read again.
pub(crate) fn check_frame(data: &[u8]) {
    let limits = Limits::default().with_frame_max(1 << 16);
    let at_once = decode_all(data, data.len().max(1), &limits);
    let piece = 1 + data.first().map_or(0, |b| usize::from(*b) % 7);
    let in_pieces = decode_all(data, piece, &limits);
    assert_eq!(at_once.len(), in_pieces.len());
    for (a, b) in at_once.iter().zip(&in_pieces) {
        match (a, b) {
            (Ok(a), Ok(b)) => assert_alike(a, b),
            (a, b) => assert_eq!(a.is_err(), b.is_err()),
        }
    }
    at_once.iter().flatten().for_each(check_command);
}

fn decode_all(data: &[u8], piece: usize, limits: &Limits) -> Vec<Result<Command, frame::FrameError>> {
    let mut all = Vec::new();
    let mut input = BytesMut::new();
    for chunk in data.chunks(piece) {
        input.extend_from_slice(chunk);
        loop {
            let capacity = input.capacity();
            match frame::decode(&mut input, limits) {
                Ok(None) => {
                    assert!(input.capacity() <= capacity, "memory for what was only announced");
                    break;
                }
                Ok(Some(command)) => all.push(Ok(command)),
                Err(error) => {
                    all.push(Err(error));
                    return all;
                }
            }
        }
    }
    all
}

/// The JSON header alone.
pub(crate) fn check_json_header(data: &[u8]) {
    if let Ok(command) = frame::decode_header(&Bytes::copy_from_slice(data), Encoding::Json) {
        check_command(&command);
    }
}

/// The binary header alone.
pub(crate) fn check_binary_header(data: &[u8]) {
    if let Ok(command) = frame::decode_header(&Bytes::copy_from_slice(data), Encoding::Binary) {
        check_command(&command);
    }
}

/// A decoded command survives both encodings.
pub(crate) fn check_command(command: &Command) {
    for encoding in [Encoding::Json, Encoding::Binary] {
        let mut out = Vec::new();
        match frame::encode(command, encoding, &mut out) {
            // Too long a key for binary is the one thing that JSON can say and binary cannot.
            Err(_) => assert!(encoding == Encoding::Binary && out.is_empty()),
            Ok(()) => {
                let mut input = BytesMut::from(&out[..]);
                let limits = Limits::default().with_frame_max(64 << 20);
                let again = frame::decode(&mut input, &limits).expect("own frame").expect("whole frame");
                assert!(input.is_empty());
                assert_alike(&as_written(command, again.encoding), &again);
            }
        }
    }
}

/// What the encoding can carry of a command.
fn as_written(command: &Command, encoding: Encoding) -> Command {
    let mut command = command.clone();
    let known = command.language.name().is_some();
    match encoding {
        Encoding::Json if !known => command.language = LanguageCode::JAVA,
        Encoding::Json => {}
        Encoding::Binary => {
            if command.language == LanguageCode::UNKNOWN {
                command.language = LanguageCode::OTHER;
            }
            command.version.0 = i32::from(command.version.0 as i16);
            command.remark = command.remark.filter(|remark| !remark.is_empty());
            let fields = command.fields.to_vec();
            let kept = fields.iter().filter(|(_, value)| !value.is_empty());
            command.fields = kept.map(|(key, value)| (&**key, &**value)).collect();
        }
    }
    command
}

fn assert_alike(a: &Command, b: &Command) {
    assert_eq!((a.code, a.language, a.version), (b.code, b.language, b.version));
    assert_eq!((a.opaque, a.flag, &a.remark, &a.body), (b.opaque, b.flag, &b.remark, &b.body));
    assert_eq!(a.fields, b.fields);
    for (key, _) in a.fields.to_vec() {
        // A key with malformed UTF-8 is found by its bytes only, so under no name at all.
        if key.contains(char::REPLACEMENT_CHARACTER) {
            continue;
        }
        assert_eq!(a.fields.get(&key), b.fields.get(&key));
    }
}

/// JSON bodies: whatever is read as a type is read the same after it was written.
pub(crate) fn check_body_json(data: &[u8]) {
    check_body::<HeartbeatData>(data);
    check_body::<TopicRouteData>(data);
    check_body::<ResetOffsetBody>(data);
    check_body::<ConsumerRunningInfo>(data);
    check_body::<ConsumerConnection>(data);
    check_body::<TopicConfigSerializeWrapper>(data);
    check_body::<ConsumeMessageDirectlyResult>(data);
    if let Ok(route) = body::decode::<TopicRouteData>(data) {
        for version in [63, 479] {
            let text = route.encode_for(rocketwire_protocol::Version(version));
            assert_eq!(body::decode(&text).as_ref(), Ok(&route));
        }
    }
    let _ = RegisterBrokerBody::decode(data, true, 1 << 16);
}

fn check_body<T>(data: &[u8])
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    if let Ok(value) = body::decode::<T>(data) {
        let text = body::encode(&value);
        assert_eq!(body::decode::<T>(&text).as_ref(), Ok(&value));
    }
}

/// Stored records: reading ends, stays within the bytes, and what is written again says the same.
pub(crate) fn check_record(data: &[u8]) {
    let mut read = 0;
    for view in records(Bytes::copy_from_slice(data)) {
        let Ok(view) = view else { break };
        let _ = view.check_crc();
        read += view.raw().len();
        check_view(&view);
    }
    assert!(read <= data.len());
    let mut copy = data.to_vec();
    if record::patch(&mut copy, 1, 2, 3) {
        assert_eq!(record::len(&copy), record::len(data));
    }
}

fn check_view(view: &RecordView) {
    let new = NewRecord {
        topic: view.topic(),
        queue_id: view.queue_id(),
        flag: view.flag(),
        sys_flag: view.sys_flag().0,
        born_timestamp: view.born_timestamp(),
        born_host: view.born_host(),
        store_host: view.store_host(),
        reconsume_times: view.reconsume_times(),
        prepared_transaction_offset: view.prepared_transaction_offset(),
        body: &view.body(),
        properties: view.properties(),
    };
    let mut out = Vec::new();
    // Mending malformed UTF-8 may have made a text too long.
    let Ok(len) = record::encode(&new, &mut out) else { return };
    assert_eq!(len, out.len());
    assert!(record::patch(&mut out, view.queue_offset(), view.physical_offset(), view.store_timestamp()));
    let again = RecordView::parse(&out.into()).expect("own record");
    again.check_crc().expect("own CRC");
    let (mut a, mut b) = (MessageExt::from_record(view.clone()), MessageExt::from_record(again));
    for message in [&mut a, &mut b] {
        message.born_host.set_ip(message.born_host.ip().to_canonical());
        message.store_host.set_ip(message.store_host.ip().to_canonical());
        message.sys_flag = message.sys_flag.without(SysFlag(0x30));
        message.body_crc = 0;
        message.store_size = 0;
    }
    assert_eq!(a, b);
    assert_eq!(a.offset_msg_id().to_string().parse::<OffsetMessageId>(), Ok(b.offset_msg_id()));
}

/// Batches: what is read and written again is the same.
pub(crate) fn check_batch(data: &[u8]) {
    let items: Vec<_> = batch::items(Bytes::copy_from_slice(data)).filter_map(Result::ok).collect();
    let mut out = Vec::new();
    for item in &items {
        // Mending malformed UTF-8 may have made the properties too long.
        if batch::encode_item(item.flag, &item.body, &item.properties, &mut out).is_err() {
            return;
        }
    }
    let again: Vec<_> = batch::items(out.into()).collect::<Result<_, _>>().expect("own batch");
    assert_eq!(items, again);
}

/// Properties against a list of pairs, and ids, which are texts as well.
pub(crate) fn check_properties(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    check_ids(&text);
    let pairs: Vec<_> = properties::iter(&text).collect();
    let last = |name: &str| pairs.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| *value);
    let parsed = Properties::parse(&text);
    assert_eq!(parsed.iter().collect::<Vec<_>>(), pairs);
    for (name, _) in &pairs {
        assert_eq!(properties::get(&text, name), last(name));
        assert_eq!(parsed.get(name), last(name));
        let mut less = parsed.clone();
        assert!(less.remove(name) && !less.remove(name));
        let others: Vec<_> = pairs.iter().filter(|(n, _)| n != name).copied().collect();
        assert_eq!(less.iter().collect::<Vec<_>>(), others);
    }
    // Any text as a value, and as a name.
    let mut changed = parsed.clone();
    changed.set("name", &text);
    let clean = text.replace(['\u{1}', '\u{2}'], " ");
    assert_eq!(changed.get("name").unwrap_or_default(), clean);
    changed.set(&text, "value");
    assert_eq!(changed.get(&clean), (!clean.is_empty()).then_some("value"));
    assert_eq!(Properties::parse(changed.as_str()), changed);
}

/// An SQL filter, and behind the first NUL the properties to apply it to: against itself in other forms.
pub(crate) fn check_filter(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (expression, properties) = text.split_once('\0').unwrap_or((&text, ""));
    let Ok(filter) = SqlFilter::compile(expression) else { return };
    let is_match = filter.matches(properties);
    assert_eq!(filter.clone().matches(properties), is_match);
    // A comment in the expression may end with the line only.
    let forms = [
        (format!("({expression}\n)"), Some(is_match)),
        (format!("({expression}\n) AND ({expression}\n)"), Some(is_match)),
        (format!("FALSE OR ({expression}\n)"), Some(is_match)),
        (format!("NOT NOT ({expression}\n)"), Some(is_match)),
        (format!("NOT ({expression}\n)"), is_match.then_some(false)),
    ];
    for (form, expected) in forms {
        // It may be too long, too large or too deep now; or what ended with the text was a comment.
        if let (Ok(filter), Some(expected)) = (SqlFilter::compile(&form), expected) {
            assert_eq!(filter.matches(properties), expected, "{form}");
        }
    }
}

fn check_ids(text: &str) {
    if let Ok(id) = text.parse::<OffsetMessageId>() {
        assert_eq!(id.to_string().parse::<OffsetMessageId>().map(|id| id.offset), Ok(id.offset));
    }
    if let Ok(id) = text.parse::<UniqId>() {
        id.born_time(i64::MAX, i32::MAX);
        id.born_time(i64::MIN, i32::MIN);
    }
}

/// Compressed bodies: never more than the limit.
pub(crate) fn check_compression(data: &[u8]) {
    for flag in 0..8 {
        if let Ok(plain) = decompress(SysFlag(1 | flag << 8), data, 1 << 16) {
            assert!(plain.len() <= 1 << 16);
        }
    }
}

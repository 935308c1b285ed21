//! Frames that real clients and servers exchanged: headers and messages.

use std::collections::BTreeMap;

use bytes::BytesMut;
use rocketwire_protocol::{
    Command, Encoding, LanguageCode, Limits, RequestHeader, ResponseHeader, WriteFields, frame,
    header::{self, *},
    message::{
        MessageExt, NewRecord, OffsetMessageId, Properties, RecordView, batch, id::UniqId, properties,
        property, record, records,
    },
};

use crate::support::{Golden, assert_same, encode, golden, golden_frame, map};

#[test]
fn every_frame_survives_its_own_encoding() {
    let all = golden();
    assert!(all.len() >= 150, "{} frames", all.len());
    for golden in all {
        let command = golden.command();
        assert_eq!(command.is_response(), !golden.is_request(), "{}", golden.name);
        if golden.is_request() {
            assert_eq!(command.code, golden.request_code(), "{}", golden.name);
        }
        let again = encode(&command, command.encoding);
        assert_same(&command, &crate::support::decode_one(&again).unwrap(), &golden.name);
        // Apache's own frames byte for byte: one order of members, one set of escapes.
        if golden.is_java() || command.language == LanguageCode::JAVA && !golden.name.starts_with("node") {
            assert_eq!(again, golden.bytes, "{}", golden.name);
        }
    }
}

#[test]
fn every_frame_survives_the_other_encoding() {
    for golden in golden() {
        let mut command = golden.command();
        let other = match command.encoding {
            Encoding::Json => Encoding::Binary,
            Encoding::Binary => Encoding::Json,
        };
        let again = crate::support::decode_one(&encode(&command, other)).unwrap();
        // The binary encoding has no empty texts.
        command.remark = command.remark.filter(|remark| !remark.is_empty());
        let kept = |c: &Command| {
            let mut fields = map(&c.fields);
            fields.retain(|_, value| !value.is_empty());
            fields
        };
        assert_eq!(kept(&command), kept(&again), "{}", golden.name);
        assert_eq!((command.code, command.opaque), (again.code, again.opaque), "{}", golden.name);
        assert_eq!((command.remark, command.body), (again.remark, again.body), "{}", golden.name);
    }
}

/// spec: remoting F4 F5 F13
#[test]
fn all_frames_in_one_stream_cut_anywhere() {
    let all = golden();
    let stream: Vec<u8> = all.iter().flat_map(|golden| golden.bytes.clone()).collect();
    for piece in [1, 7, 1000, stream.len()] {
        let mut input = BytesMut::new();
        let mut decoded = Vec::new();
        for chunk in stream.chunks(piece) {
            input.extend_from_slice(chunk);
            while let Some(command) = frame::decode(&mut input, &Limits::default()).unwrap() {
                decoded.push(command);
            }
        }
        assert!(input.is_empty());
        assert_eq!(decoded.len(), all.len());
        for (command, golden) in decoded.iter().zip(&all) {
            assert_same(command, &golden.command(), &golden.name);
        }
    }
}

/// Fields beside the typed header that are known to occur.
const EXTRA: &[&str] = &[
    "ReqT",
    "MSG_REGION",
    "TRACE_ON",
    "IS_SUPPORT_HEART_BEAT_V2",
    "IS_SUB_CHANGE",
    "AccessKey",
    "Signature",
    "OnsChannel",
    "_UNIQUE_KEY_QUERY",
];

/// What the typed header says must stand in the frame, and nothing but extras may stand there besides.
fn fields_agree(golden: &Golden, command: &Command, typed: &impl WriteFields) {
    let typed = map(&rocketwire_protocol::Fields::of(typed));
    let mut wire: BTreeMap<String, String> = map(&command.fields);
    wire.retain(|key, _| !EXTRA.contains(&key.as_str()));
    if golden.is_java() {
        assert_eq!(typed, wire, "{}", golden.name);
        return;
    }
    for (key, value) in &typed {
        // Primitives are always written, booleans always as words.
        let default = if key == "committed" { "true" } else { "false" };
        let expected = wire.get(key).map_or(default, |text| match text.as_str() {
            "0" | "1" if value == "false" => "false",
            text => text,
        });
        assert_eq!(value, expected, "{} {key}", golden.name);
    }
    for (key, value) in wire {
        let known = typed.contains_key(&key) || value.is_empty();
        assert!(known || ["brokerName", "unitMode"].contains(&&*key), "{}: {key}={value}", golden.name);
    }
}

fn request<H: RequestHeader>(golden: &Golden, command: &Command) {
    let typed: H = command.header().unwrap_or_else(|e| panic!("{}: {e}", golden.name));
    fields_agree(golden, command, &typed);
}

fn response<H: ResponseHeader + WriteFields>(golden: &Golden, command: &Command) {
    let typed: H = command.response_header().unwrap_or_else(|e| panic!("{}: {e}", golden.name));
    fields_agree(golden, command, &typed);
}

fn check_request_header(golden: &Golden, command: &Command) {
    match golden.request_code() {
        10 | 324 => request::<SendMessageRequestHeader>(golden, command),
        310 | 320 | 325 => request::<SendMessageRequestHeaderV2>(golden, command),
        11 | 361 => request::<PullMessageRequestHeader>(golden, command),
        12 => request::<QueryMessageRequestHeader>(golden, command),
        14 => request::<QueryConsumerOffsetRequestHeader>(golden, command),
        15 => request::<UpdateConsumerOffsetRequestHeader>(golden, command),
        17 => request::<CreateTopicRequestHeader>(golden, command),
        29 => request::<SearchOffsetRequestHeader>(golden, command),
        30 => request::<GetMaxOffsetRequestHeader>(golden, command),
        33 => request::<ViewMessageRequestHeader>(golden, command),
        34 => request::<HeartbeatRequestHeader>(golden, command),
        35 => request::<UnregisterClientRequestHeader>(golden, command),
        36 => request::<ConsumerSendMsgBackRequestHeader>(golden, command),
        37 => request::<EndTransactionRequestHeader>(golden, command),
        38 => request::<GetConsumerListByGroupRequestHeader>(golden, command),
        39 => request::<CheckTransactionStateRequestHeader>(golden, command),
        40 => request::<NotifyConsumerIdsChangedRequestHeader>(golden, command),
        41 => request::<LockBatchMqRequestHeader>(golden, command),
        42 => request::<UnlockBatchMqRequestHeader>(golden, command),
        105 => request::<GetRouteInfoRequestHeader>(golden, command),
        202 => request::<GetTopicStatsInfoRequestHeader>(golden, command),
        203 => request::<GetConsumerConnectionListRequestHeader>(golden, command),
        208 => request::<GetConsumeStatsRequestHeader>(golden, command),
        220 | 222 => request::<ResetOffsetRequestHeader>(golden, command),
        307 => request::<GetConsumerRunningInfoRequestHeader>(golden, command),
        309 => request::<ConsumeMessageDirectlyResultRequestHeader>(golden, command),
        326 => request::<ReplyMessageRequestHeader>(golden, command),
        3442 | 200_050 => request::<PopMessageRequestHeader>(golden, command),
        200_051 => request::<AckMessageRequestHeader>(golden, command),
        200_053 => request::<ChangeInvisibleTimeRequestHeader>(golden, command),
        // No header of their own.
        46 | 106 | 200 | 400 => assert!(map(&command.fields).is_empty(), "{}", golden.name),
        code => panic!("{}: no header is known for {code}", golden.name),
    }
}

fn check_response_header(golden: &Golden, command: &Command) {
    match (golden.request_code(), command.code) {
        (11 | 361, _) => response::<PullMessageResponseHeader>(golden, command),
        (10 | 310 | 320, 0) => response::<SendMessageResponseHeader>(golden, command),
        (12, 0) => response::<QueryMessageResponseHeader>(golden, command),
        (14, 0) => response::<QueryConsumerOffsetResponseHeader>(golden, command),
        (200_050, 0) => response::<PopMessageResponseHeader>(golden, command),
        _ => response::<()>(golden, command),
    }
}

#[test]
fn every_header_is_typed() {
    for golden in golden() {
        let command = golden.command();
        if golden.name.contains("220-") && golden.is_request() {
            // 4.9 sends neither queueId nor offset with it.
            let typed: ResetOffsetRequestHeader = command.header().unwrap();
            assert_eq!((&*typed.topic, &*typed.group, typed.queue_id), ("TCb_a4", "GCb_a4_java5", -1));
        } else if golden.is_request() {
            check_request_header(&golden, &command);
        } else {
            check_response_header(&golden, &command);
        }
    }
}

/// spec: remoting H9 H3
#[test]
fn sends_say_what_their_clients_meant() {
    let java: SendMessageRequestHeaderV2 =
        golden_frame("java533-json-310-send-message-v2-req").command().header().unwrap();
    assert_eq!(
        (&*java.producer_group, &*java.topic, &*java.default_topic),
        ("interop_java_producer", "Topic_j5j", "TBW102")
    );
    assert_eq!(
        (java.default_topic_queue_nums, java.queue_id, java.batch, java.broker_name.as_deref()),
        (4, 1, Some(false), Some("broker-a"))
    );
    let properties = Properties::parse(java.properties.as_deref().unwrap());
    assert_eq!(properties.get(property::KEYS), Some("k-0"));
    // C++ writes booleans as 0 and 1, which are both false to Java.
    let cpp: SendMessageRequestHeader = golden_frame("cpp-10-send-message-req").command().header().unwrap();
    assert_eq!(cpp.batch, Some(false));
    let node: SendMessageRequestHeaderV2 =
        golden_frame("node-310-send-message-v2-req").command().header().unwrap();
    assert_eq!(node.unit_mode, Some(false));
}

#[test]
fn a_truncated_pop_code_is_still_a_pop() {
    let command = golden_frame("java533-binary-3442-code-3442-req").command();
    assert_eq!(command.code, i32::from(200_050_i32 as i16));
    let pop: header::PopMessageRequestHeader = command.header().unwrap();
    assert_eq!(
        (pop.queue_id, pop.max_msg_nums, pop.base.rpc.broker_name.as_deref()),
        (-1, 32, Some("broker-a"))
    );
}

/// What was decoded, written again: the same bytes.
fn rewritten(view: &RecordView) -> Vec<u8> {
    let mut out = Vec::new();
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
    record::encode(&new, &mut out).unwrap();
    assert!(record::patch(&mut out, view.queue_offset(), view.physical_offset(), view.store_timestamp()));
    out
}

#[test]
fn stored_records_are_read_and_written_byte_for_byte() {
    let mut count = 0;
    for golden in golden() {
        let command = golden.command();
        let holds_records = match (golden.request_code(), golden.is_request()) {
            (39 | 309, true) => true,
            (11 | 12 | 33 | 361 | 200_050, false) => command.code == 0,
            _ => false,
        };
        if !holds_records {
            continue;
        }
        for record in records(command.body.clone()) {
            let view = record.unwrap_or_else(|e| panic!("{}: {e}", golden.name));
            view.check_crc().unwrap_or_else(|e| panic!("{}: {e}", golden.name));
            assert_eq!(rewritten(&view), view.raw(), "{}", golden.name);
            let mut properties = Properties::new();
            for (name, value) in properties::iter(view.properties()) {
                properties.set(name, value);
            }
            // 4.9 leaves out the last separator.
            assert_eq!(
                properties.as_str().trim_end_matches('\u{2}'),
                view.properties().trim_end_matches('\u{2}')
            );
            let mut message = MessageExt::from_record(view);
            message.decompress(4 << 20).unwrap();
            let uniq: UniqId = message.msg_id().parse().unwrap_or_else(|e| panic!("{}: {e}", golden.name));
            // The unique id tells the time of birth to the second or so; C++ has a scheme of its own.
            if !golden.name.starts_with("cpp") {
                let told = uniq.born_time(message.store_timestamp + 60_000, 0);
                assert!(told.abs_diff(message.born_timestamp) < 2_000, "{} {told}", golden.name);
            }
            count += 1;
        }
    }
    assert!(count >= 12, "{count} records");
}

#[test]
fn batches_are_read_and_written_byte_for_byte() {
    let mut count = 0;
    for golden in golden().iter().filter(|golden| golden.request_code() == 320 && golden.is_request()) {
        let command = golden.command();
        let mut again = Vec::new();
        for item in batch::items(command.body.clone()) {
            let item = item.unwrap_or_else(|e| panic!("{}: {e}", golden.name));
            batch::encode_item(item.flag, &item.body, &item.properties, &mut again).unwrap();
            count += 1;
        }
        assert_eq!(again, command.body, "{}", golden.name);
    }
    assert!(count >= 6, "{count} messages");
}

#[test]
fn ids_are_read_and_written_digit_for_digit() {
    let send: SendMessageResponseHeader =
        golden_frame("java533-json-310-send-message-v2-resp").command().response_header().unwrap();
    let id: OffsetMessageId = send.msg_id.parse().unwrap();
    assert_eq!(id.host, "127.0.0.1:20911".parse().unwrap());
    assert_eq!(id.to_string(), &*send.msg_id);
    let view = golden_frame("mqadmin533-33-view-message-by-id-resp").command().body;
    let asked: ViewMessageRequestHeader =
        golden_frame("mqadmin533-33-view-message-by-id-req").command().header().unwrap();
    assert_eq!(RecordView::parse(&view).unwrap().offset_message_id().offset, asked.offset);
}

//! The examples of docs/wire.md are true.

use std::{collections::BTreeMap, fs, path::Path};

use rocketwire_protocol::{
    Command, Encoding, LanguageCode, RequestCode, ResponseCode, Version,
    body::{self, BrokerData, MessageQueue, QueueData, ResetOffsetBody, TopicRouteData},
    message::{
        NewRecord, OffsetMessageId, Properties, RecordView, UniqIdGenerator, batch, id::UniqId, record,
    },
};

use crate::support::{decode_one, encode, hex};

/// Content of the fenced blocks by name.
struct Blocks(BTreeMap<String, String>);

impl Blocks {
    fn read() -> Blocks {
        let doc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire.md");
        let text = fs::read_to_string(doc).unwrap();
        let mut blocks = BTreeMap::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(title) = line.strip_prefix("```") {
                let (_, name) =
                    title.split_once(' ').unwrap_or_else(|| panic!("a block without a name: {line}"));
                let content: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
                assert!(blocks.insert(name.to_owned(), content.join("\n")).is_none(), "{name} comes twice");
            }
        }
        Blocks(blocks)
    }

    fn text(&mut self, name: &str) -> String {
        self.0.remove(name).unwrap_or_else(|| panic!("docs/wire.md has no block {name}"))
    }

    fn bytes(&mut self, name: &str) -> Vec<u8> {
        let text = self.text(name);
        let digits: Vec<_> = text.lines().map(|line| line.split(';').next().unwrap()).collect();
        hex(&digits.join(" "))
    }
}

fn java(mut command: Command, opaque: i32) -> Command {
    command.language = LanguageCode::JAVA;
    command.opaque = opaque;
    command
}

fn frames(blocks: &mut Blocks) {
    let bytes = blocks.bytes("request-binary");
    let request = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC).with_field("topic", "TopicTest");
    assert_eq!(encode(&java(request, 1), Encoding::Binary), bytes);
    assert_eq!(decode_one(&bytes).unwrap().fields.get("topic").as_deref(), Some("TopicTest"));

    let bytes = blocks.bytes("response-json");
    let response = Command::response(ResponseCode::SUCCESS).with_body("{}");
    assert_eq!(encode(&java(response, 7), Encoding::Json), bytes);
    assert_eq!(decode_one(&bytes).unwrap().opaque, 7);
}

fn messages(blocks: &mut Blocks) {
    let bytes = blocks.bytes("record");
    let properties: Properties = [("KEYS", "order-7"), ("TAGS", "TagA")].into_iter().collect();
    let new = NewRecord {
        topic: "TopicTest",
        queue_id: 3,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_001,
        born_host: "10.0.0.9:4321".parse().unwrap(),
        store_host: "127.0.0.1:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"hello",
        properties: properties.as_str(),
    };
    let mut out = Vec::new();
    record::encode(&new, &mut out).unwrap();
    record::patch(&mut out, 5, 300, 1_700_000_000_002);
    assert_eq!(out, bytes);
    let view = RecordView::parse(&bytes.into()).unwrap();
    view.check_crc().unwrap();
    assert_eq!(view.property("TAGS"), Some("TagA"));

    let bytes = blocks.bytes("batch-item");
    let mut out = Vec::new();
    batch::encode_item(0, b"hello", "TAGS\u{1}A\u{2}", &mut out).unwrap();
    assert_eq!(out, bytes);
    assert_eq!(batch::items(bytes.into()).next().unwrap().unwrap().body, "hello");

    let bytes = blocks.bytes("properties");
    let text = String::from_utf8(bytes).unwrap();
    let built: Properties = [("KEYS", "k-0 k-1"), ("WAIT", "true")].into_iter().collect();
    assert_eq!(Properties::parse(&text), built);
}

fn ids(blocks: &mut Blocks) {
    let upper = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let text = upper(blocks.bytes("offset-id"));
    let id = OffsetMessageId { host: "127.0.0.1:10911".parse().unwrap(), offset: 300 };
    assert_eq!(id.to_string(), text);
    assert_eq!(text.parse(), Ok(id));

    let text = upper(blocks.bytes("unique-id"));
    // 2026-11-23 04:14:00 UTC
    let now = 1_795_407_240_000;
    let ids = UniqIdGenerator::new("192.0.2.2".parse().unwrap(), 0x2345, 0x4e0e_2f2a);
    assert_eq!(ids.next(now), text);
    assert_eq!(text.parse::<UniqId>().unwrap().born_time(now + 1, 0), now);
}

fn bodies(blocks: &mut Blocks) {
    let text = blocks.text("offset-table");
    let queue = |id| MessageQueue::new("T", "broker-a", id);
    let table = ResetOffsetBody { offset_table: [(queue(0), 5), (queue(1), 7)].into() };
    assert_eq!(body::encode(&table), text);
    assert_eq!(body::decode(text.as_bytes()), Ok(table));

    let route = TopicRouteData {
        broker_datas: vec![BrokerData {
            broker_addrs: [(0, "10.0.0.5:10911".into())].into(),
            broker_name: "broker-a".into(),
            cluster: "DefaultCluster".into(),
            ..BrokerData::default()
        }],
        queue_datas: vec![QueueData {
            broker_name: "broker-a".into(),
            perm: 6,
            read_queue_nums: 8,
            topic_sys_flag: 0,
            write_queue_nums: 8,
        }],
        ..TopicRouteData::default()
    };
    for (name, version) in [("route", Version::V5_3_3), ("old-route", Version::V4_9_3)] {
        let text = blocks.text(name);
        assert_eq!(route.encode_for(version), text);
        assert_eq!(body::decode(text.as_bytes()).as_ref(), Ok(&route));
    }
}

#[test]
fn every_example_of_the_document_is_true() {
    let mut blocks = Blocks::read();
    frames(&mut blocks);
    messages(&mut blocks);
    ids(&mut blocks);
    bodies(&mut blocks);
    assert!(blocks.0.is_empty(), "nothing tests {:?}", blocks.0.keys());
}

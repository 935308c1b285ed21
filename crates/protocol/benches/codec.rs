//! Nanoseconds for what every send and every pull pays: `cargo bench -p rocketwire-protocol`.
//!
//! The best of many rounds is printed, which is what the code can do when nothing disturbs it.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a program that prints, and whose input is its own

use std::{hint::black_box, time::Instant};

use bytes::{Bytes, BytesMut};
use rocketwire_protocol::{
    Command, Encoding, Limits, body, frame,
    header::{SendMessageRequestHeaderV2, SendMessageResponseHeader},
    message::{self, NewRecord, RecordView, UniqIdGenerator, record},
};

const ROUNDS: usize = 200;
const BATCH: usize = 1000;

/// Times `work`, which does its thing `BATCH` times, and prints nanoseconds for one.
fn measure<S>(name: &str, mut prepare: impl FnMut() -> S, mut work: impl FnMut(S)) {
    let mut best = u128::MAX;
    for _ in 0..ROUNDS {
        let state = prepare();
        let start = Instant::now();
        work(state);
        best = best.min(start.elapsed().as_nanos());
    }
    println!("{name:44} {:7.1} ns", best as f64 / BATCH as f64);
}

fn repeat(name: &str, mut work: impl FnMut()) {
    measure(name, || (), |()| (0..BATCH).for_each(|_| work()));
}

const PROPERTIES: &str = "KEYS\u{1}k-0\u{2}UNIQ_KEY\u{1}7F0000012345\
    4E0E2F2A70A7671C0000\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}CLUSTER\u{1}DefaultCluster\u{2}";

fn send() -> SendMessageRequestHeaderV2 {
    SendMessageRequestHeaderV2 {
        producer_group: "interop_java_producer".into(),
        topic: "TopicTest".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        queue_id: 1,
        born_timestamp: 1_795_381_219_102,
        properties: Some(PROPERTIES.into()),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        batch: Some(false),
        broker_name: Some("broker-a".into()),
        ..SendMessageRequestHeaderV2::default()
    }
}

fn frames(encoding: Encoding) {
    let header = send();
    let command = Command::of(&header).with_body(vec![b'x'; 128]);
    let limits = Limits::default();
    let mut one = Vec::new();
    frame::encode(&command, encoding, &mut one).unwrap();
    let stream = one.repeat(BATCH);

    println!("SEND_MESSAGE_V2 {encoding}, {} bytes", one.len());
    measure(
        "  decode",
        || BytesMut::from(&stream[..]),
        |mut input| {
            while let Some(command) = frame::decode(&mut input, &limits).unwrap() {
                black_box(&command);
            }
        },
    );
    measure(
        "  decode with typed header",
        || BytesMut::from(&stream[..]),
        |mut input| {
            while let Some(command) = frame::decode(&mut input, &limits).unwrap() {
                black_box(command.header::<SendMessageRequestHeaderV2>().unwrap());
            }
        },
    );
    let mut out = Vec::with_capacity(stream.len());
    repeat("  encode from typed header", || {
        out.clear();
        frame::encode_as(black_box(&command), 7, &header, encoding, &mut out).unwrap();
        black_box(&out);
    });
    repeat("  encode from fields", || {
        out.clear();
        frame::encode(black_box(&command), encoding, &mut out).unwrap();
        black_box(&out);
    });
    let answer = SendMessageResponseHeader {
        msg_id: "7F00000100002A9F000000000000012C".into(),
        queue_id: 1,
        queue_offset: 1_000_000,
        transaction_id: Some("7F00000123454E0E2F2A70A7671C0000".into()),
        ..SendMessageResponseHeader::default()
    };
    let response = Command::response(rocketwire_protocol::ResponseCode::SUCCESS);
    repeat("  encode the answer", || {
        out.clear();
        frame::encode_as(black_box(&response), 7, &answer, encoding, &mut out).unwrap();
        black_box(&out);
    });
}

fn messages() {
    println!("messages");
    repeat("  property lookup, last of five", || {
        black_box(message::properties::get(black_box(PROPERTIES), "CLUSTER"));
    });
    repeat("  property lookup, absent", || {
        black_box(message::properties::get(black_box(PROPERTIES), "DELAY"));
    });
    for size in [128, 1024] {
        let body = vec![b'x'; size];
        let new = NewRecord {
            topic: "TopicTest",
            queue_id: 1,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1_795_381_219_102,
            born_host: "10.0.0.9:4321".parse().unwrap(),
            store_host: "127.0.0.1:10911".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &body,
            properties: PROPERTIES,
        };
        let mut out = Vec::with_capacity(4096);
        repeat(&format!("  record encode, {size} bytes of body"), || {
            out.clear();
            record::encode(black_box(&new), &mut out).unwrap();
            black_box(&out);
        });
        let bytes = Bytes::from(out.clone());
        repeat(&format!("  record parse, {size} bytes of body"), || {
            black_box(RecordView::parse(black_box(&bytes)).unwrap());
        });
    }
    let ids = UniqIdGenerator::new("127.0.0.1".parse().unwrap(), 1, 1);
    repeat("  unique id", || {
        black_box(ids.next(black_box(1_795_381_219_102)));
    });
    let route = br#"{"brokerDatas":[{"brokerAddrs":{0:"127.0.0.1:20911"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":7,"readQueueNums":8,"topicSysFlag":0,"writeQueueNums":8}]}"#;
    repeat("  route body decode", || {
        black_box(body::decode::<body::TopicRouteData>(black_box(route)).unwrap());
    });
}

fn main() {
    frames(Encoding::Binary);
    frames(Encoding::Json);
    messages();
}

use bytes::Bytes;

use super::*;

fn sample() -> NewRecord<'static> {
    NewRecord {
        topic: "TopicTest",
        queue_id: 3,
        flag: 7,
        sys_flag: 0x30,
        born_timestamp: 1_700_000_000_001,
        born_host: "10.0.0.9:4321".parse().unwrap(),
        store_host: "127.0.0.1:10911".parse().unwrap(),
        reconsume_times: 2,
        prepared_transaction_offset: 99,
        body: b"hello",
        properties: "KEYS\u{1}k\u{2}",
    }
}

fn encoded(new: &NewRecord<'_>) -> Bytes {
    let mut out = b"before".to_vec();
    let len = encode(new, &mut out).unwrap();
    assert_eq!(len, out.len() - 6);
    Bytes::from(out).slice(6..)
}

#[test]
fn what_is_written_is_read() {
    let record = encoded(&sample());
    let view = RecordView::parse(&record).unwrap();
    assert_eq!(len(&record), Some(record.len()));
    assert_eq!((view.topic(), view.queue_id(), view.flag()), ("TopicTest", 3, 7));
    assert_eq!(view.sys_flag(), SysFlag(0), "the bits for IPv6 follow the hosts");
    assert_eq!(view.born_timestamp(), 1_700_000_000_001);
    assert_eq!(view.born_host(), sample().born_host);
    assert_eq!(view.store_host(), sample().store_host);
    assert_eq!((view.reconsume_times(), view.prepared_transaction_offset()), (2, 99));
    assert_eq!(view.body(), "hello");
    assert_eq!(view.property("KEYS"), Some("k"));
    assert_eq!((view.queue_offset(), view.physical_offset(), view.store_timestamp()), (0, 0, 0));
    assert_eq!(view.raw(), record);
    view.check_crc().unwrap();
}

#[test]
fn the_log_fills_in_its_part_and_nothing_else() {
    for host in ["10.0.0.9:4321", "[2001:db8::1]:4321"] {
        let mut new = sample();
        new.born_host = host.parse().unwrap();
        let before = encoded(&new);
        let mut record = before.to_vec();
        assert!(patch(&mut record, 5, 1 << 40, 1_700_000_000_002));
        let view = RecordView::parse(&record.clone().into()).unwrap();
        assert_eq!(
            (view.queue_offset(), view.physical_offset(), view.store_timestamp()),
            (5, 1 << 40, 1_700_000_000_002)
        );
        assert_eq!(view.born_host(), new.born_host);
        assert!(patch(&mut record, 0, 0, 0));
        assert_eq!(record, before);
    }
    assert!(!patch(&mut [0; 63], 1, 1, 1));
}

#[test]
fn hosts_take_as_many_bytes_as_they_need() {
    let mut new = sample();
    new.born_host = "[::ffff:10.0.0.9]:4321".parse().unwrap();
    new.store_host = "[2001:db8::7]:10911".parse().unwrap();
    let record = encoded(&new);
    let view = RecordView::parse(&record).unwrap();
    assert_eq!(view.sys_flag(), SysFlag::STORE_HOST_V6);
    assert_eq!(view.born_host(), "10.0.0.9:4321".parse().unwrap());
    assert_eq!(view.store_host(), new.store_host);
    assert_eq!(view.reconsume_times(), 2);
    assert_eq!(record.len(), encoded(&sample()).len() + 12);
}

#[test]
fn long_topics_take_layout_v2() {
    for (len, magic) in [(127, MAGIC_V1), (128, MAGIC_V2), (255, MAGIC_V2), (300, MAGIC_V2)] {
        let topic = "t".repeat(len);
        let mut new = sample();
        new.topic = &topic;
        let record = encoded(&new);
        assert_eq!(read_i32(&record, at::MAGIC), Some(magic));
        let view = RecordView::parse(&record).unwrap();
        assert_eq!((view.topic(), view.properties()), (topic.as_str(), "KEYS\u{1}k\u{2}"));
    }
}

#[test]
fn what_does_not_fit_leaves_nothing_behind() {
    let mut out = Vec::new();
    let long = "p".repeat(32_768);
    let mut new = sample();
    new.properties = &long;
    assert_eq!(encode(&new, &mut out), Err(RecordError::PropertiesTooLong(32_768)));
    let mut new = sample();
    new.topic = &long;
    assert_eq!(encode(&new, &mut out), Err(RecordError::TopicTooLong(32_768)));
    assert!(out.is_empty());
}

#[test]
fn damage_is_an_error() {
    let record = encoded(&sample());
    let parse = |at: usize, byte: u8| {
        let mut copy = record.to_vec();
        copy[at] = byte;
        RecordView::parse(&copy.into())
    };
    assert!(matches!(parse(7, 0), Err(RecordError::Magic(_))));
    assert!(matches!(parse(0, 0x80), Err(RecordError::Truncated { .. })));
    assert!(matches!(parse(3, 90), Err(RecordError::Truncated { .. })));
    assert_eq!(parse(84, 0xff).unwrap_err(), RecordError::Length("body"));
    assert_eq!(parse(85, 0xff).unwrap_err(), RecordError::Length("body"));
    assert_eq!(parse(93, 0x7f).unwrap_err(), RecordError::Length("topic"));
    assert_eq!(parse(93, 0x80).unwrap_err(), RecordError::Length("topic"));
    assert_eq!(parse(104, 0xff).unwrap_err(), RecordError::Length("properties"));
    let view = parse(88, b'j').unwrap();
    assert!(matches!(view.check_crc(), Err(RecordError::Crc { .. })));
    assert_eq!(
        RecordView::parse(&record.slice(..record.len() - 1)).unwrap_err(),
        RecordError::Truncated { available: record.len() - 1, announced: record.len() }
    );
}

#[test]
fn records_come_one_by_one_up_to_the_first_bad_one() {
    let mut body = Vec::new();
    for queue_id in 0..3 {
        encode(&NewRecord { queue_id, ..sample() }, &mut body).unwrap();
    }
    body.extend_from_slice(b"tail");
    let all: Vec<_> = records(body.into()).map(|record| record.map(|view| view.queue_id())).collect();
    assert_eq!(&all[..3], &[Ok(0), Ok(1), Ok(2)]);
    assert!(matches!(all[3], Err(RecordError::Truncated { available: 4, .. })));
    assert_eq!(all.len(), 4);
}

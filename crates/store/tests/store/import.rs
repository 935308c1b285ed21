//! Stores that are written from records which have their places already.

use std::path::Path;
use std::sync::Arc;

use rocketwire_protocol::message::record;
use rocketwire_store::import::{ImportError, Importer};
use rocketwire_store::{
    Bounds, Drive, MemoryStorage, ReadLimits, ReadStatus, StoreOptions, SystemClock, tools,
};

use crate::support::{Log, Message, all, i64_at, open, records};

fn options() -> StoreOptions {
    let mut options = StoreOptions::new(Path::new("/store"));
    options.segment_bytes = 1500;
    options.frame_bytes = 400;
    options.min_free_bytes = 0;
    options.drive = Drive::Manual;
    options
}

fn importer(storage: &MemoryStorage) -> Importer {
    Importer::create(options(), Arc::new(storage.clone())).unwrap()
}

/// A record of the other broker.
fn old(topic: &str, queue_id: u32, offset: i64, time: i64) -> Vec<u8> {
    let body = format!("{topic}/{queue_id} {offset}");
    let mut bytes = Message::new(topic, queue_id, &body).tags("A").record();
    record::patch(&mut bytes, offset, 987_654_321, time);
    bytes
}

/// The finished store; it is sound by the check as well.
fn opened(storage: MemoryStorage, importer: Importer) -> Log {
    importer.finish().unwrap();
    let report = tools::check(&storage, Path::new("/store")).unwrap();
    assert_eq!(report.findings, []);
    let clock = Arc::new(SystemClock::default());
    open(Arc::new(storage), clock, Arc::new(()), options()).unwrap().0
}

/// Offset and store time of each record of a queue from `from` on.
fn offsets(log: &Log, topic: &str, queue_id: u32, from: i64) -> Vec<(i64, i64)> {
    let queue = log.queue(topic, queue_id);
    let limits = ReadLimits { max_messages: 4, max_bytes: 10_000, max_scan: 100 };
    let (mut found, mut next) = (Vec::new(), from);
    while next < log.bounds(queue).max {
        let outcome = log.read(queue, next, limits, &mut all).unwrap();
        for record in records(&outcome.records) {
            let expected = format!("{topic}/{queue_id} {}", i64_at(record, 20));
            assert!(String::from_utf8_lossy(record).contains(&expected), "{expected}");
            found.push((i64_at(record, 20), i64_at(record, 56)));
        }
        next = outcome.next_offset;
    }
    found
}

#[test]
fn offsets_and_times_stay_and_places_are_new() {
    let storage = MemoryStorage::new();
    let mut importer = importer(&storage);
    importer.begin_queue("empty", 7, 42);
    let mut places = Vec::new();
    for n in 0..60 {
        let (queue_id, offset) = (n % 2, i64::from(n / 2) + 1000 * i64::from(n % 2));
        places.push(importer.append(&old("orders", queue_id, offset, 5000 + i64::from(n))).unwrap());
    }
    assert_eq!(importer.next_offset("orders", 1), Some(1030));
    let log = opened(storage, importer);
    assert!(log.physical_bounds().max > 4 * 1500, "it has several segments");
    let expected: Vec<_> = (0..30).map(|n| (1000 + n, 5001 + 2 * n)).collect();
    assert_eq!(offsets(&log, "orders", 1, 1000), expected);
    assert_eq!(offsets(&log, "orders", 0, 0).len(), 30);
    let bounds = |topic, queue_id| log.bounds(log.queue(topic, queue_id));
    assert_eq!(bounds("orders", 1), Bounds { min: 1000, max: 1030 });
    assert_eq!(bounds("empty", 7), Bounds { min: 42, max: 42 });
    for place in places {
        let record = log.record_at(place as i64).unwrap().expect("a record is where it was said to be");
        assert_eq!(i64_at(&record, 28), place as i64);
    }
    for (topic, queue_id, next) in [("orders", 1, 1030), ("empty", 7, 42), ("new", 0, 0)] {
        assert_eq!(log.put(Message::new(topic, queue_id, "more")).unwrap().queue_offset, next);
    }
}

#[test]
fn a_store_time_that_goes_back_is_held() {
    let storage = MemoryStorage::new();
    let mut importer = importer(&storage);
    for (offset, time) in [(0, 50), (1, 40), (2, 60)] {
        importer.append(&old("t", 0, offset, time)).unwrap();
    }
    assert_eq!(offsets(&opened(storage, importer), "t", 0, 0), [(0, 50), (1, 50), (2, 60)]);
}

#[test]
fn missing_offsets_are_passed_over() {
    let storage = MemoryStorage::new();
    let mut importer = importer(&storage);
    let mut at = 0;
    for gap in [0, 1, 17, 5000] {
        at += gap;
        importer.append(&old("t", 3, at, 100)).unwrap();
        importer.append(&old("other", 0, at, 100)).unwrap();
        at += 1;
    }
    let log = opened(storage, importer);
    let found: Vec<_> = offsets(&log, "t", 3, 0).into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(found, [0, 2, 20, 5021]);
    let queue = log.queue("t", 3);
    let limits = ReadLimits { max_messages: 4, max_bytes: 10_000, max_scan: 10 };
    let outcome = log.read(queue, 30, limits, &mut all).unwrap();
    assert_eq!((outcome.status, outcome.next_offset), (ReadStatus::MessageWasRemoving, 40));
}

#[test]
fn a_topic_that_was_deleted_begins_again() {
    let storage = MemoryStorage::new();
    let mut importer = importer(&storage);
    for offset in 0..5 {
        importer.append(&old("t", 0, offset, 100)).unwrap();
        importer.append(&old("u", 0, offset, 100)).unwrap();
    }
    importer.begin_again("t", 0);
    importer.append(&old("t", 0, 0, 100)).unwrap();
    importer.append(&old("t", 0, 1, 100)).unwrap();
    let log = opened(storage, importer);
    assert_eq!(log.bounds(log.queue("t", 0)), Bounds { min: 0, max: 2 });
    assert_eq!(offsets(&log, "t", 0, 0).len(), 2);
    assert_eq!(offsets(&log, "u", 0, 0).len(), 5);
}

/// Which queue of the new topic is used first is chance.
#[test]
fn queues_that_began_behind_the_deletion_of_their_topic_are_whole() {
    let storage = MemoryStorage::new();
    let mut importer = importer(&storage);
    importer.append(&old("t", 9, 70, 100)).unwrap();
    // Queue 2 has not ended when 0 has, and neither has 3 when 2 has: all of it is the old topic.
    for (queue_id, offset) in [(0, 0), (2, 0), (0, 1), (3, 0), (2, 1), (3, 1)] {
        importer.append(&old("t", queue_id, offset, 100)).unwrap();
    }
    for (queue_id, offset) in [(5, 0), (5, 1)] {
        importer.append(&old("t", queue_id, offset, 100)).unwrap();
    }
    importer.begin_again("t", 0);
    assert_eq!([9, 0, 2, 3, 5].map(|id| importer.next_offset("t", id)), [None, None, None, None, Some(2)]);
    for (queue_id, offset) in [(0, 0), (5, 2), (3, 0)] {
        importer.append(&old("t", queue_id, offset, 100)).unwrap();
    }
    let log = opened(storage, importer);
    let found = [9, 0, 2, 3, 5].map(|id| offsets(&log, "t", id, 0).len());
    assert_eq!(found, [0, 1, 0, 1, 3]);
}

#[test]
fn what_cannot_be_is_refused() {
    let storage = MemoryStorage::new();
    let mut importer = importer(&storage);
    importer.append(&old("t", 0, 5, 100)).unwrap();
    for offset in [5, 4, 3_000_000] {
        let refused = importer.append(&old("t", 0, offset, 100));
        assert!(matches!(refused, Err(ImportError::Order { expected: 6, .. })), "{refused:?}");
    }
    let two = [old("t", 0, 6, 100), old("t", 0, 7, 100)].concat();
    for bytes in [&b"no record"[..], &two] {
        assert!(matches!(importer.append(bytes), Err(ImportError::Malformed { .. })));
    }
    drop(importer);
    let again = Importer::create(options(), Arc::new(storage));
    assert!(matches!(again, Err(ImportError::NotEmpty { .. })), "{again:?}");
}

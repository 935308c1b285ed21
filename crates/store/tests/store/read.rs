//! Reads: the lookup table of a pull, searches by time, deletion of topics and of old segments.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rocketwire_store::{
    BoundaryType, Bounds, Clock, DeleteError, Drive, MemoryStorage, ReadLimits, ReadStatus, Storage,
    StoreOptions, Wait,
};
use rocketwire_testkit::{ManualClock, SimulatedDisk};

use crate::append::{manual, options};
use crate::support::{Log, Message, all, open, text};

const WIDE: ReadLimits = ReadLimits { max_messages: 32, max_bytes: 256 << 10, max_scan: 800 };

fn filled(count: usize) -> Log {
    let (log, _, _) = manual(|options| options.segment_bytes = 1000);
    for n in 0..count {
        let body = format!("m{n}");
        log.put(Message::new("orders", 0, &body).tags(if n % 10 == 0 { "hot" } else { "cold" })).unwrap();
    }
    log
}

fn hot(tags_code: i64) -> bool {
    // "hot".hashCode()
    tags_code == 103_501
}

// spec: client 147 148
#[test]
fn offsets_outside_of_the_queue_have_their_status_and_next_offset() {
    let log = filled(20);
    let queue = log.queue("orders", 0);
    let at = |queue, offset| {
        let outcome = log.read(queue, offset, WIDE, &mut all).unwrap();
        (outcome.status.name(), outcome.next_offset)
    };
    assert_eq!(at(queue, -1), ("OFFSET_TOO_SMALL", 0));
    assert_eq!(at(queue, 20), ("OFFSET_OVERFLOW_ONE", 20));
    assert_eq!(at(queue, 21), ("OFFSET_OVERFLOW_BADLY", 20));
    assert_eq!(at(queue, i64::MAX), ("OFFSET_OVERFLOW_BADLY", 20));
    assert_eq!(at(queue, 0), ("FOUND", 20));
    let empty = log.queue("orders", 9);
    for offset in [-1, 0, 5] {
        assert_eq!(at(empty, offset), ("NO_MESSAGE_IN_QUEUE", 0));
    }
    let other_store = filled(0);
    for n in 0..40 {
        other_store.queue("other", n);
    }
    assert_eq!(at(other_store.queue("other", 39), 0), ("NO_MATCHED_LOGIC_QUEUE", 0));
}

// spec: client 149
#[test]
fn without_a_match_in_the_window_the_next_offset_is_behind_it() {
    let log = filled(60);
    let queue = log.queue("orders", 0);
    let limits = ReadLimits { max_scan: 8, ..WIDE };
    let outcome = log.read(queue, 1, limits, &mut hot).unwrap();
    assert_eq!((outcome.status, outcome.next_offset, outcome.count), (ReadStatus::NoMatchedMessage, 9, 0));
    // What does not match behind the last match is looked at once only.
    let outcome = log.read(queue, 9, limits, &mut hot).unwrap();
    assert_eq!((outcome.status, outcome.next_offset), (ReadStatus::Found, 17));
    assert_eq!(text(&outcome.records), ["m10"]);
    let outcome = log.read(queue, 0, WIDE, &mut hot).unwrap();
    assert_eq!(outcome.next_offset, 60);
    assert_eq!(text(&outcome.records), ["m0", "m10", "m20", "m30", "m40", "m50"]);
}

#[test]
fn limits_hold_and_the_first_message_comes_whatever_its_size() {
    let log = filled(60);
    let queue = log.queue("orders", 0);
    let count = |limits| {
        let outcome = log.read(queue, 3, limits, &mut all).unwrap();
        assert_eq!(outcome.next_offset, 3 + outcome.count as i64);
        assert_eq!(text(&outcome.records).len(), outcome.count);
        outcome.count
    };
    assert_eq!(count(WIDE), 32);
    assert_eq!(count(ReadLimits { max_messages: 5, ..WIDE }), 5);
    assert_eq!(count(ReadLimits { max_messages: 0, ..WIDE }), 1);
    assert_eq!(count(ReadLimits { max_bytes: 0, ..WIDE }), 1);
    let size = Message::new("orders", 0, "m10").tags("cold").record().len();
    assert_eq!(count(ReadLimits { max_bytes: 4 * size, ..WIDE }), 4);
    assert_eq!(ReadLimits::for_pull(1000), ReadLimits { max_scan: 1000, ..WIDE });
}

#[test]
fn the_tail_is_resident_and_older_records_are_not() {
    let (log, _, _) = manual(|options| {
        options.segment_bytes = 1000;
        options.tail_cache_bytes = 600;
    });
    for n in 0..40 {
        log.put(Message::new("orders", 0, &format!("m{n}"))).unwrap();
    }
    let queue = log.queue("orders", 0);
    assert!(log.is_resident(queue, 39) && log.is_resident(queue, 40) && log.is_resident(queue, 99));
    assert!(!log.is_resident(queue, 0) && !log.is_resident(queue, 30));
    assert_eq!(log.bodies("orders", 0).len(), 40, "all of them can be read");
}

#[test]
fn a_record_is_found_by_its_place_only_where_one_begins() {
    let log = filled(0);
    let first = log.put(Message::new("orders", 0, "first")).unwrap();
    let carrier = Message::new("orders", 0, "");
    // A body that is a record in every detail, down to the place where it will be.
    let place = first.physical_offset + Message::new("orders", 0, "first").record().len() as i64 + 24 + 88;
    let mut fake = Message::new("orders", 0, "fake").record();
    fake[20..28].copy_from_slice(&1_i64.to_be_bytes());
    fake[28..36].copy_from_slice(&place.to_be_bytes());
    let answer = log.send_raw(log.queue("orders", 0), &carrier.record_around(&fake), Wait::Flush);
    log.turn();
    let second = answer.try_recv().unwrap().unwrap();
    assert_eq!(second.physical_offset + 88, place);
    log.put_all(&[Message::new("orders", 0, "third"), Message::new("orders", 0, "fourth")], Wait::Flush)
        .unwrap();
    let end = log.physical_bounds().max;
    let found: Vec<i64> = (-5..end + 300).filter(|at| log.record_at(*at).unwrap().is_some()).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.contains(&first.physical_offset) && found.contains(&second.physical_offset));
    assert!(log.record_at(i64::MAX).unwrap().is_none());
}

#[test]
fn the_oldest_store_time_is_that_of_the_log_whatever_became_of_the_topic() {
    let (log, clock, _) = manual(|options| options.segment_bytes = 1000);
    assert_eq!(log.oldest_store_time().unwrap(), None);
    let oldest = clock.wall_ms();
    let prepared = Message { sys_flag: 4, ..Message::new("orders", 0, "of no queue") };
    for first in [Message::new("gone", 0, "first"), prepared] {
        let (log, clock, _) = manual(|options| options.segment_bytes = 1000);
        log.put(first).unwrap();
        clock.advance(Duration::from_secs(1));
        log.put(Message::new("orders", 0, "second")).unwrap();
        assert_eq!(log.oldest_store_time().unwrap(), Some(oldest));
        log.delete_topic("gone").unwrap();
        assert_eq!(log.oldest_store_time().unwrap(), Some(oldest));
    }
}

#[test]
fn offsets_by_time_are_those_of_the_spec() {
    let (log, clock, _) = manual(|options| {
        options.segment_bytes = 700;
        options.tail_cache_bytes = 0;
    });
    let queue = log.queue("orders", 0);
    assert_eq!(log.offset_by_time(queue, 5, BoundaryType::Lower).unwrap(), 0);
    assert_eq!(log.earliest_store_time(queue).unwrap(), None);
    // Offsets 0..20, two of each time: 2000, 2010, ..
    for n in 0..20 {
        clock.set_wall(2000 + n / 2 * 10);
        log.put(Message::new("orders", 0, "body")).unwrap();
    }
    let lower = |time| log.offset_by_time(queue, time, BoundaryType::Lower).unwrap();
    let upper = |time| log.offset_by_time(queue, time, BoundaryType::Upper).unwrap();
    assert_eq!(
        [lower(0), lower(2000), lower(2001), lower(2010), lower(2090), lower(2091)],
        [0, 0, 2, 2, 18, 20]
    );
    assert_eq!(
        [upper(0), upper(2000), upper(2009), upper(2010), upper(2090), upper(9999)],
        [0, 1, 1, 3, 19, 19]
    );
    assert_eq!(log.earliest_store_time(queue).unwrap(), Some(2000));
    assert_eq!(log.store_time(queue, 19).unwrap(), Some(2090));
    assert_eq!(log.store_time(queue, 20).unwrap(), None);
}

#[test]
fn old_segments_go_and_offsets_stay_even_of_queues_that_are_empty_then() {
    let (log, clock, disk) = manual(|options| {
        options.segment_bytes = 1000;
        options.retention = Duration::from_secs(10);
    });
    for n in 0..30 {
        log.put(Message::new("orders", n % 2, "old")).unwrap();
    }
    log.put(Message::new("rare", 0, "old")).unwrap();
    for _ in 0..10 {
        log.put(Message::new("orders", 0, "old")).unwrap();
    }
    assert_eq!(log.retain(clock.wall_ms()).unwrap().segments, 0, "nothing is old enough");
    clock.advance(Duration::from_secs(60));
    for _ in 0..5 {
        log.put(Message::new("orders", 0, "young")).unwrap();
    }
    let retained = log.retain(clock.wall_ms()).unwrap();
    assert!(retained.segments > 3 && retained.bytes > 3000, "{retained:?}");
    let check = |log: &Log| {
        let bounds = |topic, queue_id| log.bounds(log.queue(topic, queue_id));
        assert!(bounds("orders", 0).min >= 20 && bounds("orders", 0).max == 30);
        assert_eq!(bounds("orders", 1), Bounds { min: 15, max: 15 });
        assert_eq!(bounds("rare", 0), Bounds { min: 1, max: 1 });
        assert!(log.physical_bounds().min as u64 >= retained.bytes);
        let rare = log.read(log.queue("rare", 0), 0, WIDE, &mut all).unwrap();
        assert_eq!((rare.status, rare.next_offset), (ReadStatus::OffsetTooSmall, 1));
        assert_eq!(
            log.read(log.queue("rare", 0), 1, WIDE, &mut all).unwrap().status,
            ReadStatus::OffsetOverflowOne
        );
    };
    check(&log);
    disk.kill();
    let (log, _) =
        open(Arc::new(disk), clock, Arc::new(()), options(|options| options.segment_bytes = 1000)).unwrap();
    check(&log);
    // spec: broker D.5 rule 3: never reused, never renumbered
    assert_eq!(log.put(Message::new("rare", 0, "next")).unwrap().queue_offset, 1);
    assert_eq!(log.bodies("rare", 0), ["next"]);
}

#[test]
fn a_log_over_its_size_loses_its_oldest_segments() {
    let (log, clock, _) = manual(|options| {
        options.segment_bytes = 1000;
        options.max_log_bytes = Some(5000);
    });
    for _ in 0..100 {
        log.put(Message::new("orders", 0, "body")).unwrap();
    }
    log.retain(clock.wall_ms()).unwrap();
    let Bounds { min, max } = log.physical_bounds();
    assert!((3000..=5000).contains(&(max - min)), "{min} {max}");
}

#[test]
fn a_deleted_topic_is_empty_begins_at_0_and_stays_so() {
    let (log, clock, disk) = manual(|options| options.segment_bytes = 1000);
    for n in 0..20 {
        log.put(Message::new("orders", n % 2, "old life")).unwrap();
        log.put(Message::new("other", 0, "stays")).unwrap();
    }
    let in_flight = log.send(&[Message::new("orders", 0, "in flight")], Wait::Flush);
    log.delete_topic("orders").unwrap();
    assert!(in_flight.try_recv().unwrap().is_ok());
    assert_eq!(log.bounds(log.queue("orders", 0)), Bounds::default());
    for n in 0..15 {
        let appended = log.put(Message::new("orders", 0, &format!("new life {n}"))).unwrap();
        assert_eq!(appended.queue_offset, n);
    }
    let expected: Vec<_> = (0..15).map(|n| format!("new life {n}")).collect();
    let check = |log: &Log| {
        assert_eq!(log.bodies("orders", 0), expected);
        assert_eq!(log.bodies("orders", 1), [""; 0]);
        assert_eq!(log.bodies("other", 0).len(), 20);
    };
    check(&log);
    for _ in 0..2 {
        disk.power_cycle();
        let reopened = open(Arc::new(disk.clone()), clock.clone(), Arc::new(()), options(|_| {}));
        check(&reopened.unwrap().0);
    }
}

#[test]
fn an_index_file_that_rots_while_the_store_is_open_is_rebuilt() {
    let (log, _, disk) = manual(|options| {
        options.segment_bytes = 1000;
        options.tail_cache_bytes = 0;
    });
    for n in 0..40 {
        log.put(Message::new(["orders", "other"][n % 2], 0, &format!("m{n}"))).unwrap();
    }
    let before = (log.bodies("orders", 0), log.bodies("other", 0));
    let indexes: Vec<_> =
        disk.paths().into_iter().filter(|path| path.extension().is_some_and(|e| e == "idx")).collect();
    assert!(indexes.len() > 3);
    for path in &indexes {
        let file = rocketwire_store::Storage::open(&disk, path).unwrap();
        file.set_len(30).unwrap();
    }
    assert_eq!((log.bodies("orders", 0), log.bodies("other", 0)), before);
    for path in &indexes {
        assert!(disk.contents(path).unwrap().len() > 30, "{} is whole again", path.display());
    }
}

#[test]
fn tables_are_named_by_words_and_shared_by_name() {
    let log = filled(1);
    assert!(log.table("Topics").is_err() && log.table("../x").is_err());
    assert!(log.table("log_origin").is_err(), "the store's own table is not for others");
    log.table("topics").unwrap().save(b"1").unwrap();
    assert_eq!(log.table("topics").unwrap().load().unwrap().unwrap(), b"1");
    assert_eq!(log.table("groups").unwrap().load().unwrap(), None);
}

#[test]
fn a_closed_store_deletes_nothing() {
    let log = filled(3);
    log.close().unwrap();
    assert!(matches!(log.delete_topic("orders"), Err(DeleteError::Refused(_))));
    assert_eq!(log.bodies("orders", 0).len(), 3);
}

#[test]
fn a_read_that_must_not_wait_gives_what_is_in_memory_or_nothing() {
    let simulated: Arc<dyn Storage> = Arc::new(SimulatedDisk::new(1));
    for (storage, is_memory) in
        [(Arc::new(MemoryStorage::new()) as Arc<dyn Storage>, true), (simulated, false)]
    {
        let mut options = StoreOptions::new(Path::new("/store"));
        (options.segment_bytes, options.tail_cache_bytes, options.drive) = (1000, 600, Drive::Manual);
        let (log, _) = open(storage, Arc::new(ManualClock::new(1)), Arc::new(()), options).unwrap();
        for n in 0..40 {
            log.put(Message::new("orders", 0, &format!("m{n}"))).unwrap();
        }
        let queue = log.queue("orders", 0);
        let now = |offset| log.read_now(queue, offset, WIDE, &mut all).unwrap();
        assert_eq!(now(0), None, "a file that is not open");
        let waited: Vec<_> = (0..40).map(|n| log.read(queue, n, WIDE, &mut all).unwrap()).collect();
        for (offset, waited) in (0..).zip(&waited) {
            match now(offset) {
                Some(found) => {
                    assert!(found.count > 0 && waited.records.starts_with(&found.records), "at {offset}");
                }
                None => assert!(!is_memory && offset < 36, "at {offset}"),
            }
        }
        assert_eq!(now(0).is_some(), is_memory);
    }
}

//! What goes by time, by size, and when the disk is full; and what does not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rocketwire_store::{AppendError, DeleteError, OnFull, StoreOptions, TableError};
use rocketwire_testkit::{ManualClock, SimulatedDisk};

use crate::append::manual;
use crate::support::{Log, Message, open};

/// Appends until the disk is full; how many were stored, and the refusal.
fn fill(log: &Log, clock: &ManualClock, disk: &SimulatedDisk) -> (i64, AppendError) {
    let body = "x".repeat(400);
    for stored in 0..10_000 {
        clock.advance(Duration::from_secs(2));
        if let Err(error) = log.put(Message::new("orders", 0, &body)) {
            return (stored, error);
        }
    }
    panic!("{} bytes are used and the disk is never full", disk.used());
}

#[test]
fn the_larger_of_both_watermarks_counts_and_is_named() {
    // A tenth of 100,000 bytes is more than 5,000 of them, and less than 20,000.
    for (bytes, percent, limit, setting) in [
        (5_000, 10, 10_000, "min_free_percent"),
        (20_000, 10, 20_000, "min_free_bytes"),
        (0, 25, 25_000, "min_free_percent"),
    ] {
        let (log, clock, disk) = manual(|options| {
            options.min_free_bytes = bytes;
            options.min_free_percent = percent;
            options.segment_bytes = 4_000;
        });
        disk.set_capacity(100_000);
        let (stored, refusal) = fill(&log, &clock, &disk);
        let AppendError::DiskFull { path, free, limit: found, setting: named } = &refusal else {
            panic!("{refusal:?}");
        };
        assert_eq!((path.as_path(), *found, *named), (Path::new("/store"), limit, setting));
        assert!(*free < limit && *free > limit - 5_000, "refused too late or too early: {free}");
        let text = refusal.to_string();
        for part in ["/store", &free.to_string(), &limit.to_string(), setting] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert_eq!(log.disk().limit, limit);
        // A part of a larger disk is more; it has to be free there, too.
        disk.set_capacity(1_000_000);
        clock.advance(Duration::from_secs(2));
        log.turn();
        log.put(Message::new("orders", 0, "again")).unwrap();
        assert_eq!(log.bounds(log.queue("orders", 0)).max, stored + 1);
        assert_eq!(log.disk().limit, bytes.max(10_000 * u64::from(percent)));
    }
}

#[test]
fn a_full_disk_takes_what_is_expired_and_nothing_young() {
    let (log, clock, disk) = manual(|options| {
        options.min_free_percent = 20;
        options.segment_bytes = 4_000;
        options.retention = Duration::from_secs(10_000);
    });
    disk.set_capacity(100_000);
    let (stored, _) = fill(&log, &clock, &disk);
    let queue = log.queue("orders", 0);
    // Two seconds a message: all are younger than 10,000 s.
    for _ in 0..10 {
        assert_eq!(log.retain(rocketwire_store::Clock::wall_ms(&*clock)).unwrap().segments, 0);
        clock.advance(Duration::from_secs(2));
        log.turn();
        log.put(Message::new("orders", 0, "refused")).unwrap_err();
    }
    assert_eq!((log.bounds(queue).min, log.bounds(queue).max), (0, stored));
    assert_eq!(log.bodies("orders", 0).len() as i64, stored);

    // The older half expires. What is left is young, and the log goes on behind it.
    let first = log.store_time(queue, 0).unwrap().unwrap();
    let middle = log.store_time(queue, stored / 2).unwrap().unwrap();
    let now = rocketwire_store::Clock::wall_ms(&*clock);
    clock.advance(Duration::from_millis((middle + 10_000_000 - now) as u64));
    let retained = log.retain(rocketwire_store::Clock::wall_ms(&*clock)).unwrap();
    assert!(retained.segments > 3, "{retained:?}");
    let min = log.bounds(queue).min;
    assert!(min > stored / 4 && min <= stored / 2, "{min} of {stored}");
    assert!(log.store_time(queue, min).unwrap().unwrap() > first);
    clock.advance(Duration::from_secs(2));
    log.turn();
    assert_eq!(log.put(Message::new("orders", 0, "next")).unwrap().queue_offset, stored);
}

#[test]
fn what_is_young_goes_only_when_told_to_and_only_from_the_front() {
    let change = |options: &mut StoreOptions| {
        options.min_free_percent = 20;
        options.segment_bytes = 4_000;
        options.on_full = OnFull::DropOldest;
    };
    let (log, clock, disk) = manual(change);
    disk.set_capacity(100_000);
    let body = "x".repeat(400);
    let queue = log.queue("orders", 0);
    let mut min = 0;
    for n in 0..1_000 {
        clock.advance(Duration::from_secs(2));
        assert_eq!(log.put(Message::new("orders", 0, &body)).unwrap().queue_offset, n);
        let bounds = log.bounds(queue);
        assert!(bounds.min >= min && bounds.max == n + 1, "{bounds:?}");
        // One segment at a time: about seven messages.
        assert!(bounds.min - min < 10, "{} went at once", bounds.min - min);
        min = bounds.min;
        assert!(disk.used() < 90_000, "{} bytes are used", disk.used());
    }
    assert!(min > 700, "{min}");
    // Not more than was needed: most of what may be used is used.
    assert!(disk.used() > 60_000, "{} bytes are used", disk.used());
}

#[test]
fn by_size_the_oldest_go_and_never_the_segment_that_grows() {
    let (log, clock, _) = manual(|options| {
        options.segment_bytes = 4_000;
        options.max_log_bytes = Some(1);
    });
    for n in 0..50 {
        log.put(Message::new("orders", 0, &n.to_string())).unwrap();
    }
    assert!(log.retain(rocketwire_store::Clock::wall_ms(&*clock)).unwrap().segments > 0);
    let left = log.bodies("orders", 0);
    assert!(!left.is_empty() && left.last().unwrap() == "49", "{left:?}");
    assert_eq!(log.retain(rocketwire_store::Clock::wall_ms(&*clock)).unwrap().segments, 0);
}

/// The folder may be another store's by then, which would never find out.
#[test]
fn a_closed_store_changes_nothing_in_a_folder_that_it_gave_back() {
    let change = |options: &mut StoreOptions| {
        options.segment_bytes = 4_000;
        options.max_log_bytes = Some(1);
    };
    let (log, clock, disk) = manual(change);
    for n in 0..50 {
        log.put(Message::new("orders", 0, &n.to_string())).unwrap();
    }
    let table = log.table("topics").unwrap();
    table.save(b"of the first").unwrap();
    log.close().unwrap();
    let start = || {
        let options = crate::append::options(change);
        open(Arc::new(disk.clone()), clock.clone(), Arc::new(()), options).unwrap().0
    };
    let next = start();
    next.table("topics").unwrap().save(b"of the second").unwrap();
    assert!(matches!(table.save(b"too late"), Err(TableError::Closed)));
    assert!(matches!(log.retain(i64::MAX), Err(DeleteError::Table(TableError::Closed))));
    assert!(log.delete_topic("orders").is_err());
    assert!(!log.is_poisoned());
    next.put(Message::new("gone", 0, "body")).unwrap();
    next.delete_topic("gone").unwrap();
    next.close().unwrap();
    let last = start();
    assert_eq!(last.bodies("orders", 0).len(), 50);
    assert_eq!(last.table("topics").unwrap().load().unwrap().unwrap(), b"of the second");
}

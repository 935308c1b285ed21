//! Zeros that are written ahead of the log with sync flushes.

use std::path::Path;
use std::sync::Arc;

use rocketwire_store::{Flush, tools};
use rocketwire_testkit::{ManualClock, SimulatedDisk};

use crate::append::{manual, options};
use crate::support::{Log, Message, open};

const FIRST: &str = "/store/log/00000000000000000000";

fn length(disk: &SimulatedDisk, path: &str) -> u64 {
    disk.contents(Path::new(path)).expect("the segment is there").len() as u64
}

fn fill(log: &Log, count: usize) {
    for _ in 0..count {
        log.put(Message::new("orders", 0, &"x".repeat(400))).unwrap();
    }
}

/// What `store check` has to say, and the store as the next process finds it.
fn reopen(disk: &SimulatedDisk, segment_bytes: u64) -> Log {
    let report = tools::check(disk, Path::new("/store")).unwrap();
    let is_torn = report.remarks.iter().any(|remark| remark.contains("torn"));
    assert!(report.findings.is_empty() && !is_torn, "{report:?}");
    let options = options(|options| options.segment_bytes = segment_bytes);
    let clock = Arc::new(ManualClock::new(2000));
    let (log, report) = open(Arc::new(disk.clone()), clock, Arc::new(()), options).unwrap();
    assert_eq!(report.torn_tail, None, "nothing was there");
    log
}

#[test]
fn few_flushes_change_the_length_of_the_file() {
    let (log, _clock, disk) = manual(|options| options.zeros_ahead = 16 << 10);
    let mut lengths = Vec::new();
    for _ in 0..200 {
        fill(&log, 1);
        let (written, length) = (log.physical_bounds().max as u64, length(&disk, FIRST));
        assert!(length >= written && length <= (2 * written).min(written + (16 << 10)) + 4096);
        lengths.push(length);
    }
    lengths.dedup();
    assert!((4..20).contains(&lengths.len()), "{lengths:?}");
}

#[test]
fn async_flushes_need_none_and_an_option_takes_them_away() {
    for flush in [Flush::Async, Flush::Sync] {
        let (log, _clock, disk) = manual(|options| (options.flush, options.zeros_ahead) = (flush, 0));
        fill(&log, 10);
        assert_eq!(length(&disk, FIRST), log.physical_bounds().max as u64);
    }
    let (log, _clock, disk) = manual(|options| options.flush = Flush::Async);
    fill(&log, 10);
    assert_eq!(length(&disk, FIRST), log.physical_bounds().max as u64);
}

#[test]
fn the_zeros_of_a_crash_are_nothing_and_those_of_a_close_are_gone() {
    let (log, _clock, disk) = manual(|_| {});
    fill(&log, 10);
    let end = log.physical_bounds().max as u64;
    assert!(length(&disk, FIRST) > end);
    disk.power_cycle();
    let log = reopen(&disk, 64 << 20);
    assert_eq!((length(&disk, FIRST), log.physical_bounds().max as u64), (end, end));
    fill(&log, 1);
    let end = log.physical_bounds().max as u64;
    assert!(length(&disk, FIRST) > end);
    log.close().unwrap();
    assert_eq!(length(&disk, FIRST), end);
    disk.power_cycle();
    assert_eq!(length(&disk, FIRST), end, "durably");
}

#[test]
fn a_segment_that_is_full_has_none_and_may_have_them_after_a_crash() {
    let (log, _clock, disk) = manual(|options| options.segment_bytes = 20_000);
    fill(&log, 60);
    let second = disk.paths().into_iter().filter(|path| path.starts_with("/store/log")).nth(1).unwrap();
    let second: u64 = second.file_name().unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!(length(&disk, FIRST), second);
    // The power went after the second segment had its name, and before the length of the first was durable.
    disk.power_cycle();
    let mut longer = disk.contents(Path::new(FIRST)).unwrap();
    longer.resize(longer.len() + 4096, 0);
    disk.replace(Path::new(FIRST), longer.clone());
    let log = reopen(&disk, 20_000);
    assert_eq!(length(&disk, FIRST), second);
    assert_eq!(log.bodies("orders", 0).len(), 60);
    drop(log);
    disk.kill();
    // Anything else there is damage.
    *longer.last_mut().unwrap() = 1;
    disk.replace(Path::new(FIRST), longer);
    let options = options(|options| options.segment_bytes = 20_000);
    let clock = Arc::new(ManualClock::new(2000));
    assert!(open(Arc::new(disk.clone()), clock, Arc::new(()), options).is_err());
    assert!(!tools::check(&disk, Path::new("/store")).unwrap().findings.is_empty());
}

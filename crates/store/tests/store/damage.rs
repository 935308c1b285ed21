//! Rot: every byte of every file, missing and stale files. Refused, or without any effect; never another content.

use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use rocketwire_store::{
    Bounds, Drive, Flush, OpenError, ReadLimits, ReadStatus, RecoveryReport, StoreOptions,
};
use rocketwire_testkit::{ManualClock, Random, SimulatedDisk};
use std::sync::Arc;

use crate::append::manual;
use crate::support::{Log, Message, all, open};
use crate::world::World;

pub const TOPICS: [(&str, u32); 3] = [("orders", 0), ("orders", 1), ("gone", 0)];

/// A store of some segments with tags, properties, a deleted topic, a table, and old segments that were deleted.
pub fn small_store() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let (log, clock) = boot(&disk).unwrap();
    for n in 0..30 {
        clock.advance(std::time::Duration::from_millis(200));
        let (topic, queue_id) = TOPICS[n % 3];
        let body = format!("body {n}");
        log.put(Message::new(topic, queue_id, &body).tags(["A", "B"][n % 2])).unwrap();
        if n == 9 {
            log.delete_topic("gone").unwrap();
        }
        if n == 15 {
            clock.advance(std::time::Duration::from_secs(1000));
        }
        if n == 22 {
            assert!(log.retain(rocketwire_store::Clock::wall_ms(&*clock)).unwrap().segments > 1);
        }
    }
    log.table("topics").unwrap().save(b"one").unwrap();
    log.table("topics").unwrap().save(b"two").unwrap();
    log.close().unwrap();
    disk.kill();
    disk
}

pub fn boot(disk: &SimulatedDisk) -> Result<(Log, Arc<ManualClock>), OpenError> {
    let clock = Arc::new(ManualClock::new(1_000_000));
    boot_at(disk, clock.clone()).map(|(log, _)| (log, clock))
}

pub fn boot_at(disk: &SimulatedDisk, clock: Arc<ManualClock>) -> Result<(Log, RecoveryReport), OpenError> {
    let mut options = StoreOptions::new(Path::new("/store"));
    options.flush = Flush::Sync;
    options.segment_bytes = 700;
    options.min_free_bytes = 0;
    options.tail_cache_bytes = 0;
    options.retention = std::time::Duration::from_secs(500);
    options.drive = Drive::Manual;
    open(Arc::new(disk.clone()), clock, Arc::new(()), options)
}

type Content = Vec<(Bounds, Vec<u8>, Vec<i64>)>;

/// All records, bounds and tags codes; `None` when a read is refused.
fn content(log: &Log) -> Option<Content> {
    let limits = ReadLimits { max_messages: 3, max_bytes: 10_000, max_scan: 10 };
    let mut found = Vec::new();
    for (topic, queue_id) in TOPICS {
        let queue = log.queue(topic, queue_id);
        let bounds = log.bounds(queue);
        let (mut records, mut tags, mut next) = (Vec::new(), Vec::new(), bounds.min);
        while next < bounds.max {
            let mut note = |code| {
                tags.push(code);
                true
            };
            let outcome = log.read(queue, next, limits, &mut note).ok()?;
            assert_eq!(outcome.status, ReadStatus::Found);
            records.extend_from_slice(&outcome.records);
            next = outcome.next_offset;
        }
        found.push((bounds, records, tags));
    }
    Some(found)
}

/// What comes of a store after `harm`: refused at start, refused at a read, or all as before.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcomes {
    refused_at_start: usize,
    refused_at_read: usize,
    unharmed: usize,
}

impl Outcomes {
    fn add(&mut self, good: &Content, disk: &SimulatedDisk, what: &str) {
        match boot(disk) {
            Err(OpenError::Damaged { file, .. }) => {
                assert!(file.to_string_lossy().len() > 3, "{what}: the file is named");
                self.refused_at_start += 1;
            }
            Err(error) => panic!("{what}: {error}"),
            Ok((log, _)) => match content(&log) {
                Some(found) => {
                    assert_eq!(&found, good, "{what}: another content");
                    let table = log.table("topics").unwrap().load();
                    assert!(table.is_ok_and(|table| table.is_some()), "{what}: the table is there");
                    self.unharmed += 1;
                }
                None => self.refused_at_read += 1,
            },
        }
    }
}

pub fn files(disk: &SimulatedDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let with_contents = |path: PathBuf| disk.contents(&path).map(|bytes| (path, bytes));
    disk.paths().into_iter().filter_map(with_contents).collect()
}

pub fn is_in(path: &Path, dir: &str) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with(dir))
}

#[test]
fn every_flipped_byte_is_refused_or_has_no_effect() {
    let disk = small_store();
    let good = content(&boot(&disk.fork(0)).unwrap().0).unwrap();
    assert!(good.iter().all(|(bounds, ..)| bounds.max > bounds.min), "{good:?}");
    for (path, bytes) in files(&disk) {
        let mut outcomes = Outcomes::default();
        for at in 0..bytes.len() {
            let harmed = disk.fork(0);
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            harmed.replace(&path, bad);
            outcomes.add(&good, &harmed, &format!("byte {at} of {}", path.display()));
        }
        if is_in(&path, "log") {
            assert_eq!(outcomes.unharmed, 0, "{}: every byte of the log is checked", path.display());
        }
        if is_in(&path, "index") {
            assert_eq!(outcomes.unharmed, bytes.len(), "{}: an index is rebuilt", path.display());
        }
    }
}

#[test]
fn every_cut_file_is_refused_or_has_no_effect() {
    let disk = small_store();
    let good = content(&boot(&disk.fork(0)).unwrap().0).unwrap();
    for (path, bytes) in files(&disk) {
        let mut outcomes = Outcomes::default();
        for length in 0..bytes.len() {
            let harmed = disk.fork(0);
            harmed.replace(&path, bytes[..length].to_vec());
            outcomes.add(&good, &harmed, &format!("{} cut to {length}", path.display()));
        }
        if is_in(&path, "log") {
            assert_eq!(outcomes.refused_at_start, bytes.len(), "{}", path.display());
        }
    }
}

#[test]
fn missing_swapped_and_zeroed_files_are_refused_or_have_no_effect() {
    let disk = small_store();
    let good = content(&boot(&disk.fork(0)).unwrap().0).unwrap();
    let mut all_outcomes = Outcomes::default();
    for (path, bytes) in files(&disk) {
        let harmed = disk.fork(0);
        harmed.replace(&path, vec![0; bytes.len()]);
        all_outcomes.add(&good, &harmed, &format!("{} of zeros", path.display()));
        let is_only_origin = path.to_string_lossy().contains("log_origin");
        if !is_only_origin {
            let harmed = disk.fork(0);
            harmed.destroy(&path);
            all_outcomes.add(&good, &harmed, &format!("{} removed", path.display()));
        }
        for (other, of_other) in files(&disk).iter().filter(|(other, _)| *other != path) {
            if other.parent() == path.parent() && !is_in(&path, "tables") {
                let harmed = disk.fork(0);
                harmed.replace(&path, of_other.clone());
                harmed.replace(other, bytes.clone());
                all_outcomes.add(
                    &good,
                    &harmed,
                    &format!("{} and {} swapped", path.display(), other.display()),
                );
            }
        }
    }
    assert!(all_outcomes.refused_at_start > 10 && all_outcomes.unharmed > 10, "{all_outcomes:?}");
}

/// Pages that a disk returns as zeros, or as another page of the same file: sizes from a sector to a page.
#[test]
fn every_zeroed_and_every_misplaced_page_is_refused_or_has_no_effect() {
    let disk = small_store();
    let good = content(&boot(&disk.fork(0)).unwrap().0).unwrap();
    let mut pages = 0;
    for (path, bytes) in files(&disk) {
        let mut outcomes = Outcomes::default();
        for (size, step) in [(24, 4), (64, 8), (512, 64), (4096, 512)] {
            for at in (0..bytes.len()).step_by(step) {
                let end = bytes.len().min(at + size);
                let mut zeroed = bytes.clone();
                zeroed[at..end].fill(0);
                let mut moved = bytes.clone();
                let from = bytes.len().saturating_sub(end);
                moved.copy_within(from..(from + end - at).min(bytes.len()), at);
                for bad in [zeroed, moved].into_iter().filter(|bad| *bad != bytes) {
                    let harmed = disk.fork(0);
                    harmed.replace(&path, bad);
                    outcomes.add(&good, &harmed, &format!("{size} bytes at {at} of {}", path.display()));
                    pages += 1;
                }
            }
        }
        if is_in(&path, "log") {
            assert_eq!(outcomes.unharmed, 0, "{}: every byte of the log is checked", path.display());
        }
        if is_in(&path, "index") {
            assert_eq!(
                outcomes.refused_at_start + outcomes.refused_at_read,
                0,
                "{}: rebuilt",
                path.display()
            );
        }
    }
    assert!(pages > 1000, "{pages} pages");
}

/// A file of yesterday in place of today's, as a restored backup or a disk that lost a write gives it.
#[test]
fn stale_segments_are_refused() {
    let mut world = World::new(5, Flush::Sync, 100_000, 0);
    world.boot().unwrap();
    let mut random = Random::new(5);
    let path = Path::new("/store/log/00000000000000000000");
    let mut stale = Vec::new();
    for _ in 0..20 {
        world.append(&mut random);
        stale.push(world.disk.contents(path).unwrap());
    }
    world.log().close().unwrap();
    world.disk.kill();
    for (age, bytes) in stale.into_iter().rev().skip(1).enumerate() {
        let harmed = world.disk.fork(0);
        harmed.replace(path, bytes);
        let opened = open(Arc::new(harmed), world.clock.clone(), Arc::new(()), world.options.clone());
        assert!(matches!(opened.map(drop), Err(OpenError::Damaged { .. })), "{age} groups too old");
    }
}

#[test]
fn damage_names_the_file_the_place_and_what_is_behind() {
    let disk = small_store();
    let segments: Vec<_> = files(&disk).into_iter().filter(|(path, _)| is_in(path, "log")).collect();
    let (path, bytes) = segments.last().unwrap();
    let mut bad = bytes.clone();
    bad[30] ^= 1;
    disk.replace(path, bad);
    match boot(&disk).map(drop) {
        Err(OpenError::Damaged { file, position, offset, records_behind, reason }) => {
            assert_eq!(&file, path);
            assert_eq!(position, 0, "the frame begins there");
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(offset, name.parse::<u64>().unwrap());
            assert!(records_behind > 0);
            assert!(reason.contains("flushed"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_falls_back_to_its_older_generation() {
    let disk = small_store();
    let newest = disk.paths().into_iter().find(|path| path.ends_with("tables/topics.b")).unwrap();
    disk.replace(&newest, b"rot".to_vec());
    let (log, _) = boot(&disk).unwrap();
    assert_eq!(log.table("topics").unwrap().load().unwrap().unwrap(), b"one");
}

#[test]
fn bytes_behind_the_end_of_a_crashed_store_are_cut_and_reported() {
    let mut world = World::new(3, Flush::Sync, 100_000, 0);
    world.boot().unwrap();
    let mut random = Random::new(3);
    for _ in 0..10 {
        world.append(&mut random);
    }
    let end = world.log().physical_bounds().max as u64;
    world.disk.power_cycle();
    let path = Path::new("/store/log/00000000000000000000");
    let mut bytes = world.disk.contents(path).unwrap();
    bytes.truncate(end as usize);
    bytes.extend(b"half of a frame that nobody was told of");
    world.disk.replace(path, bytes);
    let disk = Arc::new(world.disk.clone());
    let (log, report) = open(disk, world.clock.clone(), Arc::new(()), world.options.clone()).unwrap();
    let torn = report.torn_tail.expect("it is reported");
    assert_eq!((torn.offset, torn.bytes, torn.frames), (end, 39, 0));
    world.log = Some(log);
    world.check();
    let limits = ReadLimits { max_messages: 1, max_bytes: 1, max_scan: 1 };
    let queue = world.log().queue("orders", 0);
    assert_eq!(world.log().read(queue, 0, limits, &mut all).unwrap().status, ReadStatus::Found);
}

/// Segments have become smaller, so the one that is cut does not grow on.
#[test]
fn a_torn_end_does_not_come_back_with_the_next_power_cut() {
    let (log, clock, disk) = manual(|_| {});
    for n in 0..30 {
        log.put(Message::new("orders", 0, &n.to_string())).unwrap();
    }
    log.close().unwrap();
    disk.kill();
    let path = Path::new("/store/log/00000000000000000000");
    let mut bytes = disk.contents(path).unwrap();
    bytes.extend(b"half of a frame that nobody was told of");
    disk.replace(path, bytes);
    let start = |disk: SimulatedDisk| {
        let options = crate::append::options(|options| options.segment_bytes = 1000);
        open(Arc::new(disk), clock.clone(), Arc::new(()), options)
    };
    let (log, report) = start(disk.clone()).unwrap();
    assert_eq!(report.torn_tail.unwrap().bytes, 39);
    log.put(Message::new("orders", 0, "30")).unwrap();
    log.put(Message::new("orders", 0, "31")).unwrap();
    for seed in 0..20 {
        let disk = disk.fork(seed);
        disk.power_cycle();
        let (log, _) = start(disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(log.bodies("orders", 0).len(), 32, "seed {seed}");
    }
}

/// A store that a crash ended, with zeros ahead of its log: where the checkpoint's knowledge ends, how long the log and its
/// last segment are, and that segment's bytes.
fn crashed_store() -> (World, u64, u64, PathBuf, Vec<u8>) {
    let mut world = World::new(11, Flush::Sync, 8000, 0);
    world.boot().unwrap();
    let mut random = Random::new(11);
    let mut evidence = 0;
    for n in 0..30 {
        world.append(&mut random);
        if n == 24 {
            // Quiet for a moment, so the checkpoint follows.
            world.clock.advance(std::time::Duration::from_secs(2));
            world.log().turn();
            world.clock.advance(std::time::Duration::from_secs(2));
            world.log().turn();
            evidence = world.log().physical_bounds().max as u64;
        }
    }
    let end = world.log().physical_bounds().max as u64;
    world.disk.power_cycle();
    world.log = None;
    let path = world.disk.paths().into_iter().filter(|path| is_in(path, "log")).max().unwrap();
    let bytes = world.disk.contents(&path).unwrap();
    (world, evidence, end, path, bytes)
}

/// What the rule about damage can see and what it cannot, byte by byte: section 3 of docs/storage.md.
#[test]
fn of_a_crashed_store_only_bytes_that_nothing_vouches_for_pass_for_a_torn_end() {
    let (world, evidence, end, path, bytes) = crashed_store();
    let start: u64 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
    assert!(start < evidence && evidence < end && end < start + bytes.len() as u64 - 1000);
    let (mut refused, mut torn, mut unharmed) = (0, 0, 0);
    let mut harm = |bad: Vec<u8>, what: &str| {
        let Some(at) = bytes.iter().zip(&bad).position(|(good, bad)| good != bad) else { return };
        let at = start + at as u64;
        let mut harmed = world.fork(at);
        harmed.disk.replace(&path, bad);
        match harmed.boot() {
            Err(OpenError::Damaged { .. }) => {
                refused += 1;
                assert!(at < end, "{what} at {at} is refused behind the end {end}");
            }
            Err(error) => panic!("{what} at {at}: {error}"),
            Ok(()) => {
                let max = harmed.log().physical_bounds().max as u64;
                assert!(at >= evidence, "{what} at {at} was not seen: the log was flushed up to {evidence}");
                assert!(max <= end && (max == end || max <= at), "{what} at {at}: the log ends at {max}");
                assert!(max == end || at < end, "{what} at {at}, behind the end, took something");
                (if max == end { &mut unharmed } else { &mut torn }).add_assign(1);
                // What is there is what was sent.
                harmed.forgive();
                harmed.check();
            }
        }
    };
    // Each byte around the two borders, and some of the others.
    let is_near = |at: usize| [evidence, end].iter().any(|border| border.abs_diff(start + at as u64) < 150);
    for at in (0..bytes.len()).filter(|at| is_near(*at) || at % 11 == 0) {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        harm(bad, "a flipped bit");
    }
    // Pages that never came: zeros from a sector on, to the end of the next or of the file.
    for at in (0..bytes.len()).step_by(64) {
        for size in [64, 512, 4096, bytes.len()] {
            let mut bad = bytes.clone();
            let until = bytes.len().min(at + size);
            bad[at..until].fill(0);
            harm(bad, "zeros");
        }
    }
    println!("{refused} refused, {torn} taken for a torn end, {unharmed} without effect");
    assert!(refused > 200 && torn > 100 && unharmed > 200, "{refused} {torn} {unharmed}");
}

#[test]
fn index_files_that_belong_to_no_closed_segment_are_removed() {
    let disk = small_store();
    let segments = disk.paths().into_iter().filter(|path| is_in(path, "log"));
    let active = segments.max().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let (_, stale) = files(&disk).into_iter().find(|(path, _)| is_in(path, "index")).unwrap();
    // One of the segment that grows, left by an earlier life of it; one of no segment; one that was not finished.
    let strays = [format!("{active}.idx"), "00000000000000999999.idx".to_owned(), format!("{active}.tmp")];
    for stray in &strays {
        disk.replace(&Path::new("/store/index").join(stray), stale.clone());
    }
    boot(&disk).unwrap();
    for stray in &strays {
        assert!(disk.contents(&Path::new("/store/index").join(stray)).is_none(), "{stray} is gone");
    }
}

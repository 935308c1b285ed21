//! Check, dump and repair: on sound stores, and on every kind of damage that `damage.rs` knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocketwire_store::tools::{self, FindingKind, RepairReport, ToolError};
use rocketwire_store::{Flush, OpenError, ReadLimits, ReadStatus, RecoveryReport, Storage};
use rocketwire_testkit::{Fault, ManualClock, SimulatedDisk};

use crate::damage::{TOPICS, boot, boot_at, files, is_in, small_store};
use crate::support::{Log, Message, all, i64_at, open, records};

const STORE: &str = "/store";

/// Records by queue and offset.
type Readable = BTreeMap<(&'static str, u32, i64), Vec<u8>>;

/// Everything that a consumer gets; `None` when a read is refused.
fn readable(log: &Log) -> Option<Readable> {
    let limits = ReadLimits { max_messages: 3, max_bytes: 10_000, max_scan: 10 };
    let mut found = Readable::new();
    for (topic, queue_id) in TOPICS {
        let queue = log.queue(topic, queue_id);
        let bounds = log.bounds(queue);
        let mut next = bounds.min;
        while next < bounds.max {
            let outcome = log.read(queue, next, limits, &mut all).ok()?;
            match outcome.status {
                ReadStatus::Found => {}
                ReadStatus::MessageWasRemoving => assert!(outcome.records.is_empty()),
                other => panic!("{topic}/{queue_id} at {next}: {other:?}"),
            }
            for record in records(&outcome.records) {
                found.insert((topic, queue_id, i64_at(record, 20)), record.to_vec());
            }
            assert!(outcome.next_offset > next, "a consumer gets on");
            next = outcome.next_offset;
        }
    }
    Some(found)
}

fn start(disk: &SimulatedDisk) -> Result<(Log, RecoveryReport), OpenError> {
    boot_at(disk, Arc::new(ManualClock::new(1_000_000)))
}

fn repair(disk: &SimulatedDisk) -> Result<RepairReport, ToolError> {
    tools::repair(Arc::new(disk.clone()), Path::new(STORE))
}

fn check(disk: &SimulatedDisk) -> tools::CheckReport {
    tools::check(disk, Path::new(STORE)).expect("the disk is fine")
}

fn lost_offsets(report: &RepairReport) -> BTreeSet<(String, u32, i64)> {
    let ranges = report.damage.iter().flat_map(|damage| &damage.lost);
    ranges
        .flat_map(|range| (range.from..range.to).map(|at| (range.topic.clone(), range.queue_id, at)))
        .collect()
}

/// How exact the lists of lost records were.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    repaired: usize,
    with_losses: usize,
    /// The end of a queue was lost, and nothing told how much of it.
    unknown_tails: usize,
}

impl Tally {
    /// Repairs a harmed store and compares it with what it was.
    fn repair(&mut self, good: &Readable, harmed: &SimulatedDisk, what: &str) {
        let was = boot(&harmed.fork(0)).ok().and_then(|(log, _)| readable(&log));
        let findings = check(harmed).findings;
        if was.is_none() {
            assert!(!findings.is_empty(), "{what}: it is refused and the check finds nothing");
            self.refused += 1;
        }
        let report = repair(harmed).unwrap_or_else(|error| panic!("{what}: {error}"));
        self.repaired += usize::from(!report.is_untouched());
        let (log, recovery) = start(harmed).map_err(|error| format!("{what}: {error} {report:?}")).unwrap();
        let now = readable(&log).unwrap_or_else(|| panic!("{what}: a read is refused after the repair"));
        if let Some(was) = was {
            assert_eq!(now, was, "{what}: nothing was refused, so nothing changes");
        }
        for (place, record) in &now {
            assert_eq!(Some(record), good.get(place), "{what}: {place:?} has another record than before");
        }
        let lost = lost_offsets(&report);
        let missing: BTreeSet<_> = good
            .keys()
            .filter(|place| !now.contains_key(place))
            .map(|(t, q, at)| (t.to_string(), *q, *at))
            .collect();
        assert!(lost.is_subset(&missing), "{what}: {lost:?} are reported, {missing:?} are missing");
        for (topic, queue_id, offset) in missing.difference(&lost) {
            let (topic, queue) =
                TOPICS.iter().find(|(name, id)| (name, id) == (&topic.as_str(), queue_id)).unwrap();
            let end = log.bounds(log.queue(topic, *queue)).max;
            assert!(
                *offset >= end,
                "{what}: {topic}/{queue} {offset} is lost silently, the queue ends at {end}"
            );
        }
        let noted = recovery.repaired.iter().map(|hole| hole.lost).sum::<u64>();
        assert!(
            noted >= lost.iter().filter(|place| is_inside(&log, place)).count() as u64,
            "{what}: it is noted"
        );
        self.with_losses += usize::from(!missing.is_empty());
        self.unknown_tails += usize::from(missing != lost);
        log.put(Message::new("orders", 0, "after the repair")).unwrap();
        drop(log);
        let left = check(harmed).findings;
        let hurts = |finding: &&tools::Finding| finding.kind == FindingKind::Log;
        assert_eq!(left.iter().find(hurts), None, "{what}: nothing is left to repair");
    }
}

/// Whether the offset lies between the ends of its queue, where only a noted hole can take it away.
fn is_inside(log: &Log, (topic, queue_id, offset): &(String, u32, i64)) -> bool {
    log.find_queue(topic, *queue_id).is_some_and(|queue| {
        let bounds = log.bounds(queue);
        (bounds.min..bounds.max).contains(offset)
    })
}

fn good_store() -> (SimulatedDisk, Readable) {
    let disk = small_store();
    let good = readable(&boot(&disk.fork(0)).unwrap().0).unwrap();
    assert!(good.len() > 10, "{}", good.len());
    (disk, good)
}

#[test]
fn a_sound_store_is_sound_and_stays_as_it_is() {
    let (disk, good) = good_store();
    let before = files(&disk);
    let report = check(&disk);
    assert_eq!(report.findings, []);
    assert_eq!(report.records as usize, 30 - deleted_by_retention(&disk));
    assert!(report.segments >= 3 && report.index_files > 1, "{report:?}");
    for queue in &report.queues {
        let found = good.keys().filter(|(t, q, _)| (*t, *q) == (&*queue.name.topic, queue.name.queue_id));
        assert_eq!(found.count() as i64, queue.max - queue.min, "{queue:?}");
    }
    let mut dumped = 0;
    let holes = tools::dump(&disk, Path::new(STORE), |record| {
        dumped += usize::from(!record.is_deleted);
        !record.is_lost
    });
    assert_eq!((holes.unwrap(), dumped), (0, good.len()));
    assert_eq!(files(&disk), before, "neither changes anything");
    assert!(repair(&disk).unwrap().is_untouched());
    assert_eq!(files(&disk), before, "there is nothing to repair");
}

fn deleted_by_retention(disk: &SimulatedDisk) -> usize {
    let mut kept = 0;
    tools::dump(disk, Path::new(STORE), |_| {
        kept += 1;
        true
    })
    .unwrap();
    30 - kept
}

#[test]
fn an_open_store_and_an_empty_folder_are_refused() {
    let (disk, _) = good_store();
    let log = boot(&disk).unwrap().0;
    for refused in [tools::check(&disk, Path::new(STORE)).map(drop), repair(&disk).map(drop)] {
        assert!(matches!(refused, Err(ToolError::Locked { .. })), "{refused:?}");
    }
    drop(log);
    let refused = tools::check(&disk, Path::new("/elsewhere"));
    assert!(matches!(refused, Err(ToolError::NoStore { .. })), "{refused:?}");
}

#[test]
fn every_flipped_byte_can_be_repaired() {
    let (disk, good) = good_store();
    let mut tally = Tally::default();
    for (path, bytes) in files(&disk) {
        let step = if is_in(&path, "log") { 3 } else { 11 };
        for at in (0..bytes.len()).step_by(step) {
            let harmed = disk.fork(0);
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            harmed.replace(&path, bad);
            tally.repair(&good, &harmed, &format!("byte {at} of {}", path.display()));
        }
    }
    println!("{tally:?}");
    assert!(tally.refused > 300 && tally.with_losses > 300, "{tally:?}");
    // Only a byte in the fields that name the queue of the very last record of one hides that it is lost.
    assert!(tally.unknown_tails * 10 < tally.with_losses, "{tally:?}");
}

#[test]
fn every_cut_file_can_be_repaired() {
    let (disk, good) = good_store();
    let mut tally = Tally::default();
    for (path, bytes) in files(&disk) {
        let step = if is_in(&path, "log") { 7 } else { 31 };
        for length in (0..bytes.len()).step_by(step) {
            let harmed = disk.fork(0);
            harmed.replace(&path, bytes[..length].to_vec());
            tally.repair(&good, &harmed, &format!("{} cut to {length}", path.display()));
        }
    }
    println!("{tally:?}");
    assert!(tally.refused > 50 && tally.with_losses > 50, "{tally:?}");
}

#[test]
fn missing_swapped_and_zeroed_files_can_be_repaired() {
    let (disk, good) = good_store();
    let mut tally = Tally::default();
    for (path, bytes) in files(&disk) {
        let harmed = disk.fork(0);
        harmed.replace(&path, vec![0; bytes.len()]);
        tally.repair(&good, &harmed, &format!("{} of zeros", path.display()));
        if !path.to_string_lossy().contains("log_origin") {
            let harmed = disk.fork(0);
            harmed.destroy(&path);
            tally.repair(&good, &harmed, &format!("{} removed", path.display()));
        }
        for (other, of_other) in files(&disk).iter().filter(|(other, _)| *other > path) {
            if other.parent() == path.parent() && !is_in(&path, "tables") {
                let harmed = disk.fork(0);
                harmed.replace(&path, of_other.clone());
                harmed.replace(other, bytes.clone());
                tally.repair(&good, &harmed, &format!("{} and {} swapped", path.display(), other.display()));
            }
        }
    }
    println!("{tally:?}");
    assert!(tally.refused > 8 && tally.with_losses > 6, "{tally:?}");
}

/// Damage in the middle of a closed segment, and that of the last one.
fn harmed_store() -> (SimulatedDisk, Readable) {
    let (disk, good) = good_store();
    let segments: Vec<_> = files(&disk).into_iter().filter(|(path, _)| is_in(path, "log")).collect();
    for (path, bytes) in [&segments[1], segments.last().unwrap()] {
        let mut bad = bytes.clone();
        bad[100] ^= 1;
        disk.replace(path, bad);
    }
    (disk, good)
}

#[test]
fn damage_is_reported_with_what_is_lost_and_kept_aside() {
    let (disk, good) = harmed_store();
    let before = files(&disk);
    let found = check(&disk).findings;
    let log: Vec<_> = found.iter().filter(|finding| finding.kind == FindingKind::Log).collect();
    assert_eq!(log.len(), 2, "{found:?}");
    assert!(log[0].records_behind > log[1].records_behind && log[0].bytes > 90, "{log:?}");
    let report = repair(&disk).unwrap();
    assert_eq!(report.damage.len(), 2);
    for (damage, finding) in report.damage.iter().zip(log) {
        assert_eq!((&damage.lost, damage.from), (&finding.lost, finding.offset.unwrap()));
        assert!(damage.lost.iter().all(|range| range.is_certain), "{damage:?}");
        let name = format!("/store/quarantine/log-{:020}-{:020}.bytes", damage.from, damage.to);
        let kept = disk.contents(Path::new(&name)).expect("the bytes are kept");
        let original = before.iter().find(|(path, _)| *path == damage.file).unwrap();
        let at = finding.position as usize;
        assert_eq!(kept, original.1[at..at + kept.len()]);
    }
    let (log, recovery) = start(&disk).unwrap();
    assert_eq!(recovery.repaired.len(), 2, "every start says so");
    assert_eq!(readable(&log).unwrap().len() + lost_offsets(&report).len(), good.len());
    // A stand-in is no message, wherever it is asked for.
    for damage in &report.damage {
        assert_eq!(log.record_at(damage.from as i64 + 24).unwrap(), None);
    }
    let mut stand_ins = 0;
    drop(log);
    tools::dump(&disk, Path::new(STORE), |record| {
        stand_ins += usize::from(record.is_lost);
        true
    })
    .unwrap();
    assert_eq!(stand_ins, lost_offsets(&report).len());
}

/// Changes a byte of the first record of a segment, counted from its begin, and makes the checksum of its frame fit.
fn forge(disk: &SimulatedDisk, segment: usize, at: usize) {
    let segments: Vec<_> = files(disk).into_iter().filter(|(path, _)| is_in(path, "log")).collect();
    let (path, mut bytes) = segments[segment].clone();
    bytes[24 + at] ^= 4;
    let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..4]), &bytes[8..length]);
    bytes[4..8].copy_from_slice(&crc.to_be_bytes());
    disk.replace(&path, bytes);
}

#[test]
fn records_that_contradict_each_other_are_beyond_repair() {
    let (disk, _) = good_store();
    forge(&disk, 1, 27);
    let findings = check(&disk).findings;
    let found = findings.iter().find(|finding| finding.kind == FindingKind::Log).expect("it is found");
    assert!(found.reason.contains("goes on with"), "{found:?}");
    let before = files(&disk);
    let refused = repair(&disk);
    assert!(matches!(refused, Err(ToolError::Beyond { .. })), "{refused:?}");
    assert_eq!(files(&disk), before, "nothing was changed");
}

#[test]
fn a_body_with_another_checksum_is_named_and_left_alone() {
    let (disk, good) = good_store();
    forge(&disk, 1, 88);
    let findings = check(&disk).findings;
    assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::Record]);
    assert!(repair(&disk).unwrap().is_untouched());
    assert_eq!(
        readable(&start(&disk).unwrap().0).unwrap().len(),
        good.len(),
        "its frame is what was written"
    );
}

#[test]
fn a_filler_that_nobody_noted_is_damage() {
    let (disk, _) = harmed_store();
    let origin_files: Vec<_> = files(&disk).into_iter().filter(|(path, _)| is_origin(path)).collect();
    repair(&disk).unwrap();
    for (path, _) in files(&disk).into_iter().filter(|(path, _)| is_origin(path)) {
        disk.destroy(&path);
    }
    for (path, bytes) in origin_files {
        disk.replace(&path, bytes);
    }
    let refused = boot(&disk.fork(0)).map(drop).unwrap_err().to_string();
    assert!(refused.contains("filler"), "{refused}");
    assert!(check(&disk).findings.iter().any(|finding| finding.reason.contains("filler")));
}

fn is_origin(path: &Path) -> bool {
    path.to_string_lossy().contains("log_origin")
}

#[test]
fn a_repair_that_is_interrupted_is_done_again() {
    let (disk, _) = harmed_store();
    interrupt_everywhere(&disk, 30);
    // The note about deletions is rotten as well, and so are both generations of a table.
    for (path, mut bytes) in files(&disk).into_iter().filter(|(path, _)| is_in(path, "tables")) {
        if path.to_string_lossy().ends_with("log_origin.a") || !is_origin(&path) {
            *bytes.last_mut().unwrap() ^= 1;
            disk.replace(&path, bytes);
        }
    }
    interrupt_everywhere(&disk, 60);
}

/// Repairs with a fault at each operation, and then again.
fn interrupt_everywhere(disk: &SimulatedDisk, at_least: u64) {
    let whole = disk.fork(0);
    let report = repair(&whole).unwrap();
    let expected = readable(&start(&whole.fork(0)).unwrap().0).unwrap();
    let operations = whole.operations() - disk.fork(0).operations();
    assert!(operations > at_least, "{operations}");
    for seed in 0..20 {
        let harmed = disk.fork(seed);
        repair(&harmed).unwrap();
        harmed.power_cycle();
        assert_eq!(readable(&start(&harmed).unwrap().0).unwrap(), expected, "what was repaired stays so");
    }
    for at in 0..operations {
        for fault in [Fault::PowerCut, Fault::Eio, Fault::ShortWrite] {
            let harmed = disk.fork(at);
            harmed.fail_at(harmed.operations() + at, fault);
            let first = repair(&harmed);
            harmed.power_cycle();
            harmed.clear_fault();
            let again = repair(&harmed).unwrap_or_else(|error| panic!("{fault:?} at {at}: {error}"));
            let (log, recovery) = start(&harmed).unwrap_or_else(|error| panic!("{fault:?} at {at}: {error}"));
            assert_eq!(readable(&log).unwrap(), expected, "{fault:?} at {at}");
            assert_eq!(recovery.repaired.len(), 2, "{fault:?} at {at}");
            let told: BTreeSet<_> = first.iter().chain([&again]).flat_map(lost_offsets).collect();
            assert!(told.is_subset(&lost_offsets(&report)), "{fault:?} at {at}: {told:?}");
            let kept: Vec<PathBuf> =
                harmed.paths().into_iter().filter(|path| is_in(path, "quarantine")).collect();
            let parts = kept.iter().filter(|path| path.to_string_lossy().ends_with(".bytes")).count();
            assert_eq!(parts, 2, "{fault:?} at {at}: {kept:?}");
        }
    }
}

#[test]
fn several_holes_between_two_records_of_a_queue_are_told_apart() {
    let (disk, good) = good_store();
    let segments: Vec<_> = files(&disk).into_iter().filter(|(path, _)| is_in(path, "log")).collect();
    // Two segments in a row, and then without their index files: the bytes themselves must tell.
    for without_indexes in [false, true] {
        let harmed = disk.fork(0);
        for (path, bytes) in &segments[1..3] {
            let mut bad = bytes.clone();
            bad[30] ^= 1;
            harmed.replace(path, bad);
        }
        if without_indexes {
            for (path, _) in files(&harmed).iter().filter(|(path, _)| is_in(path, "index")) {
                harmed.remove(path).unwrap();
            }
        }
        Tally::default().repair(&good, &harmed, "two holes");
    }
}

/// A bad place of a disk grows: what stands for the first damage is damaged in part, with what is beside it.
#[test]
fn damage_that_reaches_into_what_was_repaired_is_repaired_like_any_other() {
    let (disk, good) = good_store();
    let segments: Vec<_> = files(&disk).into_iter().filter(|(path, _)| is_in(path, "log")).collect();
    let flip = |disk: &SimulatedDisk, segment: usize, places: &[usize]| {
        let path = &segments[segment].0;
        let mut bytes = disk.contents(path).unwrap();
        places.iter().for_each(|at| bytes[*at] ^= 1);
        disk.replace(path, bytes);
    };
    let length = |at: usize, bytes: &[u8]| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let frames = |bytes: &[u8]| {
        let next = |at: &usize| Some(at + length(*at, bytes)).filter(|at| *at < bytes.len());
        std::iter::successors(Some(0), next).collect::<Vec<_>>()
    };
    // The last frame of a segment and the first of the next: one hole, and a filler in each file.
    let (before, behind) = (frames(&segments[1].1), frames(&segments[2].1));
    let last = *before.last().unwrap();
    flip(&disk, 1, &[last + 30]);
    flip(&disk, 2, &[30]);
    assert_eq!(repair(&disk).unwrap().damage.len(), 1);
    for (segment, places) in [(1, [before[before.len() - 2] + 30, last + 30]), (2, [30, behind[1] + 30])] {
        let disk = disk.fork(0);
        flip(&disk, segment, &places);
        assert_eq!(repair(&disk).unwrap().damage.len(), 1);
        assert_eq!(check(&disk).findings, []);
        let (log, recovery) = start(&disk).unwrap();
        let lost: u64 = recovery.repaired.iter().map(|hole| hole.lost).sum();
        assert_eq!((recovery.repaired.len(), readable(&log).unwrap().len()), (2, good.len() - 3));
        assert_eq!(lost, 3, "{:?}", recovery.repaired);
    }
}

/// The note about a deletion is lost, and the queues of the topic did not end in the order in which they began.
#[test]
fn a_deletion_whose_note_is_lost_took_every_queue_of_the_topic() {
    let (log, _clock, disk) = crate::append::manual(|_| {});
    for queue_id in [0, 1, 0, 2, 1, 2] {
        log.put(Message::new("orders", queue_id, "old")).unwrap();
    }
    log.delete_topic("orders").unwrap();
    log.put(Message::new("orders", 0, "new")).unwrap();
    log.close().unwrap();
    disk.kill();
    for (path, mut bytes) in files(&disk).into_iter().filter(|(path, _)| is_origin(path)) {
        bytes[40] ^= 1;
        disk.replace(&path, bytes);
    }
    assert!(start(&disk).is_err());
    assert!(repair(&disk).unwrap().derived_origin);
    let (log, _) = start(&disk).unwrap_or_else(|error| panic!("{error}"));
    let found = [0, 1, 2].map(|queue_id| log.bodies("orders", queue_id));
    assert_eq!(found, [vec!["new".to_owned()], vec![], vec![]]);
}

/// With async flushes a segment has its index and key files before it is flushed: then they may know more than what a power
/// cut leaves of it, and nothing is damaged.
#[test]
fn files_of_a_segment_whose_end_is_torn_are_no_damage() {
    let (log, _clock, disk) = crate::append::manual(|options| {
        options.flush = Flush::Async;
        options.segment_bytes = 1000;
    });
    for n in 0..30 {
        log.put(Message::new("orders", 0, &n.to_string()).keys("k")).unwrap();
    }
    disk.kill();
    let segments: Vec<_> = files(&disk).into_iter().filter(|(path, _)| is_in(path, "log")).collect();
    let (path, mut bytes) = segments[2].clone();
    bytes[500] ^= 1;
    disk.replace(&path, bytes);
    let derived = |kind: &str| {
        let name = Path::new(STORE).join("index").join(path.file_name().unwrap()).with_extension(kind);
        disk.contents(&name).is_some()
    };
    assert!(derived("idx") && derived("key") && segments.len() > 4);
    let report = check(&disk);
    assert_eq!(report.findings, []);
    assert!(report.remarks.iter().any(|remark| remark.contains("torn end")), "{:?}", report.remarks);
    assert!(repair(&disk).unwrap().is_untouched());
    let options = crate::append::options(|options| options.segment_bytes = 1000);
    let clock = Arc::new(ManualClock::new(2000));
    let (_, recovery) = open(Arc::new(disk.clone()), clock, Arc::new(()), options).unwrap();
    assert!(recovery.torn_tail.is_some());
}

/// The power went before the first checkpoint was there; and when there had been others.
#[test]
fn a_first_checkpoint_that_is_torn_is_no_damage() {
    let (disk, _) = good_store();
    let path = Path::new("/store/checkpoint");
    let whole = disk.contents(path).unwrap();
    for (first, is_found) in [(0, false), (1, true)] {
        let mut torn = whole.clone();
        torn[..28].fill(first);
        torn[4096..].fill(0);
        disk.replace(path, torn);
        assert_eq!(!check(&disk).findings.is_empty(), is_found);
    }
}

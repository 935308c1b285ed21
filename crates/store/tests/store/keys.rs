//! Finding records by their keys: against a model, after restarts, and when the derived files are missing or wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rocketwire_store::tools::{self, FindingKind};
use rocketwire_store::{Clock, Drive, KeyQuery, StoreOptions, Wait};
use rocketwire_testkit::{ManualClock, SimulatedDisk};

use crate::append::manual;
use crate::support::{Log, Message, open, text};

fn query<'a>(topic: &'a str, key: &'a str) -> KeyQuery<'a> {
    KeyQuery { topic, key, begin_ms: 0, end_ms: i64::MAX, max_messages: 64, max_bytes: 1 << 20 }
}

/// Bodies of what is found, oldest first.
fn find(log: &Log, query: KeyQuery<'_>) -> Vec<String> {
    let outcome = log.query(query).unwrap();
    let bodies = text(&outcome.records);
    assert_eq!(bodies.len(), outcome.count);
    bodies
}

fn key_files(disk: &SimulatedDisk) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "key")).collect()
}

/// A store of several segments; message n has the keys `k-n` and `even` or `odd`, and the unique key `U-n`.
fn filled(count: usize) -> (Log, Arc<ManualClock>, SimulatedDisk) {
    let (log, clock, disk) = manual(|options| {
        options.segment_bytes = 1000;
        options.tail_cache_bytes = 500;
    });
    for n in 0..count {
        clock.advance(Duration::from_millis(10));
        let (body, keys) = (format!("m{n}"), format!("k-{n} {}", ["even", "odd"][n % 2]));
        let unique = format!("U-{n}");
        log.put(Message::new("orders", n as u32 % 3, &body).keys(&keys).unique(&unique)).unwrap();
    }
    (log, clock, disk)
}

// spec: broker B.6
#[test]
fn a_message_is_found_by_each_of_its_keys_and_by_its_unique_key() {
    let (log, _, disk) = filled(40);
    assert!(key_files(&disk).len() > 3, "several segments are closed");
    for n in 0..40 {
        let body = format!("m{n}");
        for key in [format!("k-{n}"), format!("U-{n}")] {
            assert_eq!(find(&log, query("orders", &key)).concat(), body, "{key}");
        }
    }
    let odd: Vec<String> = (1..40).step_by(2).map(|n| format!("m{n}")).collect();
    assert_eq!(find(&log, query("orders", "odd")), odd);
    for other in ["k-4 even", "k", "K-4", "", "u-4", "m4"] {
        assert_eq!(find(&log, query("orders", other)), [""; 0], "{other}");
    }
    assert_eq!(find(&log, query("order", "k-4")), [""; 0]);
}

#[test]
fn the_newest_are_taken_and_come_oldest_first() {
    let (log, _, _) = filled(40);
    let newest = |max_messages| find(&log, KeyQuery { max_messages, ..query("orders", "even") });
    assert_eq!(newest(3), ["m34", "m36", "m38"]);
    assert_eq!(newest(0), [""; 0]);
    assert_eq!(newest(1000).len(), 20);
    let size = log.query(query("orders", "k-38")).unwrap().records.len();
    let bytes = |max_bytes| find(&log, KeyQuery { max_bytes, ..query("orders", "even") });
    assert_eq!(bytes(2 * size), ["m36", "m38"]);
    assert_eq!(bytes(0), ["m38"], "the newest comes whatever its size");
}

/// The index file of a segment says when its last record was stored, not when the last one of its group was.
#[test]
fn store_times_count_in_each_of_the_segments_that_one_group_fills() {
    let (log, clock, _) = manual(|options| (options.segment_bytes, options.frame_bytes) = (1000, 1));
    let times: Vec<i64> = (0..40)
        .map(|n| {
            clock.advance(Duration::from_millis(10));
            let _held = log.send(&[Message::new("orders", 0, &format!("m{n}")).keys("k")], Wait::Flush);
            clock.wall_ms()
        })
        .collect();
    assert!(log.turn() && !log.turn(), "they are one group");
    for (n, time) in times.into_iter().enumerate() {
        let at = KeyQuery { begin_ms: time, end_ms: time, ..query("orders", "k") };
        assert_eq!(find(&log, at), [format!("m{n}")]);
    }
}

#[test]
fn only_store_times_of_the_range_count_and_both_ends_belong_to_it() {
    let (log, clock, _) = filled(40);
    let now = clock.wall_ms();
    // Message n was stored at `now - (39 - n) * 10`.
    let between = |begin_ms, end_ms| find(&log, KeyQuery { begin_ms, end_ms, ..query("orders", "even") });
    assert_eq!(between(now - 290, now - 230), ["m10", "m12", "m14", "m16"]);
    assert_eq!(between(now - 289, now - 231), ["m12", "m14"]);
    assert_eq!(between(now - 290, now - 290), ["m10"]);
    assert_eq!(between(now - 10, i64::MAX), ["m38"]);
    assert_eq!(between(i64::MIN, now - 390), ["m0"]);
    assert_eq!(between(now + 1, i64::MAX), [""; 0]);
    assert_eq!(between(now, now - 100), [""; 0], "no time is in this range");
    let outcome = log.query(query("orders", "none")).unwrap();
    assert_eq!((outcome.last_timestamp, outcome.end), (now, log.physical_bounds().max));
}

#[test]
fn a_hash_that_fits_is_not_enough() {
    let (log, _, _) = manual(|_| {});
    // Both are indexed as `a#b#c`.
    log.put(Message::new("a", 0, "first").keys("b#c")).unwrap();
    log.put(Message::new("a#b", 0, "second").keys("c")).unwrap();
    // These have one CRC-32C.
    let (one, other) = ("order-143209-072071", "order-202163-928797");
    assert_eq!(crc32c::crc32c(one.as_bytes()), crc32c::crc32c(other.as_bytes()));
    log.put(Message::new("orders", 0, "third").keys(one)).unwrap();
    assert_eq!(find(&log, query("orders", one)), ["third"]);
    assert_eq!(find(&log, query("orders", other)), [""; 0]);
    assert_eq!(find(&log, query("a", "b#c")), ["first"]);
    assert_eq!(find(&log, query("a#b", "c")), ["second"]);
}

#[test]
fn a_key_that_is_named_twice_finds_its_message_once() {
    let (log, _, disk) = manual(|options| options.segment_bytes = 300);
    for body in ["old", "new"] {
        log.put(Message::new("orders", 0, body).keys("x y x  x").unique("x")).unwrap();
        log.put(Message::new("orders", 0, "a filler that closes the segment, because it is long enough"))
            .unwrap();
    }
    assert_eq!(find(&log, query("orders", "x")), ["old", "new"]);
    log.turn();
    assert!(!key_files(&disk).is_empty());
    assert_eq!(find(&log, query("orders", "x")), ["old", "new"]);
}

#[test]
fn what_has_no_place_in_a_queue_is_not_found() {
    let (log, _, _) = manual(|_| {});
    for (sys_flag, body) in [(0x4, "prepared"), (0x8, "committed"), (0xC, "rolled back")] {
        let message = Message { sys_flag, ..Message::new("orders", 0, body).keys("x") };
        log.put(message).unwrap();
    }
    assert_eq!(find(&log, query("orders", "x")), ["committed"]);
}

#[test]
fn the_first_64_keys_of_a_message_count() {
    let (log, _, _) = manual(|_| {});
    let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    log.put(Message::new("orders", 0, "m").keys(&keys.join(" "))).unwrap();
    assert_eq!(find(&log, query("orders", "k63")), ["m"]);
    assert_eq!(find(&log, query("orders", "k64")), [""; 0]);
}

fn restart(disk: &SimulatedDisk) -> Log {
    let mut options = StoreOptions::new(Path::new("/store"));
    options.drive = Drive::Manual;
    options.min_free_bytes = 0;
    options.segment_bytes = 1000;
    options.tail_cache_bytes = 0;
    let clock = Arc::new(ManualClock::new(2_000_000));
    open(Arc::new(disk.clone()), clock, Arc::new(()), options).unwrap().0
}

#[test]
fn key_files_that_are_missing_are_made_one_by_one_or_when_they_are_needed() {
    let (log, _, disk) = filled(40);
    log.close().unwrap();
    drop(log);
    let files = key_files(&disk);
    files.iter().for_each(|file| disk.destroy(file));
    let log = restart(&disk);
    assert_eq!(key_files(&disk).len(), 0, "the start does not wait for them");
    log.turn();
    assert_eq!(key_files(&disk), files[..1]);
    let (third, bytes) = (&files[2], disk.contents(&files[0]));
    assert_eq!(find(&log, query("orders", "k-0")), ["m0"]);
    assert!(disk.contents(third).is_some(), "a query that goes past a segment makes its file");
    assert_eq!(disk.contents(&files[0]), bytes);
}

#[test]
fn any_damage_of_a_key_file_is_repaired_and_changes_no_answer() {
    let (log, _, disk) = filled(20);
    log.close().unwrap();
    drop(log);
    let expected: Vec<_> = ["k-0", "even", "odd", "U-7", "k-99"]
        .map(|key| find(&restart(&disk.fork(0)), query("orders", key)))
        .into();
    let file = key_files(&disk).remove(0);
    let good = disk.contents(&file).unwrap();
    let other = disk.contents(&key_files(&disk)[1]).unwrap();
    let mut bad_ones: Vec<Vec<u8>> = vec![other, vec![0; good.len()]];
    for at in 0..good.len() {
        bad_ones.push(good[..at].to_vec());
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        bad_ones.push(flipped);
    }
    let mut repaired = 0;
    for bad in bad_ones {
        let harmed = disk.fork(0);
        harmed.replace(&file, bad);
        let log = restart(&harmed);
        let found = ["k-0", "even", "odd", "U-7", "k-99"].map(|key| find(&log, query("orders", key)));
        assert_eq!(found.as_slice(), expected);
        repaired += usize::from(harmed.contents(&file).unwrap() == good);
    }
    assert!(repaired > good.len(), "cut files and most flipped ones: {repaired}");
}

#[test]
fn a_key_file_of_another_log_is_found_out_by_the_records_that_it_leads_to() {
    // Two logs of the same length, in which the records begin at other places.
    let log_of = |bodies: [&str; 2]| {
        let (log, _, disk) = manual(|options| options.segment_bytes = 400);
        for (n, body) in bodies.into_iter().enumerate() {
            log.put(Message::new("orders", 0, body).keys(&format!("k-{n} all"))).unwrap();
        }
        log.put(Message::new("orders", 0, &"-".repeat(300))).unwrap();
        log.close().unwrap();
        disk
    };
    let (disk, other) = (log_of(["short", "a longer one"]), log_of(["a longer one", "short"]));
    let [file] = &key_files(&disk)[..] else { panic!("one segment is closed") };
    let (good, stale) = (disk.contents(file).unwrap(), other.contents(file).unwrap());
    assert!(good != stale && good.len() == stale.len());
    disk.replace(file, stale);
    let log = restart(&disk);
    assert_eq!(find(&log, query("orders", "k-1")), ["a longer one"]);
    assert_eq!(find(&log, query("orders", "all")), ["short", "a longer one"]);
    assert_eq!(disk.contents(file).unwrap(), good);
}

/// A key file whose checksums fit and that lacks keys: no query can know, `check` does.
#[test]
fn a_key_file_that_lacks_keys_is_found_by_a_check_and_made_again_after_a_repair() {
    let closed = |name: &str| {
        let (log, _, disk) = manual(|options| options.segment_bytes = 1000);
        for n in 0..20 {
            let body = format!("m{n}");
            log.put(Message::new("orders", 0, &body).keys(&format!("{name}-{n} all"))).unwrap();
        }
        log.close().unwrap();
        disk.kill();
        disk
    };
    let (disk, other) = (closed("k"), closed("x"));
    let check = |disk: &SimulatedDisk| tools::check(disk, Path::new("/store")).unwrap();
    let sound = check(&disk);
    assert!(sound.findings.is_empty() && sound.remarks.is_empty(), "{sound:?}");
    assert_eq!(sound.key_files, key_files(&disk).len());
    for file in key_files(&disk) {
        let good = disk.contents(&file).unwrap();
        let harmed = disk.fork(1);
        harmed.replace(&file, other.contents(&file).unwrap());
        let report = check(&harmed);
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!((&finding.file, finding.kind), (&file, FindingKind::Index));
        assert_eq!(report.key_files, sound.key_files - 1);
        // This is what it is good for.
        let lost = find(&restart(&harmed.fork(2)), query("orders", "all")).len();
        let missed = (0..20)
            .filter(|n| find(&restart(&harmed.fork(2)), query("orders", &format!("k-{n}"))).is_empty());
        assert!(missed.count() > 0 && lost == 20, "the queries miss what the file does not name");
        tools::repair(Arc::new(harmed.clone()), Path::new("/store")).unwrap();
        assert!(check(&harmed).findings.is_empty());
        let log = restart(&harmed);
        for n in 0..20 {
            assert_eq!(find(&log, query("orders", &format!("k-{n}"))), [format!("m{n}")]);
        }
        assert_eq!(harmed.contents(&file).unwrap(), good, "made again");
        // What a crash may have torn is worth a remark.
        for torn in [good[..good.len() / 2].to_vec(), vec![0; good.len()], [&good[..], &[0]].concat()] {
            let harmed = disk.fork(3);
            harmed.replace(&file, torn);
            let report = check(&harmed);
            assert!(report.findings.is_empty() && report.remarks.len() == 1, "{report:?}");
        }
    }
}

#[test]
fn without_room_for_a_key_file_its_segment_is_read() {
    let (log, _, disk) = filled(40);
    log.close().unwrap();
    drop(log);
    key_files(&disk).iter().for_each(|file| disk.destroy(file));
    let log = restart(&disk);
    disk.set_capacity(disk.used());
    assert_eq!(find(&log, query("orders", "k-0")), ["m0"]);
    assert_eq!(find(&log, query("orders", "odd")).len(), 20);
    let size = |path: &PathBuf| disk.contents(path).unwrap().len();
    assert!(key_files(&disk).iter().all(|path| size(path) == 0), "there was no room for any");
}

#[test]
fn a_damaged_segment_without_a_key_file_is_an_error_that_names_it() {
    let (log, _, disk) = filled(40);
    log.close().unwrap();
    drop(log);
    disk.destroy(&key_files(&disk)[0]);
    let log = restart(&disk);
    let segment = Path::new("/store/log/00000000000000000000");
    let mut bytes = disk.contents(segment).unwrap();
    bytes[60] ^= 1;
    disk.replace(segment, bytes);
    let error = log.query(query("orders", "k-0")).unwrap_err();
    assert!(error.to_string().contains("00000000000000000000 is damaged at byte 0"), "{error}");
}

#[test]
fn retention_takes_the_key_files_along() {
    let (log, clock, disk) = filled(40);
    let before = key_files(&disk);
    clock.advance(Duration::from_secs(4 * 24 * 3600));
    log.put(Message::new("orders", 0, "young").keys("even")).unwrap();
    assert!(log.retain(clock.wall_ms()).unwrap().segments > 2);
    for file in before.iter().take(3) {
        assert!(disk.contents(file).is_none(), "{}", file.display());
    }
    assert_eq!(find(&log, query("orders", "k-0")), [""; 0]);
    assert_eq!(find(&log, query("orders", "even")).last().unwrap(), "young");
    drop(log);
    disk.replace(&before[0], b"left by a crash".to_vec());
    let log = restart(&disk);
    assert!(disk.contents(&before[0]).is_none());
    assert_eq!(find(&log, query("orders", "even")).last().unwrap(), "young");
}

#[derive(Debug, Clone)]
enum Step {
    Append { topic: bool, queue: u32, keys: Vec<u8>, size: usize },
    Wait(u64),
    Turn,
    Delete(bool),
    Retain,
    Reopen { is_clean: bool },
    Harm { which: usize, how: u8 },
    Query { topic: bool, key: u8, begin: i64, length: i64, max: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = (any::<bool>(), 0..2_u32, prop::collection::vec(0..5_u8, 0..4), 0..200_usize)
        .prop_map(|(topic, queue, keys, size)| Step::Append { topic, queue, keys, size });
    let query = (any::<bool>(), 0..5_u8, -10..3000_i64, 0..3000_i64, 0..6_usize)
        .prop_map(|(topic, key, begin, length, max)| Step::Query { topic, key, begin, length, max });
    let step = prop_oneof![
        12 => append,
        4 => (0..200_u64).prop_map(Step::Wait),
        6 => query,
        2 => Just(Step::Turn),
        1 => any::<bool>().prop_map(Step::Delete),
        1 => Just(Step::Retain),
        1 => any::<bool>().prop_map(|is_clean| Step::Reopen { is_clean }),
        1 => (0..8_usize, 0..3_u8).prop_map(|(which, how)| Step::Harm { which, how }),
    ];
    prop::collection::vec(step, 1..80)
}

/// A record as the model knows it.
struct Known {
    topic: &'static str,
    keys: Vec<u8>,
    body: String,
    time: i64,
    physical: i64,
    is_alive: bool,
}

struct Pair {
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
    options: StoreOptions,
    log: Log,
    known: Vec<Known>,
}

fn topic_name(topic: bool) -> &'static str {
    if topic { "orders" } else { "ord" }
}

impl Pair {
    fn new(segment_bytes: u64) -> Self {
        let mut options = StoreOptions::new(Path::new("/store"));
        options.drive = Drive::Manual;
        options.min_free_bytes = 0;
        options.segment_bytes = segment_bytes;
        options.frame_bytes = 400;
        options.tail_cache_bytes = 300;
        options.retention = Duration::from_millis(1500);
        let (disk, clock) = (SimulatedDisk::new(1), Arc::new(ManualClock::new(1000)));
        let (log, _) = open(Arc::new(disk.clone()), clock.clone(), Arc::new(()), options.clone()).unwrap();
        Self { disk, clock, options, log, known: Vec::new() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { topic, queue, keys, size } => self.append(topic_name(topic), queue, keys, size),
            Step::Wait(ms) => self.clock.advance(Duration::from_millis(ms)),
            Step::Turn => drop(self.log.turn()),
            Step::Delete(topic) => {
                self.log.delete_topic(topic_name(topic)).unwrap();
                let of_topic = self.known.iter_mut().filter(|known| known.topic == topic_name(topic));
                of_topic.for_each(|known| known.is_alive = false);
            }
            Step::Retain => {
                self.log.retain(self.clock.wall_ms()).unwrap();
                let start = self.log.physical_bounds().min;
                self.known.retain(|known| known.physical >= start);
            }
            Step::Reopen { is_clean } => {
                if is_clean {
                    self.log.close().unwrap();
                }
                self.disk.kill();
                let disk = Arc::new(self.disk.clone());
                self.log = open(disk, self.clock.clone(), Arc::new(()), self.options.clone()).unwrap().0;
            }
            Step::Harm { which, how } => self.harm(which, how),
            Step::Query { topic, key, begin, length, max } => {
                self.query(topic_name(topic), key, 1000 + begin, 1000 + begin + length, max);
            }
        }
    }

    fn append(&mut self, topic: &'static str, queue: u32, keys: Vec<u8>, size: usize) {
        let body = format!("{}{}", self.known.len(), "-".repeat(size));
        let text: Vec<String> = keys.iter().map(|key| format!("k{key}")).collect();
        let appended = self.log.put(Message::new(topic, queue, &body).keys(&text.join(" "))).unwrap();
        let (time, physical) = (appended.store_timestamp, appended.physical_offset);
        self.known.push(Known { topic, keys, body, time, physical, is_alive: true });
    }

    /// Takes away, cuts or spoils one of the key files.
    fn harm(&mut self, which: usize, how: u8) {
        let files = key_files(&self.disk);
        let Some(file) = files.get(which % files.len().max(1)) else { return };
        let mut bytes = self.disk.contents(file).unwrap();
        match how {
            0 => return self.disk.destroy(file),
            1 => bytes.truncate(bytes.len() / 2),
            _ => bytes.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x55),
        }
        self.disk.replace(file, bytes);
    }

    fn query(&self, topic: &'static str, key: u8, begin_ms: i64, end_ms: i64, max_messages: usize) {
        let name = format!("k{key}");
        let query = KeyQuery { topic, key: &name, begin_ms, end_ms, max_messages, max_bytes: 500 };
        let outcome = self.log.query(query).unwrap();
        let mut expected = Vec::new();
        let mut bytes = 0;
        for known in self.known.iter().rev() {
            let is_wanted = known.is_alive
                && known.topic == topic
                && known.keys.contains(&key)
                && (begin_ms..=end_ms).contains(&known.time);
            if !is_wanted || expected.len() == max_messages {
                continue;
            }
            let record = self.log.record_at(known.physical).unwrap().expect("it is alive");
            bytes += record.len();
            if bytes > 500 && !expected.is_empty() {
                break;
            }
            expected.push(known.body.clone());
        }
        expected.reverse();
        assert_eq!(text(&outcome.records), expected);
        assert_eq!(outcome.end, self.log.physical_bounds().max);
        let newest = self.known.iter().map(|known| known.time).max();
        assert!(newest.is_none_or(|newest| newest == outcome.last_timestamp));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_query_finds_what_a_look_at_every_record_finds(steps in steps(), segment_bytes in 300..2000_u64) {
        let mut pair = Pair::new(segment_bytes);
        for step in steps {
            pair.step(step);
        }
        for key in 0..5 {
            pair.query("orders", key, i64::MIN, i64::MAX, 64);
            pair.query("ord", key, i64::MIN, i64::MAX, 64);
        }
    }
}

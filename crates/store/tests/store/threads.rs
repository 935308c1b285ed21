//! The store with its own threads: several producers, a flusher and a writer at once, until the power is cut.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rocketwire_store::{Append, Flush, OnFull, StoreOptions, SystemClock, Wait};
use rocketwire_testkit::{Fault, ManualClock, Random, SimulatedDisk, for_each_seed, rounds};

use crate::support::{Log, Message, Waiter, open};

/// Seeds that have failed once.
const SEEDS: &str = include_str!("../seeds.txt");

fn start(disk: &SimulatedDisk, options: &StoreOptions) -> Log {
    open(Arc::new(disk.clone()), Arc::new(SystemClock::default()), Arc::new(()), options.clone()).unwrap().0
}

fn options() -> StoreOptions {
    let mut options = StoreOptions::new(Path::new("/store"));
    options.segment_bytes = 4000;
    options.frame_bytes = 1000;
    options.min_free_bytes = 0;
    options.tail_cache_bytes = 3000;
    options
}

/// Appends until one fails; offset and body of those that did not.
fn produce(log: &Log, queue_id: u32, mut random: Random) -> Vec<(i64, String)> {
    let mut acked = Vec::new();
    for n in 0..100_000 {
        let bodies: Vec<_> = (0..1 + random.below(6)).map(|at| format!("{n} {at}")).collect();
        let sent: Vec<_> = bodies
            .iter()
            .map(|body| log.send(&[Message::new("orders", queue_id, body)], Wait::Flush))
            .collect();
        for (answer, body) in sent.into_iter().zip(bodies) {
            match answer.recv_timeout(Duration::from_secs(30)).expect("every append is answered") {
                Ok(appended) => acked.push((appended.queue_offset, body)),
                Err(_) => return acked,
            }
        }
    }
    acked
}

/// One append after the other, each a little later than the one before: some come at the very moment at which the
/// writer has found nothing to do and goes to sleep.
#[test]
fn a_writer_that_goes_to_sleep_is_woken_by_the_work_that_came_meanwhile() {
    let log = crate::support::memory_store(|options| options.look = Duration::ZERO);
    let queue = log.queue("orders", 0);
    let records = Message::new("orders", 0, "body").record();
    let answered = Arc::new(AtomicU64::new(0));
    for n in 0..rounds(20_000) {
        // All is ready before the answer comes: who prepares something then is too late to meet the writer awake.
        let bell = answered.clone();
        let tell: Waiter = Box::new(move |_| {
            bell.fetch_add(1, Ordering::SeqCst);
        });
        let append = Append { queue, records: &records, wait: Wait::Flush };
        let since = std::time::Instant::now();
        while answered.load(Ordering::SeqCst) < n {
            assert!(since.elapsed() < Duration::from_secs(20), "append {} was never answered", n - 1);
            std::hint::spin_loop();
        }
        (0..n % 128).for_each(|_| std::hint::spin_loop());
        log.append(append, tell);
    }
}

/// Three producers until the power is cut at this operation; what was acknowledged to each, and the disk afterwards.
fn cut_off(seed: u64, at: u64, options: &StoreOptions) -> (Vec<Vec<(i64, String)>>, SimulatedDisk) {
    let disk = SimulatedDisk::new(seed);
    let log = start(&disk, options);
    disk.fail_at(disk.operations() + at, Fault::PowerCut);
    let acked = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..3)
            .map(|queue_id| {
                let log = &log;
                scope.spawn(move || produce(log, queue_id, Random::new(seed * 10 + u64::from(queue_id))))
            })
            .collect();
        producers.into_iter().map(|producer| producer.join().unwrap()).collect()
    });
    disk.power_cycle();
    (acked, disk)
}

#[test]
fn with_threads_a_cut_loses_nothing_that_was_acknowledged() {
    let mut total = 0;
    let is_whole = for_each_seed("threads", SEEDS, 60, |seed| {
        let (acked, disk) = cut_off(seed, 3 * (seed % 100) + 2, &options());
        let log = start(&disk, &options());
        for (queue_id, acked) in (0..3).zip(&acked) {
            let bodies = log.bodies("orders", queue_id);
            for (offset, body) in acked {
                let found = bodies.get(*offset as usize);
                assert_eq!(found, Some(body), "seed {seed}, queue {queue_id}, {offset}");
            }
            total += acked.len();
        }
    });
    assert!(!is_whole || total > 1000, "{total} were acknowledged");
}

/// A cut may take the end, and only that: nothing that is noted of the log speaks of more than what is flushed. Half of
/// the stores flush as soon as they can, which may leave next to nothing to lose; the other half rest in between.
#[test]
fn with_threads_and_async_flushes_a_cut_leaves_a_store_that_opens_without_its_end() {
    let (mut kept, mut lost) = (0, 0);
    let is_whole = for_each_seed("async_threads", SEEDS, 60, |seed| {
        let flush_interval = Duration::from_millis(5 * (seed % 2));
        let options = StoreOptions { flush: Flush::Async, flush_interval, ..options() };
        let (acked, disk) = cut_off(seed, 3 * (seed % 100) + 20, &options);
        let log = start(&disk, &options);
        for (queue_id, acked) in (0..3).zip(&acked) {
            let bodies = log.bodies("orders", queue_id);
            for (offset, body) in acked {
                match bodies.get(*offset as usize) {
                    Some(found) => assert_eq!(found, body, "seed {seed}, queue {queue_id}, {offset}"),
                    None => lost += 1,
                }
            }
            kept += bodies.len();
        }
    });
    assert!(!is_whole || (kept > 500 && lost > 50), "{kept} kept, {lost} lost");
}

#[test]
fn deleting_a_topic_while_others_append_and_the_disk_is_full_comes_to_an_end() {
    let disk = SimulatedDisk::new(1);
    // What is kept free is room for the small files that a deletion needs.
    let options = StoreOptions { min_free_bytes: 30_000, on_full: OnFull::DropOldest, ..options() };
    let log = start(&disk, &options);
    disk.set_capacity(86_000);
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            for _ in 0..60 {
                let waiting: Vec<_> =
                    (0..20).map(|_| log.send(&[Message::new("orders", 0, "body")], Wait::Flush)).collect();
                for answer in waiting {
                    // Refused while the disk is full and the writer makes space: what counts is the answer.
                    let _ = answer.recv_timeout(Duration::from_secs(30)).expect("every append is answered");
                }
            }
        });
        while !appending.is_finished() {
            log.put(Message::new("gone", 0, "body")).map(drop).unwrap_or_default();
            log.delete_topic("gone").unwrap();
            assert_eq!(log.bounds(log.queue("gone", 0)).max, 0);
        }
    });
    assert!(!log.is_poisoned());
    log.close().unwrap();
}

#[test]
fn an_idle_store_notes_what_is_durable_by_itself() {
    for flush in [Flush::Sync, Flush::Async] {
        let disk = SimulatedDisk::new(1);
        let options = StoreOptions { flush, flush_interval: Duration::from_millis(20), ..options() };
        let log = start(&disk, &options);
        log.put(Message::new("orders", 0, "body")).unwrap();
        let before = std::time::Instant::now();
        let checkpoint = || disk.contents(Path::new("/store/checkpoint")).unwrap_or_default();
        while checkpoint().is_empty() {
            assert!(before.elapsed() < Duration::from_secs(30), "the checkpoint is written");
            std::thread::sleep(Duration::from_millis(5));
        }
        // With the checkpoint, rot in the last group is known to be rot.
        disk.kill();
        let segment = Path::new("/store/log/00000000000000000000");
        let mut bytes = disk.contents(segment).unwrap();
        bytes[40] ^= 1;
        disk.replace(segment, bytes);
        let opened = open(Arc::new(disk), Arc::new(SystemClock::default()), Arc::new(()), options);
        assert!(opened.is_err());
    }
}

/// Index and key files are made in between: they do not put the next flush off.
#[test]
fn an_async_flush_comes_when_it_is_due_whatever_the_flusher_does_meanwhile() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (disk, clock) = (SimulatedDisk::new(1), Arc::new(ManualClock::new(1_000_000)));
    let options =
        StoreOptions { flush: Flush::Async, flush_interval: HOUR, look: Duration::ZERO, ..options() };
    let start = || open(Arc::new(disk.clone()), clock.clone(), Arc::new(()), options.clone()).unwrap().0;
    let wait_for = |what: &str, is_there: &dyn Fn() -> bool| {
        let before = std::time::Instant::now();
        while !is_there() {
            assert!(before.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    // So many that segments are full.
    let fill = |log: &Log| {
        for _ in 0..60 {
            log.put(Message::new("orders", 0, "body")).unwrap();
        }
    };
    let has_last_key_file = || {
        let segments = disk.paths().into_iter().filter(|path| path.starts_with("/store/log"));
        let closed = segments.rev().nth(1).expect("some are full");
        let name = Path::new("/store/index").join(closed.file_name().unwrap()).with_extension("key");
        disk.contents(&name).is_some()
    };
    let log = start();
    fill(&log);
    log.close().unwrap();
    for key_file in disk.paths().iter().filter(|path| path.extension().is_some_and(|kind| kind == "key")) {
        disk.destroy(key_file);
    }
    let log = start();
    wait_for("the flusher has looked once, so its next flush is due in an hour", &has_last_key_file);
    clock.advance(HOUR - Duration::from_millis(1));
    fill(&log);
    wait_for("the flusher has had work that is not the flush", &has_last_key_file);
    // Time for it to rest again.
    std::thread::sleep(Duration::from_millis(50));
    assert!(log.behind().flush > 0, "no flush is due");
    clock.advance(Duration::from_millis(1));
    wait_for("the log is flushed", &|| log.behind().flush == 0);
}

//! The store with its own threads: several producers, a flusher and a writer at once, until the power is cut.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rocketwire_store::{Flush, OnFull, StoreOptions, SystemClock, Wait};
use rocketwire_testkit::{Fault, Random, SimulatedDisk};

use crate::support::{Log, Message, open};

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

#[test]
fn with_threads_a_cut_loses_nothing_that_was_acknowledged() {
    let mut total = 0;
    for seed in 0..60 {
        let disk = SimulatedDisk::new(seed);
        let log = start(&disk, &options());
        disk.fail_at(disk.operations() + 3 * seed + 2, Fault::PowerCut);
        let acked: Vec<_> = std::thread::scope(|scope| {
            let producers: Vec<_> = (0..3)
                .map(|queue_id| {
                    let log = &log;
                    scope.spawn(move || produce(log, queue_id, Random::new(seed * 10 + u64::from(queue_id))))
                })
                .collect();
            producers.into_iter().map(|producer| producer.join().unwrap()).collect()
        });
        disk.power_cycle();
        drop(log);
        let log = start(&disk, &options());
        for (queue_id, acked) in (0..3).zip(&acked) {
            let bodies = log.bodies("orders", queue_id);
            for (offset, body) in acked {
                assert_eq!(
                    bodies.get(*offset as usize),
                    Some(body),
                    "seed {seed}, queue {queue_id}, {offset}"
                );
            }
            total += acked.len();
        }
    }
    assert!(total > 1000, "{total} were acknowledged");
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

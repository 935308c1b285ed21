//! Appends that wait for the end of their caller's turn, and are written by the caller where that is quick.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use rocketwire_store::{Append, Drive, Flush, MemoryStorage, StoreOptions, SystemClock, Wait};
use rocketwire_testkit::ManualClock;

use crate::support::{Answer, Log, Message, Waiter, open};

/// Its offset, or the failure, and the thread that told it.
type Told = mpsc::Receiver<(Answer, ThreadId)>;

fn hold(log: &Log, queue_id: u32, body: &str) -> Told {
    let (sender, told) = mpsc::channel();
    let tell: Waiter =
        Box::new(move |answer| sender.send((answer, thread::current().id())).unwrap_or_default());
    let records = Message::new("orders", queue_id, body).record();
    let append = Append { queue: log.queue("orders", queue_id), records: &records, wait: Wait::Flush };
    log.append_held(append, tell);
    told
}

/// A store that does nothing by itself, whose disk was looked at just now.
fn still(flush: Flush, segment_bytes: u64) -> Log {
    let mut options = StoreOptions::new(Path::new("/store"));
    (options.flush, options.segment_bytes, options.drive) = (flush, segment_bytes, Drive::Manual);
    let clock = Arc::new(ManualClock::new(1_000));
    let log = open(Arc::new(MemoryStorage::new()), clock, Arc::new(()), options).unwrap().0;
    log.turn();
    log
}

#[test]
fn with_async_flushes_what_is_held_is_written_and_answered_by_who_says_so() {
    let log = still(Flush::Async, 1 << 20);
    let (first, second) = (hold(&log, 0, "one"), hold(&log, 0, "two"));
    assert!(first.try_recv().is_err(), "nobody writes it before its turn ends");
    log.write_held();
    for (told, offset) in [(first, 0), (second, 1)] {
        let (answer, by) = told.try_recv().expect("it is written");
        assert_eq!((answer.unwrap().queue_offset, by), (offset, thread::current().id()));
    }
    assert_eq!(log.bodies("orders", 0), ["one", "two"]);
    log.write_held();
}

#[test]
fn what_could_wait_for_the_disk_is_left_to_the_writer() {
    // A flush, and the file that follows one that is full.
    for (flush, segment_bytes) in [(Flush::Sync, 1 << 20), (Flush::Async, 100)] {
        let log = still(flush, segment_bytes);
        let told = hold(&log, 0, "one");
        log.write_held();
        assert!(told.try_recv().is_err(), "{flush:?}");
        log.turn();
        assert!(told.try_recv().unwrap().0.is_ok());
    }
}

#[test]
fn whatever_threads_append_and_write_at_once_everything_is_answered() {
    let mut options = StoreOptions::new(Path::new("/store"));
    (options.flush, options.look) = (Flush::Async, Duration::ZERO);
    // Segments end now and then: the writer's thread has its part.
    (options.segment_bytes, options.min_free_bytes) = (40_000, 1 << 20);
    let log = open(Arc::new(MemoryStorage::new()), Arc::new(SystemClock::default()), Arc::new(()), options)
        .unwrap()
        .0;
    let in_place = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|queue_id| {
                let log = &log;
                scope.spawn(move || {
                    let mut in_place = 0;
                    for turn in 0..500 {
                        let told: Vec<_> =
                            (0..1 + turn % 5).map(|n| hold(log, queue_id, &format!("{turn} {n}"))).collect();
                        log.write_held();
                        for told in told {
                            let (answer, by) =
                                told.recv_timeout(Duration::from_secs(30)).expect("every append is answered");
                            answer.unwrap();
                            in_place += u32::from(by == thread::current().id());
                        }
                    }
                    in_place
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>()
    });
    for queue_id in 0..4 {
        let expected: Vec<_> =
            (0..500).flat_map(|turn| (0..1 + turn % 5).map(move |n| format!("{turn} {n}"))).collect();
        assert_eq!(log.bodies("orders", queue_id), expected);
    }
    assert!(in_place > 0, "nothing was written in place");
}

#[test]
fn what_comes_while_someone_writes_is_not_forgotten() {
    let mut options = StoreOptions::new(Path::new("/store"));
    (options.flush, options.look) = (Flush::Async, Duration::ZERO);
    let log = open(Arc::new(MemoryStorage::new()), Arc::new(SystemClock::default()), Arc::new(()), options)
        .unwrap()
        .0;
    let (sender, late) = mpsc::channel();
    let other = log.clone();
    // Told in the middle of a write: another thread's turn ends then and there.
    let meanwhile: Waiter = Box::new(move |_| {
        let told = thread::spawn(move || {
            let told = hold(&other, 0, "late");
            other.write_held();
            told
        });
        sender.send(told.join().unwrap()).unwrap();
    });
    let records = Message::new("orders", 0, "early").record();
    log.append_held(
        Append { queue: log.queue("orders", 0), records: &records, wait: Wait::Flush },
        meanwhile,
    );
    log.write_held();
    let told = late.recv_timeout(Duration::from_secs(30)).unwrap();
    told.recv_timeout(Duration::from_secs(30)).expect("the writer's thread was woken for it").0.unwrap();
}

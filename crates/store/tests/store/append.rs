//! What an append is answered, and when.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocketwire_store::{
    AppendError, Arrival, Bounds, Drive, Events, Flush, MemoryStorage, OnFull, OpenError, ReadLimits,
    ReadStatus, RealStorage, Storage, StoreOptions, SystemClock, Wait,
};
use rocketwire_testkit::{Fault, ManualClock, SimulatedDisk};

use crate::support::{Log, Message, all, i64_at, memory_store, open, records, text};

#[test]
fn records_come_back_in_order_with_dense_offsets() {
    for flush in [Flush::Sync, Flush::Async] {
        let store = memory_store(|options| options.flush = flush);
        let queue = store.queue("orders", 3);
        for n in 0..10 {
            let appended = store.put(Message::new("orders", 3, &format!("m{n}"))).unwrap();
            assert_eq!(appended.queue_offset, n);
        }
        assert_eq!(store.bounds(queue), Bounds { min: 0, max: 10 });
        let found = store.read(queue, 4, ReadLimits::for_pull(32), &mut all).unwrap();
        assert_eq!((found.status, found.next_offset, found.count), (ReadStatus::Found, 10, 6));
        assert_eq!(text(&found.records), ["m4", "m5", "m6", "m7", "m8", "m9"]);
        store.close().unwrap();
    }
}

#[test]
fn the_three_fields_of_the_log_are_filled_in_for_every_kind_of_host() {
    let store = memory_store(|_| {});
    for (n, sys_flag) in [0, 0x10, 0x20, 0x30].into_iter().enumerate() {
        let message = Message { sys_flag, ..Message::new("orders", 0, "body") };
        let appended = store.put(message).unwrap();
        let record = store.record_at(appended.physical_offset).unwrap().expect("it is there");
        assert_eq!(i64_at(&record, 20), n as i64);
        assert_eq!(i64_at(&record, 28), appended.physical_offset);
        let timestamp_at = if sys_flag & 0x10 == 0 { 56 } else { 68 };
        assert_eq!(i64_at(&record, timestamp_at), appended.store_timestamp);
        // Nothing else was touched.
        let mut expected = message.record();
        for at in [20, 28, timestamp_at] {
            expected[at..at + 8].copy_from_slice(&record[at..at + 8]);
        }
        assert_eq!(record, expected);
    }
}

#[test]
fn a_batch_gets_consecutive_offsets_and_one_answer() {
    let store = memory_store(|_| {});
    let bodies = ["a", "b", "c"].map(|body| Message::new("orders", 0, body));
    store.put(Message::new("orders", 0, "before")).unwrap();
    let appended = store.put_all(&bodies, Wait::Flush).unwrap();
    assert_eq!(appended.queue_offset, 1);
    assert_eq!(store.bodies("orders", 0), ["before", "a", "b", "c"]);
}

// spec: broker D.2 rule 2: a prepared or rolled back record is in the log and in no queue
#[test]
fn a_prepared_record_has_no_place_in_its_queue() {
    let store = memory_store(|_| {});
    for sys_flag in [0x4, 0xC] {
        let appended = store.put(Message { sys_flag, ..Message::new("orders", 0, "half") }).unwrap();
        assert!(appended.physical_offset > 0);
    }
    let committed = store.put(Message { sys_flag: 0x8, ..Message::new("orders", 0, "committed") }).unwrap();
    assert_eq!(committed.queue_offset, 0);
    assert_eq!(store.bodies("orders", 0), ["committed"]);
}

#[test]
fn what_is_not_a_record_of_the_queue_is_refused_and_leaves_no_trace() {
    let store = memory_store(|_| {});
    let queue = store.queue("orders", 0);
    let good = Message::new("orders", 0, "body").record();
    let other_topic = Message::new("other", 0, "body").record();
    let other_queue = Message::new("orders", 1, "body").record();
    let mut bad_magic = good.clone();
    bad_magic[4] ^= 1;
    let mut bad_length = good.clone();
    bad_length[87] += 1;
    let batch = [good.clone(), other_topic.clone()].concat();
    let trailing = [good.clone(), vec![0; 3]].concat();
    let cases = [
        &[][..],
        &good[..50],
        &good[..good.len() - 1],
        &other_topic,
        &other_queue,
        &bad_magic,
        &bad_length,
        &batch,
        &trailing,
    ];
    for (case, records) in cases.into_iter().enumerate() {
        let receiver = store.send_raw(queue, records, Wait::Flush);
        assert!(matches!(receiver.try_recv(), Ok(Err(AppendError::Malformed { .. }))), "case {case}");
    }
    assert_eq!(store.put(Message::new("orders", 0, "first")).unwrap().queue_offset, 0);
}

#[test]
fn more_than_may_be_pending_is_refused_at_once_and_a_big_one_is_not() {
    let (log, _clock, _disk) = manual(|options| options.max_pending_bytes = 1000);
    let big = "x".repeat(5000);
    let mut answers = vec![log.send(&[Message::new("orders", 0, &big)], Wait::Flush)];
    let refused = log.send(&[Message::new("orders", 0, "one more")], Wait::Flush);
    assert!(matches!(refused.try_recv(), Ok(Err(AppendError::Busy { limit: 1000, .. }))));
    log.turn();
    answers.push(log.send(&[Message::new("orders", 0, "now")], Wait::Flush));
    log.turn();
    for answer in answers {
        answer.try_recv().unwrap().unwrap();
    }
    assert_eq!(log.bodies("orders", 0), [&big[..], "now"]);
}

// spec: client 163
#[test]
fn wait_false_is_answered_before_the_flush_and_read_only_after_it() {
    let (log, _clock, disk) = manual(|_| {});
    log.put(Message::new("orders", 0, "zero")).unwrap();
    let waiting = log.send(&[Message::new("orders", 0, "flush")], Wait::Flush);
    let written = log.send(&[Message::new("orders", 0, "write")], Wait::Write);
    // The write goes through, the flush behind it does not.
    disk.fail_at(disk.operations() + 1, Fault::Eio);
    log.turn();
    assert_eq!(written.try_recv().unwrap().unwrap().queue_offset, 2);
    assert!(matches!(waiting.try_recv().unwrap(), Err(AppendError::Io { .. })));
    assert_eq!(log.bodies("orders", 0), ["zero"], "what is not durable is not read");
}

// spec: client 164
#[test]
fn a_stuck_flush_is_answered_after_its_timeout_and_the_message_is_delivered() {
    let (log, clock, _disk) = manual(|options| options.flush_timeout = Duration::from_secs(5));
    let answer = log.send(&[Message::new("orders", 0, "late")], Wait::Flush);
    clock.advance(Duration::from_millis(4999));
    assert_eq!(log.expire_waits(), 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(log.expire_waits(), 1);
    let appended = answer.try_recv().unwrap().unwrap();
    assert!(appended.flush_timeout);
    assert!(answer.try_recv().is_err(), "it is answered once");
    log.turn();
    assert_eq!(log.bodies("orders", 0), ["late"]);
    assert!(answer.try_recv().is_err(), "it is answered once");
}

#[test]
fn store_times_never_go_back_when_the_clock_does() {
    let (log, clock, disk) = manual(|_| {});
    clock.set_wall(5000);
    assert_eq!(log.put(Message::new("orders", 0, "a")).unwrap().store_timestamp, 5000);
    clock.set_wall(100);
    assert_eq!(log.put(Message::new("orders", 0, "b")).unwrap().store_timestamp, 5000);
    disk.kill();
    let (log, _) = open(Arc::new(disk.clone()), clock.clone(), Arc::new(()), options(|_| {})).unwrap();
    assert_eq!(log.put(Message::new("orders", 0, "c")).unwrap().store_timestamp, 5000);
    clock.set_wall(6000);
    assert_eq!(log.put(Message::new("orders", 0, "d")).unwrap().store_timestamp, 6000);
}

#[test]
fn arrivals_are_told_when_they_can_be_read() {
    #[derive(Default)]
    struct Seen {
        log: Mutex<Option<Log>>,
        arrivals: Mutex<Vec<(Arrival, bool)>>,
    }
    impl Events for Seen {
        fn arrived(&self, arrivals: &[Arrival]) {
            let log = self.log.lock().unwrap().clone().unwrap();
            for arrival in arrivals {
                let is_readable = log.bounds(arrival.queue).max >= arrival.next_offset
                    && log.record_at(arrival.physical_offset).unwrap().is_some();
                self.arrivals.lock().unwrap().push((*arrival, is_readable));
            }
        }
    }
    let seen = Arc::new(Seen::default());
    let storage = Arc::new(MemoryStorage::new());
    let manual = Arc::new(ManualClock::new(1));
    let (log, _) = open(storage, manual, seen.clone(), options(|_| {})).unwrap();
    *seen.log.lock().unwrap() = Some(log.clone());
    log.put_all(&[Message::new("orders", 0, "a").tags("TagA"), Message::new("orders", 0, "b")], Wait::Flush)
        .unwrap();
    log.put(Message { sys_flag: 4, ..Message::new("orders", 0, "prepared") }).unwrap();
    let arrivals = std::mem::take(&mut *seen.arrivals.lock().unwrap());
    let seen_as: Vec<_> =
        arrivals.iter().map(|(a, readable)| (a.next_offset, a.tags_code, *readable)).collect();
    assert_eq!(seen_as, [(1, 2_598_919, true), (2, 0, true)]);
    *seen.log.lock().unwrap() = None;
}

#[test]
fn many_threads_share_groups_and_every_append_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(dir.path().join("store"));
    options.segment_bytes = 20_000;
    options.min_free_bytes = 0;
    let opened = open(Arc::new(RealStorage), Arc::new(SystemClock::default()), Arc::new(()), options.clone());
    let log = opened.unwrap().0;
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for queue_id in 0..4 {
            let (log, answered) = (log.clone(), &answered);
            scope.spawn(move || {
                let mut waiting = Vec::new();
                for n in 0..250 {
                    waiting.push(
                        log.send(
                            &[Message::new("orders", queue_id, &format!("{queue_id} {n}"))],
                            Wait::Flush,
                        ),
                    );
                    if n % 7 == 0 {
                        for answer in waiting.drain(..) {
                            answer.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                for answer in waiting {
                    answer.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(answered.into_inner(), 1000);
    let expected = |queue_id| (0..250).map(|n| format!("{queue_id} {n}")).collect::<Vec<_>>();
    for queue_id in 0..4 {
        assert_eq!(log.bodies("orders", queue_id), expected(queue_id));
    }
    log.close().unwrap();
    drop(log);
    // The real file system gives the same back to the next process.
    let (log, report) =
        open(Arc::new(RealStorage), Arc::new(SystemClock::default()), Arc::new(()), options).unwrap();
    assert!(report.segments > 3 && report.torn_tail.is_none(), "{report:?}");
    assert!(report.records < 1000, "closed segments are not read again: {report:?}");
    for queue_id in 0..4 {
        assert_eq!(log.bodies("orders", queue_id), expected(queue_id));
        assert_eq!(log.put(Message::new("orders", queue_id, "next")).unwrap().queue_offset, 250);
    }
}

#[test]
fn async_appends_become_durable_by_themselves() {
    let (log, clock, disk) = manual(|options| options.flush = Flush::Async);
    log.put(Message::new("orders", 0, "a")).unwrap();
    clock.advance(Duration::from_millis(501));
    log.turn();
    disk.power_cycle();
    let (log, _) = open(Arc::new(disk), clock, Arc::new(()), options(|_| {})).unwrap();
    assert_eq!(log.bodies("orders", 0), ["a"]);
}

#[test]
fn closing_answers_what_is_pending_and_refuses_what_comes() {
    let (log, _clock, _disk) = manual(|_| {});
    let pending = log.send(&[Message::new("orders", 0, "pending")], Wait::Flush);
    log.close().unwrap();
    assert_eq!(pending.try_recv().unwrap().unwrap().queue_offset, 0);
    assert_eq!(log.put(Message::new("orders", 0, "late")), Err(AppendError::Closed));
    log.close().unwrap();
}

#[test]
fn a_store_in_use_is_not_opened_twice() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(dir.path());
    let again =
        || open(Arc::new(RealStorage), Arc::new(SystemClock::default()), Arc::new(()), options.clone());
    let (log, _) = again().unwrap();
    match again().map(drop) {
        Err(error @ OpenError::Locked { .. }) => {
            assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // Dropping the last handle is enough.
    drop(log);
    again().unwrap();
}

#[test]
fn a_failed_flush_poisons_for_good_and_reads_go_on() {
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);
    impl Events for Told {
        fn arrived(&self, _: &[Arrival]) {}
        fn poisoned(&self, error: &str) {
            self.0.lock().unwrap().push(error.to_owned());
        }
    }
    let (disk, clock, told) =
        (SimulatedDisk::new(0), Arc::new(ManualClock::new(1)), Arc::new(Told::default()));
    let (log, _) = open(Arc::new(disk.clone()), clock, told.clone(), options(|_| {})).unwrap();
    log.put(Message::new("orders", 0, "good")).unwrap();
    disk.fail_at(disk.operations() + 1, Fault::Eio);
    match log.put(Message::new("orders", 0, "unknown")) {
        Err(AppendError::Io { error }) => {
            assert!(error.contains("flush") && error.contains("os error 5"), "{error}")
        }
        other => panic!("{other:?}"),
    }
    let operations = disk.operations();
    for _ in 0..3 {
        assert!(matches!(log.put(Message::new("orders", 0, "late")), Err(AppendError::Poisoned { .. })));
    }
    assert!(log.flush().is_err() && log.delete_topic("orders").is_err());
    assert_eq!(disk.operations(), operations, "nothing is tried on the disk any more");
    assert_eq!(told.0.lock().unwrap().len(), 1);
    assert!(log.is_poisoned());
    assert_eq!(log.bodies("orders", 0), ["good"]);
}

#[test]
fn a_folder_that_is_deleted_under_the_store_takes_no_more() {
    let storage = MemoryStorage::new();
    let clock = Arc::new(ManualClock::new(1));
    let (log, _) = open(Arc::new(storage.clone()), clock.clone(), Arc::new(()), options(|_| {})).unwrap();
    log.put(Message::new("orders", 0, "good")).unwrap();
    storage.remove(Path::new("/store/log/00000000000000000000")).unwrap();
    clock.advance(Duration::from_secs(1));
    match log.put(Message::new("orders", 0, "into nothing")) {
        Err(AppendError::Io { error }) => {
            assert!(error.contains("/store/log/00000000000000000000 is gone"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(log.is_poisoned());
    assert!(matches!(log.put(Message::new("orders", 0, "late")), Err(AppendError::Poisoned { .. })));
}

#[test]
fn a_failed_flush_in_the_background_refuses_what_comes_next() {
    let (log, clock, disk) = manual(|options| options.flush = Flush::Async);
    log.put(Message::new("orders", 0, "flushed")).unwrap();
    log.put(Message::new("orders", 0, "acknowledged")).unwrap();
    clock.advance(Duration::from_millis(501));
    disk.fail_at(disk.operations(), Fault::Eio);
    log.turn();
    assert!(log.is_poisoned());
    assert!(matches!(log.put(Message::new("orders", 0, "next")), Err(AppendError::Io { .. })));
    assert!(matches!(log.put(Message::new("orders", 0, "later")), Err(AppendError::Poisoned { .. })));
    assert_eq!(log.bodies("orders", 0), ["flushed", "acknowledged"]);
}

#[test]
fn a_full_disk_refuses_with_numbers_and_heals_by_itself() {
    let (log, clock, disk) = manual(|options| options.min_free_bytes = 5_000);
    disk.set_capacity(20_000);
    let body = "x".repeat(400);
    let mut stored = 0;
    let refusal = loop {
        clock.advance(Duration::from_secs(2));
        match log.put(Message::new("orders", 0, &body)) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    match &refusal {
        AppendError::DiskFull { path, free, limit: 5_000, setting: "min_free_bytes" } => {
            assert!(path == Path::new("/store") && *free < 5_000);
        }
        other => panic!("{other:?}"),
    }
    assert!(stored > 10 && !log.is_poisoned() && log.disk().is_full);
    assert_eq!(log.bodies("orders", 0).len(), stored, "reads go on");
    disk.set_capacity(100_000);
    clock.advance(Duration::from_secs(1));
    log.turn();
    log.put(Message::new("orders", 0, "again")).unwrap();
    assert!(!log.disk().is_full);
}

#[test]
fn a_full_disk_drops_the_oldest_only_when_told_to() {
    let (log, clock, disk) = manual(|options| {
        options.min_free_bytes = 5_000;
        options.segment_bytes = 2_000;
        options.on_full = OnFull::DropOldest;
    });
    disk.set_capacity(20_000);
    let body = "x".repeat(400);
    for _ in 0..200 {
        clock.advance(Duration::from_secs(2));
        log.put(Message::new("orders", 0, &body)).unwrap();
    }
    let bounds = log.bounds(log.queue("orders", 0));
    assert_eq!(bounds.max, 200);
    assert!((150..200).contains(&bounds.min), "{bounds:?}");
    assert_eq!(log.bodies("orders", 0).len() as i64, bounds.max - bounds.min);
}

#[test]
fn records_of_a_pull_in_one_group_are_not_copied() {
    let (log, _clock, _disk) = manual(|_| {});
    let batch: Vec<_> = (0..5).map(|_| Message::new("orders", 0, "body")).collect();
    log.put_all(&batch, Wait::Flush).unwrap();
    let read = || log.read(log.queue("orders", 0), 0, ReadLimits::for_pull(32), &mut all).unwrap().records;
    assert_eq!(read().as_ptr(), read().as_ptr(), "both are slices of the log in memory");
    assert_eq!(records(&read()).len(), 5);
}

pub fn options(change: impl FnOnce(&mut StoreOptions)) -> StoreOptions {
    let mut options = StoreOptions::new(Path::new("/store"));
    options.drive = Drive::Manual;
    options.min_free_bytes = 0;
    change(&mut options);
    options
}

/// A store on a simulated disk that writes when it is told to.
pub fn manual(change: impl FnOnce(&mut StoreOptions)) -> (Log, Arc<ManualClock>, SimulatedDisk) {
    let (disk, clock) = (SimulatedDisk::new(0), Arc::new(ManualClock::new(1000)));
    let (log, _) = open(Arc::new(disk.clone()), clock.clone(), Arc::new(()), options(change)).unwrap();
    (log, clock, disk)
}

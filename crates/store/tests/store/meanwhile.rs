//! What another thread may do while the store is in the middle of something.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rocketwire_store::{
    AppendError, Drive, Flush, MemoryStorage, ReadLimits, ReadStatus, Storage, StoreOptions, SystemClock,
    Wait,
};
use rocketwire_testkit::{ManualClock, SimulatedDisk, Step, WatchedDisk};

use crate::support::{Log, Message, all, open};

type Work = Box<dyn FnOnce() + Send>;

const PATIENCE: Duration = Duration::from_secs(30);

/// Files in memory that do something else first when a certain file is created.
#[derive(Clone, Default)]
struct Meanwhile {
    files: MemoryStorage,
    work: Arc<Mutex<Option<(&'static str, Work)>>>,
}

impl Meanwhile {
    /// Runs `work` once, before the file whose name ends so is created.
    fn when_created(&self, name: &'static str, work: impl FnOnce() + Send + 'static) {
        *self.work.lock().unwrap() = Some((name, Box::new(work)));
    }

    fn is_done(&self) -> bool {
        self.work.lock().unwrap().is_none()
    }

    fn disk(&self) -> WatchedDisk {
        let due = self.work.clone();
        WatchedDisk::new(self.files.clone(), move |step| {
            if let Step::Create(path) = step {
                let path = path.to_string_lossy();
                let work = due.lock().unwrap().take_if(|(name, _)| path.ends_with(*name));
                work.into_iter().for_each(|(_, work)| work());
            }
            Ok(())
        })
    }
}

/// A disk without power to rely on that does something else once, after the log was flushed.
fn after_flush(disk: &SimulatedDisk) -> (WatchedDisk, Arc<Mutex<Option<Work>>>) {
    let work: Arc<Mutex<Option<Work>>> = Arc::default();
    let due = work.clone();
    let disk = WatchedDisk::new(disk.clone(), move |step| {
        if let Step::Flushed(_) = step
            && step.is_in("log")
        {
            let work = due.lock().unwrap().take();
            work.into_iter().for_each(|work| work());
        }
        Ok(())
    });
    (disk, work)
}

fn options() -> StoreOptions {
    let mut options = StoreOptions::new(Path::new("/store"));
    options.drive = Drive::Manual;
    options.segment_bytes = 1000;
    options.frame_bytes = 300;
    options
}

fn start(storage: &Meanwhile, options: StoreOptions) -> Log {
    open(Arc::new(storage.disk()), Arc::new(SystemClock::default()), Arc::new(()), options).unwrap().0
}

/// What the next process finds.
fn restarted(storage: &Meanwhile) -> Log {
    start(&Meanwhile { files: storage.files.snapshot(), ..Meanwhile::default() }, options())
}

#[test]
fn a_queue_that_appears_while_its_topic_is_deleted_takes_nothing_until_that_is_done() {
    let storage = Meanwhile::default();
    let log = start(&storage, options());
    log.put(Message::new("orders", 0, "old")).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let other = log.clone();
    storage.when_created("log_origin.a.tmp", move || {
        tell.send(other.send(&[Message::new("orders", 7, "too early")], Wait::Flush)).unwrap();
    });
    log.delete_topic("orders").unwrap();
    assert!(storage.is_done());
    while log.turn() {}
    let answer = told.recv().unwrap().recv().unwrap();
    assert!(matches!(answer, Err(AppendError::Deleting { .. })), "{answer:?}");
    assert_eq!(log.put(Message::new("orders", 7, "new")).unwrap().queue_offset, 0);
    assert_eq!(log.bodies("orders", 7), ["new"]);
    assert_eq!(restarted(&storage).bodies("orders", 7), ["new"]);
}

#[test]
fn retention_leaves_segments_alone_that_the_writer_is_not_done_with() {
    let storage = Meanwhile::default();
    let log = start(&storage, StoreOptions { max_log_bytes: Some(0), ..options() });
    let answers: Vec<_> =
        (0..60).map(|n| log.send(&[Message::new("orders", 0, &format!("{n}"))], Wait::Flush)).collect();
    // The third file: the segment before it was filled by the same group, and nothing of it can be read yet.
    let other = log.clone();
    let again = storage.clone();
    storage.when_created("", move || {
        again.when_created("", move || {
            assert_eq!(other.retain(i64::MAX).unwrap().segments, 0);
        });
    });
    while log.turn() {}
    assert!(storage.is_done());
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.recv().unwrap().unwrap().queue_offset, n as i64);
    }
    let next = log.bounds(log.queue("orders", 0)).max;
    assert_eq!(next, 60);
    let log = restarted(&storage);
    assert_eq!(log.bounds(log.queue("orders", 0)).max, next);
}

/// The checkpoint is evidence: were it ahead of the flush, a power cut would leave a store that calls itself damaged.
#[test]
fn a_checkpoint_says_nothing_of_what_was_written_while_the_log_was_flushed() {
    let disk = SimulatedDisk::new(1);
    let (storage, work) = after_flush(&disk);
    let clock = Arc::new(ManualClock::new(1_000_000));
    let options = StoreOptions {
        drive: Drive::Threads,
        flush: Flush::Async,
        flush_interval: Duration::from_millis(1),
        look: Duration::ZERO,
        min_free_bytes: 0,
        ..options()
    };
    let (log, _) = open(Arc::new(storage), clock.clone(), Arc::new(()), options.clone()).unwrap();
    let other = log.clone();
    *work.lock().unwrap() = Some(Box::new(move || {
        other.put(Message::new("orders", 0, "written meanwhile")).unwrap();
    }));
    log.put(Message::new("orders", 0, "flushed")).unwrap();
    // The flusher's first look finds the record, or came too early: then one flush is due when the clock goes on.
    let since = std::time::Instant::now();
    let mut has_advanced = false;
    while disk.contents(Path::new("/store/checkpoint")).unwrap_or_default().is_empty() {
        if !has_advanced && since.elapsed() > Duration::from_millis(200) {
            clock.advance(Duration::from_millis(1));
            has_advanced = true;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "the checkpoint is written");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut lost = 0;
    for seed in 0..40 {
        let disk = disk.fork(seed);
        disk.power_cycle();
        let opened = open(Arc::new(disk), clock.clone(), Arc::new(()), options.clone());
        let (log, _) = opened.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let bodies = log.bodies("orders", 0);
        assert_eq!(bodies[0], "flushed");
        lost += usize::from(bodies.len() == 1);
    }
    assert!((1..40).contains(&lost), "a coin decides about what was not flushed: {lost}");
}

/// A read that makes an index file again while retention deletes the segment finds it gone, and leaves no file behind.
#[test]
fn a_segment_that_goes_while_its_index_file_is_made_again_is_gone() {
    let files = MemoryStorage::new();
    // Runs once, when the origin is about to be saved; and a step of reading the log that waits, once it is set.
    let (work, waits) = (Arc::new(Mutex::new(None::<Work>)), Arc::new(Mutex::new(None::<Work>)));
    let (due, waiting) = (work.clone(), waits.clone());
    let disk = WatchedDisk::new(files.clone(), move |step| {
        let is_origin = matches!(step, Step::Create(path) if path.to_string_lossy().contains("log_origin"));
        let is_read = matches!(step, Step::Read(..)) && step.is_in("log");
        let work = if is_origin { due.lock().unwrap().take() } else { None };
        let wait = if is_read { waiting.lock().unwrap().take() } else { None };
        work.into_iter().chain(wait).for_each(|work| work());
        Ok(())
    });
    let options = StoreOptions { max_log_bytes: Some(0), tail_cache_bytes: 0, ..options() };
    let (log, _) = open(Arc::new(disk), Arc::new(SystemClock::default()), Arc::new(()), options).unwrap();
    for n in 0..20 {
        log.put(Message::new("orders", 0, &format!("{n}"))).unwrap();
    }
    let index = Path::new("/store/index/00000000000000000000.idx");
    files.remove(index).unwrap();
    let (tell_outcome, outcome) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let reader = log.clone();
    *work.lock().unwrap() = Some(Box::new(move || {
        let (tell_reading, is_reading) = mpsc::channel();
        *waits.lock().unwrap() = Some(Box::new(move || {
            tell_reading.send(()).unwrap();
            may_go_on.recv_timeout(PATIENCE).unwrap();
        }));
        std::thread::spawn(move || {
            let limits = ReadLimits { max_messages: 1, max_bytes: 1, max_scan: 1 };
            tell_outcome.send(reader.read(reader.queue("orders", 0), 0, limits, &mut all)).unwrap();
        });
        is_reading.recv_timeout(PATIENCE).expect("the segment is read");
    }));
    assert!(log.retain(i64::MAX).unwrap().segments > 0);
    go_on.send(()).unwrap();
    let outcome = outcome.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(outcome.status, ReadStatus::MessageWasRemoving);
    assert!(files.open(index).is_err(), "it would stay until the next start");
}

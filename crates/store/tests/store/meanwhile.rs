//! What another thread may do while the store is in the middle of something.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocketwire_store::storage::StorageLock;
use rocketwire_store::{
    AppendError, Drive, Flush, MemoryStorage, Space, Storage, StorageFile, StoreOptions, SystemClock, Wait,
};
use rocketwire_testkit::{ManualClock, SimulatedDisk};

use crate::support::{Log, Message, open};

type Work = Box<dyn FnOnce() + Send>;

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
}

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

impl Storage for Meanwhile {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let work = self.work.lock().unwrap().take_if(|(name, _)| path.to_string_lossy().ends_with(*name));
        if let Some((_, work)) = work {
            work();
        }
        self.files.create(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.create_dir(dir)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        self.files.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.files.space(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>> {
        self.files.lock(path)
    }
}

/// A disk without power to rely on that does something else after the log was flushed.
#[derive(Clone)]
struct AfterFlush {
    disk: SimulatedDisk,
    work: Arc<Mutex<Option<Work>>>,
}

impl fmt::Debug for AfterFlush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl AfterFlush {
    fn watch(&self, path: &Path, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        let is_log = path.parent().is_some_and(|parent| parent.ends_with("log"));
        if is_log { Arc::new(Flushed { file, work: self.work.clone() }) } else { file }
    }
}

impl Storage for AfterFlush {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        self.disk.create(path).map(|file| self.watch(path, file))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        self.disk.open(path).map(|file| self.watch(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.disk.space(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>> {
        self.disk.lock(path)
    }
}

struct Flushed {
    file: Arc<dyn StorageFile>,
    work: Arc<Mutex<Option<Work>>>,
}

impl fmt::Debug for Flushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl StorageFile for Flushed {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(into, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.file.write_at(bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        let work = self.work.lock().unwrap().take();
        work.into_iter().for_each(|work| work());
        Ok(())
    }
}

fn options() -> StoreOptions {
    let mut options = StoreOptions::new(Path::new("/store"));
    options.drive = Drive::Manual;
    options.segment_bytes = 1000;
    options.frame_bytes = 300;
    options
}

fn start(storage: &Meanwhile, options: StoreOptions) -> Log {
    open(Arc::new(storage.clone()), Arc::new(SystemClock::default()), Arc::new(()), options).unwrap().0
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
    let storage = AfterFlush { disk: disk.clone(), work: Arc::default() };
    let clock = Arc::new(ManualClock::new(1_000_000));
    let options = StoreOptions {
        drive: Drive::Threads,
        flush: Flush::Async,
        flush_interval: Duration::from_millis(1),
        look: Duration::ZERO,
        min_free_bytes: 0,
        ..options()
    };
    let (log, _) = open(Arc::new(storage.clone()), clock.clone(), Arc::new(()), options.clone()).unwrap();
    let other = log.clone();
    *storage.work.lock().unwrap() = Some(Box::new(move || {
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

//! How far the log is, and whether it can go on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::lock;

/// A file operation that failed, in words.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) text: Arc<str>,
}

impl Failure {
    pub(crate) fn new(action: &'static str, path: &Path, error: io::Error) -> Self {
        Self { text: format!("cannot {action} {}: {error}", path.display()).into() }
    }

    pub(crate) fn of(action: &'static str) -> impl FnOnce((PathBuf, io::Error)) -> Self {
        move |(path, error)| Self::new(action, &path, error)
    }

    pub(crate) fn poisoned(text: &Arc<str>) -> Self {
        Self { text: text.clone() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// The first failure, for good.
#[derive(Debug, Default)]
pub(crate) struct Poison {
    error: OnceLock<Arc<str>>,
}

impl Poison {
    pub(crate) fn get(&self) -> Option<&Arc<str>> {
        self.error.get()
    }

    /// Whether this was the first.
    pub(crate) fn set(&self, failure: &Failure) -> bool {
        self.error.set(failure.text.clone()).is_ok()
    }
}

/// Offsets up to which the log is written, flushed and readable. They only grow.
#[derive(Debug)]
pub(crate) struct Progress {
    written: AtomicU64,
    durable: AtomicU64,
    /// Behind the last group whose entries can be read.
    published: AtomicU64,
    sleepers: AtomicUsize,
    door: Mutex<()>,
    bell: Condvar,
}

impl Progress {
    /// At start everything that was found is durable.
    pub(crate) fn new(end: u64) -> Self {
        Self {
            written: AtomicU64::new(end),
            durable: AtomicU64::new(end),
            published: AtomicU64::new(end),
            sleepers: AtomicUsize::new(0),
            door: Mutex::new(()),
            bell: Condvar::new(),
        }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn set_written(&self, end: u64) {
        self.written.store(end, Ordering::Release);
    }

    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    pub(crate) fn set_published(&self, end: u64) {
        self.published.store(end, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn set_durable(&self, end: u64) {
        self.durable.fetch_max(end, Ordering::AcqRel);
    }

    /// Wakes those who wait, to look again.
    pub(crate) fn wake(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _door = lock(&self.door);
            self.bell.notify_all();
        }
    }

    /// Waits until `is_reached`, which [`Progress::wake`] is called after any change of.
    pub(crate) fn wait(&self, is_reached: impl Fn() -> bool) {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let mut door = lock(&self.door);
        while !is_reached() {
            let woken = self.bell.wait_timeout(door, Duration::from_millis(100));
            door = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(door);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// Wakes one thread, and costs a load while that thread is busy.
///
/// The sleeper announces itself, looks for work once more and only then parks; the waker brings the work first and
/// looks for a sleeper then. Both orders are sequentially consistent, so one of the two sees the other.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    thread: OnceLock<Thread>,
    sleeping: AtomicBool,
}

impl Wake {
    /// The calling thread is the one to wake.
    pub(crate) fn adopt(&self) {
        let _ = self.thread.set(std::thread::current());
    }

    /// To be called after the work was handed over.
    pub(crate) fn wake(&self) {
        if self.sleeping.load(Ordering::SeqCst)
            && self.sleeping.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Wakes the thread from any kind of sleep, announced or not.
    pub(crate) fn unpark(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Sleeps until woken, or for `limit`; not at all when `is_idle` says otherwise.
    pub(crate) fn sleep(&self, limit: Option<Duration>, is_idle: impl FnOnce() -> bool) {
        self.sleeping.store(true, Ordering::SeqCst);
        if is_idle() {
            match limit {
                Some(limit) => std::thread::park_timeout(limit),
                None => std::thread::park(),
            }
        }
        self.sleeping.store(false, Ordering::SeqCst);
    }
}

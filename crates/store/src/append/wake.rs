use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use crate::planted::planted;

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
        if planted("lost wake in group commit") || is_idle() {
            match limit {
                Some(limit) => std::thread::park_timeout(limit),
                None => std::thread::park(),
            }
        }
        self.sleeping.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Sleeps on a thread of its own; told when it is awake again.
    fn sleeper(is_idle: impl FnOnce(&Wake) -> bool + Send + 'static) -> mpsc::Receiver<()> {
        let (awake, told) = mpsc::channel();
        std::thread::spawn(move || {
            let wake = Wake::default();
            wake.adopt();
            wake.sleep(None, || is_idle(&wake));
            awake.send(())
        });
        told
    }

    #[test]
    fn work_that_came_before_the_announcement_is_seen_and_work_behind_it_wakes() {
        let patience = Duration::from_secs(20);
        let found_work = sleeper(|_| false);
        found_work.recv_timeout(patience).expect("who finds work does not sleep");
        let (asleep, when_asleep) = mpsc::channel();
        let woken_after_the_look = sleeper(move |wake| {
            // Another thread brings work here, after the look: it must see that somebody goes to sleep.
            wake.wake();
            asleep.send(()).is_ok()
        });
        when_asleep.recv_timeout(patience).expect("it looks once more after it has announced itself");
        woken_after_the_look.recv_timeout(patience).expect("the wake is not lost");
    }
}

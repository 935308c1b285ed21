use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Completion;
use crate::engine::Shared;
use crate::log::Log;

/// With sync flushes: between two looks whether the checkpoint is behind.
const SYNC_TICK: Duration = Duration::from_millis(100);
/// Under constant load the checkpoint is saved this often. Each frame carries the same evidence.
const BUSY_CHECKPOINT: Duration = Duration::from_secs(1);

/// What the writer need not wait for: async flushes, the checkpoint, index and key files.
pub(crate) struct Flusher<C> {
    shared: Arc<Shared<C>>,
    log: Arc<Log>,
    next_tick: Duration,
    next_checkpoint: Duration,
    /// Durable end at the last tick.
    seen: u64,
}

impl<C: Completion> Flusher<C> {
    pub(crate) fn new(shared: Arc<Shared<C>>) -> Self {
        let log = shared.log.clone();
        let seen = log.progress.durable();
        Self { shared, log, next_tick: Duration::ZERO, next_checkpoint: Duration::ZERO, seen }
    }

    /// Until the store is closed.
    pub(crate) fn run(mut self) {
        self.shared.flusher_wake.adopt();
        while !self.shared.is_stopped.load(Ordering::Acquire) {
            self.turn();
            let (log, shared) = (&self.log, &self.shared);
            if log.poison.get().is_some() || !is_behind(log) {
                // A poisoned log has nothing left to flush: only the end of the store is worth waking for.
                self.shared.flusher_wake.sleep(None, || {
                    (log.poison.get().is_some() || !is_behind(log))
                        && !shared.is_stopped.load(Ordering::Acquire)
                });
            } else {
                // It is woken for other things in between, and the next flush is due when it was.
                std::thread::park_timeout(self.next_tick.saturating_sub(log.clock.monotonic()));
            }
        }
    }

    /// What is due. A failure poisons the log, and the writer is woken to tell those who wait.
    pub(crate) fn turn(&mut self) {
        let now = self.log.clock.monotonic();
        if now >= self.next_tick {
            self.next_tick = now + self.tick();
            let _ = self.flush(now);
        }
        let _ = self.log.seal_closed();
        self.log.make_keys();
        if self.log.poison.get().is_some() {
            self.shared.writer_wake.unpark();
        }
    }

    fn flush(&mut self, now: Duration) -> Result<(), crate::log::Failure> {
        if !self.log.is_sync() && self.log.progress.durable() < self.log.progress.written() {
            self.log.sync()?;
        }
        let durable = self.log.progress.durable();
        let is_quiet = durable == self.seen || !self.log.is_sync();
        self.seen = durable;
        if is_quiet || now >= self.next_checkpoint {
            self.next_checkpoint = now + BUSY_CHECKPOINT;
            self.log.save_checkpoint()?;
        }
        Ok(())
    }

    fn tick(&self) -> Duration {
        if self.log.is_sync() { SYNC_TICK } else { self.log.options.flush_interval }
    }
}

/// Whether anything is left to flush, to note, to seal or to find keys of.
fn is_behind(log: &Log) -> bool {
    let written = log.progress.written();
    log.progress.durable() < written
        || crate::log::lock(&log.checkpoint).durable() < written
        || log.segments.next_unsealed().is_some()
        || log.keys.is_due()
}

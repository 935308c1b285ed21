//! Work that may wait for the disk, away from connections.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use tokio::runtime::Handle;

/// Hands jobs to the runtime's blocking threads, a bounded number at a time.
#[derive(Debug)]
pub(crate) struct Blocking {
    runtime: OnceLock<Handle>,
    running: Arc<AtomicUsize>,
    limit: usize,
}

/// Counts a job as long as it lives.
struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place for one job.
pub(crate) struct Slot {
    runtime: Handle,
    permit: Permit,
}

impl Slot {
    /// Runs the job soon.
    pub(crate) fn run(self, job: impl FnOnce() + Send + 'static) {
        let permit = self.permit;
        self.runtime.spawn_blocking(move || {
            job();
            drop(permit);
        });
    }
}

impl Blocking {
    /// At most `limit` jobs at a time, queued ones included.
    pub(crate) fn new(limit: usize) -> Blocking {
        Blocking { runtime: OnceLock::new(), running: Arc::new(AtomicUsize::new(0)), limit }
    }

    /// Names the runtime for jobs that come from threads outside any.
    pub(crate) fn set_runtime(&self, runtime: Handle) {
        // A second start of the same broker keeps the first runtime.
        let _ = self.runtime.set(runtime);
    }

    /// The runtime of the caller, or the one that was named.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        Handle::try_current().ok().or_else(|| self.runtime.get().cloned())
    }

    /// A place for one job; `None` if too many are waiting, or no runtime is known.
    pub(crate) fn slot(&self) -> Option<Slot> {
        let runtime = self.runtime()?;
        let before = self.running.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Arc::clone(&self.running));
        (before < self.limit).then_some(Slot { runtime, permit })
    }

    /// How many jobs wait or run.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

//! Batches that wait for a handler. Bounded by the thresholds of the queues that they come from.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rocketwire_protocol::message::MessageExt;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::core::ActiveQueue;

/// Messages of one queue for one call of the handler.
pub(crate) struct Batch {
    pub(crate) queue: Arc<ActiveQueue>,
    pub(crate) messages: Vec<Arc<MessageExt>>,
}

/// Batches in the order they came; any worker takes the next.
pub(crate) struct WorkQueue {
    state: Mutex<State>,
    /// One permit per waiting batch.
    waiting: Semaphore,
    idle: Notify,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    /// Batches waiting or with a handler.
    unfinished: usize,
}

impl WorkQueue {
    pub(crate) fn new() -> WorkQueue {
        WorkQueue { state: Mutex::default(), waiting: Semaphore::new(0), idle: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, batches: impl IntoIterator<Item = Batch>) {
        let mut state = self.lock();
        let before = state.batches.len();
        state.batches.extend(batches);
        let more = state.batches.len() - before;
        state.unfinished += more;
        drop(state);
        self.waiting.add_permits(more);
    }

    /// The next batch; `None` when the queue is closed. Say [`WorkQueue::finished`] afterwards.
    ///
    /// Cancel safe: a batch is only taken when it is returned.
    pub(crate) async fn next(&self) -> Option<Batch> {
        self.waiting.acquire().await.ok()?.forget();
        self.lock().batches.pop_front()
    }

    pub(crate) fn finished(&self) {
        let mut state = self.lock();
        state.unfinished = state.unfinished.saturating_sub(1);
        if state.unfinished == 0 {
            self.idle.notify_waiters();
        }
    }

    /// Batches waiting or with a handler.
    pub(crate) fn unfinished(&self) -> usize {
        self.lock().unfinished
    }

    /// Waits until all is done, or the deadline; how many batches are not.
    pub(crate) async fn drain(&self, deadline: Instant) -> usize {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            // Registered before the look, so that a notification between the two is not lost.
            idle.as_mut().enable();
            let unfinished = self.unfinished();
            if unfinished == 0 || tokio::time::timeout_at(deadline, idle).await.is_err() {
                return unfinished;
            }
        }
    }

    /// Ends the workers.
    pub(crate) fn close(&self) {
        self.waiting.close();
    }
}

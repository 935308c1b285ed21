//! The end of a task, in order or not.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;

use super::Task;
use crate::{CloseCause, ConnectionEvent};

impl<T> Task<'_, T> {
    /// Ends every call, and gives back what is shared.
    pub(super) fn closed(&mut self, cause: &Arc<CloseCause>) {
        let endpoint = &self.shared.endpoint;
        self.shared.looker().stop(&mut self.looking);
        endpoint.partial.fetch_sub(std::mem::take(&mut self.partial), Ordering::Relaxed);
        endpoint.latencies.count(&self.answered, Instant::now(), true);
        self.shared.closed(cause);
    }

    /// One line for what an operator should see.
    pub(super) fn log_close(&self, cause: &CloseCause) {
        let counters = &self.shared.endpoint.counters;
        let peer = self.shared.remote;
        match cause {
            CloseCause::Frame { .. } => {
                counters.protocol_errors.fetch_add(1, Ordering::Relaxed);
            }
            CloseCause::Stalled { .. } | CloseCause::SlowFrame(_) | CloseCause::PartialFrames { .. } => {
                counters.stalled.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                tracing::debug!(%peer, "connection closed: {cause}");
                return;
            }
        }
        match self.shared.endpoint.complaints.allow() {
            Some(0) => tracing::warn!(%peer, "connection closed: {cause}"),
            Some(unsaid) => tracing::warn!(%peer, unsaid, "connection closed: {cause}"),
            None => tracing::debug!(%peer, "connection closed: {cause}"),
        }
    }
}

/// A task that is dropped in the middle, because its runtime ends or it panics, leaves no call behind either.
impl<T> Drop for Task<'_, T> {
    fn drop(&mut self) {
        let cause = self.shared.close_cause().unwrap_or_else(|| {
            let cause =
                Arc::new(CloseCause::Local("its task was dropped: has its runtime ended?".to_owned()));
            self.closed(&cause);
            cause
        });
        self.shared.endpoint.emit(ConnectionEvent::Closed(self.connection.clone(), cause));
    }
}

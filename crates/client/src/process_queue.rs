//! Messages of one queue that were fetched and not yet dealt with (Java: `ProcessQueue`; spec client F.7).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The messages, by offset, with what flow control and commits need to know. Pure: the clock is handed in.
///
/// `M` is the message; the queue only needs its offset and its size in bytes, handed in with it.
#[derive(Debug)]
pub(crate) struct ProcessQueue<M> {
    messages: BTreeMap<i64, Cached<M>>,
    /// Orderly only: taken by the listener, neither committed nor rolled back.
    consuming: BTreeMap<i64, Cached<M>>,
    bytes: usize,
    /// The largest offset ever put.
    last_offset: i64,
}

#[derive(Debug)]
struct Cached<M> {
    message: M,
    bytes: usize,
    started: Option<Instant>,
}

/// What [`ProcessQueue::is_over`] compares with (Java: `pullThresholdForQueue`, `…SizeForQueue`, `consumeConcurrentlyMaxSpan`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thresholds {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    /// First to last offset; `None` for orderly consumption.
    pub(crate) span: Option<i64>,
}

impl<M> Default for ProcessQueue<M> {
    fn default() -> Self {
        ProcessQueue { messages: BTreeMap::new(), consuming: BTreeMap::new(), bytes: 0, last_offset: -1 }
    }
}

impl<M: Clone> ProcessQueue<M> {
    /// Puts a message; one that is there already (a queue pulled twice) stays as it is, and `false` comes back.
    pub(crate) fn put(&mut self, offset: i64, bytes: usize, message: M) -> bool {
        if self.messages.contains_key(&offset) || self.consuming.contains_key(&offset) {
            return false;
        }
        let cached = Cached { message, bytes, started: None };
        self.messages.insert(offset, cached);
        self.bytes += bytes;
        self.last_offset = self.last_offset.max(offset);
        true
    }

    /// Messages fetched and not dealt with, those with a listener included.
    pub(crate) fn len(&self) -> usize {
        self.messages.len() + self.consuming.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Body bytes of all messages.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Smallest and largest offset that is not dealt with.
    pub(crate) fn offsets(&self) -> Option<(i64, i64)> {
        let keys = || self.messages.keys().chain(self.consuming.keys());
        Some((*keys().min()?, *keys().max()?))
    }

    /// Whether fetching should pause.
    pub(crate) fn is_over(&self, thresholds: &Thresholds) -> bool {
        let span = || {
            let first = self.messages.first_key_value().map_or(0, |(offset, _)| *offset);
            let last = self.messages.last_key_value().map_or(0, |(offset, _)| *offset);
            last.saturating_sub(first)
        };
        self.len() > thresholds.count
            || self.bytes > thresholds.bytes
            || thresholds.span.is_some_and(|limit| span() > limit)
    }

    /// Concurrent: notes that the listener got the message. `false`: it is no longer here, skip it.
    pub(crate) fn start(&mut self, offset: i64, now: Instant) -> bool {
        match self.messages.get_mut(&offset) {
            Some(cached) => {
                cached.started = Some(now);
                true
            }
            None => false,
        }
    }

    /// Concurrent: a message that the listener has; `None` when it is dealt with already.
    pub(crate) fn started(&self, offset: i64) -> Option<M> {
        self.messages.get(&offset).map(|cached| cached.message.clone())
    }

    /// Concurrent: the message is to come again, changed (a delivery older). `false`: it is no longer here.
    pub(crate) fn change(&mut self, offset: i64, message: M) -> bool {
        match self.messages.get_mut(&offset) {
            Some(cached) => {
                cached.message = message;
                cached.started = None;
                true
            }
            None => false,
        }
    }

    /// Concurrent: removes what is dealt with. The offset to commit: the smallest that remains, or behind the
    /// last one when nothing does. `None` if there was nothing to remove from (nothing to commit).
    pub(crate) fn remove(&mut self, offsets: impl IntoIterator<Item = i64>) -> Option<i64> {
        if self.messages.is_empty() {
            return None;
        }
        for offset in offsets {
            if let Some(cached) = self.messages.remove(&offset) {
                self.bytes -= cached.bytes;
            }
        }
        let smallest = self.messages.first_key_value().map(|(offset, _)| *offset);
        Some(smallest.unwrap_or(self.last_offset.saturating_add(1)))
    }

    /// Concurrent: up to `limit` messages at the head whose listener runs for `timeout` or longer.
    pub(crate) fn expired(&self, timeout: Duration, limit: usize, now: Instant) -> Vec<(i64, M)> {
        let too_long = |cached: &Cached<M>| {
            cached.started.is_some_and(|started| now.saturating_duration_since(started) >= timeout)
        };
        let head = self.messages.iter().take(limit);
        head.take_while(|(_, cached)| too_long(cached))
            .map(|(offset, c)| (*offset, c.message.clone()))
            .collect()
    }

    /// Orderly: takes the first `limit` messages; they are neither committed nor forgotten.
    pub(crate) fn take(&mut self, limit: usize) -> Vec<(i64, M)> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let Some((offset, cached)) = self.messages.pop_first() else { break };
            taken.push((offset, cached.message.clone()));
            self.consuming.insert(offset, cached);
        }
        taken
    }

    /// Orderly: what was taken is dealt with. The offset to commit, unless nothing was taken.
    pub(crate) fn commit(&mut self) -> Option<i64> {
        let last = self.consuming.last_key_value().map(|(offset, _)| *offset);
        for cached in std::mem::take(&mut self.consuming).into_values() {
            self.bytes -= cached.bytes;
        }
        last.map(|offset| offset.saturating_add(1))
    }

    /// Orderly: what was taken goes back to the head, some of it changed (a delivery older).
    pub(crate) fn rollback(&mut self, changed: impl IntoIterator<Item = (i64, M)>) {
        for (offset, message) in changed {
            if let Some(cached) = self.consuming.get_mut(&offset) {
                cached.message = message;
            }
        }
        self.messages.append(&mut self.consuming);
    }

    /// Forgets everything; the queue belongs to someone else now.
    pub(crate) fn clear(&mut self) {
        *self = ProcessQueue::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(offsets: impl IntoIterator<Item = i64>) -> ProcessQueue<i64> {
        let mut queue = ProcessQueue::default();
        for offset in offsets {
            assert!(queue.put(offset, 10, offset));
        }
        queue
    }

    const WIDE: Thresholds = Thresholds { count: 1000, bytes: 1 << 20, span: Some(2000) };

    #[test]
    fn the_commit_is_the_smallest_offset_not_dealt_with() {
        // spec: client 96
        let mut queue = queue([10, 11, 12, 15]);
        assert_eq!(queue.remove([11]), Some(10), "10 is still with its listener");
        assert_eq!(queue.remove([10]), Some(12));
        assert_eq!(queue.remove([12, 15]), Some(16), "empty: one behind the last ever seen");
        assert_eq!(queue.remove([15]), None, "it was empty before: nothing to commit");
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn a_message_that_comes_twice_counts_once() {
        let mut queue = queue([5]);
        assert!(!queue.put(5, 10, 5));
        assert_eq!((queue.len(), queue.bytes()), (1, 10));
        queue.take(1);
        assert!(!queue.put(5, 10, 5), "it is with the listener");
    }

    #[test]
    fn count_size_and_span_pause_fetching() {
        // spec: client 87
        let queue = queue([0, 1, 2]);
        assert!(!queue.is_over(&WIDE));
        assert!(!queue.is_over(&Thresholds { count: 3, ..WIDE }), "at the threshold is not over it");
        assert!(queue.is_over(&Thresholds { count: 2, ..WIDE }));
        assert!(queue.is_over(&Thresholds { bytes: 29, ..WIDE }));
        assert!(queue.is_over(&Thresholds { span: Some(1), ..WIDE }));
        assert!(!queue.is_over(&Thresholds { span: None, ..WIDE }));
    }

    #[test]
    fn only_the_head_expires_and_only_once_started() {
        // spec: client 103
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        let mut queue = queue([1, 2, 3, 4]);
        assert!(queue.start(1, start) && queue.start(2, start) && queue.start(4, start));
        assert!(!queue.start(9, start), "not here: the caller skips it");
        assert!(queue.expired(minute, 16, start + minute / 2).is_empty());
        let expired = queue.expired(minute, 16, start + minute);
        assert_eq!(expired, [(1, 1), (2, 2)], "3 has not started, so 4 behind it waits");
        assert_eq!(queue.expired(minute, 1, start + minute).len(), 1, "bounded per scan");
    }

    #[test]
    fn what_is_to_come_again_is_changed_and_has_not_started() {
        let start = Instant::now();
        let mut queue = queue([1]);
        queue.start(1, start);
        assert_eq!(queue.started(1), Some(1));
        assert!(queue.change(1, 10));
        assert!(queue.expired(Duration::ZERO, 16, start).is_empty(), "it waits for its listener");
        assert_eq!((queue.started(1), queue.len(), queue.bytes()), (Some(10), 1, 10));
        queue.remove([1]);
        assert_eq!(queue.started(1), None);
        assert!(!queue.change(1, 11) && queue.is_empty(), "what is dealt with stays away");
    }

    #[test]
    fn offsets_from_the_wire_may_be_anything() {
        let mut queue = queue([i64::MIN, i64::MAX]);
        assert!(queue.is_over(&WIDE), "the span is wide");
        assert_eq!(queue.remove([i64::MIN, i64::MAX]), Some(i64::MAX));
        queue.put(i64::MAX, 10, 0);
        queue.take(1);
        assert_eq!(queue.commit(), Some(i64::MAX));
    }

    #[test]
    fn orderly_commits_what_was_taken() {
        let mut queue = queue([7, 8, 9]);
        assert_eq!(queue.take(2), [(7, 7), (8, 8)]);
        assert_eq!(queue.len(), 3, "taken is not dealt with");
        assert_eq!(queue.commit(), Some(9));
        assert_eq!((queue.len(), queue.bytes()), (1, 10));
        assert_eq!(queue.commit(), None);
    }

    #[test]
    fn orderly_rolls_back_to_the_head() {
        let mut queue = queue([7, 8, 9]);
        queue.take(2);
        queue.rollback([(8, 80), (9, 90)]);
        assert_eq!(queue.take(3), [(7, 7), (8, 80), (9, 9)], "9 was not taken, so it did not change");
        assert_eq!(queue.offsets(), Some((7, 9)));
    }
}

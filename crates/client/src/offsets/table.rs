//! Offsets in memory, before they go to the broker or the file. Pure.

use std::collections::HashMap;

use rocketwire_protocol::body::MessageQueue;

/// Offsets by queue.
#[derive(Debug, Default)]
pub(crate) struct OffsetTable {
    entries: HashMap<MessageQueue, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    /// Set by the broker (OFFSET_ILLEGAL, reset): late results of the listener must not move it.
    frozen: bool,
    /// Not stored since it changed.
    dirty: bool,
}

impl OffsetTable {
    pub(crate) fn read(&self, queue: &MessageQueue) -> Option<i64> {
        self.entries.get(queue).map(|entry| entry.offset)
    }

    /// Sets an offset. With `increase_only` a smaller one is ignored; a frozen entry ignores all.
    pub(crate) fn update(&mut self, queue: &MessageQueue, offset: i64, increase_only: bool) {
        match self.entries.get_mut(queue) {
            None => self.insert(queue, offset, false),
            Some(entry) if entry.frozen || increase_only && offset <= entry.offset => {}
            Some(entry) => {
                entry.dirty |= entry.offset != offset;
                entry.offset = offset;
            }
        }
    }

    /// Sets an offset that stays until [`OffsetTable::thaw`] or [`OffsetTable::remove`].
    pub(crate) fn freeze(&mut self, queue: &MessageQueue, offset: i64) {
        self.insert(queue, offset, true);
    }

    /// A frozen offset may move again: the queue is taken anew, and begins there.
    pub(crate) fn thaw(&mut self, queue: &MessageQueue) {
        if let Some(entry) = self.entries.get_mut(queue) {
            entry.frozen = false;
        }
    }

    /// Forgets a queue.
    pub(crate) fn remove(&mut self, queue: &MessageQueue) {
        self.entries.remove(queue);
    }

    /// Forgets the queues that are not assigned any more (Java: `persistAll` does).
    pub(crate) fn retain(&mut self, assigned: impl Fn(&MessageQueue) -> bool) {
        self.entries.retain(|queue, _| assigned(queue));
    }

    /// What changed since it was last stored; counts as stored from now on.
    pub(crate) fn take_dirty(&mut self) -> Vec<(MessageQueue, i64)> {
        let mut changed = Vec::new();
        for (queue, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.dirty) {
            entry.dirty = false;
            changed.push((queue.clone(), entry.offset));
        }
        changed
    }

    /// Storing failed: try again the next time, unless it changed meanwhile anyhow.
    pub(crate) fn mark_dirty(&mut self, queue: &MessageQueue) {
        if let Some(entry) = self.entries.get_mut(queue) {
            entry.dirty = true;
        }
    }

    /// Every offset.
    pub(crate) fn snapshot(&self) -> Vec<(MessageQueue, i64)> {
        self.entries.iter().map(|(queue, entry)| (queue.clone(), entry.offset)).collect()
    }

    fn insert(&mut self, queue: &MessageQueue, offset: i64, frozen: bool) {
        let entry = Entry { offset, frozen, dirty: true };
        self.entries.insert(queue.clone(), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(id: i32) -> MessageQueue {
        MessageQueue::new("T", "a", id)
    }

    #[test]
    fn increase_only_never_goes_back() {
        let mut table = OffsetTable::default();
        table.update(&queue(0), 10, true);
        table.update(&queue(0), 9, true);
        assert_eq!(table.read(&queue(0)), Some(10));
        table.update(&queue(0), 9, false);
        assert_eq!(table.read(&queue(0)), Some(9), "an orderly rollback or a seek may");
    }

    #[test]
    fn a_frozen_offset_stays_until_it_is_removed() {
        // spec: client 91
        let mut table = OffsetTable::default();
        table.update(&queue(0), 500, true);
        table.freeze(&queue(0), 20);
        table.update(&queue(0), 600, true);
        assert_eq!(table.take_dirty(), [(queue(0), 20)]);
        table.remove(&queue(0));
        table.update(&queue(0), 21, true);
        assert_eq!(table.read(&queue(0)), Some(21));
    }

    #[test]
    fn only_changes_are_stored_and_failures_come_again() {
        let mut table = OffsetTable::default();
        table.update(&queue(0), 1, true);
        assert_eq!(table.take_dirty(), [(queue(0), 1)]);
        assert_eq!(table.take_dirty(), []);
        table.update(&queue(0), 1, false);
        assert_eq!(table.take_dirty(), [], "the same offset is no change");
        table.mark_dirty(&queue(0));
        assert_eq!(table.take_dirty(), [(queue(0), 1)]);
    }

    #[test]
    fn queues_that_are_lost_are_forgotten() {
        // spec: client 107
        let mut table = OffsetTable::default();
        table.update(&queue(0), 1, true);
        table.update(&queue(1), 2, true);
        table.retain(|q| q.queue_id == 1);
        assert_eq!(table.snapshot(), [(queue(1), 2)]);
    }
}

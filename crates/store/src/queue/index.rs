use std::collections::VecDeque;

use super::{Bounds, ByQueue, Entry, QueueId};

/// Where the records of all queues are: those of closed segments by a note where to look in the index file, the
/// younger ones themselves.
#[derive(Debug, Default)]
pub(crate) struct Index {
    queues: ByQueue<QueueIndex>,
}

/// One queue.
#[derive(Debug, Default)]
pub(crate) struct QueueIndex {
    min: i64,
    /// Oldest first, without gaps.
    sealed: VecDeque<SealedRange>,
    /// Offset of the first of `recent`, or of the next record when there is none.
    recent_first: i64,
    recent: VecDeque<Entry>,
}

/// Consecutive entries of a queue in one index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedRange {
    pub(crate) first: i64,
    pub(crate) count: u32,
    /// Start of the segment, which names the file.
    pub(crate) segment: u64,
    /// Where its first block begins in the file.
    pub(crate) position: u64,
}

impl SealedRange {
    pub(crate) fn end(&self) -> i64 {
        self.first + i64::from(self.count)
    }
}

/// Where to look for an entry.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// From here to the end of the queue.
    Recent(std::collections::vec_deque::Iter<'a, Entry>),
    Sealed(SealedRange),
    /// The queue has no such offset.
    Nowhere,
}

impl QueueIndex {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { min: self.min, max: self.next() }
    }

    pub(crate) fn next(&self) -> i64 {
        self.recent_first + self.recent.len() as i64
    }

    /// Adds the next entry.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.recent.push_back(entry);
    }

    pub(crate) fn find(&self, offset: i64) -> Source<'_> {
        if offset < self.min || offset >= self.next() {
            return Source::Nowhere;
        }
        if let Ok(skip) = usize::try_from(offset - self.recent_first) {
            return Source::Recent(self.recent.range(skip..));
        }
        let at = self.sealed.partition_point(|range| range.end() <= offset);
        self.sealed.get(at).copied().map_or(Source::Nowhere, Source::Sealed)
    }

    /// Whether no entry is in memory.
    pub(crate) fn is_sealed(&self) -> bool {
        self.recent.is_empty()
    }

    /// The entries whose records lie below `end` of the log and are not sealed yet.
    fn recent_below(&self, end: u64) -> impl Iterator<Item = &Entry> {
        self.recent.iter().take_while(move |entry| entry.physical < end)
    }

    /// The queue's next offset when the log ended at `start`.
    fn next_at(&self, start: u64) -> i64 {
        match self.sealed.iter().find(|range| range.segment >= start) {
            Some(range) => range.first,
            None => self.recent_first + self.recent_below(start).count() as i64,
        }
    }
}

impl Index {
    /// Makes a queue known; it begins at `first`.
    pub(crate) fn add_queue(&mut self, queue: QueueId, first: i64) {
        self.queues.insert(queue, QueueIndex { min: first, recent_first: first, ..QueueIndex::default() });
    }

    /// Forgets a queue: its topic was deleted.
    pub(crate) fn remove_queue(&mut self, queue: QueueId) {
        self.queues.remove(queue);
    }

    pub(crate) fn get(&self, queue: QueueId) -> Option<&QueueIndex> {
        self.queues.get(queue)
    }

    pub(crate) fn get_mut(&mut self, queue: QueueId) -> Option<&mut QueueIndex> {
        self.queues.get_mut(queue)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (QueueId, &QueueIndex)> {
        self.queues.iter()
    }

    /// Copies of the entries that are not sealed and lie below `end`: those of the oldest segment that is not.
    pub(crate) fn unsealed_below(&self, end: u64) -> Vec<(QueueId, i64, Vec<Entry>)> {
        let sections = self.iter().filter_map(|(id, queue)| {
            let entries: Vec<Entry> = queue.recent_below(end).copied().collect();
            (!entries.is_empty()).then_some((id, queue.recent_first, entries))
        });
        sections.collect()
    }

    /// Lets go of entries that are in an index file now. False, and nothing done, when a topic was deleted since
    /// they were copied.
    pub(crate) fn seal(&mut self, sealed: &[(QueueId, SealedRange, Entry)]) -> bool {
        let is_unchanged = sealed.iter().all(|(id, range, first)| {
            self.get(*id).is_some_and(|queue| {
                queue.recent_first == range.first
                    && queue.recent.len() >= range.count as usize
                    && queue.recent.front() == Some(first)
            })
        });
        if is_unchanged {
            for (id, range, _) in sealed {
                if let Some(queue) = self.get_mut(*id) {
                    queue.recent.drain(..range.count as usize);
                    queue.recent_first = range.end();
                    queue.sealed.push_back(*range);
                }
            }
        }
        is_unchanged
    }

    /// Takes over a section of an index file at start. False when it does not follow what is there.
    pub(crate) fn adopt(&mut self, queue: QueueId, range: SealedRange) -> bool {
        let Some(queue) = self.get_mut(queue) else { return false };
        let follows = queue.recent.is_empty() && queue.recent_first == range.first;
        if follows {
            queue.recent_first = range.end();
            queue.sealed.push_back(range);
        }
        follows
    }

    /// The index file of this segment was written again: the entries are the same, their places are not.
    pub(crate) fn relocate(&mut self, id: QueueId, moved: SealedRange) {
        if let Some(queue) = self.get_mut(id) {
            let same =
                |range: &&mut SealedRange| range.segment == moved.segment && range.first == moved.first;
            if let Some(range) = queue.sealed.iter_mut().find(same) {
                *range = moved;
            }
        }
    }

    /// The next offset of each queue when the log ended at `start`, which is the start of a segment.
    pub(crate) fn next_at(&self, start: u64) -> Vec<(QueueId, i64)> {
        self.iter().map(|(id, queue)| (id, queue.next_at(start))).collect()
    }

    /// The log begins at `start` now.
    pub(crate) fn drop_below(&mut self, start: u64) {
        for queue in self.queues.values_mut() {
            queue.min = queue.next_at(start);
            queue.sealed.retain(|range| range.segment >= start);
            let gone = queue.recent_below(start).count();
            queue.recent.drain(..gone);
            queue.recent_first += gone as i64;
        }
    }

    /// The ranges that one index file stands for.
    pub(crate) fn ranges_of(&self, segment: u64) -> Vec<(QueueId, SealedRange)> {
        let all = self.iter().flat_map(|(id, queue)| queue.sealed.iter().map(move |range| (id, *range)));
        all.filter(|(_, range)| range.segment == segment).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(physical: u64) -> Entry {
        Entry { physical, size: 10, frame_distance: 24, tags_code: 0 }
    }

    const QUEUE: QueueId = QueueId { place: 0, life: 0 };

    fn index_with(entries: &[u64]) -> Index {
        let mut index = Index::default();
        index.add_queue(QUEUE, 0);
        for physical in entries {
            index.get_mut(QUEUE).unwrap().push(entry(*physical));
        }
        index
    }

    fn range(first: i64, count: u32, segment: u64) -> SealedRange {
        SealedRange { first, count, segment, position: 64 }
    }

    #[test]
    fn sealing_moves_entries_and_keeps_their_offsets() {
        let mut index = index_with(&[24, 50, 124, 150]);
        let queue = QUEUE;
        let unsealed = index.unsealed_below(100);
        assert_eq!(unsealed, vec![(queue, 0, vec![entry(24), entry(50)])]);
        assert!(index.seal(&[(queue, range(0, 2, 0), entry(24))]));
        let queue = index.get(queue).unwrap();
        assert_eq!(queue.bounds(), Bounds { min: 0, max: 4 });
        assert!(matches!(queue.find(1), Source::Sealed(found) if found == range(0, 2, 0)));
        assert!(matches!(queue.find(3), Source::Recent(rest) if rest.clone().next() == Some(&entry(150))));
        assert!(matches!(queue.find(4), Source::Nowhere));
    }

    #[test]
    fn sealing_notices_that_the_topic_was_deleted_meanwhile() {
        let mut index = index_with(&[24, 50]);
        index.remove_queue(QUEUE);
        let next = QUEUE.next_life().unwrap();
        index.add_queue(next, 0);
        for physical in [70, 90] {
            index.get_mut(next).unwrap().push(entry(physical));
        }
        assert!(index.get_mut(QUEUE).is_none());
        assert!(!index.seal(&[(QUEUE, range(0, 2, 0), entry(24))]));
        assert_eq!(index.get(next).unwrap().bounds(), Bounds { min: 0, max: 2 });
    }

    #[test]
    fn dropping_old_segments_moves_min_and_never_max() {
        let mut index = index_with(&[24, 50, 124]);
        let queue = QUEUE;
        assert!(index.seal(&[(queue, range(0, 2, 0), entry(24))]));
        assert_eq!(index.next_at(100), vec![(queue, 2)]);
        index.drop_below(100);
        assert_eq!(index.get(queue).unwrap().bounds(), Bounds { min: 2, max: 3 });
        // A queue whose records are all gone keeps its place.
        index.drop_below(200);
        assert_eq!(index.get(queue).unwrap().bounds(), Bounds { min: 3, max: 3 });
        assert!(matches!(index.get(queue).unwrap().find(2), Source::Nowhere));
    }

    #[test]
    fn a_section_that_does_not_follow_is_not_adopted() {
        let mut index = index_with(&[]);
        let queue = QUEUE;
        assert!(index.adopt(queue, range(0, 2, 0)));
        assert!(!index.adopt(queue, range(3, 2, 100)));
        assert!(index.adopt(queue, range(2, 1, 100)));
    }
}

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use rocketwire_protocol::message::record;

use super::{Append, Appended, Arrival, Completion, Wait};
use crate::error::AppendError;
use crate::log::frame;
use crate::options::StoreOptions;
use crate::planted::planted;
use crate::queue::{ByQueue, Entry, QueueId, QueueName};
use crate::record::Record;

/// Memory is taken for the log in pieces of this size. Written pieces go to the tail cache as they are.
const CHUNK: usize = 1 << 20;

/// What an append needs to know of each record; found before the lock is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordMeta<'a> {
    size: usize,
    queue_id: u32,
    topic: &'a [u8],
    is_queued: bool,
    tags_code: i64,
}

impl<'a> RecordMeta<'a> {
    /// The record at the front of `bytes`.
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self, AppendError> {
        let record = Record::parse(bytes).map_err(|reason| AppendError::Malformed { reason })?;
        Ok(Self {
            size: record.size(),
            queue_id: record.queue_id(),
            topic: record.topic(),
            is_queued: record.is_queued(),
            tags_code: record.tags_code(),
        })
    }

    /// All records, when there are more than the first.
    pub(crate) fn all(mut bytes: &'a [u8]) -> Result<Vec<Self>, AppendError> {
        let mut metas = Vec::new();
        while !bytes.is_empty() {
            let meta = Self::of(bytes)?;
            bytes = bytes.get(meta.size..).unwrap_or_default();
            metas.push(meta);
        }
        Ok(metas)
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }
}

/// An append that waits for its answer.
#[derive(Debug)]
pub(crate) struct Waiter<C> {
    pub(crate) completion: C,
    pub(crate) appended: Appended,
    pub(crate) wait: Wait,
}

/// An entry on its way to its queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewEntry {
    pub(crate) queue: QueueId,
    pub(crate) queue_offset: i64,
    pub(crate) entry: Entry,
}

impl From<&NewEntry> for Arrival {
    fn from(new: &NewEntry) -> Self {
        Self {
            queue: new.queue,
            next_offset: new.queue_offset + 1,
            tags_code: new.entry.tags_code,
            physical_offset: new.entry.physical.cast_signed(),
        }
    }
}

/// A frame of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FramePlace {
    /// Where it begins in the group.
    pub(crate) start: usize,
    /// Store time of its last record.
    pub(crate) last_timestamp: i64,
}

/// What the writer takes in one go. Its vectors go back and forth and keep their capacity.
#[derive(Debug)]
pub(crate) struct Group<C> {
    /// Frames back to back; their headers are still empty.
    pub(crate) bytes: BytesMut,
    /// Log offset of the first byte.
    pub(crate) start: u64,
    pub(crate) frames: Vec<FramePlace>,
    pub(crate) entries: Vec<NewEntry>,
    pub(crate) waiters: Vec<Waiter<C>>,
    /// When the oldest of the appends came.
    pub(crate) since: Duration,
    /// Store time of the last record.
    pub(crate) last_timestamp: i64,
}

impl<C> Default for Group<C> {
    fn default() -> Self {
        Self {
            bytes: BytesMut::new(),
            start: 0,
            frames: Vec::new(),
            entries: Vec::new(),
            waiters: Vec::new(),
            since: Duration::ZERO,
            last_timestamp: 0,
        }
    }
}

/// The group whose write is under way: who waits for it.
#[derive(Debug)]
pub(crate) struct InFlight<C> {
    pub(crate) waiters: Vec<Waiter<C>>,
    pub(crate) since: Duration,
}

impl<C> Default for InFlight<C> {
    fn default() -> Self {
        Self { waiters: Vec::new(), since: Duration::ZERO }
    }
}

/// The next offset of one queue.
#[derive(Debug)]
struct Counter {
    name: Arc<QueueName>,
    next: i64,
}

/// The group that is being filled, and the counters that fill it. Behind one short lock.
#[derive(Debug)]
pub(crate) struct Pending<C> {
    group: Group<C>,
    counters: ByQueue<Counter>,
    /// The topic that is being deleted. Not a mark on its counters: a queue may be made known meanwhile.
    deleting: Option<String>,
    /// Set for good: poisoned or closed.
    refusal: Option<AppendError>,
}

impl<C: Completion> Pending<C> {
    /// Goes on at `start` of the log.
    pub(crate) fn new(start: u64, last_timestamp: i64) -> Self {
        let group = Group { start, last_timestamp, ..Group::default() };
        Self { group, counters: ByQueue::default(), deleting: None, refusal: None }
    }

    /// Makes a queue known.
    pub(crate) fn add_queue(&mut self, queue: QueueId, name: Arc<QueueName>, next: i64) {
        self.counters.insert(queue, Counter { name, next });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.group.bytes.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.group.bytes.len()
    }

    /// Log offset behind everything that was taken in.
    pub(crate) fn end(&self) -> u64 {
        self.group.start + self.group.bytes.len() as u64
    }

    pub(crate) fn refuse(&mut self, refusal: AppendError) {
        self.refusal.get_or_insert(refusal);
    }

    pub(crate) fn refusal(&self) -> Option<&AppendError> {
        self.refusal.as_ref()
    }

    /// Takes the records in, or says why not and leaves no trace of them.
    pub(crate) fn push(
        &mut self,
        append: &Append<'_>,
        metas: &[RecordMeta<'_>],
        now: (i64, Duration),
        options: &StoreOptions,
    ) -> Result<Appended, AppendError> {
        if planted("batch torn in two")
            && let [first, rest @ ..] = metas
            && !rest.is_empty()
        {
            let (head, tail) = append.records.split_at(first.size);
            let appended = self.push(&Append { records: head, ..*append }, &[*first], now, options)?;
            return self.push(&Append { records: tail, ..*append }, rest, now, options).map(|_| appended);
        }
        let frame_start = self.admit(append, metas, options)?;
        let (wall_ms, monotonic) = now;
        let group = &mut self.group;
        let Some(counter) = self.counters.get_mut(append.queue) else {
            return Err(AppendError::UnknownQueue);
        };
        let timestamp = group.last_timestamp.max(wall_ms);
        let mut at = group.bytes.len();
        group.bytes.extend_from_slice(append.records);
        let appended = Appended {
            queue_offset: counter.next,
            physical_offset: (group.start + at as u64).cast_signed(),
            store_timestamp: timestamp,
            flush_timeout: false,
        };
        for meta in metas {
            let physical = group.start + at as u64;
            let queue_offset = if meta.is_queued { counter.next } else { 0 };
            if let Some(bytes) = group.bytes.get_mut(at..at + meta.size) {
                record::patch(bytes, queue_offset, physical.cast_signed(), timestamp);
            }
            if meta.is_queued {
                let entry = Entry {
                    physical,
                    size: meta.size as u32,
                    frame_distance: (at - frame_start) as u32,
                    tags_code: meta.tags_code,
                };
                group.entries.push(NewEntry { queue: append.queue, queue_offset, entry });
                counter.next += 1;
            }
            at += meta.size;
        }
        group.last_timestamp = timestamp;
        if let Some(frame) = group.frames.last_mut() {
            frame.last_timestamp = timestamp;
        }
        if group.waiters.is_empty() {
            group.since = monotonic;
        }
        Ok(appended)
    }

    /// Adds who waits for the records that were pushed last.
    pub(crate) fn wait(&mut self, waiter: Waiter<C>) {
        self.group.waiters.push(waiter);
    }

    /// For a planted bug: as if the group had never been there.
    pub(crate) fn rewind(&mut self, group: &Group<C>) {
        self.group.start = group.start;
        for new in group.entries.iter().rev() {
            if let Some(counter) = self.counters.get_mut(new.queue) {
                counter.next = new.queue_offset;
            }
        }
    }

    /// Swaps the filled group for `spare`, an empty one.
    pub(crate) fn take(&mut self, spare: &mut Group<C>) {
        debug_assert!(spare.entries.is_empty() && spare.waiters.is_empty(), "a spare group was used up");
        let start = self.group.start;
        spare.bytes = self.group.bytes.split();
        spare.start = start;
        spare.since = self.group.since;
        spare.last_timestamp = self.group.last_timestamp;
        self.group.start = start + spare.bytes.len() as u64;
        spare.frames.clear();
        mem::swap(&mut self.group.frames, &mut spare.frames);
        mem::swap(&mut self.group.entries, &mut spare.entries);
        mem::swap(&mut self.group.waiters, &mut spare.waiters);
    }

    /// Moves those who wait since `before` or longer into `expired`. Their records stay.
    pub(crate) fn expire(&mut self, before: Duration, expired: &mut Vec<Waiter<C>>) {
        if self.group.since <= before {
            expired.append(&mut self.group.waiters);
        }
    }

    /// Refuses appends to this topic until [`Pending::deleted`]; the log offset where its new life can begin.
    pub(crate) fn delete(&mut self, topic: &str) -> u64 {
        self.deleting = Some(topic.to_owned());
        self.end()
    }

    /// Whether one of these queues has ever had a record.
    pub(crate) fn has_records(&self, mut queues: impl Iterator<Item = QueueId>) -> bool {
        queues.any(|queue| self.counters.get(queue).is_some_and(|counter| counter.next > 0))
    }

    /// The topic is deleted, and with it these queues.
    pub(crate) fn deleted(&mut self, queues: &[QueueId]) {
        self.deleting = None;
        for queue in queues {
            self.counters.remove(*queue);
        }
    }

    /// Checks everything that can refuse an append, and makes room; where its frame begins.
    fn admit(
        &mut self,
        append: &Append<'_>,
        metas: &[RecordMeta<'_>],
        options: &StoreOptions,
    ) -> Result<usize, AppendError> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let Some(counter) = self.counters.get(append.queue) else {
            return Err(AppendError::UnknownQueue);
        };
        if self.deleting.as_deref() == Some(&*counter.name.topic) {
            return Err(AppendError::Deleting { topic: counter.name.topic.clone() });
        }
        // Recovery puts a record where its own fields say, so they must say the same as the caller.
        let is_of_queue = |meta: &RecordMeta<'_>| {
            meta.topic == counter.name.topic.as_bytes() && meta.queue_id == counter.name.queue_id
        };
        if metas.is_empty() || !metas.iter().all(is_of_queue) {
            return Err(AppendError::Malformed { reason: "a record names another queue" });
        }
        let (pending, limit) = (self.group.bytes.len(), options.max_pending_bytes);
        let size = append.records.len() + frame::HEADER;
        // One append always fits into an empty group, or it would never be taken.
        if pending > 0 && pending + size > limit {
            return Err(AppendError::Busy { pending, limit });
        }
        if u32::try_from(size).is_err() {
            return Err(AppendError::Malformed { reason: "the records are longer than a frame can be" });
        }
        Ok(self.open_frame(size, options.frame_bytes))
    }

    /// Where the frame begins that shall take `size` more bytes.
    fn open_frame(&mut self, size: usize, frame_bytes: usize) -> usize {
        let group = &mut self.group;
        if group.bytes.capacity() - group.bytes.len() < size {
            group.bytes.reserve(size.max(CHUNK));
        }
        let end = group.bytes.len();
        match group.frames.last() {
            Some(frame) if end - frame.start + size <= frame_bytes => frame.start,
            _ => {
                group.frames.push(FramePlace { start: end, last_timestamp: group.last_timestamp });
                group.bytes.put_bytes(0, frame::HEADER);
                end
            }
        }
    }
}

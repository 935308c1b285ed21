//! Reads: the lookup of `DefaultMessageStore.getMessage` and the searches by time.

use bytes::{Bytes, BytesMut};
use rocketwire_protocol::message::record::MIN_LEN;

use crate::error::ReadError;
use crate::log::{Log, Piece, frame};
use crate::queue::{Bounds, Entry, QueueId, Source};
use crate::record::{Head, Record};
use crate::storage::Access;

/// How much one read may look at and give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Records at most. 0 means 1.
    pub max_messages: usize,
    /// Bytes of records at most; the first record comes whatever its size.
    pub max_bytes: usize,
    /// Entries that are looked at, wanted or not.
    pub max_scan: usize,
}

impl ReadLimits {
    /// Java's limits for a pull that asks for `wanted` records (`DefaultMessageStore.isTheBatchFull`, spec broker B.5): 32
    /// records and 256 KiB at most. Java gives less of what may be on the disk; here that is read in large pieces.
    pub fn for_pull(wanted: usize) -> Self {
        Self { max_messages: wanted.min(32), max_bytes: 256 << 10, max_scan: wanted.clamp(800, 16_000) }
    }
}

/// What a read found. The names are those of Java's `GetMessageStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStatus {
    /// Records.
    Found,
    /// Entries, but none that was wanted.
    NoMatchedMessage,
    /// The records were deleted while they were read, or a repair found them to be lost.
    MessageWasRemoving,
    /// The queue ends at the asked offset.
    OffsetOverflowOne,
    /// The queue ends before the asked offset.
    OffsetOverflowBadly,
    /// The asked offset was deleted.
    OffsetTooSmall,
    /// There is no such queue.
    NoMatchedLogicQueue,
    /// The queue has never had a record.
    NoMessageInQueue,
}

impl ReadStatus {
    /// Java's name of it, which is the remark of a pull's answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "FOUND",
            Self::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            Self::MessageWasRemoving => "MESSAGE_WAS_REMOVING",
            Self::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            Self::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            Self::OffsetTooSmall => "OFFSET_TOO_SMALL",
            Self::NoMatchedLogicQueue => "NO_MATCHED_LOGIC_QUEUE",
            Self::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
        }
    }
}

/// The answer to a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOutcome {
    /// What was found.
    pub status: ReadStatus,
    /// The offset to read next.
    pub next_offset: i64,
    /// The queue's oldest offset.
    pub min_offset: i64,
    /// One behind the queue's newest offset.
    pub max_offset: i64,
    /// Stored records back to back, as they are in the log.
    pub records: Bytes,
    /// How many.
    pub count: usize,
}

/// Which of several records with the same store time a search means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BoundaryType {
    /// The first at or behind the time.
    #[default]
    Lower,
    /// The last at or before the time.
    Upper,
}

impl Log {
    /// See [`Store::read`](crate::Store::read).
    pub(crate) fn read(
        &self,
        queue: QueueId,
        offset: i64,
        limits: ReadLimits,
        accept: &mut dyn FnMut(i64) -> bool,
        access: Access,
    ) -> Result<ReadOutcome, ReadError> {
        let Some(bounds) = self.index().get(queue).map(|queue| queue.bounds()) else {
            return Ok(outcome(ReadStatus::NoMatchedLogicQueue, 0, Bounds::default()));
        };
        let Bounds { min, max } = bounds;
        let refused = match offset {
            _ if max == 0 => Some((ReadStatus::NoMessageInQueue, 0)),
            _ if offset < min => Some((ReadStatus::OffsetTooSmall, min)),
            _ if offset == max => Some((ReadStatus::OffsetOverflowOne, offset)),
            _ if offset > max => Some((ReadStatus::OffsetOverflowBadly, max)),
            _ => None,
        };
        if let Some((status, next)) = refused {
            return Ok(outcome(status, next, bounds));
        }
        let mut selection = Selection::new(offset, limits);
        let selected = self.select(queue, &mut selection, accept, access);
        match selected.and_then(|()| self.fetch(&selection.wanted, access)) {
            Ok((records, count)) => Ok(selection.outcome(records, count, bounds)),
            // Retention was faster.
            Err(error) if error.is_not_found() && self.bounds(queue).min > offset => {
                Ok(outcome(ReadStatus::MessageWasRemoving, selection.next.max(offset + 1), bounds))
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn bounds(&self, queue: QueueId) -> Bounds {
        self.index().get(queue).map(|queue| queue.bounds()).unwrap_or_default()
    }

    /// Where the record at this offset is, if the queue has it.
    pub(crate) fn entry(&self, queue: QueueId, offset: i64) -> Result<Option<Entry>, ReadError> {
        let range = {
            let index = self.index();
            match index.get(queue).map(|queue| queue.find(offset)) {
                None | Some(Source::Nowhere) => return Ok(None),
                Some(Source::Recent(mut entries)) => return Ok(entries.next().copied()),
                Some(Source::Sealed(range)) => range,
            }
        };
        Ok(self.sealed_entries(queue, range, offset, 1, Access::Wait)?.first().copied())
    }

    /// Whether a read at this offset is answered without touching a file.
    pub(crate) fn is_resident(&self, queue: QueueId, offset: i64) -> bool {
        let index = self.index();
        match index.get(queue).map(|queue| queue.find(offset)) {
            None | Some(Source::Nowhere) => true,
            Some(Source::Recent(mut entries)) => entries.next().is_none_or(|entry| self.tail.contains(entry)),
            Some(Source::Sealed(_)) => false,
        }
    }

    /// The record at this place of the log, if a record of a queue begins there. What stands there is not believed:
    /// the queue that it names must agree, or a message body could pose as a record.
    pub(crate) fn record_at(&self, physical: i64) -> Result<Option<Bytes>, ReadError> {
        let Ok(physical) = u64::try_from(physical) else { return Ok(None) };
        let Some((queue, offset)) = self.named_at(physical)? else { return Ok(None) };
        match self.entry(queue, offset)? {
            Some(entry) if entry.physical == physical && !entry.is_lost() => self.record(&entry).map(Some),
            _ => Ok(None),
        }
    }

    /// Store time of the first record of the first frame, whether or not a queue has it.
    pub(crate) fn oldest_store_time(&self) -> Result<Option<i64>, ReadError> {
        let (physical, size) = (self.segments.start() + frame::HEADER as u64, MIN_LEN as u32);
        let first = Entry { physical, size, frame_distance: frame::HEADER as u32, tags_code: 0 };
        if first.end() > self.progress.published() {
            return Ok(None);
        }
        let piece = self.piece_of(&first, Access::Wait)?;
        let bytes = piece.slice(physical, piece.end()).unwrap_or_default();
        Ok(Record::parse(&bytes).ok().map(|record| record.store_timestamp()))
    }

    /// The queue and offset that the bytes at this place claim. They may be anything, so their own lengths do not
    /// decide how much is read.
    fn named_at(&self, physical: u64) -> Result<Option<(QueueId, i64)>, ReadError> {
        let written = self.progress.written();
        if physical < self.segments.start() || physical >= written {
            return Ok(None);
        }
        let Some(head) = Head::parse(&self.raw(physical, Head::SIZE, written)?) else { return Ok(None) };
        let topic = self.raw(physical.saturating_add(head.topic_at), Head::TOPIC_SIZE, written)?;
        let Some(topic) = head.topic(&topic) else { return Ok(None) };
        Ok(self.registry().find(topic, head.queue_id).map(|queue| (queue, head.queue_offset)))
    }

    /// Bytes of the log from this place on, not checked: `size`, or fewer where a piece or segment ends.
    fn raw(&self, physical: u64, size: usize, written: u64) -> Result<Bytes, ReadError> {
        if physical >= written {
            return Ok(Bytes::new());
        }
        let probe = Entry { physical, size: 1, frame_distance: 0, tags_code: 0 };
        if let Some(piece) = self.tail.piece_of(&probe) {
            let end = physical.saturating_add(size as u64).min(piece.end());
            return Ok(piece.slice(physical, end).unwrap_or_default());
        }
        let segment = match self.segments.find(physical, &*self.storage) {
            Err(error) if error.is_not_found() => return Ok(Bytes::new()),
            found => found?,
        };
        let available = segment.end.unwrap_or(written).saturating_sub(physical);
        let read = crate::storage::read_range(
            &*segment.file,
            physical - segment.start,
            available.min(size as u64) as usize,
        );
        read.map(Bytes::from).map_err(ReadError::io(&segment.path))
    }

    /// Store time of the record at this offset.
    pub(crate) fn store_time(&self, queue: QueueId, offset: i64) -> Result<Option<i64>, ReadError> {
        let Some(entry) = self.entry(queue, offset)? else { return Ok(None) };
        let record = self.record(&entry)?;
        let record = Record::parse(&record).map_err(|_| self.segments.disagrees(&entry))?;
        Ok(Some(record.store_timestamp()))
    }

    /// See [`Store::offset_by_time`](crate::Store::offset_by_time).
    pub(crate) fn offset_by_time(
        &self,
        queue: QueueId,
        timestamp: i64,
        boundary: BoundaryType,
    ) -> Result<i64, ReadError> {
        let Bounds { min, max } = self.bounds(queue);
        // The first offset whose time is beyond what is wanted; times of a queue never decrease.
        let (mut low, mut high) = (min, max);
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(time) = self.store_time(queue, middle)? else { return Ok(low) };
            let is_before = match boundary {
                BoundaryType::Lower => time < timestamp,
                BoundaryType::Upper => time <= timestamp,
            };
            if is_before { low = middle + 1 } else { high = middle }
        }
        match boundary {
            BoundaryType::Lower => Ok(low),
            BoundaryType::Upper => Ok((low - 1).max(min)),
        }
    }

    /// Picks the wanted entries.
    fn select(
        &self,
        queue: QueueId,
        selection: &mut Selection,
        accept: &mut dyn FnMut(i64) -> bool,
        access: Access,
    ) -> Result<(), ReadError> {
        loop {
            let range = {
                let index = self.index();
                match index.get(queue).map(|queue| queue.find(selection.next)) {
                    None | Some(Source::Nowhere) => return Ok(()),
                    Some(Source::Recent(mut entries)) => {
                        entries.all(|entry| selection.offer(entry, accept));
                        return Ok(());
                    }
                    Some(Source::Sealed(range)) => range,
                }
            };
            let wanted = selection.left_to_scan();
            let entries = self.sealed_entries(queue, range, selection.next, wanted, access)?;
            if !entries.iter().all(|entry| selection.offer(entry, accept)) {
                return Ok(());
            }
        }
    }

    /// The bytes of these records, copied only when they are not next to each other. Fewer than asked when a later
    /// one cannot be read: the next read begins with it and says why.
    fn fetch(&self, wanted: &[Entry], access: Access) -> Result<(Bytes, usize), ReadError> {
        let mut runs = Runs::default();
        for entry in wanted {
            if !runs.extend(entry) {
                match self.piece_of(entry, access) {
                    Ok(piece) => runs.begin(piece, entry),
                    Err(error) if runs.count == 0 => return Err(error),
                    Err(_) => break,
                }
            }
        }
        let count = runs.count;
        Ok((runs.into_bytes(), count))
    }
}

/// Entries on their way to an answer.
struct Selection {
    limits: ReadLimits,
    first: i64,
    /// The offset behind the last entry that was looked at.
    next: i64,
    wanted: Vec<Entry>,
    /// Queue offsets of `wanted`.
    offsets: Vec<i64>,
    bytes: usize,
    /// A lost record was passed.
    is_lossy: bool,
}

impl Selection {
    fn new(first: i64, limits: ReadLimits) -> Self {
        Self {
            limits,
            first,
            next: first,
            wanted: Vec::new(),
            offsets: Vec::new(),
            bytes: 0,
            is_lossy: false,
        }
    }

    fn left_to_scan(&self) -> usize {
        self.limits.max_scan.max(1).saturating_sub((self.next - self.first) as usize)
    }

    /// Looks at the next entry; false when it and all behind it are for another read.
    fn offer(&mut self, entry: &Entry, accept: &mut dyn FnMut(i64) -> bool) -> bool {
        let size = entry.size as usize;
        let is_full = !self.wanted.is_empty()
            && (self.wanted.len() >= self.limits.max_messages || self.bytes + size > self.limits.max_bytes);
        if is_full || self.left_to_scan() == 0 {
            return false;
        }
        if entry.is_lost() {
            self.is_lossy = true;
        } else if accept(entry.tags_code) {
            self.wanted.push(*entry);
            self.offsets.push(self.next);
            self.bytes += size;
        }
        self.next += 1;
        true
    }

    fn outcome(self, records: Bytes, count: usize, bounds: Bounds) -> ReadOutcome {
        let status = match count {
            // As Java says of entries whose records are gone from the log.
            0 if self.is_lossy => ReadStatus::MessageWasRemoving,
            0 => ReadStatus::NoMatchedMessage,
            _ => ReadStatus::Found,
        };
        let next_offset = self.offsets.get(count).copied().unwrap_or(self.next);
        ReadOutcome { status, next_offset, records, count, min_offset: bounds.min, max_offset: bounds.max }
    }
}

/// Slices of the log that are as long as possible.
#[derive(Default)]
struct Runs {
    finished: Vec<Bytes>,
    current: Option<(Piece, u64, u64)>,
    count: usize,
}

impl Runs {
    /// Whether the record follows the run, or begins another in the same piece.
    fn extend(&mut self, entry: &Entry) -> bool {
        let Some((piece, _, to)) = &mut self.current else { return false };
        if !piece.contains(entry) {
            return false;
        }
        if *to == entry.physical {
            *to = entry.end();
            self.count += 1;
        } else {
            let piece = piece.clone();
            self.begin(piece, entry);
        }
        true
    }

    fn begin(&mut self, piece: Piece, entry: &Entry) {
        self.finish();
        self.current = Some((piece, entry.physical, entry.end()));
        self.count += 1;
    }

    fn finish(&mut self) {
        if let Some((piece, from, to)) = self.current.take() {
            self.finished.extend(piece.slice(from, to));
        }
    }

    fn into_bytes(mut self) -> Bytes {
        self.finish();
        if self.finished.len() == 1 {
            return self.finished.pop().unwrap_or_default();
        }
        let mut all = BytesMut::with_capacity(self.finished.iter().map(Bytes::len).sum());
        for run in &self.finished {
            all.extend_from_slice(run);
        }
        all.freeze()
    }
}

fn outcome(status: ReadStatus, next_offset: i64, bounds: Bounds) -> ReadOutcome {
    let Bounds { min, max } = bounds;
    ReadOutcome { status, next_offset, min_offset: min, max_offset: max, records: Bytes::new(), count: 0 }
}

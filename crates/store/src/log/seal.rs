//! Index files for closed segments.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::scan::FrameReader;
use super::{ClosedSegment, Failure, Log, Segment, lock};
use crate::error::ReadError;
use crate::queue::{Entry, QueueId, QueueName, SealedRange, Section, SegmentIndex};
use crate::storage::Access;

impl Log {
    /// Writes the index files that are due and lets go of their entries in memory.
    pub(crate) fn seal_closed(&self) -> Result<(), Failure> {
        let _one = lock(&self.sealing);
        while let Some(segment) = self.segments.next_unsealed() {
            // A topic that is deleted while its entries are written makes them stale: write them again.
            while !self.seal(segment)? {}
            self.segments.sealed();
            self.keys.queue(segment.start);
        }
        Ok(())
    }

    fn seal(&self, segment: ClosedSegment) -> Result<bool, Failure> {
        let unsealed = self.index().unsealed_below(segment.end);
        let mut draft = IndexDraft::new(segment, unsealed, |id| self.queue_name(id));
        self.write_index(&mut draft.index, &draft.entries)?;
        Ok(self.index_mut().seal(&draft.sealed()))
    }

    fn write_index(&self, index: &mut SegmentIndex, entries: &[Vec<Entry>]) -> Result<(), Failure> {
        let path = self.paths.index_file(index.start);
        let written = index.write(&*self.storage, &path, entries);
        self.segments.reopen_index(index.start);
        written.map_err(|error| self.fail(Failure::of("write")(error)))
    }

    /// Entries of a closed segment, as [`crate::queue::IndexFile::entries_as`]; an index file that is missing or
    /// damaged is written again from its segment first.
    pub(crate) fn sealed_entries(
        &self,
        queue: QueueId,
        range: SealedRange,
        from: i64,
        wanted: usize,
        access: Access,
    ) -> Result<Vec<Entry>, ReadError> {
        let file = self.segments.index_file(range.segment, &*self.storage, access);
        if let Ok(Ok(entries)) = file.map(|file| file.entries_as(&range, from, wanted, access)) {
            return Ok(entries);
        }
        if access == Access::Now {
            let path = self.paths.index_file(range.segment);
            return Err(ReadError::io(&path)(io::ErrorKind::WouldBlock.into()));
        }
        let range = self.rebuild_index(queue, range)?;
        let file = self.segments.index_file(range.segment, &*self.storage, access)?;
        file.entries_as(&range, from, wanted, access).map_err(|_| ReadError::Damaged {
            file: self.paths.index_file(range.segment),
            position: range.position,
            reason: "the index file is damaged again right after it was rebuilt",
        })
    }

    /// Writes the index file of a closed segment again; where its entries of this queue are now.
    fn rebuild_index(&self, queue: QueueId, stale: SealedRange) -> Result<SealedRange, ReadError> {
        let _one = lock(&self.sealing);
        let path = self.paths.index_file(stale.segment);
        tracing::warn!(file = %path.display(), "the index file cannot be read; it is rebuilt from its segment");
        let segment = self.segments.find(stale.segment, &*self.storage)?;
        let mut scanned = scan_entries(&segment).map_err(ReadError::io(&segment.path))?;
        let ranges = self.index().ranges_of(stale.segment);
        let mut unsealed = Vec::with_capacity(ranges.len());
        for (id, range) in ranges {
            let Some(name) = self.queue_name(id) else { continue };
            let found = scanned.remove(&name).unwrap_or_default();
            if found.len() != range.count as usize {
                return Err(ReadError::Damaged {
                    file: segment.path.clone(),
                    position: 0,
                    reason: "the segment does not hold the records that its index had",
                });
            }
            unsealed.push((id, range.first, found.into_iter().map(|(_, entry)| entry).collect()));
        }
        let gone = || ReadError::io(&path)(io::ErrorKind::NotFound.into());
        let (end, last_timestamp) = self.segments.closed_at(stale.segment).ok_or_else(gone)?;
        let closed = ClosedSegment { start: stale.segment, end, last_timestamp };
        let mut draft = IndexDraft::new(closed, unsealed, |id| self.queue_name(id));
        self.write_index(&mut draft.index, &draft.entries)
            .map_err(|failure| ReadError::Io { path, source: io::Error::other(failure.to_string()) })?;
        let mut live = self.index_mut();
        for (id, range, _) in draft.sealed() {
            live.relocate(id, range);
        }
        let moved = live.ranges_of(stale.segment).into_iter().find(|(id, _)| *id == queue);
        Ok(moved.map_or(stale, |(_, range)| range))
    }
}

/// The index file of a segment before it is written.
pub(crate) struct IndexDraft {
    pub(crate) index: SegmentIndex,
    /// Of each section.
    pub(crate) entries: Vec<Vec<Entry>>,
    /// Of each section: its queue and first entry.
    queues: Vec<(QueueId, Entry)>,
}

impl IndexDraft {
    pub(crate) fn new(
        segment: ClosedSegment,
        unsealed: Vec<(QueueId, i64, Vec<Entry>)>,
        name: impl Fn(QueueId) -> Option<QueueName>,
    ) -> Self {
        let ClosedSegment { start, end, last_timestamp } = segment;
        let mut queues = Vec::with_capacity(unsealed.len());
        let mut sections = Vec::with_capacity(unsealed.len());
        let mut entries = Vec::with_capacity(unsealed.len());
        for (id, first, of_queue) in unsealed {
            let (Some(name), Some(entry)) = (name(id), of_queue.first().copied()) else { continue };
            let (count, first_physical) = (of_queue.len() as u32, entry.physical);
            sections.push(Section { name, first, count, position: 0, first_physical });
            queues.push((id, entry));
            entries.push(of_queue);
        }
        Self { index: SegmentIndex { start, end, last_timestamp, sections }, entries, queues }
    }

    /// After it was written: what [`Index::seal`](crate::queue::Index::seal) wants.
    pub(crate) fn sealed(&self) -> Vec<(QueueId, SealedRange, Entry)> {
        let ranges = self.index.sections.iter().map(|section| section.range(self.index.start));
        self.queues.iter().zip(ranges).map(|((id, first), range)| (*id, range, *first)).collect()
    }
}

/// All entries of a segment by queue, with their queue offsets. Where a topic was deleted and came back in the
/// middle of the segment, only its last life counts.
fn scan_entries(segment: &Segment) -> io::Result<HashMap<QueueName, Vec<(i64, Entry)>>> {
    let mut queues: HashMap<QueueName, Vec<(i64, Entry)>> = HashMap::new();
    let mut reader = FrameReader::new(&*segment.file, segment.start)?;
    while let Some(frame) = reader.next()? {
        for (record, entry) in frame.records().filter(|(record, _)| record.is_queued()) {
            let Ok(topic) = std::str::from_utf8(record.topic()) else { continue };
            let name = QueueName { topic: Arc::from(topic), queue_id: record.queue_id() };
            let entries = queues.entry(name).or_default();
            if entries.last().is_some_and(|(last, _)| *last >= record.queue_offset()) {
                entries.clear();
            }
            entries.push((record.queue_offset(), entry));
        }
    }
    Ok(queues)
}

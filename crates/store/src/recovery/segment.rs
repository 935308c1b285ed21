use super::Recovery;
use super::damage::BadFrame;
use crate::error::OpenError;
use crate::log::scan::{Frame, FrameReader};
use crate::log::{ClosedSegment, IndexDraft};
use crate::planted::{crash_point, planted};
use crate::queue::{QueueName, SegmentIndex};
use crate::storage::is_zero_from;

impl Recovery<'_> {
    /// Takes a segment over from its index file, without reading it, if that can be trusted: the segment is durable
    /// as a whole, it is not the last one, and its length and entries are what the log so far leads to expect.
    pub(super) fn adopt_index(&mut self, start: u64, has_later: bool) -> Result<bool, OpenError> {
        if !has_later {
            return Ok(false);
        }
        let Ok(index) = SegmentIndex::load(self.storage, &self.paths.index_file(start)) else {
            return Ok(false);
        };
        let path = self.paths.segment(start);
        let file = self.storage.open(&path).map_err(OpenError::io("open", &path))?;
        let size = file.size().map_err(OpenError::io("read", &path))?;
        let is_trusted = index.start == start
            && index.end == start + size
            && index.end <= self.evidence
            && !self.origin.splits(start, index.end)
            || planted("index trusted over log");
        if !is_trusted || !self.follows(&index) {
            return Ok(false);
        }
        for section in &index.sections {
            if !self.origin.is_deleted(&section.name.topic, section.first_physical) {
                let id = self.add_queue(&section.name.topic, section.name.queue_id, 0);
                self.index.adopt(id, section.range(start));
            }
        }
        self.end = index.end;
        self.last_timestamp = self.last_timestamp.max(index.last_timestamp);
        self.closed.push_back(ClosedSegment { start, end: index.end, last_timestamp: index.last_timestamp });
        Ok(true)
    }

    /// Whether each section begins where its queue ended, and no entry waits in memory before it.
    fn follows(&self, index: &SegmentIndex) -> bool {
        index
            .sections
            .iter()
            .filter(|section| !self.origin.is_deleted(&section.name.topic, section.first_physical))
            .all(|section| {
                let id = self.registry.find(&section.name.topic, section.name.queue_id);
                match id.and_then(|id| self.index.get(id)) {
                    Some(queue) => queue.next() == section.first && queue.is_sealed(),
                    None => section.first == 0,
                }
            })
    }

    /// Reads a segment frame by frame. The place of the first bad frame, if there is one.
    ///
    /// Zeros behind the last frame were written ahead of the log, and end with the file: nothing was ever there. `next` is
    /// where the next segment begins.
    pub(super) fn scan_segment(
        &mut self,
        start: u64,
        next: Option<u64>,
    ) -> Result<Option<BadFrame>, OpenError> {
        let path = self.paths.segment(start);
        let file = self.storage.open(&path).map_err(OpenError::io("open", &path))?;
        let mut reader = FrameReader::new(&*file, start).map_err(OpenError::io("read", &path))?;
        let mut last_timestamp = 0;
        while let Some(frame) = reader.next().map_err(OpenError::io("read", &path))? {
            self.evidence = self.evidence.max(frame.header.durable);
            self.add_frame(&frame, start, &mut last_timestamp)?;
        }
        let (end, file_end) = (reader.at(), reader.end());
        self.last_timestamp = self.last_timestamp.max(last_timestamp);
        self.end = end;
        let scanned = ClosedSegment { start, end, last_timestamp };
        self.closed.push_back(scanned);
        if end < file_end {
            let is_unused = next.is_none_or(|next| next == end)
                && is_zero_from(&*file, end - start).map_err(OpenError::io("read", &path))?;
            if !is_unused {
                self.unsealed = Some(scanned);
                return Ok(Some(BadFrame { segment: start, file_end }));
            }
            self.untrimmed.push(scanned);
        }
        if next.is_some() {
            self.seal(scanned)?
        } else {
            self.unsealed = Some(scanned)
        }
        Ok(None)
    }

    /// Writes the index file again at once: the entries of all segments might not fit into memory.
    fn seal(&mut self, segment: ClosedSegment) -> Result<(), OpenError> {
        let unsealed = self.index.unsealed_below(segment.end);
        let name = |id| self.registry.name(id).map(|name| QueueName::clone(name));
        let mut draft = IndexDraft::new(segment, unsealed, name);
        let path = self.paths.index_file(segment.start);
        let written = draft.index.write(self.storage, &path, &draft.entries);
        written.map_err(|(path, source)| OpenError::io("write", &path)(source))?;
        crash_point("recovery.sealed");
        self.index.seal(&draft.sealed());
        self.report.rebuilt_indexes += 1;
        Ok(())
    }

    fn add_frame(&mut self, frame: &Frame<'_>, segment: u64, last: &mut i64) -> Result<(), OpenError> {
        let frame_end = frame.start + frame.header.length as u64;
        if frame.header.is_filler && !self.origin.is_repaired(frame.start, frame_end) {
            return Err(self.nonsense(segment, frame.start, "a filler stands where nothing was repaired"));
        }
        for (record, entry) in frame.records() {
            *last = (*last).max(record.store_timestamp());
            self.report.records += 1;
            let topic = std::str::from_utf8(record.topic());
            let Ok(topic) = topic else {
                return Err(self.nonsense(segment, entry.physical, "a topic is not UTF-8"));
            };
            if !record.is_queued() || self.origin.is_deleted(topic, entry.physical) {
                continue;
            }
            let id = self.add_queue(topic, record.queue_id(), 0);
            let Some(queue) = self.index.get_mut(id) else { continue };
            if queue.next() != record.queue_offset() {
                let (next, found) = (queue.next(), record.queue_offset());
                let reason =
                    format!("queue {topic}/{} goes on with {found} instead of {next}", record.queue_id());
                return Err(self.nonsense(segment, entry.physical, &reason));
            }
            queue.push(entry);
        }
        Ok(())
    }

    /// A frame whose checksum fits and whose content cannot follow what is before it: a missing or stale file.
    fn nonsense(&self, segment: u64, physical: u64, reason: &str) -> OpenError {
        OpenError::Damaged {
            file: self.paths.segment(segment),
            position: physical - segment,
            offset: physical,
            records_behind: 0,
            reason: reason.to_owned(),
        }
    }
}

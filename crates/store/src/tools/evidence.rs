//! What can be known of the records that were in a hole: from index files, else from the damaged bytes themselves.
//!
//! Nothing of it is ever delivered. It only tells how many records of which queues are lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use rocketwire_protocol::message::record::MIN_LEN;

use super::survey::{Hole, Survey};
use super::{ToolError, folder::Folder};
use crate::log::paths;
use crate::octets::u32_at;
use crate::origin::Origin;
use crate::queue::{IndexFile, QueueName, SegmentIndex};
use crate::record::Record;
use crate::storage::read_range;

/// Lost records of one queue.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Records that an index file tells of.
    indexed: i64,
    /// Queue offsets that were read in damaged bytes, which may say anything.
    salvaged: Vec<i64>,
}

impl Seen {
    /// How many records of the queue they were, when it went on with `next`, of `room` at most.
    pub(super) fn count(&self, next: i64, room: i64) -> i64 {
        let plausible = next..next.saturating_add(self.indexed + room);
        let salvaged = self.salvaged.iter().filter(|offset| plausible.contains(offset));
        let end = salvaged.clone().max().map_or(next, |last| last + 1);
        (self.indexed + salvaged.count() as i64).max(end - next).min(room)
    }
}

/// What a hole held.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) queues: BTreeMap<QueueName, Seen>,
    /// Records that were seen, of whatever queue.
    records: i64,
    /// Bytes in which a record may have been that is not among them.
    unexplained: u64,
}

impl Evidence {
    /// Looks into index files and bytes.
    pub(super) fn of(
        folder: &Folder<'_>,
        survey: &Survey,
        hole: &Hole,
        origin: &Origin,
    ) -> Result<Self, ToolError> {
        let mut evidence = Self::default();
        let mut at = hole.from;
        for (start, index) in indexes_of(folder, hole)? {
            if index.start.max(at) >= hole.to {
                break;
            }
            evidence.add_bytes(folder, survey, at, index.start.max(at), origin)?;
            evidence.add_index(folder, start, &index, hole, origin)?;
            at = index.end.clamp(at, hole.to);
        }
        evidence.add_bytes(folder, survey, at, hole.to, origin)?;
        Ok(evidence)
    }

    /// How many records there can have been.
    pub(super) fn room(&self) -> i64 {
        self.records + (self.unexplained / MIN_LEN as u64) as i64
    }

    /// Whether index files tell of every byte, so that nothing is guessed.
    pub(super) fn is_exact(&self) -> bool {
        self.unexplained == 0 && self.queues.values().all(|seen| seen.salvaged.is_empty())
    }

    fn add_index(
        &mut self,
        folder: &Folder<'_>,
        start: u64,
        index: &SegmentIndex,
        hole: &Hole,
        origin: &Origin,
    ) -> Result<(), ToolError> {
        let path = folder.paths.index_file(start);
        let file = IndexFile { file: folder.storage.open(&path).map_err(ToolError::io("open", &path))? };
        for section in &index.sections {
            let all = file.entries(&section.range(start), section.first, section.count as usize);
            for entry in all.unwrap_or_default() {
                let is_inside = (hole.from..hole.to).contains(&entry.physical);
                if is_inside && !origin.is_deleted(&section.name.topic, entry.physical) {
                    self.queues.entry(section.name.clone()).or_default().indexed += 1;
                    self.records += 1;
                }
            }
        }
        Ok(())
    }

    /// Looks at the bytes of `[from, to)` that are still there.
    fn add_bytes(
        &mut self,
        folder: &Folder<'_>,
        survey: &Survey,
        from: u64,
        to: u64,
        origin: &Origin,
    ) -> Result<(), ToolError> {
        let mut at = from;
        for extent in survey.extents.iter().filter(|extent| extent.end > from && extent.start < to) {
            let (begin, end) = (extent.start.max(from), extent.end.min(to));
            self.explain(begin.saturating_sub(at));
            let path = folder.paths.segment(extent.start);
            let file = folder.storage.open(&path).map_err(ToolError::io("open", &path))?;
            let size = usize::try_from(end - begin).unwrap_or(usize::MAX);
            let bytes =
                read_range(&*file, begin - extent.start, size).map_err(ToolError::io("read", &path))?;
            self.salvage(&bytes, begin, origin);
            at = end;
        }
        self.explain(to.saturating_sub(at));
        Ok(())
    }

    /// Finds what looks like records that know their own place.
    fn salvage(&mut self, bytes: &[u8], base: u64, origin: &Origin) {
        let (mut at, mut explained) = (0, 0);
        while at + MIN_LEN <= bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            let physical = base + at as u64;
            match record_at(rest, physical) {
                Some(record) => {
                    self.explain((at - explained) as u64);
                    self.note(&record, physical, origin);
                    at += record.size();
                    explained = at;
                }
                None => at += 1,
            }
        }
        self.explain((bytes.len() - explained) as u64);
    }

    fn note(&mut self, record: &Record<'_>, physical: u64, origin: &Origin) {
        let Ok(topic) = std::str::from_utf8(record.topic()) else { return };
        if record.is_queued() && !origin.is_deleted(topic, physical) {
            let name = QueueName { topic: Arc::from(topic), queue_id: record.queue_id() };
            self.queues.entry(name).or_default().salvaged.push(record.queue_offset());
            self.records += 1;
        }
    }

    /// Adds a stretch in which nothing was recognized, unless no record would fit there.
    fn explain(&mut self, bytes: u64) {
        if bytes >= MIN_LEN as u64 {
            self.unexplained += bytes;
        }
    }
}

/// A record that says that it is stored here.
fn record_at(bytes: &[u8], physical: u64) -> Option<Record<'_>> {
    u32_at(bytes, 0).filter(|size| *size as usize >= MIN_LEN && *size as usize <= bytes.len())?;
    let record = Record::parse(bytes).ok()?;
    (record.physical_offset() == physical.cast_signed()).then_some(record)
}

/// The good index files that speak of bytes in the hole, in order, each with the start that its name says.
fn indexes_of(folder: &Folder<'_>, hole: &Hole) -> Result<Vec<(u64, SegmentIndex)>, ToolError> {
    let mut found = Vec::new();
    for name in folder.names(&folder.paths.index)?.iter().filter(|name| paths::key_start(name).is_none()) {
        let Some(start) = paths::index_start(name).filter(|start| *start < hole.to) else { continue };
        let Ok(index) = SegmentIndex::load(folder.storage, &folder.paths.index_file(start)) else { continue };
        if index.start == start && index.end > hole.from && is_whole(folder, start, &index) {
            found.push((start, index));
        }
    }
    Ok(found)
}

/// Whether every block of the file is good, too.
fn is_whole(folder: &Folder<'_>, start: u64, index: &SegmentIndex) -> bool {
    let Ok(file) = folder.storage.open(&folder.paths.index_file(start)) else { return false };
    let file = IndexFile { file };
    index
        .sections
        .iter()
        .all(|section| file.entries(&section.range(start), section.first, section.count as usize).is_ok())
}

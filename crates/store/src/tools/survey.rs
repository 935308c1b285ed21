//! Where the log is good and where it is not: the first pass over all segments.

use std::io;
use std::sync::Arc;

use super::{ToolError, folder::Folder};
use crate::log::paths;
use crate::log::scan::{Frame, FrameReader};
use crate::octets::u64_at;
use crate::storage::{StorageFile, is_zero_from, read_range};

/// Bytes of the log that are no frames, from the end of a good frame to the begin of the next, across files if need be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    /// The segment in whose file it begins; one that is missing begins where the one before it ends.
    pub(super) segment: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// One file of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) start: u64,
    /// Behind its last byte, or where the next segment begins if that is earlier.
    pub(super) end: u64,
    /// Behind its last byte, but for zeros that were written ahead of the log.
    pub(super) file_end: u64,
}

/// What the segments look like from outside of the frames.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) extents: Vec<Extent>,
    /// Segments below the origin, whose deletion was under way.
    pub(super) left_over: usize,
    /// Damage, in order.
    pub(super) holes: Vec<Hole>,
    /// What a crash may have left at the end: it was never known to be durable.
    pub(super) torn: Option<Hole>,
    /// The log was flushed at least up to here.
    pub(super) durable: u64,
    /// Where the log ends, without what is torn.
    pub(super) end: u64,
}

/// What [`Survey::walk`] meets.
pub(super) enum Step<'s> {
    /// A good frame of the segment that begins there.
    Frame(u64, Frame<'s>),
    /// The hole with this number.
    Hole(usize),
}

impl Survey {
    /// Reads every segment from `start` on; `durable` is what checkpoint and origin know.
    pub(super) fn take(folder: &Folder<'_>, start: u64, durable: u64) -> Result<Self, ToolError> {
        let mut survey = Survey { durable, end: start, ..Survey::default() };
        let starts = survey.starts(folder, start)?;
        for (at, segment) in starts.iter().copied().enumerate() {
            survey.add_hole(survey.last_segment(), survey.end, segment);
            survey.segment(folder, segment, starts.get(at + 1).copied())?;
        }
        survey.add_hole(survey.last_segment(), survey.end, survey.durable);
        survey.settle();
        Ok(survey)
    }

    /// What [`Survey::take`] finds if there is no damage, by reading the last segment only: whether it is so is seen by
    /// [`Survey::walk`]. `None` if it is not, by the lengths of the files alone.
    pub(super) fn assume(folder: &Folder<'_>, start: u64, durable: u64) -> Result<Option<Self>, ToolError> {
        let mut survey = Survey { durable, end: start, ..Survey::default() };
        let starts = survey.starts(folder, start)?;
        for (at, segment) in starts.iter().copied().enumerate() {
            if segment != survey.end {
                return Ok(None);
            }
            if at + 1 == starts.len() {
                survey.segment(folder, segment, None)?;
                break;
            }
            let path = folder.paths.segment(segment);
            let file = folder.storage.open(&path).map_err(ToolError::io("open", &path))?;
            let end = segment + file.size().map_err(ToolError::io("read", &path))?;
            survey.extents.push(Extent { start: segment, end, file_end: end });
            survey.end = end;
        }
        survey.add_hole(survey.last_segment(), survey.end, survey.durable);
        survey.settle();
        Ok(survey.holes.is_empty().then_some(survey))
    }

    /// Goes over good frames and holes in the order of the log. Whether what lies between the holes is frames indeed.
    pub(super) fn walk(
        &self,
        folder: &Folder<'_>,
        mut visit: impl FnMut(Step<'_>) -> Result<(), ToolError>,
    ) -> Result<bool, ToolError> {
        let mut holes = self.holes.iter().enumerate().peekable();
        let (mut good_from, mut is_whole) = (0, true);
        for extent in &self.extents {
            let path = folder.paths.segment(extent.start);
            let file = folder.storage.open(&path).map_err(ToolError::io("open", &path))?;
            let mut reader = FrameReader::new(&*file, extent.start).map_err(ToolError::io("read", &path))?;
            let end = extent.end.min(self.end);
            loop {
                while let Some((number, hole)) = holes.next_if(|(_, hole)| hole.from <= reader.at()) {
                    good_from = hole.to;
                    visit(Step::Hole(number))?;
                }
                // A hole may reach into this file from the one before.
                reader.skip_to(good_from);
                if reader.at() >= end {
                    break;
                }
                match reader.next().map_err(ToolError::io("read", &path))? {
                    Some(frame) => visit(Step::Frame(extent.start, frame))?,
                    // Assumed only; or the file is not what it was a moment ago.
                    None => break,
                }
            }
            is_whole &= reader.at() == end;
        }
        holes.try_for_each(|(number, _)| visit(Step::Hole(number)))?;
        Ok(is_whole)
    }

    /// Whether the next start cuts the log off below this place.
    pub(super) fn is_torn_below(&self, offset: u64) -> bool {
        self.torn.is_some_and(|torn| torn.from < offset)
    }

    /// The file that holds this place, or would.
    pub(super) fn segment_of(&self, offset: u64) -> u64 {
        self.extents.iter().rfind(|extent| extent.start <= offset).map_or(offset, |extent| extent.start)
    }

    /// Where the segments from `start` on begin; those below are left over.
    fn starts(&mut self, folder: &Folder<'_>, start: u64) -> Result<Vec<u64>, ToolError> {
        let names = folder.names(&folder.paths.log)?;
        let all = names.iter().filter_map(|name| paths::segment_start(name));
        let (starts, left_over): (Vec<u64>, Vec<u64>) = all.partition(|segment| *segment >= start);
        self.left_over = left_over.len();
        Ok(starts)
    }

    fn segment(&mut self, folder: &Folder<'_>, start: u64, next: Option<u64>) -> Result<(), ToolError> {
        let path = folder.paths.segment(start);
        let file = folder.storage.open(&path).map_err(ToolError::io("open", &path))?;
        let mut reader = FrameReader::new(&*file, start).map_err(ToolError::io("read", &path))?;
        let mut file_end = reader.end();
        let mut end = next.map_or(file_end, |next| next.min(file_end));
        let is_unused = |from: u64| is_zero_from(&*file, from - start).map_err(ToolError::io("read", &path));
        let mut at = start;
        while at < end {
            let found = reader.next().map_err(ToolError::io("read", &path))?;
            match found.map(|frame| (frame.start + frame.header.length as u64, frame.header.durable)) {
                Some((frame_end, durable)) if frame_end <= end => {
                    self.durable = self.durable.max(durable);
                    at = frame_end;
                }
                _ if next.is_none() && is_unused(at)? => end = at,
                _ => {
                    let good = next_frame(&file, start, at, end).map_err(ToolError::io("read", &path))?;
                    self.add_hole(start, at, good);
                    reader.skip_to(good);
                    at = good;
                }
            }
        }
        if is_unused(end)? {
            file_end = end;
        }
        self.extents.push(Extent { start, end, file_end });
        self.end = end;
        Ok(())
    }

    fn last_segment(&self) -> u64 {
        self.extents.last().map_or(self.end, |extent| extent.start)
    }

    /// Adds a hole, or makes the last one longer.
    fn add_hole(&mut self, segment: u64, from: u64, to: u64) {
        if from >= to {
            return;
        }
        self.end = self.end.max(to);
        match self.holes.last_mut().filter(|last| last.to == from) {
            Some(last) => last.to = to,
            None => self.holes.push(Hole { segment, from, to }),
        }
    }

    /// Tells damage from a torn end, as the start of a store does: what was flushed cannot be torn.
    fn settle(&mut self) {
        let Some(first) = self.holes.iter().position(|hole| hole.from >= self.durable) else { return };
        let torn = self.holes.split_off(first);
        if let Some(hole) = torn.first() {
            self.torn = Some(Hole { to: self.end, ..*hole });
            self.end = hole.from;
        }
    }
}

/// Log offset of the first good frame behind `at`, or `end`.
///
/// A frame whose bytes are damaged mostly still tells its length. Where a good frame follows there, it is believed: the
/// bytes in between came from a client and may look like anything.
fn next_frame(file: &Arc<dyn StorageFile>, base: u64, at: u64, end: u64) -> io::Result<u64> {
    let bytes = read_range(&**file, at - base, usize::try_from(end - at).unwrap_or(usize::MAX))?;
    let is_frame = |skip: usize| {
        let offset = at + skip as u64;
        let rest = bytes.get(skip..).unwrap_or_default();
        u64_at(rest, 8) == Some(offset) && Frame::parse(rest, offset).is_some()
    };
    if let Some(length) = crate::log::frame::claimed_length(&bytes, at)
        && (is_frame(length) || length == bytes.len())
    {
        return Ok(at + length as u64);
    }
    let found = (1..bytes.len()).find(|skip| is_frame(*skip));
    Ok(found.map_or(end, |skip| at + skip as u64))
}

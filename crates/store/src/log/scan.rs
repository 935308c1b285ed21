//! Reading a segment from front to end, frame by frame.

use std::io;

use super::frame::{self, FrameHeader};
use crate::octets::u64_at;
use crate::queue::Entry;
use crate::record::Record;
use crate::storage::{StorageFile, read_full_at, read_range};

/// Bytes that are read at once.
const WINDOW: u64 = 1 << 20;

/// A frame whose checksum and records are in order.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) start: u64,
    pub(crate) header: FrameHeader,
    records: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(crate) fn parse(bytes: &'a [u8], start: u64) -> Option<Self> {
        let header = frame::check(bytes, start)?;
        let frame = Self { start, header, records: bytes.get(frame::HEADER..header.length)? };
        // Records that do not fill the frame exactly were not written by a store: no better than a bad checksum.
        let filled: usize = frame.raw_records().map(|(record, _)| record.size()).sum();
        (filled == frame.records.len()).then_some(frame)
    }

    /// Its records, each with the entry that leads to it.
    pub(crate) fn records(&self) -> impl Iterator<Item = (Record<'a>, Entry)> {
        let (start, is_filler) = (self.start, self.header.is_filler);
        self.raw_records().map(move |(record, frame_distance)| {
            let entry = Entry {
                physical: start + u64::from(frame_distance),
                size: record.size() as u32,
                frame_distance,
                tags_code: if is_filler { Entry::LOST } else { record.tags_code() },
            };
            (record, entry)
        })
    }

    /// Its records, each with the bytes between the start of the frame and itself.
    pub(crate) fn raw_records(&self) -> impl Iterator<Item = (Record<'a>, u32)> {
        let (start, records) = (self.start, self.records);
        let mut at = 0;
        std::iter::from_fn(move || {
            let record = Record::parse(records.get(at..)?).ok()?;
            let frame_distance = frame::HEADER + at;
            at += record.size();
            let physical = start + frame_distance as u64;
            (record.physical_offset() == physical.cast_signed()).then_some((record, frame_distance as u32))
        })
    }
}

/// Goes through a segment until it ends or a frame is bad.
#[derive(Debug)]
pub(crate) struct FrameReader<'a> {
    file: &'a dyn StorageFile,
    /// Log offset of the file's first byte.
    base: u64,
    /// Log offset behind the file's last byte.
    end: u64,
    at: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl<'a> FrameReader<'a> {
    pub(crate) fn new(file: &'a dyn StorageFile, base: u64) -> io::Result<Self> {
        let end = base + file.size()?;
        Ok(Self { file, base, end, at: base, window: Vec::new(), window_start: base })
    }

    /// Goes from one place to another only; both are between frames, and the file is as long as that at least.
    pub(crate) fn between(file: &'a dyn StorageFile, base: u64, from: u64, to: u64) -> Self {
        Self { file, base, end: to, at: from, window: Vec::new(), window_start: from }
    }

    /// Log offset behind the last good frame.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Log offset behind the file.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Goes on at this log offset, where a frame must begin.
    pub(crate) fn skip_to(&mut self, at: u64) {
        self.at = at.clamp(self.at, self.end);
    }

    /// The next frame; `None` where the file ends or the frame is bad.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        self.fill(frame::HEADER)?;
        let start = self.at;
        let Some(length) = frame::claimed_length(self.rest(), start) else { return Ok(None) };
        if length as u64 > self.end - start {
            return Ok(None);
        }
        self.fill(length)?;
        self.at = start + length as u64;
        let skip = (start - self.window_start) as usize;
        let parsed = Frame::parse(self.window.get(skip..).unwrap_or_default(), start);
        if parsed.is_none() {
            self.at = start;
        }
        Ok(parsed)
    }

    /// Bytes from here on that are in memory.
    fn rest(&self) -> &[u8] {
        let skip = (self.at - self.window_start) as usize;
        self.window.get(skip..).unwrap_or_default()
    }

    /// Makes `count` bytes from here on available, if the file has as many.
    fn fill(&mut self, count: usize) -> io::Result<()> {
        if self.rest().len() < count {
            let available = self.end - self.at;
            let wanted = WINDOW.max(count as u64).min(available) as usize;
            // The same memory again: fresh pages cost more than the bytes that come into them.
            self.window.resize(wanted, 0);
            let filled = read_full_at(self.file, &mut self.window, self.at - self.base)?;
            self.window.truncate(filled);
            self.window_start = self.at;
        }
        Ok(())
    }
}

/// What valid frames there are at or behind a place where none is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) frames: u64,
    pub(crate) records: u64,
    /// How far the log was durable when the newest of them was written.
    pub(crate) durable: u64,
}

impl Behind {
    /// Looks at every byte of the segment from log offset `from` on, for frames that carry their own place.
    pub(crate) fn look(&mut self, file: &dyn StorageFile, base: u64, from: u64) -> io::Result<()> {
        let end = base + file.size()?;
        let bytes = read_range(file, from - base, end.saturating_sub(from) as usize)?;
        let mut at = 0;
        while at + frame::HEADER <= bytes.len() {
            let offset = from + at as u64;
            let is_candidate = u64_at(&bytes, at + 8) == Some(offset);
            let rest = bytes.get(at..).unwrap_or_default();
            match is_candidate.then(|| Frame::parse(rest, offset)).flatten() {
                Some(frame) => {
                    self.frames += 1;
                    self.records += frame.records().count() as u64;
                    self.durable = self.durable.max(frame.header.durable);
                    at += frame.header.length;
                }
                None => at += 1,
            }
        }
        Ok(())
    }
}

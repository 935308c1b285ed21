use std::io;

use super::table::{self, KeyFault, KeyTable, MAX_ENTRIES};
use super::{Place, hash};
use crate::error::ReadError;
use crate::log::scan::{Frame, FrameReader};
use crate::log::{ClosedSegment, Log, Segment, lock};
use crate::storage::write_all_at;

/// Keys of one message that can be found; those behind them cannot.
const MAX_KEYS: usize = 64;

/// What a pass over a segment tells of each frame.
pub(super) struct FrameKeys<'a> {
    pub(super) begin: u64,
    pub(super) end: u64,
    /// Store time of its last record.
    pub(super) last_timestamp: i64,
    /// Hash and place of each key, in the order of the records.
    pub(super) keys: &'a [(u32, Place)],
}

type Visit<'a> = dyn FnMut(FrameKeys<'_>) -> io::Result<()> + 'a;

impl Log {
    /// Makes one key file that is due. It is derived and never flushed: one that a crash has spoilt is made again.
    pub(crate) fn make_keys(&self) {
        let Some(start) = self.keys.next_due() else { return };
        let Some(segment) = self.closed_segment(start) else { return };
        let _one = lock(&self.keys.building);
        if let Err(error) = self.write_keys(segment) {
            tracing::warn!(segment = start, %error, "a key file was not made; the first query that needs it tries again");
            return;
        }
        lock(&self.keys.recent).forget(start);
    }

    /// Where records of a closed segment are whose key has this hash, oldest first.
    pub(super) fn sealed_places(&self, segment: ClosedSegment, hash: u32) -> Result<Vec<Place>, ReadError> {
        if let Ok(places) = self.places_in_file(segment, hash) {
            return Ok(places);
        }
        let _one = lock(&self.keys.building);
        if let Ok(places) = self.places_in_file(segment, hash) {
            return Ok(places);
        }
        let path = self.paths.key_file(segment.start);
        tracing::info!(file = %path.display(), "the key file cannot be read; it is made again from its segment");
        match self.write_keys(segment) {
            Ok(()) => {}
            Err(error @ ReadError::Damaged { .. }) => return Err(error),
            Err(error) => tracing::warn!(%error, "a key file was not made; its segment is read instead"),
        }
        if let Ok(places) = self.places_in_file(segment, hash) {
            return Ok(places);
        }
        let mut places = Vec::new();
        let file = self.segments.find(segment.start, &*self.storage)?;
        self.visit_keys(&file, segment.start, segment.end, &mut |frame| {
            places.extend(frame.places(hash));
            Ok(())
        })?;
        Ok(places)
    }

    /// The key file of this segment is not to be used again.
    pub(super) fn discard_keys(&self, segment: ClosedSegment) {
        let path = self.paths.key_file(segment.start);
        tracing::warn!(file = %path.display(), "the key file leads to no records; it is made again from its segment");
        drop(self.storage.remove(&path));
        self.segments.reopen_keys(segment.start);
    }

    fn places_in_file(&self, segment: ClosedSegment, hash: u32) -> Result<Vec<Place>, KeyFault> {
        let file = self.segments.key_file(segment.start, &*self.storage).map_err(|_| KeyFault)?;
        table::places(&*file, segment.start, segment.end, hash)
    }

    fn closed_segment(&self, start: u64) -> Option<ClosedSegment> {
        let (end, last_timestamp) = self.segments.closed_at(start)?;
        Some(ClosedSegment { start, end, last_timestamp })
    }

    /// Writes the key file beside and gives it its name. A failure leaves the store as it was.
    fn write_keys(&self, closed: ClosedSegment) -> Result<(), ReadError> {
        let path = self.paths.key_file(closed.start);
        let beside = path.with_extension("key.tmp");
        let segment = self.segments.find(closed.start, &*self.storage)?;
        let file = self.storage.create(&beside).map_err(ReadError::io(&beside))?;
        let (mut at, mut draft) = (0, KeyDraft::new(closed.start));
        let mut write = |bytes: &[u8]| {
            let place = at;
            at += bytes.len() as u64;
            write_all_at(&*file, bytes, place)
        };
        let mut add = |frame: FrameKeys<'_>| draft.add(frame.keys, &mut write);
        self.visit_keys(&segment, closed.start, closed.end, &mut add)?;
        draft.finish(closed.end, &mut write).map_err(ReadError::io(&beside))?;
        self.storage.rename(&beside, &path).map_err(ReadError::io(&path))?;
        self.segments.reopen_keys(closed.start);
        if self.segments.closed_at(closed.start).is_none() {
            // Retention was faster: it may have looked for this file before it was there.
            drop(self.storage.remove(&path));
        }
        Ok(())
    }

    /// Goes through the frames of a segment between two offsets of the log.
    pub(super) fn visit_keys(
        &self,
        segment: &Segment,
        from: u64,
        to: u64,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReadError> {
        let mut reader = FrameReader::between(&*segment.file, segment.start, from, to);
        let mut keys = Vec::new();
        loop {
            let begin = reader.at();
            let Some(frame) = reader.next().map_err(ReadError::io(&segment.path))? else { break };
            keys.clear();
            let last_timestamp = collect_keys(&frame, &mut keys);
            let frame = FrameKeys { begin, end: reader.at(), last_timestamp, keys: &keys };
            visit(frame).map_err(ReadError::io(&segment.path))?;
        }
        if reader.at() == to {
            return Ok(());
        }
        let position = reader.at() - segment.start;
        let reason = "the checksum of the frame does not fit";
        Err(ReadError::Damaged { file: segment.path.clone(), position, reason })
    }
}

impl FrameKeys<'_> {
    /// Places of the keys with this hash.
    pub(super) fn places(&self, hash: u32) -> impl Iterator<Item = Place> {
        self.keys.iter().filter(move |(of, _)| *of == hash).map(|(_, place)| *place)
    }
}

/// Adds hash and place of each key of a frame; store time of its last record.
fn collect_keys(frame: &Frame<'_>, keys: &mut Vec<(u32, Place)>) -> i64 {
    let mut last_timestamp = 0;
    for (record, frame_distance) in frame.raw_records() {
        last_timestamp = record.store_timestamp();
        if record.is_queued() {
            let place = Place { physical: frame.start + u64::from(frame_distance), frame_distance };
            keys.extend(record.keys().take(MAX_KEYS).map(|key| (hash(record.topic(), key), place)));
        }
    }
    last_timestamp
}

/// The bytes of a key file, table by table as they fill: those of a segment are always the same.
#[derive(Debug)]
pub(crate) struct KeyDraft {
    table: KeyTable,
    keys: Vec<(u32, Place)>,
}

/// Takes the next bytes.
type Sink<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

impl KeyDraft {
    /// Of the segment that begins there.
    pub(crate) fn new(start: u64) -> Self {
        Self { table: KeyTable::new(start, MAX_ENTRIES), keys: Vec::new() }
    }

    /// Adds the keys of the next frame.
    pub(crate) fn add_frame(&mut self, frame: &Frame<'_>, sink: &mut Sink<'_>) -> io::Result<()> {
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        collect_keys(frame, &mut keys);
        let added = self.add(&keys, sink);
        self.keys = keys;
        added
    }

    fn add(&mut self, keys: &[(u32, Place)], sink: &mut Sink<'_>) -> io::Result<()> {
        for (hash, place) in keys {
            if self.table.is_full(place.physical) {
                self.finish(place.physical, sink)?;
            }
            self.table.push(*hash, *place);
        }
        Ok(())
    }

    /// The segment, or one of its tables, ends at this offset of the log.
    pub(crate) fn finish(&mut self, to: u64, sink: &mut Sink<'_>) -> io::Result<()> {
        sink(&self.table.finish(to))
    }
}

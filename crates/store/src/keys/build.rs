use std::io;
use std::sync::Arc;

use super::table::{self, KeyFault, KeyTable, MAX_ENTRIES};
use super::{Place, hash};
use crate::error::ReadError;
use crate::log::scan::FrameReader;
use crate::log::{ClosedSegment, Log, Segment, lock};
use crate::storage::{StorageFile, write_all_at};

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
        let mut writer = KeyWriter { file, at: 0, table: KeyTable::new(closed.start, MAX_ENTRIES) };
        self.visit_keys(&segment, closed.start, closed.end, &mut |frame| writer.push_all(frame.keys))?;
        writer.finish(closed.end).map_err(ReadError::io(&beside))?;
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
            let mut last_timestamp = 0;
            for (record, frame_distance) in frame.raw_records() {
                last_timestamp = record.store_timestamp();
                if !record.is_queued() {
                    continue;
                }
                let place = Place { physical: begin + u64::from(frame_distance), frame_distance };
                keys.extend(record.keys().take(MAX_KEYS).map(|key| (hash(record.topic(), key), place)));
            }
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

/// Writes tables as they fill.
struct KeyWriter {
    file: Arc<dyn StorageFile>,
    at: u64,
    table: KeyTable,
}

impl KeyWriter {
    fn push_all(&mut self, keys: &[(u32, Place)]) -> io::Result<()> {
        for (hash, place) in keys {
            if self.table.is_full(place.physical) {
                self.finish(place.physical)?;
            }
            self.table.push(*hash, *place);
        }
        Ok(())
    }

    fn finish(&mut self, to: u64) -> io::Result<()> {
        let bytes = self.table.finish(to);
        write_all_at(&*self.file, &bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

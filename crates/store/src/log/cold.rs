use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;

use super::{Piece, Segments, frame, lock};
use crate::error::ReadError;
use crate::queue::Entry;
use crate::storage::{Access, Storage, read_range_as};

/// Bytes of a read: a consumer that is behind wants the next frames soon.
const READ_AHEAD: u64 = 128 << 10;
/// Pieces at most; looked through one by one.
const MAX_PIECES: usize = 128;

/// Older parts of the log, read from files. What comes out of here has had its frame's checksum verified.
#[derive(Debug)]
pub(crate) struct Cold {
    limit: usize,
    pieces: Mutex<Pieces>,
}

#[derive(Debug, Default)]
struct Pieces {
    /// Most recently read last.
    ring: VecDeque<Piece>,
    bytes: usize,
}

impl Cold {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, pieces: Mutex::default() }
    }

    /// The frame of this record and those behind it. Nothing at or above `written` is touched.
    pub(crate) fn piece_of(
        &self,
        entry: &Entry,
        segments: &Segments,
        storage: &dyn Storage,
        written: u64,
        access: Access,
    ) -> Result<Piece, ReadError> {
        if let Some(piece) = lock(&self.pieces).ring.iter().rev().find(|piece| piece.contains(entry)) {
            return Ok(piece.clone());
        }
        let piece = read(entry.frame_start(), segments, storage, written, access)?;
        if !piece.contains(entry) {
            return Err(segments.disagrees(entry));
        }
        self.keep(piece.clone());
        Ok(piece)
    }

    fn keep(&self, piece: Piece) {
        let mut pieces = lock(&self.pieces);
        pieces.bytes += piece.bytes.len();
        pieces.ring.push_back(piece);
        while pieces.bytes > self.limit || pieces.ring.len() > MAX_PIECES {
            let Some(oldest) = pieces.ring.pop_front() else { break };
            pieces.bytes -= oldest.bytes.len();
        }
    }
}

fn read(
    start: u64,
    segments: &Segments,
    storage: &dyn Storage,
    written: u64,
    access: Access,
) -> Result<Piece, ReadError> {
    let segment = segments.find_as(start, storage, access)?;
    let read_range =
        |at, len| read_range_as(&*segment.file, at, len, access).map_err(ReadError::io(&segment.path));
    let position = start - segment.start;
    let available = segment.end.unwrap_or(written).min(written).saturating_sub(start);
    let window = available.min(READ_AHEAD) as usize;
    let mut bytes = read_range(position, window)?;
    if let Some(length) = frame::claimed_length(&bytes, start) {
        // One frame that is longer than the window. Its claim was checked against what is there.
        if length > bytes.len() && length as u64 <= available {
            bytes = read_range(position, length)?;
        }
    }
    bytes.truncate(frame::valid_prefix(&bytes, start));
    if bytes.is_empty() {
        let reason = "the checksum of the frame does not fit";
        return Err(ReadError::Damaged { file: segment.path.clone(), position, reason });
    }
    Ok(Piece { start, bytes: Bytes::from(bytes) })
}

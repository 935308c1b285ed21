use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;

use crate::queue::Entry;

/// Whole, checked frames of the log.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) bytes: Bytes,
}

impl Piece {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The bytes between two offsets of the log, if they are all here.
    pub(crate) fn slice(&self, from: u64, to: u64) -> Option<Bytes> {
        let is_inside = self.start <= from && from <= to && to <= self.end();
        is_inside.then(|| self.bytes.slice((from - self.start) as usize..(to - self.start) as usize))
    }

    pub(crate) fn contains(&self, entry: &Entry) -> bool {
        self.start <= entry.physical && entry.end() <= self.end()
    }
}

/// The newest bytes of the log, so that a consumer at the end never waits for a disk.
#[derive(Debug)]
pub(crate) struct Tail {
    limit: usize,
    pieces: RwLock<Pieces>,
}

#[derive(Debug, Default)]
struct Pieces {
    /// Oldest first, each where the one before ended.
    ring: VecDeque<Piece>,
    cost: usize,
}

/// Memory that a piece takes besides its bytes.
const OVERHEAD: usize = 64;

impl Tail {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, pieces: RwLock::default() }
    }

    /// Adds what was written last.
    pub(crate) fn push(&self, piece: Piece) {
        let mut pieces = self.pieces.write().unwrap_or_else(PoisonError::into_inner);
        pieces.cost += piece.bytes.len() + OVERHEAD;
        pieces.ring.push_back(piece);
        while pieces.cost > self.limit {
            let Some(oldest) = pieces.ring.pop_front() else { break };
            pieces.cost -= oldest.bytes.len() + OVERHEAD;
        }
    }

    pub(crate) fn piece_of(&self, entry: &Entry) -> Option<Piece> {
        let pieces = self.pieces.read().unwrap_or_else(PoisonError::into_inner);
        let behind = pieces.ring.partition_point(|piece| piece.start <= entry.physical);
        pieces.ring.get(behind.checked_sub(1)?).filter(|piece| piece.contains(entry)).cloned()
    }

    /// Whether the record is here.
    pub(crate) fn contains(&self, entry: &Entry) -> bool {
        let pieces = self.pieces.read().unwrap_or_else(PoisonError::into_inner);
        pieces.ring.front().is_some_and(|oldest| oldest.start <= entry.physical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(physical: u64, size: u32) -> Entry {
        Entry { physical, size, frame_distance: 0, tags_code: 0 }
    }

    #[test]
    fn the_oldest_pieces_go_first_and_the_rest_is_found() {
        let tail = Tail::new(3 * (100 + OVERHEAD));
        for n in 0..5_u64 {
            tail.push(Piece { start: n * 100, bytes: Bytes::from(vec![n as u8; 100]) });
        }
        assert!(tail.piece_of(&entry(199, 1)).is_none());
        assert!(!tail.contains(&entry(199, 1)));
        let piece = tail.piece_of(&entry(250, 50)).unwrap();
        assert_eq!(piece.slice(250, 300).unwrap(), vec![2; 50]);
        assert!(piece.slice(250, 301).is_none());
        assert!(tail.piece_of(&entry(499, 2)).is_none());
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let tail = Tail::new(0);
        tail.push(Piece { start: 0, bytes: Bytes::from_static(b"x") });
        assert!(tail.piece_of(&entry(0, 1)).is_none());
    }
}

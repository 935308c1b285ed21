//! Fillers: the frames that take the place of damaged bytes, so that all that follow stay where they are.
//!
//! A filler is a frame with a mark of its own. Its records stand for those that are lost, one for each: they hold the
//! queue and its offset, so that the offsets of every queue stay without a gap. What is left over is padding.

use std::net::{Ipv4Addr, SocketAddr};

use rocketwire_protocol::message::record::{self, MIN_LEN, NewRecord};
use rocketwire_protocol::message::{SysFlag, TransactionType};

use super::LostRange;
use crate::log::frame;

/// Frames are about this long.
const FRAME: usize = 1 << 20;
/// The shortest frame there is.
pub(super) const MIN_FRAME: u64 = (frame::HEADER + MIN_LEN) as u64;

/// Makes fillers for one stretch of the log after the other.
pub(crate) struct Fillers<'a> {
    lost: Vec<(&'a LostRange, i64)>,
    timestamp: i64,
    durable: u64,
}

impl<'a> Fillers<'a> {
    /// Stand-ins for these records. `durable` is how far the log was known to be flushed.
    pub(crate) fn new(lost: &'a [LostRange], timestamp: i64, durable: u64) -> Self {
        let mut lost: Vec<_> =
            lost.iter().flat_map(|range| (range.from..range.to).map(move |offset| (range, offset))).collect();
        // The next is taken from the back.
        lost.reverse();
        Self { lost, timestamp, durable }
    }

    /// Whether every record has its stand-in.
    pub(super) fn is_done(&self) -> bool {
        self.lost.is_empty()
    }

    /// Bytes of one frame that holds every stand-in that is left and nothing else.
    pub(crate) fn exact_len(&self) -> u64 {
        let records: usize = self.lost.iter().map(|(range, _)| stand_in_len(&range.topic)).sum();
        (frame::HEADER + records) as u64
    }

    /// The frame that begins at `at`, in a stretch that ends at `end` of the log.
    pub(crate) fn frame(&mut self, at: u64, end: u64) -> Vec<u8> {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let most = FRAME.min(left);
        let mut bytes = vec![0; frame::HEADER];
        let mut last = None;
        while let Some((range, offset)) = self.lost.last().copied() {
            if bytes.len() + stand_in_len(&range.topic) > most {
                break;
            }
            last = Some((bytes.len(), range, offset));
            self.stand_in(range, offset, 0, at, &mut bytes);
            self.lost.pop();
        }
        let goes_on = last.is_some() && !self.lost.is_empty();
        let room = padding(bytes.len(), left, goes_on);
        match last {
            _ if room >= MIN_LEN => self.pad(room, at, &mut bytes),
            Some((start, range, offset)) if room > 0 => {
                bytes.truncate(start);
                self.stand_in(range, offset, room, at, &mut bytes);
            }
            _ => {}
        }
        frame::finish_filler(&mut bytes, at, self.durable);
        bytes
    }

    fn stand_in(&self, range: &LostRange, offset: i64, body: usize, at: u64, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        encode(&range.topic, range.queue_id.cast_signed(), TransactionType::None, body, bytes);
        self.patch(start, offset, at, bytes);
    }

    /// A record that belongs to no queue, as long as there is room.
    fn pad(&self, room: usize, at: u64, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        encode("", 0, TransactionType::Prepared, room - MIN_LEN, bytes);
        self.patch(start, 0, at, bytes);
    }

    fn patch(&self, start: usize, offset: i64, at: u64, bytes: &mut [u8]) {
        let physical = (at + start as u64).cast_signed();
        record::patch(bytes.get_mut(start..).unwrap_or_default(), offset, physical, self.timestamp);
    }
}

/// How much to add to a frame of `used` bytes: up to the usual length when nothing else comes, and never so that too
/// little is left for another frame.
fn padding(used: usize, left: usize, goes_on: bool) -> usize {
    let rest = left - used;
    let wanted = if goes_on { 0 } else { rest.min(FRAME.saturating_sub(used)) };
    match rest - wanted {
        0 => wanted,
        behind if behind < MIN_FRAME as usize => rest,
        _ => wanted,
    }
}

fn stand_in_len(topic: &str) -> usize {
    MIN_LEN + topic.len() + usize::from(topic.len() > 127)
}

fn encode(topic: &str, queue_id: i32, kind: TransactionType, body: usize, bytes: &mut Vec<u8>) {
    let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let body = vec![0; body];
    let new = NewRecord {
        topic,
        queue_id,
        flag: 0,
        sys_flag: SysFlag(0).with_transaction_type(kind).0,
        born_timestamp: 0,
        born_host: nobody,
        store_host: nobody,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &body,
        properties: "",
    };
    // A topic of the log fits a record, and so does a part of a frame.
    let _ = record::encode(&new, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::scan::Frame;

    fn range(topic: &str, from: i64, to: i64) -> LostRange {
        LostRange { topic: topic.to_owned(), queue_id: 3, from, to, is_certain: true }
    }

    /// Fills `[at, at + size)` and returns the offsets that stand in it.
    fn fill(lost: &[LostRange], size: u64) -> Vec<(String, i64)> {
        let (mut at, end) = (700, 700 + size);
        let mut fillers = Fillers::new(lost, 42, 500);
        let mut found = Vec::new();
        while at < end {
            let bytes = fillers.frame(at, end);
            let frame = Frame::parse(&bytes, at).expect("a filler is a good frame");
            assert!(frame.header.is_filler && frame.header.durable == 500);
            for (record, entry) in frame.records() {
                assert!(entry.is_lost() && record.store_timestamp() == 42);
                if record.is_queued() {
                    assert_eq!(record.queue_id(), 3);
                    found.push((String::from_utf8(record.topic().to_vec()).unwrap(), record.queue_offset()));
                }
            }
            at += bytes.len() as u64;
        }
        assert_eq!(at, end, "the stretch is filled to its last byte");
        assert!(fillers.is_done());
        found
    }

    #[test]
    fn every_length_is_filled_exactly() {
        let lost = [range("t", 5, 7), range("orders", 0, 1)];
        let needed = (24 + 92 + 92 + 97) as u64;
        for size in
            (needed..needed + 400).chain([FRAME as u64 - 1, FRAME as u64 + 50, 3 * FRAME as u64 + 114])
        {
            let expected = [("t", 5), ("t", 6), ("orders", 0)].map(|(topic, at)| (topic.to_owned(), at));
            assert_eq!(fill(&lost, size), expected, "{size}");
        }
        assert_eq!(fill(&[], MIN_FRAME), []);
    }

    #[test]
    fn many_stand_ins_take_several_frames() {
        let found = fill(&[range("t", 100, 30_100)], 30_000 * 92 + 5 * 24 + 7);
        assert_eq!(found.len(), 30_000);
        assert!(found.iter().map(|(_, offset)| *offset).eq(100..30_100));
    }
}

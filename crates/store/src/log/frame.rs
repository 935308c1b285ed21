//! A frame: the unit that is written, checked and recovered as a whole (`docs/storage.md`).
//!
//! ```text
//! length u32 | crc32c u32 | offset u64 | durable u64 | one or more stored records
//! ```

use crate::octets::{put, u32_at, u64_at};
use crate::planted::planted;

/// Bytes in front of the records.
pub(crate) const HEADER: usize = 24;

/// The header of a frame whose checksum fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of the whole frame, header included.
    pub(crate) length: usize,
    /// How far the log was known to be flushed when the frame was written.
    pub(crate) durable: u64,
    /// Written by a repair in place of bytes that were damaged: its records only say which ones are lost.
    pub(crate) is_filler: bool,
}

/// Marks a filler, in the place of `durable`, which never comes near it. A store that does not know of fillers takes
/// such a frame for damage.
const FILLER: u64 = 1 << 63;

/// Fills in the header of `frame`, which begins at `offset` of the log and holds its records already.
pub(crate) fn finish(frame: &mut [u8], offset: u64, durable: u64) {
    debug_assert!(frame.len() > HEADER && durable <= offset, "a frame holds records and is not durable yet");
    seal(frame, offset, durable);
}

/// As [`finish`], for a frame that takes the place of damaged bytes.
pub(crate) fn finish_filler(frame: &mut [u8], offset: u64, durable: u64) {
    seal(frame, offset, durable.min(offset) | FILLER);
}

fn seal(frame: &mut [u8], offset: u64, durable: u64) {
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    put(frame, 0, length.to_be_bytes());
    put(frame, 8, offset.to_be_bytes());
    put(frame, 16, durable.to_be_bytes());
    let crc = checksum(frame);
    put(frame, 4, crc.to_be_bytes());
}

/// The length that the frame at the front of `bytes` claims, if it claims to begin at `offset` of the log.
pub(crate) fn claimed_length(bytes: &[u8], offset: u64) -> Option<usize> {
    let length = u32_at(bytes, 0)? as usize;
    (u64_at(bytes, 8)? == offset && length > HEADER).then_some(length)
}

/// Checks the frame at the front of `bytes`, which must begin at `offset` of the log.
pub(crate) fn check(bytes: &[u8], offset: u64) -> Option<FrameHeader> {
    let length = claimed_length(bytes, offset)?;
    let frame = bytes.get(..length)?;
    let mark = u64_at(frame, 16)?;
    let (durable, is_filler) = (mark & !FILLER, mark & FILLER != 0);
    let is_valid = u32_at(frame, 4)? == checksum(frame) && durable <= offset;
    is_valid.then_some(FrameHeader { length, durable, is_filler })
}

/// Bytes of `bytes` that are whole, valid frames from the front on.
pub(crate) fn valid_prefix(bytes: &[u8], offset: u64) -> usize {
    let mut end = 0;
    while let Some(header) = bytes.get(end..).and_then(|rest| check(rest, offset + end as u64)) {
        end += header.length;
    }
    end
}

/// Over everything but itself.
fn checksum(frame: &[u8]) -> u32 {
    if planted("CRC over body only") {
        return crc32c::crc32c(frame.get(HEADER..).unwrap_or_default());
    }
    let (head, rest) = (frame.get(..4).unwrap_or_default(), frame.get(8..).unwrap_or_default());
    crc32c::crc32c_append(crc32c::crc32c(head), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(offset: u64) -> Vec<u8> {
        let mut frame = vec![0; HEADER];
        frame.extend_from_slice(b"some records");
        finish(&mut frame, offset, offset / 2);
        frame
    }

    #[test]
    fn a_frame_is_valid_at_its_own_offset_only() {
        let bytes = frame(4096);
        assert_eq!(check(&bytes, 4096), Some(FrameHeader { length: 36, durable: 2048, is_filler: false }));
        assert_eq!(check(&bytes, 4097), None);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let good = frame(7);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(&bad, 7), None, "bit {bit}");
        }
        for length in 0..good.len() {
            assert_eq!(check(&good[..length], 7), None, "length {length}");
        }
    }

    #[test]
    fn a_filler_says_what_it_is() {
        let mut bytes = frame(64);
        finish_filler(&mut bytes, 64, 100);
        assert_eq!(check(&bytes, 64), Some(FrameHeader { length: 36, durable: 64, is_filler: true }));
    }

    #[test]
    fn zeros_are_no_frame() {
        assert_eq!(check(&[0; 64], 0), None);
    }

    #[test]
    fn the_valid_prefix_ends_where_a_frame_is_cut() {
        let mut bytes = frame(0);
        bytes.extend(frame(36));
        let whole = bytes.len();
        bytes.extend(&frame(72)[..20]);
        assert_eq!(valid_prefix(&bytes, 0), whole);
    }
}

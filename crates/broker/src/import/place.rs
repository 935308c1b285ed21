//! One place of Apache's log. The bytes come from a file and may be anything.

use bytes::Bytes;
use rocketwire_protocol::message::RecordView;
use rocketwire_protocol::message::record::{MAGIC_V1, MAGIC_V2, MIN_LEN};

/// The rest of a file is empty: no record fitted there any more (`CommitLog.BLANK_MAGIC_CODE`).
const BLANK: i32 = 0xcbd4_3194_u32.cast_signed();
/// What stands at a place of the log.
#[derive(Debug)]
pub(crate) enum Place {
    /// A record that is whole and says that it is stored here.
    Record(RecordView),
    /// The mark that the file ends here.
    Blank,
    /// Zeros: nothing was written yet.
    Empty,
    /// Something else.
    Bad(&'static str),
}

/// Looks at the front of `bytes`, which are at `offset` of the log. They may be anything.
///
/// `None` when more bytes are needed: the record has [`announced_len`].
pub(crate) fn parse_place(bytes: &[u8], offset: u64) -> Option<Place> {
    let (size, magic) = (i32_at(bytes, 0)?, i32_at(bytes, 4)?);
    match magic {
        BLANK => return Some(Place::Blank),
        0 if size == 0 => return Some(Place::Empty),
        MAGIC_V1 | MAGIC_V2 => {}
        _ => return Some(Place::Bad("no record begins there")),
    }
    let size = usize::try_from(size).ok().filter(|size| *size >= MIN_LEN);
    let Some(size) = size else { return Some(Place::Bad("the length of a record is none")) };
    let record = RecordView::parse(&Bytes::copy_from_slice(bytes.get(..size)?));
    Some(match record {
        Err(_) => Place::Bad("the lengths of a record do not add up"),
        Ok(record) if record.raw().len() != size => Place::Bad("the lengths of a record do not add up"),
        Ok(record) if record.physical_offset() != offset.cast_signed() => {
            Place::Bad("a record says that it is stored elsewhere")
        }
        Ok(record) if record.check_crc().is_err() => Place::Bad("the checksum of a body does not fit"),
        Ok(record) => Place::Record(record),
    })
}

/// The length that a record at the front of `bytes` says it has.
pub(crate) fn announced_len(bytes: &[u8]) -> Option<usize> {
    usize::try_from(i32_at(bytes, 0)?).ok()
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().copied().map(i32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::place_checks::check;

    proptest! {
        #[test]
        fn anything_may_stand_in_a_file(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            check(&bytes);
        }
    }
}

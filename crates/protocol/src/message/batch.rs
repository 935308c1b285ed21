//! The body of a batch: messages one behind the other (spec/broker.md C.4).
//!
//! ```text
//! totalSize i32 | magic i32 = 0 | bodyCRC i32 = 0 | flag i32 | bodyLen i32, body | propertiesLen i16, properties
//! ```

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::properties::MAX_LEN;
use crate::{encoding::binary, planted::planted};

/// Bytes of an item besides its body and properties.
pub const ITEM_OVERHEAD: usize = 22;

/// One message of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The user's flag.
    pub flag: i32,
    /// The body, never compressed.
    pub body: Bytes,
    /// The property string.
    pub properties: ByteString,
}

/// A batch that cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The property string does not fit.
    #[error("properties of {0} bytes exceed 32767 bytes")]
    PropertiesTooLong(usize),
    /// The body does not fit 31 bits.
    #[error("body of {0} bytes does not fit a batch")]
    BodyTooLong(usize),
    /// The item's lengths contradict each other or the bytes that are there.
    #[error("batch item {0} is cut off or contradicts itself")]
    Malformed(usize),
}

/// Appends one message to the body of a batch. After an error nothing is appended.
pub fn encode_item(flag: i32, body: &[u8], properties: &str, out: &mut Vec<u8>) -> Result<(), BatchError> {
    let properties_len = i16::try_from(properties.len())
        .ok()
        .filter(|_| properties.len() <= MAX_LEN)
        .ok_or(BatchError::PropertiesTooLong(properties.len()))?;
    let total = ITEM_OVERHEAD + body.len() + properties.len();
    let too_long = |_| BatchError::BodyTooLong(body.len());
    let total_size = i32::try_from(total).map_err(too_long)?;
    let body_len = i32::try_from(body.len()).map_err(too_long)?;
    out.reserve(total);
    out.extend_from_slice(&total_size.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&flag.to_be_bytes());
    out.extend_from_slice(&body_len.to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&properties_len.to_be_bytes());
    out.extend_from_slice(properties.as_bytes());
    Ok(())
}

/// The messages of a batch. Nothing is copied; after an error there is nothing more.
pub fn items(body: Bytes) -> Items {
    Items { rest: body, count: 0 }
}

/// Iterator of [`items`].
#[derive(Clone, Debug)]
pub struct Items {
    rest: Bytes,
    count: usize,
}

impl Iterator for Items {
    type Item = Result<Item, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = take_item(&mut self.rest).ok_or(BatchError::Malformed(self.count));
        self.count += 1;
        if item.is_err() {
            self.rest.clear();
        }
        Some(item)
    }
}

fn take_item(rest: &mut Bytes) -> Option<Item> {
    let total = usize::try_from(rest.try_get_i32().ok()?).ok()?;
    // Magic number and CRC are 0 and nobody looks at them.
    let mut item = take(rest, total.checked_sub(4)?)?;
    item.try_get_u64().ok()?;
    let flag = item.try_get_i32().ok()?;
    let body_len = usize::try_from(item.try_get_i32().ok()?).ok()?;
    let body = take(&mut item, body_len)?;
    let properties_len = usize::try_from(item.try_get_i16().ok()?).ok()?;
    let properties = take(&mut item, properties_len)?;
    let whole = item.is_empty() || planted("bytes behind a batch item accepted");
    whole.then(|| Item { flag, body, properties: binary::text(&properties, &properties) })
}

fn take(from: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= from.len()).then(|| from.split_to(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut body = Vec::new();
        encode_item(7, b"hello", "KEYS\u{1}k\u{2}", &mut body).unwrap();
        encode_item(0, b"", "", &mut body).unwrap();
        assert_eq!(body.len(), 2 * ITEM_OVERHEAD + 5 + 7);
        assert_eq!(&body[..4], &(ITEM_OVERHEAD as u32 + 12).to_be_bytes());
        let all: Vec<_> = items(body.into()).map(Result::unwrap).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].flag, &all[0].body[..]), (7, &b"hello"[..]));
        assert_eq!(&*all[0].properties, "KEYS\u{1}k\u{2}");
        assert!(all[1].body.is_empty() && all[1].properties.is_empty());
    }

    #[test]
    fn damage_ends_the_batch() {
        let mut one = Vec::new();
        encode_item(0, b"hello", "", &mut one).unwrap();
        for (at, byte) in
            [(0, 0x80), (3, 3), (3, 26), (3, 28), (3, 255), (16, 0xff), (19, 6), (19, 4), (25, 0xff)]
        {
            let mut body = one.clone();
            body.extend_from_slice(&one);
            body[at] = byte;
            let all: Vec<_> = items(body.into()).collect();
            assert_eq!(all, [Err(BatchError::Malformed(0))], "byte {at} = {byte}");
        }
        one.extend_from_slice(&[0, 0, 0]);
        let all: Vec<_> = items(one.into()).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[1], Err(BatchError::Malformed(1)));
    }

    #[test]
    fn what_does_not_fit_leaves_nothing_behind() {
        let mut out = Vec::new();
        let result = encode_item(0, b"", &"p".repeat(32_768), &mut out);
        assert_eq!(result, Err(BatchError::PropertiesTooLong(32_768)));
        assert!(out.is_empty());
    }
}

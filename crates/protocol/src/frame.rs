//! Frames: `total u32 | type and header length u32 | header | body` (spec/remoting.md section 1).

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    Command, Encoding,
    encoding::{binary, json},
    fields::WriteFields,
    planted::planted,
};

/// What a decoder accepts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest frame in bytes, its length word included. Default 16 MiB
    /// (Java: `com.rocketmq.remoting.frameMaxLength`). A larger one is refused as soon as its length is in.
    pub frame_max: usize,
    /// The largest header in bytes. Default 1 MiB; Java has no limit below the frame's.
    pub header_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { frame_max: 16 << 20, header_max: 1 << 20 }
    }
}

impl Limits {
    /// These limits with another frame length.
    pub fn with_frame_max(mut self, bytes: usize) -> Limits {
        self.frame_max = bytes;
        self
    }
}

/// Bytes that are no frame. The connection has to be closed: there is no way to find the next one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The announced length is over the limit.
    #[error("frame of {announced} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// Bytes of the whole frame, its length word included.
        announced: u64,
        /// [`Limits::frame_max`].
        limit: usize,
    },
    /// The frame cannot hold its own fixed part.
    #[error("frame length {0} is too short for a frame")]
    TooShort(u32),
    /// The header length does not fit the frame, or exceeds [`Limits::header_max`].
    #[error("bad header length {header} in a frame of length {total}")]
    HeaderLength {
        /// The header's announced length.
        header: usize,
        /// The frame's announced length, without its length word.
        total: usize,
    },
    /// Neither JSON nor ROCKETMQ.
    #[error("unknown header encoding {0}")]
    UnknownEncoding(u8),
    /// The header cannot be read.
    #[error("header does not decode: {0}")]
    Header(&'static str),
}

/// A command that cannot be written. Nothing of it is in the output buffer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Frame lengths are 32 bits, and every peer refuses far less.
    #[error("frame of {bytes} bytes exceeds the limit of {limit} bytes")]
    FrameTooLarge {
        /// Bytes of the whole frame, its length word included.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Header lengths are 24 bits.
    #[error("header of {0} bytes exceeds 16777215 bytes")]
    HeaderTooLarge(usize),
    /// The binary encoding has 16 bits for the length of a key.
    #[error("field name of {0} bytes exceeds 32767 bytes")]
    KeyTooLong(usize),
    /// The binary encoding has 16 bits for the code.
    #[error("code {0} does not fit the binary header")]
    CodeTooLarge(i32),
}

const LENGTH_WORDS: usize = 8;
const HEADER_MAX: usize = 0x00ff_ffff;

/// Takes the next frame off the front of `input`.
///
/// `Ok(None)`: there is not all of it yet; feed more and call again. What is returned shares the memory of
/// `input`. After an error the input is of no further use.
pub fn decode(input: &mut BytesMut, limits: &Limits) -> Result<Option<Command>, FrameError> {
    let Some(total) = input.first_chunk::<4>().map(|word| u32::from_be_bytes(*word)) else {
        return Ok(None);
    };
    let announced = u64::from(total) + 4;
    let slack = u64::from(planted("frame limit off by one"));
    if announced > limits.frame_max as u64 + slack {
        return Err(FrameError::TooLarge { announced, limit: limits.frame_max });
    }
    if total < 4 {
        return Err(FrameError::TooShort(total));
    }
    let total = total as usize;
    let Some(word) =
        input.get(4..8).and_then(|word| word.first_chunk::<4>()).map(|word| u32::from_be_bytes(*word))
    else {
        return Ok(None);
    };
    let [kind, ..] = word.to_be_bytes();
    let encoding = Encoding::from_type_byte(kind).ok_or(FrameError::UnknownEncoding(kind))?;
    let header_len = word as usize & HEADER_MAX;
    let least = match encoding {
        Encoding::Json => 1,
        Encoding::Binary => binary::FIXED,
    };
    if header_len < least || header_len > total - 4 || header_len > limits.header_max {
        return Err(FrameError::HeaderLength { header: header_len, total });
    }
    if input.len() < total + 4 {
        return Ok(None);
    }
    let mut frame = input.split_to(total + 4).freeze();
    frame.advance(LENGTH_WORDS);
    read_header(frame, header_len, encoding).map(Some)
}

/// Reads the header part of a frame alone.
pub fn decode_header(header: &Bytes, encoding: Encoding) -> Result<Command, FrameError> {
    read_header(header.clone(), header.len(), encoding)
}

/// The header is read where it stands: what it keeps are slices of the frame, and so is the body behind it.
fn read_header(frame: Bytes, header_len: usize, encoding: Encoding) -> Result<Command, FrameError> {
    match encoding {
        Encoding::Json => json::decode(frame, header_len),
        Encoding::Binary => binary::decode(frame, header_len),
    }
}

/// How many bytes the frame at the front of `input` has in all, once its length word is there.
pub fn announced_len(input: &[u8]) -> Option<u64> {
    input.first_chunk::<4>().map(|word| u64::from(u32::from_be_bytes(*word)) + 4)
}

/// Appends `command` as a frame. A code beyond 16 bits is written as JSON, whatever `encoding` says (spec B11).
///
/// After an error nothing is appended.
pub fn encode(command: &Command, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    encode_as(command, command.opaque, &command.fields, encoding, out)
}

/// [`encode`] with another opaque and with fields straight from a typed header, those of the command unread.
pub fn encode_as(
    command: &Command,
    opaque: i32,
    fields: &impl WriteFields,
    encoding: Encoding,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let result = append(command, opaque, fields, encoding, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn append(
    command: &Command,
    opaque: i32,
    fields: &impl WriteFields,
    encoding: Encoding,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let encoding = if i16::try_from(command.code).is_ok() { encoding } else { Encoding::Json };
    out.reserve(LENGTH_WORDS + 256 + command.body.len());
    out.extend_from_slice(&[0; LENGTH_WORDS]);
    match encoding {
        Encoding::Json => json::encode(command, opaque, fields, fields.present(), out)?,
        Encoding::Binary => binary::encode(command, opaque, fields, out)?,
    }
    let header = out.len() - start - LENGTH_WORDS;
    if header > HEADER_MAX {
        return Err(EncodeError::HeaderTooLarge(header));
    }
    out.extend_from_slice(&command.body);
    let bytes = out.len() - start;
    let total = u32::try_from(bytes - 4)
        .map_err(|_| EncodeError::FrameTooLarge { bytes, limit: u32::MAX as usize })?
        .to_be_bytes();
    let [_, a, b, c] = (header as u32).to_be_bytes();
    if let Some(words) = out.get_mut(start..start + LENGTH_WORDS) {
        let (first, second) = words.split_at_mut(4);
        first.copy_from_slice(&total);
        second.copy_from_slice(&[encoding.type_byte(), a, b, c]);
    }
    Ok(())
}

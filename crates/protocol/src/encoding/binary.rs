//! The ROCKETMQ binary header (Java: `RocketMQSerializable`).

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use crate::{
    Command, Encoding, Fields, Flag, LanguageCode, Version, WriteFields,
    fields::{self, FieldWriter},
    frame::{EncodeError, FrameError},
    planted::planted,
};

/// The least length of a header: the fixed part with empty remark and map.
pub(crate) const FIXED: usize = 21;

/// Reads a whole header, the first `header_len` bytes of `frame`; the rest is the body. The field region is checked
/// here and read later.
pub(crate) fn decode(mut frame: Bytes, header_len: usize) -> Result<Command, FrameError> {
    let mut rest = Cursor(frame.get(..header_len).unwrap_or_default());
    let code = rest.i16()?;
    let language = rest.u8()?;
    let version = rest.i16()?;
    let opaque = rest.i32()?;
    let flag = rest.i32()?;
    let remark_len =
        usize::try_from(rest.i32()?).map_err(|_| FrameError::Header("negative remark length"))?;
    let remark = match remark_len {
        0 => None,
        n => Some(text(&frame, rest.take(n)?)),
    };
    // A negative length means "no fields", without an error (RocketMQSerializable.mapDeserialize).
    let fields = match usize::try_from(rest.i32()?) {
        Err(_) | Ok(0) => Fields::default(),
        Ok(n) => {
            let region = rest.take(n)?;
            fields::check_binary(region)?;
            Fields::binary(frame.slice_ref(region))
        }
    };
    frame.advance(header_len);
    Ok(Command {
        code: i32::from(code),
        language: LanguageCode(language),
        version: Version(i32::from(version)),
        opaque,
        flag: Flag(flag),
        remark,
        fields,
        body: frame,
        encoding: Encoding::Binary,
    })
}

/// Writes a whole header. A code that does not fit 16 bits is the caller's to send as JSON (spec B11).
pub(crate) fn encode(
    command: &Command,
    opaque: i32,
    fields: &impl WriteFields,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let code = i16::try_from(command.code).map_err(|_| EncodeError::CodeTooLarge(command.code))?;
    let language = match command.language {
        LanguageCode::UNKNOWN => LanguageCode::OTHER,
        known => known,
    };
    out.extend_from_slice(&code.to_be_bytes());
    out.push(language.0);
    // The low 16 bits, as Java writes them.
    let [_, _, high, low] = command.version.0.to_be_bytes();
    out.extend_from_slice(&[high, low]);
    out.extend_from_slice(&opaque.to_be_bytes());
    out.extend_from_slice(&command.flag.0.to_be_bytes());
    let remark = command.remark.as_deref().unwrap_or_default();
    let remark_len = i32::try_from(remark.len()).map_err(|_| EncodeError::HeaderTooLarge(remark.len()))?;
    out.extend_from_slice(&remark_len.to_be_bytes());
    out.extend_from_slice(remark.as_bytes());
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut writer = FieldWriter::binary(out);
    fields.write_fields(&mut writer);
    writer.finish()?;
    let len = out.len() - at - 4;
    let len = i32::try_from(len).map_err(|_| EncodeError::HeaderTooLarge(len))?;
    if let Some(slot) = out.get_mut(at..at + 4) {
        slot.copy_from_slice(&len.to_be_bytes());
    }
    Ok(())
}

/// Text as Java decodes it: malformed UTF-8 becomes U+FFFD.
pub(crate) fn text(parent: &Bytes, part: &[u8]) -> ByteString {
    ByteString::try_from(parent.slice_ref(part))
        .unwrap_or_else(|_| ByteString::from(String::from_utf8_lossy(part).into_owned()))
}

/// Reads big-endian numbers; running past the end is an error, never a panic.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) =
            self.0.split_at_checked(n).ok_or(FrameError::Header("a field runs past the header"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        assert!(!planted("unwrap on a short field") || self.0.len() >= N, "planted");
        let (taken, rest) =
            self.0.split_first_chunk::<N>().ok_or(FrameError::Header("a field runs past the header"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, FrameError> {
        self.array::<1>().map(|[b]| b)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, FrameError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, FrameError> {
        self.array().map(i32::from_be_bytes)
    }
}

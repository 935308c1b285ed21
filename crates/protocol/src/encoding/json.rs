//! The JSON header (Java: `RemotingSerializable` on fastjson), read with the tolerance that real clients need.

use std::borrow::Cow;

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use crate::{
    Command, Encoding, Fields, Flag, LanguageCode, Version, WriteFields,
    encoding::{
        escape::{hex4, unescape, write_string},
        scan,
    },
    fields::FieldWriter,
    frame::{EncodeError, FrameError},
};

/// How deep values may nest that we skip or keep as text.
const MAX_DEPTH: usize = 32;

/// Reads a whole header, the first `header_len` bytes of `frame`; the rest is the body. The fixed members are read at
/// once, `extFields` is checked here and read later.
pub(crate) fn decode(mut frame: Bytes, header_len: usize) -> Result<Command, FrameError> {
    let header = frame.get(..header_len).unwrap_or_default();
    // Java replaces malformed UTF-8 inside strings; then so do we, and work on the mended copy.
    let mut command = match std::str::from_utf8(header) {
        Ok(_) => decode_text(&frame, header)?,
        Err(_) => {
            let mended = Bytes::from(String::from_utf8_lossy(header).into_owned());
            decode_text(&mended, &mended)?
        }
    };
    frame.advance(header_len);
    command.body = frame;
    Ok(command)
}

fn decode_text(parent: &Bytes, text: &[u8]) -> Result<Command, FrameError> {
    let mut command = Command {
        language: LanguageCode::JAVA,
        version: Version(0),
        encoding: Encoding::Json,
        ..Command::default()
    };
    let mut scan = Scanner::new(text);
    scan.bom();
    scan.object(|scan, key| {
        match key {
            b"code" => command.code = scan.integer()?,
            b"opaque" => command.opaque = scan.integer()?,
            b"flag" => command.flag = Flag(scan.integer()?),
            b"version" => command.version = Version(scan.integer()?),
            b"language" => command.language = scan.language()?,
            b"remark" => command.remark = scan.value()?.into_text(parent),
            b"extFields" => command.fields = scan.fields(parent)?,
            _ => {
                scan.value()?;
            }
        }
        Ok(())
    })?;
    scan.end()?;
    Ok(command)
}

/// Writes a whole header in Java's member order.
pub(crate) fn encode(
    command: &Command,
    opaque: i32,
    fields: &impl WriteFields,
    present: bool,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(b"{\"code\":");
    write_integer(i64::from(command.code), out);
    if present {
        out.extend_from_slice(b",\"extFields\":{");
        let mut writer = FieldWriter::json(out);
        fields.write_fields(&mut writer);
        writer.finish()?;
        out.push(b'}');
    }
    out.extend_from_slice(b",\"flag\":");
    write_integer(i64::from(command.flag.0), out);
    if let Some(name) = command.language.name() {
        out.extend_from_slice(b",\"language\":\"");
        out.extend_from_slice(name.as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b",\"opaque\":");
    write_integer(i64::from(opaque), out);
    if let Some(remark) = &command.remark {
        out.extend_from_slice(b",\"remark\":");
        write_string(remark, out);
    }
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    write_integer(i64::from(command.version.0), out);
    out.push(b'}');
    Ok(())
}

/// Appends `n` in decimal, without going through a formatter.
pub(crate) fn write_integer(n: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    out.extend_from_slice(decimal(n, &mut digits));
}

/// The decimal text of `n`, at the end of `buffer`.
pub(crate) fn decimal(n: i64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut left = n.unsigned_abs();
    let mut at = buffer.len();
    for slot in buffer.iter_mut().rev() {
        *slot = b'0' + (left % 10) as u8;
        left /= 10;
        at -= 1;
        if left == 0 {
            break;
        }
    }
    if n < 0 {
        at -= 1; // 19 digits at most: there is room for the sign
        if let Some(slot) = buffer.get_mut(at) {
            *slot = b'-';
        }
    }
    buffer.get(at..).unwrap_or_default()
}

/// One JSON value, as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token<'a> {
    Null,
    /// A string without its quotes; `escaped` if a backslash is in it.
    String {
        raw: &'a [u8],
        escaped: bool,
    },
    /// A number, a boolean, an object or an array: its text.
    Other(&'a [u8]),
}

impl Token<'_> {
    /// The value as Java would hand it to a string property.
    pub(crate) fn into_text(self, parent: &Bytes) -> Option<ByteString> {
        match self {
            Token::Null => None,
            Token::String { raw, escaped: true } => Some(unescape(raw).into()),
            Token::String { raw, escaped: false } | Token::Other(raw) => {
                // A part of valid UTF-8 that begins and ends at ASCII bytes.
                Some(ByteString::try_from(parent.slice_ref(raw)).unwrap_or_default())
            }
        }
    }
}

/// Walks over JSON text that is known to be UTF-8.
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

const BAD: FrameError = FrameError::Header("not a JSON object");

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Scanner { text, at: 0 }
    }

    fn bom(&mut self) {
        if self.text.starts_with(b"\xef\xbb\xbf") {
            self.at = 3;
        }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<u8, FrameError> {
        let byte = *self.text.get(self.at).ok_or(BAD)?;
        self.at += 1;
        Ok(byte)
    }

    fn eat(&mut self, byte: u8) -> Result<(), FrameError> {
        self.space();
        if self.next()? == byte { Ok(()) } else { Err(BAD) }
    }

    fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        self.text.get(from..to).unwrap_or_default()
    }

    /// Nothing but white space may be left.
    fn end(&mut self) -> Result<(), FrameError> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(BAD) }
    }

    /// Calls `member` behind each key's colon; it has to read the value.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &[u8]) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        self.eat(b'{')?;
        self.space();
        if self.text.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.eat(b'"')?;
            let (raw, escaped) = self.string()?;
            self.eat(b':')?;
            if escaped {
                let key = unescape(raw);
                member(self, key.as_bytes())?;
            } else {
                member(self, raw)?;
            }
            self.space();
            match self.next()? {
                b',' => {}
                b'}' => return Ok(()),
                _ => return Err(BAD),
            }
        }
    }

    /// The rest of a string whose opening quote is read.
    fn string(&mut self) -> Result<(&'a [u8], bool), FrameError> {
        let from = self.at;
        let mut escaped = false;
        loop {
            self.at += scan::quote_or_backslash(self.slice(self.at, self.text.len()));
            match self.next()? {
                b'"' => return Ok((self.slice(from, self.at - 1), escaped)),
                b'\\' => {
                    escaped = true;
                    if self.next()? == b'u' {
                        let digits = self.text.get(self.at..).and_then(hex4);
                        digits.ok_or(FrameError::Header("bad \\u escape"))?;
                        self.at += 4;
                    }
                }
                // fastjson takes raw control characters inside strings
                _ => {}
            }
        }
    }

    pub(crate) fn value(&mut self) -> Result<Token<'a>, FrameError> {
        self.space();
        let from = self.at;
        match self.next()? {
            b'"' => {
                let (raw, escaped) = self.string()?;
                Ok(Token::String { raw, escaped })
            }
            b'{' | b'[' => {
                self.nested()?;
                Ok(Token::Other(self.slice(from, self.at)))
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                while let Some(b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E') = self.text.get(self.at)
                {
                    self.at += 1;
                }
                match self.slice(from, self.at) {
                    b"null" => Ok(Token::Null),
                    raw @ (b"true" | b"false") => Ok(Token::Other(raw)),
                    raw if is_number(raw) => Ok(Token::Other(raw)),
                    _ => Err(BAD),
                }
            }
            _ => Err(BAD),
        }
    }

    /// The rest of an object or array whose opening bracket is read. What is inside need only balance.
    fn nested(&mut self) -> Result<(), FrameError> {
        let mut depth = 1;
        while depth > 0 {
            match self.next()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(FrameError::Header("JSON nests too deep"));
            }
        }
        Ok(())
    }

    /// An `int` property as fastjson reads it: a number, a number in quotes, `1.0`, or null for 0.
    fn integer(&mut self) -> Result<i32, FrameError> {
        if let Some(n) = self.plain_integer() {
            return Ok(n);
        }
        let token = self.value()?;
        let text: Cow<'_, [u8]> = match token {
            Token::Null => return Ok(0),
            Token::String { raw, escaped: true } => unescape(raw).into_bytes().into(),
            Token::String { raw, escaped: false } | Token::Other(raw) => raw.into(),
        };
        let text = std::str::from_utf8(&text).unwrap_or_default();
        if let Ok(n) = text.parse() {
            return Ok(n);
        }
        match text.parse::<f64>() {
            Ok(n) if n.trunc() == n && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&n) => {
                Ok(n as i32)
            }
            _ => Err(FrameError::Header("a number of the header does not parse")),
        }
    }

    /// The fast way of [`Scanner::integer`]: up to ten digits that end at a comma or a brace.
    fn plain_integer(&mut self) -> Option<i32> {
        let rest = self.text.get(self.at..)?;
        let (negative, digits) = match rest {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let mut n = 0;
        for (read, byte) in digits.iter().take(11).enumerate() {
            match byte {
                b'0'..=b'9' if read < 10 => n = n * 10 + i64::from(byte - b'0'),
                b',' | b'}' if read > 0 => {
                    let n = i32::try_from(if negative { -n } else { n }).ok()?;
                    self.at += usize::from(negative) + read;
                    return Some(n);
                }
                _ => return None,
            }
        }
        None
    }

    fn language(&mut self) -> Result<LanguageCode, FrameError> {
        match self.value()? {
            Token::Null => Ok(LanguageCode::UNKNOWN),
            Token::String { raw: b"JAVA", .. } => Ok(LanguageCode::JAVA),
            Token::String { raw: b"RUST", .. } => Ok(LanguageCode::RUST),
            Token::String { raw, .. } => {
                Ok(LanguageCode::from_name(std::str::from_utf8(raw).unwrap_or_default()))
            }
            // An enum's ordinal; out of range closes in Java too.
            Token::Other(raw) => {
                let ordinal = std::str::from_utf8(raw).ok().and_then(|n| n.parse::<u8>().ok());
                match ordinal.map(LanguageCode) {
                    Some(code) if code.name().is_some() => Ok(code),
                    _ => Err(FrameError::Header("no such language")),
                }
            }
        }
    }

    fn fields(&mut self, parent: &Bytes) -> Result<Fields, FrameError> {
        self.space();
        if self.text.get(self.at) != Some(&b'{') {
            return match self.value()? {
                Token::Null => Ok(Fields::default()),
                _ => Err(FrameError::Header("extFields is not an object")),
            };
        }
        let from = self.at;
        self.object(|scan, _| scan.value().map(drop))?;
        Ok(Fields::json(parent.slice_ref(self.slice(from, self.at))))
    }
}

fn is_number(raw: &[u8]) -> bool {
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
        return true;
    }
    std::str::from_utf8(raw).is_ok_and(|text| text.parse::<f64>().is_ok())
        && raw.iter().all(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
}

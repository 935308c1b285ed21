//! `extFields`: the custom header of a command and whatever else travels with it.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    encoding::{
        binary::{self, Cursor},
        escape,
        json::{self, Scanner, Token},
    },
    frame::{EncodeError, FrameError},
};

/// The `extFields` of a command: an ordered list of text to text.
///
/// Decoded fields stay the slice of the frame that they came in until someone asks; the frame decoder has
/// checked that they can be read. Where a key repeats, the last one wins (spec/remoting.md B5). A field
/// whose value is null counts as absent.
#[derive(Clone, Default)]
pub struct Fields(Repr);

#[derive(Clone, Default)]
enum Repr {
    /// No map at all: JSON has no `extFields` key.
    #[default]
    Absent,
    /// The text of a JSON object, checked by the decoder.
    Json(Bytes),
    /// Entries in the binary layout, checked by the decoder. May be empty. A value of length 0 is null (spec B4).
    Binary(Bytes),
    /// The same layout, written here: a value of length 0 is an empty text, which JSON can carry.
    Built(Bytes),
    /// A key of so many bytes was put in: encoding fails (spec B13).
    KeyTooLong(usize),
}

impl Fields {
    /// The fields of a typed header.
    pub fn of(header: &impl WriteFields) -> Fields {
        let mut out = Vec::with_capacity(256);
        let mut writer = FieldWriter::binary(&mut out);
        header.write_fields(&mut writer);
        Fields::built(writer.key_too_long, out)
    }

    pub(crate) fn json(text: Bytes) -> Fields {
        Fields(Repr::Json(text))
    }

    pub(crate) fn binary(region: Bytes) -> Fields {
        Fields(Repr::Binary(region))
    }

    /// Whether there is a map, be it empty (Java: `extFields != null`).
    pub fn is_present(&self) -> bool {
        !matches!(self.0, Repr::Absent)
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        let mut empty = true;
        self.visit(|_, _| empty = false);
        empty
    }

    /// Calls `each` with every key and value, in their order. Keys that repeat come repeatedly.
    pub fn visit<'a>(&'a self, mut each: impl FnMut(&[u8], FieldValue<'a>)) {
        match &self.0 {
            Repr::Absent | Repr::KeyTooLong(_) => {}
            Repr::Json(text) => {
                // The decoder has walked this very text, so it reads to its end.
                let _ = Scanner::new(text).object(|scan, key| {
                    match scan.value()? {
                        Token::Null => {}
                        token => each(key, FieldValue { parent: text, token }),
                    }
                    Ok(())
                });
            }
            Repr::Binary(region) => visit_entries(region, |key, value| {
                if !value.is_empty() {
                    each(key, FieldValue::plain(region, value));
                }
            }),
            Repr::Built(region) => {
                visit_entries(region, |key, value| each(key, FieldValue::plain(region, value)));
            }
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<ByteString> {
        let mut found = None;
        self.visit(|k, value| {
            if k == key.as_bytes() {
                found = Some(value);
            }
        });
        found.map(|value| value.text())
    }

    /// Adds a field behind those that are there.
    ///
    /// A key of more than 32,767 bytes makes encoding fail.
    pub fn push(&mut self, key: &str, value: &str) {
        let mut out = Vec::with_capacity(256);
        let mut writer = FieldWriter::binary(&mut out);
        self.visit(|key, value| writer.raw(key, &value.bytes()));
        writer.text(key, value);
        let key_too_long = writer.key_too_long.or(self.key_too_long());
        *self = Fields::built(key_too_long, out);
    }

    fn built(key_too_long: Option<usize>, region: Vec<u8>) -> Fields {
        Fields(match key_too_long {
            Some(len) => Repr::KeyTooLong(len),
            None => Repr::Built(region.into()),
        })
    }

    fn key_too_long(&self) -> Option<usize> {
        match self.0 {
            Repr::KeyTooLong(len) => Some(len),
            _ => None,
        }
    }

    /// Keys and values as owned texts, in their order.
    pub fn to_vec(&self) -> Vec<(ByteString, ByteString)> {
        let mut all = Vec::new();
        self.visit(|key, value| all.push((String::from_utf8_lossy(key).into_owned().into(), value.text())));
        all
    }
}

/// Fields from keys and values.
impl<'a> FromIterator<(&'a str, &'a str)> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut out = Vec::new();
        let mut writer = FieldWriter::binary(&mut out);
        for (key, value) in pairs {
            writer.text(key, value);
        }
        Fields::built(writer.key_too_long, out)
    }
}

/// Passes the fields on, whatever encoding they came in.
impl WriteFields for Fields {
    fn write_fields(&self, out: &mut FieldWriter<'_>) {
        if let Repr::Binary(region) | Repr::Built(region) = &self.0
            && let FieldWriter { mode: Mode::Binary, bytes, .. } = out
        {
            bytes.extend_from_slice(region);
            return;
        }
        self.visit(|key, value| out.raw(key, &value.bytes()));
        out.key_too_long = out.key_too_long.or(self.key_too_long());
    }

    fn present(&self) -> bool {
        self.is_present()
    }
}

/// Like a map; secrets (`AccessKey`, `Signature`, `SecurityToken`) are not printed.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        self.visit(|key, value| {
            let key = String::from_utf8_lossy(key);
            match &*key {
                "AccessKey" | "Signature" | "SecurityToken" => map.entry(&key, &"***"),
                _ => map.entry(&key, &value.text()),
            };
        });
        map.finish()
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.to_vec() == other.to_vec()
    }
}

/// A value of [`Fields`], not yet turned into anything.
#[derive(Clone, Copy)]
pub struct FieldValue<'a> {
    parent: &'a Bytes,
    token: Token<'a>,
}

impl<'a> FieldValue<'a> {
    fn plain(parent: &'a Bytes, raw: &'a [u8]) -> Self {
        FieldValue { parent, token: Token::String { raw, escaped: false } }
    }

    /// The text; shares the frame's memory unless it has escapes or malformed UTF-8.
    pub fn text(self) -> ByteString {
        match self.token {
            Token::String { raw, escaped: false } => binary::text(self.parent, raw),
            token => token.into_text(self.parent).unwrap_or_default(),
        }
    }

    /// The bytes of the text.
    pub fn bytes(self) -> Cow<'a, [u8]> {
        match self.token {
            Token::String { raw, escaped: true } => escape::unescape(raw).into_bytes().into(),
            Token::String { raw, escaped: false } | Token::Other(raw) => raw.into(),
            Token::Null => Cow::Borrowed(&[]),
        }
    }

    /// An integer as Java's `Long.parseLong` reads it: optional sign, decimal digits, nothing else.
    pub fn integer(self) -> Option<i64> {
        let bytes = self.bytes();
        let (negative, digits) = match &*bytes {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        if digits.is_empty() {
            return None;
        }
        let mut n = 0i64;
        for digit in digits {
            let digit = match digit {
                b'0'..=b'9' => i64::from(digit - b'0'),
                _ => return None,
            };
            // Downwards, so that i64::MIN is in reach.
            n = n.checked_mul(10)?.checked_sub(digit)?;
        }
        if negative { Some(n) } else { n.checked_neg() }
    }

    /// A boolean as Java reads it: `true` in any case is true, anything else is false (spec H3).
    pub fn boolean(self) -> bool {
        self.bytes().eq_ignore_ascii_case(b"true")
    }
}

/// What can be written as the fields of a command.
pub trait WriteFields {
    /// Writes each field that is not null.
    fn write_fields(&self, out: &mut FieldWriter<'_>);

    /// Whether there is a map at all; only [`Fields`] may say no.
    fn present(&self) -> bool {
        true
    }
}

/// Writes fields straight into the output buffer, in either encoding.
pub struct FieldWriter<'a> {
    mode: Mode,
    bytes: &'a mut Vec<u8>,
    key_too_long: Option<usize>,
}

#[derive(Clone, Copy)]
enum Mode {
    Json { first: bool },
    Binary,
}

impl<'a> FieldWriter<'a> {
    pub(crate) fn json(bytes: &'a mut Vec<u8>) -> Self {
        FieldWriter { mode: Mode::Json { first: true }, bytes, key_too_long: None }
    }

    pub(crate) fn binary(bytes: &'a mut Vec<u8>) -> Self {
        FieldWriter { mode: Mode::Binary, bytes, key_too_long: None }
    }

    /// A text field. Over the binary encoding an empty value arrives as null.
    pub fn text(&mut self, key: &str, value: &str) {
        match self.mode {
            Mode::Binary => self.raw(key.as_bytes(), value.as_bytes()),
            Mode::Json { .. } => {
                self.json_key(key);
                escape::write_string(value, self.bytes);
            }
        }
    }

    /// An integer field.
    pub fn integer(&mut self, key: &str, value: i64) {
        self.plain(key, json::decimal(value, &mut [0; 20]));
    }

    /// A boolean field.
    pub fn boolean(&mut self, key: &str, value: bool) {
        self.plain(key, if value { b"true" } else { b"false" });
    }

    /// [`FieldWriter::text`] under a name of a header table, which needs no escapes.
    pub(crate) fn known_text(&mut self, key: &'static [u8], value: &str) {
        match self.mode {
            Mode::Binary => self.raw(key, value.as_bytes()),
            Mode::Json { .. } => {
                self.known_json_key(key);
                escape::write_string(value, self.bytes);
            }
        }
    }

    /// [`FieldWriter::integer`] under a name of a header table, which needs no escapes.
    pub(crate) fn known_integer(&mut self, key: &'static [u8], value: i64) {
        let mut buffer = [0; 20];
        let digits = json::decimal(value, &mut buffer);
        match self.mode {
            Mode::Binary => self.raw(key, digits),
            Mode::Json { .. } => {
                self.known_json_key(key);
                self.bytes.push(b'"');
                self.bytes.extend_from_slice(digits);
                self.bytes.push(b'"');
            }
        }
    }

    fn known_json_key(&mut self, key: &'static [u8]) {
        match &mut self.mode {
            Mode::Json { first } if *first => *first = false,
            _ => self.bytes.push(b','),
        }
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(b"\":");
    }

    /// A value that needs no escapes.
    fn plain(&mut self, key: &str, value: &[u8]) {
        match self.mode {
            Mode::Binary => self.raw(key.as_bytes(), value),
            Mode::Json { .. } => {
                self.json_key(key);
                self.bytes.push(b'"');
                self.bytes.extend_from_slice(value);
                self.bytes.push(b'"');
            }
        }
    }

    fn raw(&mut self, key: &[u8], value: &[u8]) {
        match self.mode {
            Mode::Binary => {
                let Ok(key_len) = i16::try_from(key.len()) else {
                    self.key_too_long = Some(key.len());
                    return;
                };
                // A value of 2 GiB and more does not fit a frame; the frame's own check names it.
                let value_len = (value.len() as u32).to_be_bytes();
                self.bytes.extend_from_slice(&key_len.to_be_bytes());
                self.bytes.extend_from_slice(key);
                self.bytes.extend_from_slice(&value_len);
                self.bytes.extend_from_slice(value);
            }
            Mode::Json { .. } => {
                self.json_key(&String::from_utf8_lossy(key));
                escape::write_string(&String::from_utf8_lossy(value), self.bytes);
            }
        }
    }

    fn json_key(&mut self, key: &str) {
        match &mut self.mode {
            Mode::Json { first } if *first => *first = false,
            _ => self.bytes.push(b','),
        }
        escape::write_string(key, self.bytes);
        self.bytes.push(b':');
    }

    pub(crate) fn finish(self) -> Result<(), EncodeError> {
        match self.key_too_long {
            Some(len) => Err(EncodeError::KeyTooLong(len)),
            None => Ok(()),
        }
    }
}

/// Calls `each` with every entry of a region that can be read.
fn visit_entries<'a>(region: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) {
    let mut rest = Cursor(region);
    while let Ok((key, value)) = entry(&mut rest) {
        each(key, value);
    }
}

/// Walks over a binary field region once; afterwards every entry can be read.
pub(crate) fn check_binary(region: &[u8]) -> Result<(), FrameError> {
    let mut rest = Cursor(region);
    while !rest.0.is_empty() {
        entry(&mut rest)?;
    }
    Ok(())
}

fn entry<'a>(rest: &mut Cursor<'a>) -> Result<(&'a [u8], &'a [u8]), FrameError> {
    let key_len = usize::try_from(rest.i16()?).map_err(|_| FrameError::Header("negative key length"))?;
    let key = rest.take(key_len)?;
    let value_len = usize::try_from(rest.i32()?).map_err(|_| FrameError::Header("negative value length"))?;
    Ok((key, rest.take(value_len)?))
}

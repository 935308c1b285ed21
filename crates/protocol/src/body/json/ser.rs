//! Types to text.

use serde::{Serialize, Serializer, ser};

use super::{BodyError, double};
use crate::encoding::{escape::write_string, json::write_integer};

/// Which of fastjson's ways to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// What every client reads: integer keys in quotes, object keys as objects.
    Tolerated,
    /// fastjson's default: integer keys without quotes.
    Legacy,
    /// JSON for browsers: quoted keys, nothing but ASCII, `/` as `\/`.
    Strict,
}

/// Writes a value. Nulls are left out of objects; members come in the order of the type's fields, which for
/// fastjson is that of their names.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, style: Style) -> Result<Vec<u8>, BodyError> {
    let mut writer = Writer { out: Vec::with_capacity(256), style, wrote_none: false };
    value.serialize(&mut writer)?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    style: Style,
    /// Whether the last scalar was a `None`.
    wrote_none: bool,
}

impl Writer {
    fn integer(&mut self, n: i64) {
        write_integer(n, &mut self.out);
    }

    fn text(&mut self, text: &str) {
        let from = self.out.len();
        write_string(text, &mut self.out);
        if self.style == Style::Strict {
            self.browser_compatible(from);
        }
    }

    /// Rewrites what stands behind `from` for browsers.
    fn browser_compatible(&mut self, from: usize) {
        let Some(written) = self.out.get(from..) else {
            return;
        };
        if !written.iter().any(|&b| b == b'/' || !b.is_ascii()) {
            return;
        }
        let text = String::from_utf8_lossy(written).into_owned();
        self.out.truncate(from);
        for c in text.chars() {
            match c {
                '/' => self.out.extend_from_slice(b"\\/"),
                c if c.is_ascii() => self.out.push(c as u8),
                c => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.out.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
                    }
                }
            }
        }
    }

    /// Writes one member; takes it back if its value is a `None`.
    fn member(
        &mut self,
        first: &mut bool,
        key: impl FnOnce(&mut Writer) -> Result<(), BodyError>,
        value: impl FnOnce(&mut Writer) -> Result<(), BodyError>,
    ) -> Result<(), BodyError> {
        let before = self.out.len();
        if !*first {
            self.out.push(b',');
        }
        key(self)?;
        self.out.push(b':');
        let value_at = self.out.len();
        self.wrote_none = false;
        value(self)?;
        if self.wrote_none && self.out.get(value_at..) == Some(b"null") {
            self.out.truncate(before);
        } else {
            *first = false;
        }
        Ok(())
    }

    /// A key of a map: texts and objects as they are, numbers in quotes if need be.
    fn map_key(&mut self, key: &(impl Serialize + ?Sized)) -> Result<(), BodyError> {
        let from = self.out.len();
        key.serialize(&mut *self)?;
        let plain = !matches!(self.out.get(from), Some(b'"' | b'{'));
        if plain && self.style != Style::Legacy {
            self.out.insert(from, b'"');
            self.out.push(b'"');
        }
        Ok(())
    }
}

macro_rules! integers {
    ($($method:ident $type:ty)*) => {$(
        fn $method(self, n: $type) -> Result<(), BodyError> {
            self.integer(i64::from(n));
            Ok(())
        }
    )*};
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = BodyError;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = ser::Impossible<(), BodyError>;
    type SerializeMap = Object<'a>;
    type SerializeStruct = Object<'a>;
    type SerializeStructVariant = ser::Impossible<(), BodyError>;

    integers! {
        serialize_i8 i8  serialize_i16 i16  serialize_i32 i32  serialize_i64 i64
        serialize_u8 u8  serialize_u16 u16  serialize_u32 u32
    }

    fn serialize_u64(self, n: u64) -> Result<(), BodyError> {
        match i64::try_from(n) {
            Ok(n) => self.integer(n),
            Err(_) => self.out.extend_from_slice(n.to_string().as_bytes()),
        }
        Ok(())
    }

    fn serialize_bool(self, b: bool) -> Result<(), BodyError> {
        self.out.extend_from_slice(if b { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_f32(self, n: f32) -> Result<(), BodyError> {
        self.serialize_f64(f64::from(n))
    }

    fn serialize_f64(self, n: f64) -> Result<(), BodyError> {
        double::write(n, &mut self.out);
        Ok(())
    }

    fn serialize_char(self, c: char) -> Result<(), BodyError> {
        self.text(c.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), BodyError> {
        self.text(text);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), BodyError> {
        Err(unsupported("bytes"))
    }

    fn serialize_none(self) -> Result<(), BodyError> {
        self.out.extend_from_slice(b"null");
        self.wrote_none = true;
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), BodyError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), BodyError> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), BodyError> {
        self.out.extend_from_slice(b"{}");
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), BodyError> {
        self.text(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), BodyError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), BodyError> {
        Err(unsupported("an enum with content"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'a>, BodyError> {
        self.out.push(b'[');
        Ok(List { writer: self, first: true })
    }

    fn serialize_tuple(self, len: usize) -> Result<List<'a>, BodyError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<List<'a>, BodyError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, BodyError> {
        Err(unsupported("an enum with content"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Object<'a>, BodyError> {
        self.out.push(b'{');
        Ok(Object { writer: self, first: true, last: "", key: Vec::new() })
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Object<'a>, BodyError> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, BodyError> {
        Err(unsupported("an enum with content"))
    }
}

fn unsupported(what: &str) -> BodyError {
    BodyError::Shape(format!("{what} cannot be written as a body"))
}

struct List<'a> {
    writer: &'a mut Writer,
    first: bool,
}

impl List<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BodyError> {
        if !std::mem::take(&mut self.first) {
            self.writer.out.push(b',');
        }
        value.serialize(&mut *self.writer)
    }

    fn close(self) -> Result<(), BodyError> {
        self.writer.out.push(b']');
        Ok(())
    }
}

impl ser::SerializeSeq for List<'_> {
    type Ok = ();
    type Error = BodyError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BodyError> {
        self.element(value)
    }

    fn end(self) -> Result<(), BodyError> {
        self.close()
    }
}

impl ser::SerializeTuple for List<'_> {
    type Ok = ();
    type Error = BodyError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BodyError> {
        self.element(value)
    }

    fn end(self) -> Result<(), BodyError> {
        self.close()
    }
}

impl ser::SerializeTupleStruct for List<'_> {
    type Ok = ();
    type Error = BodyError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BodyError> {
        self.element(value)
    }

    fn end(self) -> Result<(), BodyError> {
        self.close()
    }
}

struct Object<'a> {
    writer: &'a mut Writer,
    first: bool,
    /// The field before, to see that they are sorted.
    last: &'static str,
    /// A map's key that waits for its value.
    key: Vec<u8>,
}

impl ser::SerializeStruct for Object<'_> {
    type Ok = ();
    type Error = BodyError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), BodyError> {
        debug_assert!(self.last < name, "fields are declared in the order of their wire names");
        self.last = name;
        self.writer.member(
            &mut self.first,
            |writer| {
                writer.text(name);
                Ok(())
            },
            |writer| value.serialize(writer),
        )
    }

    fn end(self) -> Result<(), BodyError> {
        self.writer.out.push(b'}');
        Ok(())
    }
}

impl ser::SerializeMap for Object<'_> {
    type Ok = ();
    type Error = BodyError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), BodyError> {
        let from = self.writer.out.len();
        self.writer.map_key(key)?;
        self.key = self.writer.out.split_off(from);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BodyError> {
        let key = std::mem::take(&mut self.key);
        self.writer.member(
            &mut self.first,
            |writer| {
                writer.out.extend_from_slice(&key);
                Ok(())
            },
            |writer| value.serialize(writer),
        )
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), BodyError> {
        self.writer.member(&mut self.first, |writer| writer.map_key(key), |writer| value.serialize(writer))
    }

    fn end(self) -> Result<(), BodyError> {
        self.writer.out.push(b'}');
        Ok(())
    }
}

//! [`Json`] to types.

use std::borrow::Cow;

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        Visitor, value::StrDeserializer,
    },
    forward_to_deserialize_any,
};

use super::{BodyError, Json, parse::parse, reference::resolve};

/// Reads a body as `T`.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    // Java replaces malformed UTF-8. Seeing that there is none is faster than looking for it.
    let text = match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    };
    let value = resolve(parse(&text)?)?;
    T::deserialize(&value)
}

impl<'t> Json<'t> {
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Json::Null => Unexpected::Unit,
            Json::Bool(b) => Unexpected::Bool(*b),
            Json::Number(text) => Unexpected::Other(text),
            Json::Text(text) => Unexpected::Str(text),
            Json::Array(_) => Unexpected::Seq,
            Json::Object(_) => Unexpected::Map,
        }
    }

    fn wrong<'de, V: Visitor<'de>>(&self, visitor: &V) -> BodyError {
        serde::de::Error::invalid_type(self.unexpected(), visitor)
    }

    /// An integer: a number, `1.0`, a number in quotes, or a boolean.
    fn integer(&self) -> Option<i64> {
        let text: &str = match self {
            Json::Number(text) => text,
            Json::Text(text) => text.trim(),
            Json::Bool(b) => return Some(i64::from(*b)),
            Json::Null => return Some(0),
            _ => return None,
        };
        if text.is_empty() || text == "null" {
            return Some(0);
        }
        text.parse().ok().or_else(|| {
            let number: f64 = text.parse().ok()?;
            // Behind 2^53 a double is no longer a certain integer.
            (number.trunc() == number && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
        })
    }

    fn double(&self) -> Option<f64> {
        match self {
            Json::Number(text) => text.parse().ok(),
            Json::Text(text) if text.is_empty() => Some(0.0),
            Json::Text(text) => text.trim().parse().ok(),
            Json::Null => Some(0.0),
            _ => None,
        }
    }

    /// A boolean as fastjson casts to it.
    fn boolean(&self) -> Option<bool> {
        match self {
            Json::Bool(b) => Some(*b),
            Json::Number(text) => Some(*text == "1"),
            Json::Text(text) => Some(text.eq_ignore_ascii_case("true") || text == "1"),
            Json::Null => Some(false),
            _ => None,
        }
    }

    /// The text of a scalar.
    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Json::Text(text) => Some(Cow::Borrowed(text)),
            Json::Number(text) => Some(Cow::Borrowed(text)),
            Json::Bool(true) => Some(Cow::Borrowed("true")),
            Json::Bool(false) => Some(Cow::Borrowed("false")),
            _ => None,
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
            match self.integer() {
                Some(n) => visitor.visit_i64(n),
                None => Err(self.wrong(&visitor)),
            }
        }
    )*};
}

macro_rules! doubles {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
            match self.double() {
                Some(n) => visitor.visit_f64(n),
                None => Err(self.wrong(&visitor)),
            }
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
            match self.text() {
                Some(text) => visitor.visit_str(&text),
                None => Err(self.wrong(&visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &Json<'_> {
    type Error = BodyError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        match self {
            Json::Null => visitor.visit_unit(),
            Json::Bool(b) => visitor.visit_bool(*b),
            Json::Number(text) => match text.parse() {
                Ok(n) => visitor.visit_i64(n),
                Err(_) => visitor.visit_f64(text.parse().unwrap_or_default()),
            },
            Json::Text(text) => visitor.visit_str(text),
            Json::Array(_) => self.deserialize_seq(visitor),
            Json::Object(_) => self.deserialize_map(visitor),
        }
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }
    doubles! { deserialize_f32 deserialize_f64 }
    texts! { deserialize_str deserialize_string deserialize_char deserialize_identifier }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        match self.boolean() {
            Some(b) => visitor.visit_bool(b),
            None => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        match self {
            Json::Null => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        match self {
            Json::Array(elements) => visitor.visit_seq(Elements(elements.iter())),
            other => Err(other.wrong(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        match self {
            Json::Object(members) => visitor.visit_map(Members { members: members.iter(), value: None }),
            other => Err(other.wrong(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        match self {
            Json::Object(members) => {
                visitor.visit_map(KnownMembers { fields: fields.iter(), members, value: None })
            }
            other => Err(other.wrong(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        let variant = match self {
            // By ordinal, as C++ and Go write it.
            Json::Number(_) => self.integer().and_then(|n| variants.get(usize::try_from(n).ok()?)),
            Json::Text(text) => variants.iter().find(|known| known.eq_ignore_ascii_case(text)),
            _ => None,
        };
        match variant {
            Some(known) => visitor.visit_enum(Variant(known)),
            None => Err(BodyError::Shape(format!("{:?} is no {name}", self.unexpected().to_string()))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bytes byte_buf unit unit_struct tuple tuple_struct i128 u128 }
}

/// Elements of an array; nulls are left out.
struct Elements<'a, 't>(std::slice::Iter<'a, Json<'t>>);

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = BodyError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, BodyError> {
        match self.0.find(|element| !matches!(element, Json::Null)) {
            Some(element) => seed.deserialize(element).map(Some),
            None => Ok(None),
        }
    }
}

/// Members of a map, whose keys may be of any type; those whose value is null are left out.
struct Members<'a, 't> {
    members: std::slice::Iter<'a, (Json<'t>, Json<'t>)>,
    value: Option<&'a Json<'t>>,
}

impl<'de> MapAccess<'de> for Members<'_, '_> {
    type Error = BodyError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, BodyError> {
        match self.members.find(|(_, value)| !matches!(value, Json::Null)) {
            Some((key, value)) => {
                self.value = Some(value);
                seed.deserialize(key).map(Some)
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, BodyError> {
        seed.deserialize(self.value.take().unwrap_or(&Json::Null))
    }
}

/// Members that a struct has fields for: the last one of each name, unless it is null.
struct KnownMembers<'a, 't> {
    fields: std::slice::Iter<'static, &'static str>,
    members: &'a [(Json<'t>, Json<'t>)],
    value: Option<&'a Json<'t>>,
}

impl<'de> MapAccess<'de> for KnownMembers<'_, '_> {
    type Error = BodyError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, BodyError> {
        for field in self.fields.by_ref() {
            let is_field = |key: &Json<'_>| matches!(key, Json::Text(name) if name == field);
            match self.members.iter().rev().find(|(key, _)| is_field(key)) {
                None | Some((_, Json::Null)) => {}
                Some((_, value)) => {
                    self.value = Some(value);
                    let field: StrDeserializer<'_, BodyError> = (*field).into_deserializer();
                    return seed.deserialize(field).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, BodyError> {
        seed.deserialize(self.value.take().unwrap_or(&Json::Null))
    }
}

/// A constant of an enum, by its name.
struct Variant(&'static str);

impl<'de> EnumAccess<'de> for Variant {
    type Error = BodyError;
    type Variant = Constant;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Constant), BodyError> {
        let name: StrDeserializer<'_, BodyError> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, Constant))
    }
}

struct Constant;

impl<'de> serde::de::VariantAccess<'de> for Constant {
    type Error = BodyError;

    fn unit_variant(self) -> Result<(), BodyError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, BodyError> {
        Err(no_content())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, BodyError> {
        Err(no_content())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, BodyError> {
        Err(no_content())
    }
}

fn no_content() -> BodyError {
    BodyError::Shape("a Java enum has constants only".to_owned())
}

//! A typed header for every request and response that has one (spec/remoting.md appendix B).
//!
//! Types and wire names are Java's; Rust names are the wire names in snake case. Fields that Java requires are
//! plain values, primitives have Java's default, the others are `Option`. Every header is written and read by
//! both sides, which makes test peers and proxies free.
//!
//! Reading is done by whoever handles the command, never by the RPC layer: a missing field reaches the
//! processor (spec H5) and becomes a [`HeaderError`] only there.

mod admin;
mod auth;
mod client;
mod controller;
mod nameserver;
mod offset;
mod pull;
mod send;

pub use admin::*;
pub use auth::*;
pub use client::*;
pub use controller::*;
pub use nameserver::*;
pub use offset::*;
pub use pull::*;
pub use send::*;

use bytestring::ByteString;

use crate::{FieldValue, FieldWriter, Fields, RequestCode, WriteFields};

/// What request and response headers have in common.
pub trait Header: WriteFields + Sized {
    /// Reads the header from the fields of a command. Unknown fields are ignored; of repeated ones the last wins.
    fn read(fields: &Fields) -> Result<Self, HeaderError>;
}

/// The custom header of a request.
pub trait RequestHeader: Header {
    /// The request that the header belongs to.
    const CODE: RequestCode;
    /// The header of the answer; `()` if it has none.
    type Response: ResponseHeader;
}

/// The custom header of a response.
pub trait ResponseHeader: Header {}

/// A header that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// A required field is absent; the text is Java's.
    #[error("the custom field <{0}> is null")]
    Missing(&'static str),
    /// A field is there, but not of its type.
    #[error("the custom field <{0}> does not parse")]
    Invalid(&'static str),
}

/// Fields that Java's `RpcRequestHeader` adds to a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RpcBase {
    /// `ns`: namespace.
    pub namespace: Option<ByteString>,
    /// `nsd`: the names are already wrapped in the namespace.
    pub namespaced: Option<bool>,
    /// `bname`: the broker that is meant.
    pub broker_name: Option<ByteString>,
    /// `oway`: one-way.
    pub oneway: Option<bool>,
}

/// Fields that Java's `TopicRequestHeader` adds to a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicBase {
    /// Those of every request.
    pub rpc: RpcBase,
    /// `lo`: logical queue of a static topic.
    pub logical: Option<bool>,
}

/// What a header inherits.
pub(crate) trait Base: Default {
    fn write_base(&self, out: &mut FieldWriter<'_>);
    fn read_base(&mut self, key: &[u8], value: FieldValue<'_>);
}

impl Base for () {
    fn write_base(&self, _: &mut FieldWriter<'_>) {}
    fn read_base(&mut self, _: &[u8], _: FieldValue<'_>) {}
}

impl Base for RpcBase {
    fn write_base(&self, out: &mut FieldWriter<'_>) {
        if let Some(namespace) = &self.namespace {
            out.text("ns", namespace);
        }
        if let Some(namespaced) = self.namespaced {
            out.boolean("nsd", namespaced);
        }
        if let Some(broker_name) = &self.broker_name {
            out.text("bname", broker_name);
        }
        if let Some(oneway) = self.oneway {
            out.boolean("oway", oneway);
        }
    }

    fn read_base(&mut self, key: &[u8], value: FieldValue<'_>) {
        match key {
            b"ns" => self.namespace = Some(value.text()),
            b"nsd" => self.namespaced = Some(value.boolean()),
            b"bname" => self.broker_name = Some(value.text()),
            b"oway" => self.oneway = Some(value.boolean()),
            _ => {}
        }
    }
}

impl Base for TopicBase {
    fn write_base(&self, out: &mut FieldWriter<'_>) {
        self.rpc.write_base(out);
        if let Some(logical) = self.logical {
            out.boolean("lo", logical);
        }
    }

    fn read_base(&mut self, key: &[u8], value: FieldValue<'_>) {
        match key {
            b"lo" => self.logical = Some(value.boolean()),
            _ => self.rpc.read_base(key, value),
        }
    }
}

/// Which of several messages with the searched time is meant (Java: `BoundaryType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoundaryType {
    /// The first offset at or after the time.
    #[default]
    Lower,
    /// The last offset at or before the time.
    Upper,
}

/// How a type of Java's header fields goes to and from text.
pub(crate) trait Field: Sized {
    fn write_field(&self, key: &'static [u8], out: &mut FieldWriter<'_>);
    /// `None`: the text is not of this type.
    fn read_field(value: FieldValue<'_>) -> Option<Self>;
}

impl Field for ByteString {
    fn write_field(&self, key: &'static [u8], out: &mut FieldWriter<'_>) {
        out.known_text(key, self);
    }
    fn read_field(value: FieldValue<'_>) -> Option<Self> {
        Some(value.text())
    }
}

impl Field for i32 {
    fn write_field(&self, key: &'static [u8], out: &mut FieldWriter<'_>) {
        out.known_integer(key, i64::from(*self));
    }
    fn read_field(value: FieldValue<'_>) -> Option<Self> {
        value.integer()?.try_into().ok()
    }
}

impl Field for i64 {
    fn write_field(&self, key: &'static [u8], out: &mut FieldWriter<'_>) {
        out.known_integer(key, *self);
    }
    fn read_field(value: FieldValue<'_>) -> Option<Self> {
        value.integer()
    }
}

impl Field for bool {
    fn write_field(&self, key: &'static [u8], out: &mut FieldWriter<'_>) {
        out.known_text(key, if *self { "true" } else { "false" });
    }
    fn read_field(value: FieldValue<'_>) -> Option<Self> {
        Some(value.boolean())
    }
}

impl Field for BoundaryType {
    fn write_field(&self, key: &'static [u8], out: &mut FieldWriter<'_>) {
        let name = match self {
            BoundaryType::Lower => "LOWER",
            BoundaryType::Upper => "UPPER",
        };
        out.known_text(key, name);
    }
    fn read_field(value: FieldValue<'_>) -> Option<Self> {
        let upper = value.bytes().eq_ignore_ascii_case(b"upper");
        Some(if upper { BoundaryType::Upper } else { BoundaryType::Lower })
    }
}

/// The wire name of a field as text.
pub(crate) fn name_of(key: &'static [u8]) -> &'static str {
    std::str::from_utf8(key).unwrap_or_default()
}

impl WriteFields for () {
    fn write_fields(&self, _: &mut FieldWriter<'_>) {}
}

impl Header for () {
    fn read(_: &Fields) -> Result<Self, HeaderError> {
        Ok(())
    }
}

impl ResponseHeader for () {}

/// Defines headers from a table: `Name : Base [request CODE => Response] { field b"wire": mode type, }`.
///
/// `required`: its absence is an error; `optional`: an `Option`; `default`: a Java primitive, always written.
/// A number that does not parse counts as absent, but for the four headers of Java's `FastCodesHeader`.
macro_rules! headers {
    ($($(#[$doc:meta])* $name:ident $(: $base:ident)? [$($kind:tt)*] {
        $($field:ident $wire:literal : $mode:ident $type:ident $(= $default:literal)?,)*
    })*) => {$(
        $crate::header::headers!(@one [$(#[$doc])*] $name [$($base)?] [$($kind)*] {
            $($field $wire $mode $type [$($default)?],)*
        });
    )*};
    (@one [$(#[$doc:meta])*] $name:ident [$($base:ident)?] [$($kind:tt)*] {
        $($field:ident $wire:literal $mode:ident $type:ident [$($default:literal)?],)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)] // the names are Java's; the module says what they mean
        pub struct $name {
            $(pub $field: $crate::header::headers!(@type $mode $type),)*
            /// What the header inherits.
            pub base: $crate::header::headers!(@base $($base)?),
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $($field: $crate::header::headers!(@default $mode $type $($default)?),)*
                    base: Default::default(),
                }
            }
        }

        impl $crate::WriteFields for $name {
            #[allow(unused_variables)]
            fn write_fields(&self, out: &mut $crate::FieldWriter<'_>) {
                $($crate::header::headers!(@write self $field $wire $mode out);)*
                $crate::header::Base::write_base(&self.base, out);
            }
        }

        impl $crate::header::Header for $name {
            #[allow(unused_variables, unused_mut)]
            fn read(fields: &$crate::Fields) -> Result<Self, $crate::HeaderError> {
                $(let mut $field = None;)*
                let mut invalid: Option<&'static [u8]> = None;
                let mut base = <$crate::header::headers!(@base $($base)?)>::default();
                fields.visit(|key, value| match key {
                    $($wire => {
                        $field = <$crate::header::headers!(@inner $type) as $crate::header::Field>::read_field(value);
                        if $field.is_none() {
                            invalid = Some($wire);
                        }
                    })*
                    _ => $crate::header::Base::read_base(&mut base, key, value),
                });
                $crate::header::headers!(@check $name invalid);
                Ok($name {
                    $($field: $crate::header::headers!(@finish $field $wire $mode $type invalid $($default)?),)*
                    base,
                })
            }
        }

        $crate::header::headers!(@kind $name $($kind)*);
    };

    (@kind $name:ident request $code:ident => $($response:tt)*) => {
        impl $crate::header::RequestHeader for $name {
            const CODE: $crate::RequestCode = $crate::RequestCode::$code;
            type Response = $($response)*;
        }
    };
    (@kind $name:ident response) => {
        impl $crate::header::ResponseHeader for $name {}
    };
    (@kind $name:ident plain) => {};

    (@base) => { () };
    (@base Rpc) => { $crate::header::RpcBase };
    (@base Topic) => { $crate::header::TopicBase };

    (@inner text) => { bytestring::ByteString };
    (@inner int) => { i32 };
    (@inner long) => { i64 };
    (@inner bool) => { bool };
    (@inner boundary) => { $crate::header::BoundaryType };

    (@type optional $type:ident) => { Option<$crate::header::headers!(@inner $type)> };
    (@type $mode:ident $type:ident) => { $crate::header::headers!(@inner $type) };

    (@default $mode:ident $type:ident $default:literal) => { $default };
    (@default $mode:ident $type:ident) => { Default::default() };

    (@write $self:ident $field:ident $wire:literal optional $out:ident) => {
        if let Some(value) = &$self.$field {
            $crate::header::Field::write_field(value, $wire, $out);
        }
    };
    (@write $self:ident $field:ident $wire:literal $mode:ident $out:ident) => {
        $crate::header::Field::write_field(&$self.$field, $wire, $out)
    };

    // Java throws out of the processor where one of the fast headers has a number that does not parse.
    (@check SendMessageRequestHeaderV2 $invalid:ident) => { $crate::header::headers!(@throw $invalid) };
    (@check SendMessageResponseHeader $invalid:ident) => { $crate::header::headers!(@throw $invalid) };
    (@check PullMessageRequestHeader $invalid:ident) => { $crate::header::headers!(@throw $invalid) };
    (@check PullMessageResponseHeader $invalid:ident) => { $crate::header::headers!(@throw $invalid) };
    (@check $name:ident $invalid:ident) => {};
    (@throw $invalid:ident) => {
        if let Some(wire) = $invalid {
            return Err($crate::HeaderError::Invalid($crate::header::name_of(wire)));
        }
    };

    (@finish $field:ident $wire:literal required $type:ident $invalid:ident) => {
        match $field {
            Some(value) => value,
            None if $invalid == Some($wire) => {
                return Err($crate::HeaderError::Invalid($crate::header::name_of($wire)));
            }
            None => return Err($crate::HeaderError::Missing($crate::header::name_of($wire))),
        }
    };
    (@finish $field:ident $wire:literal optional $type:ident $invalid:ident) => { $field };
    (@finish $field:ident $wire:literal default $type:ident $invalid:ident $default:literal) => {
        $field.unwrap_or($default)
    };
}
pub(crate) use headers;

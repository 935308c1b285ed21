//! fastjson's dialect of JSON, as `serde` knows formats: a reader that takes what real peers write, and a
//! writer that writes what all of them read (spec/remoting.md appendix C).

mod de;
mod double;
mod parse;
mod reference;
mod ser;

pub(crate) use de::decode;
pub(crate) use ser::{Style, encode};

use std::borrow::Cow;

/// A value of the dialect. Keys are values too: fastjson writes numbers and objects there.
#[derive(Clone, Debug)]
pub(crate) enum Json<'t> {
    Null,
    Bool(bool),
    /// Its text, not yet understood.
    Number(&'t str),
    Text(Cow<'t, str>),
    Array(Vec<Json<'t>>),
    Object(Vec<(Json<'t>, Json<'t>)>),
}

/// A body that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// There is no body.
    #[error("the body is empty")]
    Empty,
    /// It is not JSON, with all of fastjson's liberties.
    #[error("byte {at}: {reason}")]
    Syntax {
        /// Where, in bytes from the beginning.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// There is more in it than we are willing to hold.
    #[error("the body holds more than {limit} values")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// A `$ref` that names nothing, or in a way that is not supported.
    #[error("cannot resolve the reference {0:?}")]
    Reference(String),
    /// It is JSON, but of another shape than the type.
    #[error("{0}")]
    Shape(String),
    /// The compressed form is damaged, or too large.
    #[error("the compressed body cannot be read: {0}")]
    Compressed(String),
}

impl serde::de::Error for BodyError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        BodyError::Shape(message.to_string())
    }
}

impl serde::ser::Error for BodyError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        BodyError::Shape(message.to_string())
    }
}

/// How deep values may nest.
pub(crate) const MAX_DEPTH: usize = 32;
/// How many values a body may hold, references resolved: some 100,000 topics.
pub(crate) const MAX_VALUES: usize = 2 << 20;

#[cfg(test)]
mod tests;

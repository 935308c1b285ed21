//! RocketMQ's remoting protocol as values: frames, commands, typed headers and bodies, message layouts.
//!
//! This crate does no I/O and reads no clock: bytes go in, values come out, and back. Decoding is total: any
//! bytes give a value or a typed error, and no length from a peer sizes an allocation before it is checked.
//!
//! | module | what is there |
//! |---|---|
//! | [`frame`] | the length-prefixed frame: [`frame::decode`] and [`frame::encode`] |
//! | [`Command`] | `RemotingCommand`: code, opaque, flags, remark, fields, body |
//! | [`Fields`] | the `extFields` of a command, read lazily from the frame they came in |
//! | [`header`] | a typed header for every request and response |
//! | [`body`] | JSON bodies in fastjson's dialect |
//! | [`message`] | stored records, batches, properties, ids, compression |
//! | [`filter`] | SQL92 filters on properties |
//! | [`rpc`] | the table of requests in flight |
//!
//! ```
//! use rocketwire_protocol::{Command, Encoding, Limits, RequestCode, frame};
//! use bytes::BytesMut;
//!
//! let mut out = Vec::new();
//! let request = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC).with_field("topic", "TopicTest");
//! frame::encode(&request, Encoding::Json, &mut out)?;
//!
//! let mut input = BytesMut::from(&out[..]);
//! let decoded = frame::decode(&mut input, &Limits::default())?.expect("a whole frame");
//! assert_eq!(decoded.fields.get("topic").as_deref(), Some("TopicTest"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod body;
mod code;
mod command;
pub mod encoding;
mod fields;
pub mod filter;
pub mod frame;
pub mod header;
pub mod message;
mod planted;
pub mod rpc;

pub use code::{LanguageCode, RequestCode, ResponseCode, Version};
pub use command::{Command, Flag};
pub use encoding::Encoding;
pub use fields::{FieldValue, FieldWriter, Fields, WriteFields};
pub use frame::{EncodeError, FrameError, Limits};
pub use header::{HeaderError, RequestHeader, ResponseHeader};

/// The examples of the README are tests as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

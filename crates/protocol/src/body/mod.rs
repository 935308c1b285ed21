//! JSON bodies in fastjson's dialect (spec/remoting.md appendix C).
//!
//! [`decode`] takes what any peer writes: keys without quotes, numbers and objects as keys, enums by name or
//! ordinal, numbers in quotes, null for absence, `$ref`, white space around. [`encode`] writes what all of them
//! read: members in order, nulls left out, integer keys in quotes, object keys as objects.
//!
//! Types and wire names are Java's; Rust names are the wire names in snake case. A member that is absent has
//! Java's default.
//!
//! ```
//! use rocketwire_protocol::body::{self, TopicRouteData};
//!
//! let route: TopicRouteData = body::decode(br#"{"brokerDatas":[{"brokerAddrs":{0:"10.0.0.5:10911"}}]}"#)?;
//! let broker = route.broker_datas.first().expect("one broker");
//! assert_eq!(broker.master_addr().map(|addr| &**addr), Some("10.0.0.5:10911"));
//! # Ok::<(), body::BodyError>(())
//! ```

mod admin;
mod connection;
mod enums;
mod group;
mod heartbeat;
mod json;
mod lock;
mod offset;
mod pop;
mod queue;
mod register;
mod route;
mod running;
mod stats;
mod topic;

pub use admin::*;
pub use connection::*;
pub use enums::*;
pub use group::*;
pub use heartbeat::*;
pub use json::BodyError;
pub use lock::*;
pub use offset::*;
pub use pop::*;
pub use queue::MessageQueue;
pub use register::*;
pub use route::*;
pub use running::*;
pub use stats::*;
pub use topic::*;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// Reads a body. At most 32 levels and some two million values are accepted; an empty body is an error of its
/// own, because Java sends none for null.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    json::decode(body)
}

/// Writes a body in the way that every client reads.
///
/// # Panics
///
/// If `body` is of a shape that JSON bodies do not have: an enum with content, or bytes. None of this module is.
pub fn encode<T: Serialize + ?Sized>(body: &T) -> Bytes {
    write(body, json::Style::Tolerated)
}

fn write<T: Serialize + ?Sized>(body: &T, style: json::Style) -> Bytes {
    #[allow(clippy::expect_used)] // a mistake in a type of ours, whatever its values
    let text = json::encode(body, style).expect("a body holds numbers, texts, constants, lists and maps");
    text.into()
}

#[cfg(test)]
mod tests;

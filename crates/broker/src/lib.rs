//! RocketMQ broker: topics, groups, sends, pulls, delays and transactions over a durable store.
//!
//! It knows the store and commands; it knows no sockets, and the name server only as a [`TopicListener`]. Whoever
//! listens routes [`Broker::processors`] and tells [`Broker::connection_closed`].
//!
//! ```text
//! request -> processor -> plan (checks, in Java's order) -> answer | store.append | park
//!                                                                      |            ^
//!                                          store's thread: answers the producer, wakes parked pulls
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `topics`, `groups`, `offsets`, `locks`, `hold`, `delay`, `filter`, `backoff` | tables that are handed the time and do no I/O |
//! | `send`, `back`, `reply`, `transaction`, `timer` | messages in |
//! | `pull`, `query` | messages out |
//! | `client`, `order`, `offset` | what consumers agree on |
//! | `permission` | whether the broker as a whole takes messages and gives them out |
//! | `deletion` | topics that go, in an order that survives a crash |
//! | `admin`, `relay`, `statistics`, `meters`, `metrics` | for operators |
//! | [`import`] | the folder of Apache's broker, taken over |
//! | `tables`, `creation`, `periodic`, `blocking`, `overload` | what is saved, what the clock drives, and where the disk is waited for |

mod admin;
mod back;
mod backoff;
mod blocking;
mod broker;
mod call;
mod client;
mod creation;
mod delay;
mod deletion;
mod filter;
mod groups;
mod hold;
pub mod import;
mod levels;
mod locks;
mod meters;
mod metrics;
mod offset;
mod offsets;
mod options;
mod order;
mod overload;
mod periodic;
mod permission;
mod planted;
mod processor;
mod pull;
mod query;
mod relay;
mod reply;
mod restore;
mod send;
mod shared;
mod statistics;
mod tables;
#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests may
mod testing;
mod timer;
mod topics;
mod transaction;

pub use broker::{Broker, BrokerError, TopicListener};
pub use levels::{DelayLevels, InvalidDelayLevels};
pub use metrics::{Family, Kind, Number, Sample};
pub use options::BrokerOptions;

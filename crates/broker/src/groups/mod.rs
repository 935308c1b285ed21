//! Groups: their settings, and which clients are in them right now.

mod clients;
mod configs;

pub(crate) use clients::{Changed, Clients, Heartbeat, Member, Subscription, TooMany};
pub(crate) use configs::{GroupError, GroupSnapshot, Groups};

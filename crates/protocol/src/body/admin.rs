//! What tools ask for.

use std::collections::BTreeMap;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::SubscriptionData;

/// Texts by name: runtime info 28, KV config 219 (Java: `KVTable`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KVTable {
    /// The texts.
    pub table: BTreeMap<ByteString, ByteString>,
}

/// Answer to QUERY_SUBSCRIPTION_BY_CONSUMER 345.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QuerySubscriptionResponseBody {
    /// The group.
    pub group: ByteString,
    /// Its subscription, if it has one.
    pub subscription_data: Option<SubscriptionData>,
    /// The topic.
    pub topic: ByteString,
}

/// Answer to QUERY_CONSUME_QUEUE 321.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeQueueResponseBody {
    /// What the filter is made of.
    pub filter_data: Option<ByteString>,
    /// The end of the queue.
    pub max_queue_index: i64,
    /// The beginning of the queue.
    pub min_queue_index: i64,
    /// Entries of the queue.
    pub queue_data: Vec<ConsumeQueueData>,
    /// The group's subscription.
    pub subscription_data: Option<SubscriptionData>,
}

/// An entry of a queue (Java: `ConsumeQueueData`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueData {
    /// Bits of its filter.
    pub bit_map: Option<ByteString>,
    /// Whether the filter takes it.
    pub eval: bool,
    /// More of the entry.
    pub extend_data_json: Option<ByteString>,
    /// Why it could not be looked at.
    pub msg: Option<ByteString>,
    /// Where the message is.
    pub physic_offset: i64,
    /// How many bytes it has.
    pub physic_size: i32,
    /// The code of its tag.
    pub tags_code: i64,
}

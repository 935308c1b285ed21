//! Numbers about topics and groups.

use std::collections::BTreeMap;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// Answer to GET_TOPIC_STATS_INFO 202 (Java: `TopicStatsTable`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatsTable {
    /// Offsets by queue.
    pub offset_table: BTreeMap<MessageQueue, TopicOffset>,
    /// Messages sent a second.
    pub topic_put_tps: f64,
}

/// What a queue holds (Java: `TopicOffset`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicOffset {
    /// When the last message came, in milliseconds since 1970.
    pub last_update_timestamp: i64,
    /// The offset of the next message.
    pub max_offset: i64,
    /// The offset of the first message that is still there.
    pub min_offset: i64,
}

/// Answer to GET_CONSUME_STATS 208 (Java: `ConsumeStats`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    /// Messages consumed a second.
    pub consume_tps: f64,
    /// Progress by queue.
    pub offset_table: BTreeMap<MessageQueue, OffsetWrapper>,
}

/// Progress of a group in a queue (Java: `OffsetWrapper`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetWrapper {
    /// The queue's end.
    pub broker_offset: i64,
    /// Where the group is.
    pub consumer_offset: i64,
    /// When the last consumed message was stored, in milliseconds since 1970.
    pub last_timestamp: i64,
    /// Up to where it pulled.
    pub pull_offset: i64,
}

/// Answer to GET_BROKER_CONSUME_STATS 317 (Java: `ConsumeStatsList`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStatsList {
    /// The broker.
    pub broker_addr: Option<ByteString>,
    /// Progress by group.
    pub consume_stats_list: Vec<BTreeMap<ByteString, Vec<ConsumeStats>>>,
    /// Messages not yet consumed.
    pub total_diff: i64,
    /// Messages pulled and not yet consumed.
    pub total_inflight_diff: i64,
}

/// Answer to VIEW_BROKER_STATS_DATA 315 (Java: `BrokerStatsData`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsData {
    /// Over a day.
    pub stats_day: BrokerStatsItem,
    /// Over an hour.
    pub stats_hour: BrokerStatsItem,
    /// Over a minute.
    pub stats_minute: BrokerStatsItem,
}

/// One number over a time (Java: `BrokerStatsItem`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsItem {
    /// Average of one.
    pub avgpt: f64,
    /// Sum.
    pub sum: i64,
    /// Each second.
    pub tps: f64,
}

/// Answer to QUERY_CONSUME_TIME_SPAN 303 (Java: `QueryConsumeTimeSpanBody`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeTimeSpanBody {
    /// Times by queue.
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// Times of a queue, in milliseconds since 1970 (Java: `QueueTimeSpan`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueTimeSpan {
    /// Of the last message consumed.
    pub consume_time_stamp: i64,
    /// How far behind the group is, in milliseconds.
    pub delay_time: i64,
    /// Of the last message.
    pub max_time_stamp: i64,
    /// The queue.
    pub message_queue: MessageQueue,
    /// Of the first message.
    pub min_time_stamp: i64,
}

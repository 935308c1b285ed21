//! What a consumer tells about itself when it is asked.

use std::collections::BTreeMap;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{CMResult, MessageQueue, SubscriptionData};

/// Answer to GET_CONSUMER_RUNNING_INFO 307 (Java: `ConsumerRunningInfo`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerRunningInfo {
    /// Stacks of its threads.
    pub jstack: Option<ByteString>,
    /// Queues that it pops from.
    pub mq_pop_table: BTreeMap<MessageQueue, PopProcessQueueInfo>,
    /// Queues that it pulls from.
    pub mq_table: BTreeMap<MessageQueue, ProcessQueueInfo>,
    /// Its settings, and the `PROP_` constants.
    pub properties: BTreeMap<ByteString, ByteString>,
    /// How fast it consumes, by topic.
    pub status_table: BTreeMap<ByteString, ConsumeStatus>,
    /// What it subscribes to.
    pub subscription_set: Vec<SubscriptionData>,
    /// What the user has to say.
    pub user_consumer_info: BTreeMap<ByteString, ByteString>,
}

/// What a consumer holds of a queue (Java: `ProcessQueueInfo`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessQueueInfo {
    /// Messages pulled and not yet consumed.
    pub cached_msg_count: i32,
    /// The greatest offset among them.
    pub cached_msg_max_offset: i64,
    /// The least offset among them.
    pub cached_msg_min_offset: i64,
    /// Their size.
    #[serde(rename = "cachedMsgSizeInMiB")]
    pub cached_msg_size_in_mib: i32,
    /// The offset that was committed.
    pub commit_offset: i64,
    /// Whether the queue went to another member.
    pub droped: bool,
    /// When a message was consumed last.
    pub last_consume_timestamp: i64,
    /// When the lock was confirmed last.
    pub last_lock_timestamp: i64,
    /// When messages were pulled last.
    pub last_pull_timestamp: i64,
    /// Whether the queue is locked.
    pub locked: bool,
    /// Messages being consumed in order.
    pub transaction_msg_count: i32,
    /// The greatest offset among them.
    pub transaction_msg_max_offset: i64,
    /// The least offset among them.
    pub transaction_msg_min_offset: i64,
    /// How often unlocking failed.
    pub try_unlock_times: i64,
}

/// What a consumer holds of a queue that it pops from (Java: `PopProcessQueueInfo`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PopProcessQueueInfo {
    /// Whether the queue went to another member.
    pub droped: bool,
    /// When messages were popped last.
    pub last_pop_timestamp: i64,
    /// Messages not yet acknowledged.
    pub wait_ack_count: i32,
}

/// How fast a topic is consumed (Java: `ConsumeStatus`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStatus {
    /// Failures in the last hour.
    pub consume_failed_msgs: i64,
    /// Failures a second.
    #[serde(rename = "consumeFailedTPS")]
    pub consume_failed_tps: f64,
    /// Messages consumed a second.
    #[serde(rename = "consumeOKTPS")]
    pub consume_ok_tps: f64,
    /// Milliseconds to consume one.
    #[serde(rename = "consumeRT")]
    pub consume_rt: f64,
    /// Milliseconds to pull.
    #[serde(rename = "pullRT")]
    pub pull_rt: f64,
    /// Messages pulled a second.
    #[serde(rename = "pullTPS")]
    pub pull_tps: f64,
}

/// Answer to CONSUME_MESSAGE_DIRECTLY 309 (Java: `ConsumeMessageDirectlyResult`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeMessageDirectlyResult {
    /// Whether the consumer commits by itself.
    pub auto_commit: bool,
    /// What came of it.
    pub consume_result: Option<CMResult>,
    /// Whether it consumes in order.
    pub order: bool,
    /// Text for people.
    pub remark: Option<ByteString>,
    /// How long it took.
    pub spent_time_mills: i64,
}

impl Default for ConsumeMessageDirectlyResult {
    fn default() -> Self {
        ConsumeMessageDirectlyResult {
            auto_commit: true,
            consume_result: None,
            order: false,
            remark: None,
            spent_time_mills: 0,
        }
    }
}

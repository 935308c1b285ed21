//! Consumer groups and their configuration.

use std::collections::BTreeMap;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::DataVersion;

/// Configuration of a consumer group (Java: `SubscriptionGroupConfig`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupConfig {
    /// `priority.factor` and such.
    pub attributes: BTreeMap<ByteString, ByteString>,
    /// The replica to consume from.
    pub broker_id: i64,
    /// Whether it may broadcast.
    pub consume_broadcast_enable: bool,
    /// Whether it may consume at all.
    pub consume_enable: bool,
    /// Whether a new group may begin at the beginning.
    pub consume_from_min_enable: bool,
    /// Whether pop consumers are served in order.
    pub consume_message_orderly: bool,
    /// Minutes after which an unanswered message counts as failed.
    pub consume_timeout_minute: i32,
    /// The group.
    pub group_name: ByteString,
    /// When failed messages come again.
    pub group_retry_policy: GroupRetryPolicy,
    /// Unit bits.
    pub group_sys_flag: i32,
    /// Whether members are told about each other.
    pub notify_consumer_ids_changed_enable: bool,
    /// Failures after which a message is a dead letter.
    pub retry_max_times: i32,
    /// Queues of the retry topic.
    pub retry_queue_nums: i32,
    /// The replica to consume from when the master is busy.
    pub which_broker_when_consume_slowly: i64,
}

/// When failed messages come again (Java: `GroupRetryPolicy`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupRetryPolicy {
    /// For type `CUSTOMIZED`.
    pub customized_retry_policy: Option<CustomizedRetryPolicy>,
    /// For type `EXPONENTIAL`.
    pub exponential_retry_policy: Option<ExponentialRetryPolicy>,
    /// `CUSTOMIZED` or `EXPONENTIAL`.
    #[serde(rename = "type")]
    pub kind: ByteString,
}

/// A delay for each failure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomizedRetryPolicy {
    /// Delays in milliseconds.
    pub next: Vec<i64>,
}

/// A delay that grows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExponentialRetryPolicy {
    /// The first, in milliseconds.
    pub initial: i64,
    /// The greatest, in milliseconds.
    pub max: i64,
    /// From one to the next.
    pub multiplier: i64,
}

/// Answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG 201 (Java: `SubscriptionGroupWrapper`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupWrapper {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Bits of what a group may not do with a topic.
    pub forbidden_table: BTreeMap<ByteString, BTreeMap<ByteString, i32>>,
    /// Groups by name.
    pub subscription_group_table: BTreeMap<ByteString, SubscriptionGroupConfig>,
}

/// Body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST 225.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupList {
    /// The groups.
    pub group_config_list: Vec<SubscriptionGroupConfig>,
}

/// Answer to UPDATE_AND_GET_GROUP_FORBIDDEN 353.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupForbidden {
    /// The group.
    pub group: ByteString,
    /// Whether it may read the topic.
    pub readable: Option<bool>,
    /// The topic.
    pub topic: ByteString,
}

/// Names of groups (Java: `GroupList`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupList {
    /// The names.
    pub group_list: Vec<ByteString>,
}

impl SubscriptionGroupConfig {
    /// A group with Java's defaults.
    pub fn new(group: impl Into<ByteString>) -> SubscriptionGroupConfig {
        SubscriptionGroupConfig { group_name: group.into(), ..SubscriptionGroupConfig::default() }
    }
}

impl Default for SubscriptionGroupConfig {
    fn default() -> Self {
        SubscriptionGroupConfig {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: ByteString::new(),
            group_retry_policy: GroupRetryPolicy::default(),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            which_broker_when_consume_slowly: 1,
        }
    }
}

impl Default for GroupRetryPolicy {
    fn default() -> Self {
        GroupRetryPolicy {
            customized_retry_policy: None,
            exponential_retry_policy: None,
            kind: ByteString::from_static("CUSTOMIZED"),
        }
    }
}

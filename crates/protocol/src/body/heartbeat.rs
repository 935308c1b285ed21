//! What clients tell brokers about themselves.

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{ConsumeFromWhere, ConsumeType, MessageModel};

/// Body of HEART_BEAT 34 (Java: `HeartbeatData`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    /// The client: `ip@instance`.
    #[serde(rename = "clientID")]
    pub client_id: ByteString,
    /// Its consumer groups.
    pub consumer_data_set: Vec<ConsumerData>,
    /// What a 5.x client sends in place of subscriptions that did not change; 0 if it does not.
    pub heartbeat_fingerprint: i32,
    /// Its producer groups.
    pub producer_data_set: Vec<ProducerData>,
    /// Whether the subscriptions are left out.
    pub without_sub: bool,
}

/// A producer group (Java: `ProducerData`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// Its name.
    pub group_name: ByteString,
}

/// A consumer group (Java: `ConsumerData`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// Where it begins if it has no offsets.
    pub consume_from_where: ConsumeFromWhere,
    /// Whether it pulls or is pushed to.
    pub consume_type: ConsumeType,
    /// Its name.
    pub group_name: ByteString,
    /// Whether each member gets every message.
    pub message_model: MessageModel,
    /// What it subscribes to.
    pub subscription_data_set: Vec<SubscriptionData>,
    /// For units of a deployment.
    pub unit_mode: bool,
}

/// A group's subscription of a topic (Java: `SubscriptionData`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    /// Not in use any more.
    pub class_filter_mode: bool,
    /// Codes of the tags, see [`tags_code`](crate::message::tags_code).
    pub code_set: Vec<i32>,
    /// `TAG` or `SQL92`.
    pub expression_type: ByteString,
    /// The expression: tags separated by `||`, `*` for all, or SQL.
    pub sub_string: ByteString,
    /// Grows with each change; any unit.
    pub sub_version: i64,
    /// The tags; empty for all.
    pub tags_set: Vec<ByteString>,
    /// The topic.
    pub topic: ByteString,
}

/// Body of CHECK_CLIENT_CONFIG 46 (Java: `CheckClientRequestBody`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClientRequestBody {
    /// The client.
    pub client_id: ByteString,
    /// Its consumer group.
    pub group: ByteString,
    /// Its namespace.
    pub namespace: Option<ByteString>,
    /// What the broker shall check.
    pub subscription_data: Option<SubscriptionData>,
}

/// Answer to GET_CONSUMER_LIST_BY_GROUP 38.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetConsumerListByGroupResponseBody {
    /// Client ids, in any order.
    pub consumer_id_list: Vec<ByteString>,
}

impl Default for SubscriptionData {
    fn default() -> Self {
        SubscriptionData {
            class_filter_mode: false,
            code_set: Vec::new(),
            expression_type: ByteString::from_static("TAG"),
            sub_string: ByteString::new(),
            sub_version: 0,
            tags_set: Vec::new(),
            topic: ByteString::new(),
        }
    }
}

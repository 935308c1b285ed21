//! Who is connected.

use std::collections::BTreeMap;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{ConsumeFromWhere, ConsumeType, MessageModel, SubscriptionData};
use crate::LanguageCode;

/// A client of a group (Java: `Connection`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connection {
    /// Where it connects from.
    pub client_addr: ByteString,
    /// Its id.
    pub client_id: ByteString,
    /// Its language.
    #[serde(default = "unknown")]
    pub language: LanguageCode,
    /// Its release, as [`Version`](crate::Version).
    pub version: i32,
}

/// Answer to GET_CONSUMER_CONNECTION_LIST 203 (Java: `ConsumerConnection`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerConnection {
    /// The group's members.
    pub connection_set: Vec<Connection>,
    /// Where the group began.
    pub consume_from_where: ConsumeFromWhere,
    /// Whether it pulls or is pushed to.
    pub consume_type: ConsumeType,
    /// Whether each member gets every message.
    pub message_model: MessageModel,
    /// Subscriptions by topic.
    pub subscription_table: BTreeMap<ByteString, SubscriptionData>,
}

/// Answer to GET_PRODUCER_CONNECTION_LIST 204 (Java: `ProducerConnection`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerConnection {
    /// The group's members.
    pub connection_set: Vec<Connection>,
}

/// Answer to GET_ALL_PRODUCER_INFO 328 (Java: `ProducerTableInfo`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerTableInfo {
    /// Members by group.
    pub data: BTreeMap<ByteString, Vec<ProducerInfo>>,
}

/// A producer (Java: `ProducerInfo`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerInfo {
    /// Its id.
    pub client_id: ByteString,
    /// Its language.
    #[serde(default = "unknown")]
    pub language: LanguageCode,
    /// When it was heard of, in milliseconds since 1970.
    pub last_update_timestamp: i64,
    /// Where it connects from.
    #[serde(rename = "remoteIP")]
    pub remote_ip: ByteString,
    /// Its release.
    pub version: i32,
}

/// What an absent language is to Java: null.
fn unknown() -> LanguageCode {
    LanguageCode::UNKNOWN
}

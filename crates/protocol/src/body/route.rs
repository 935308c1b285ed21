//! Routes: which brokers serve a topic, and where they are.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::json::Style;
use crate::Version;

/// Answer to GET_ROUTEINFO_BY_TOPIC 105 (Java: `TopicRouteData`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicRouteData {
    /// The brokers.
    pub broker_datas: Vec<BrokerData>,
    /// Empty, but old Java clients want it to be there.
    pub filter_server_table: BTreeMap<ByteString, Vec<ByteString>>,
    /// `brokerName:queues;brokerName:queues` of an ordered topic.
    pub order_topic_conf: Option<ByteString>,
    /// What each broker has of the topic.
    pub queue_datas: Vec<QueueData>,
}

/// The addresses of a broker (Java: `BrokerData`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerData {
    /// `host:port` by broker id; 0 is the master, and without it a topic cannot be written to.
    pub broker_addrs: BTreeMap<i64, ByteString>,
    /// Its name, which master and slaves share.
    pub broker_name: ByteString,
    /// Its cluster.
    pub cluster: ByteString,
    /// Whether a slave may act for the master. The Rust client 1.0 needs the member.
    pub enable_acting_master: bool,
    /// Its zone.
    pub zone_name: Option<ByteString>,
}

/// What a broker has of a topic (Java: `QueueData`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueData {
    /// The broker.
    pub broker_name: ByteString,
    /// Bits: 4 readable, 2 writable.
    pub perm: i32,
    /// Queues to read from.
    pub read_queue_nums: i32,
    /// Unit bits. Go and Java up to 4.8 call it `topicSynFlag`.
    #[serde(alias = "topicSynFlag")]
    pub topic_sys_flag: i32,
    /// Queues to write to.
    pub write_queue_nums: i32,
}

/// Answer to GET_BROKER_CLUSTER_INFO 106 (Java: `ClusterInfo`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// Brokers by name.
    pub broker_addr_table: BTreeMap<ByteString, BrokerData>,
    /// Names of brokers by cluster.
    pub cluster_addr_table: BTreeMap<ByteString, Vec<ByteString>>,
}

/// A broker's master and slaves (Java: `BrokerMemberGroup`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerMemberGroup {
    /// `host:port` by broker id.
    pub broker_addrs: BTreeMap<i64, ByteString>,
    /// Its name.
    pub broker_name: ByteString,
    /// Its cluster.
    pub cluster: ByteString,
}

/// Answer to GET_BROKER_MEMBER_GROUP 901.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetBrokerMemberGroupResponseBody {
    /// The group.
    pub broker_member_group: BrokerMemberGroup,
}

/// Id of the master in [`BrokerData::broker_addrs`] (Java: `MixAll.MASTER_ID`).
pub const MASTER_ID: i64 = 0;

impl TopicRouteData {
    /// Writes the route as a name server does for a requester of this version: from 4.9.4 on as strict JSON,
    /// before that with broker ids that have no quotes. For a request that says `acceptStandardJsonOnly`, take
    /// [`Version::CURRENT`].
    pub fn encode_for(&self, version: Version) -> Bytes {
        let style = if version.0 >= Version::V4_9_4.0 { Style::Strict } else { Style::Legacy };
        super::write(self, style)
    }
}

impl BrokerData {
    /// The master's address.
    pub fn master_addr(&self) -> Option<&ByteString> {
        self.broker_addrs.get(&MASTER_ID)
    }
}

//! Topics and their configuration.

use std::collections::BTreeMap;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::TopicFilterType;

/// Configuration of a topic (Java: `TopicConfig`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// `message.type`, `cleanup.policy`, ...
    pub attributes: BTreeMap<ByteString, ByteString>,
    /// Whether consumers are served in order only.
    pub order: bool,
    /// Bits: 4 readable, 2 writable, 1 inherited.
    pub perm: i32,
    /// Queues to read from.
    pub read_queue_nums: i32,
    /// How many tags messages have.
    pub topic_filter_type: TopicFilterType,
    /// The topic.
    pub topic_name: ByteString,
    /// Unit bits.
    pub topic_sys_flag: i32,
    /// Queues to write to.
    pub write_queue_nums: i32,
}

/// Body of UPDATE_AND_CREATE_TOPIC_LIST 18.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateTopicListRequestBody {
    /// The topics.
    pub topic_config_list: Vec<TopicConfig>,
}

/// All topics of a broker: answer to GET_ALL_TOPIC_CONFIG 21, part of [`RegisterBrokerBody`](super::RegisterBrokerBody).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigSerializeWrapper {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Version of static topics' mapping.
    pub mapping_data_version: Option<DataVersion>,
    /// Topics by name.
    pub topic_config_table: BTreeMap<ByteString, TopicConfig>,
    /// Static topics, which are not supported: empty.
    pub topic_queue_mapping_detail_map: Option<EmptyMap>,
    /// Static topics, which are not supported: empty.
    pub topic_queue_mapping_info_map: Option<EmptyMap>,
}

/// A map that is written empty and whose content is not read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmptyMap {}

/// Version of a table (Java: `DataVersion`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// Changes since the broker began.
    pub counter: i64,
    /// The master's epoch.
    pub state_version: i64,
    /// When it changed, in milliseconds since 1970.
    pub timestamp: i64,
}

/// Names of topics (Java: `TopicList`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicList {
    /// Some broker that has them.
    pub broker_addr: Option<ByteString>,
    /// The names.
    pub topic_list: Vec<ByteString>,
}

impl TopicConfig {
    /// A topic as a broker creates it: readable and writable.
    pub fn new(topic: impl Into<ByteString>, read_queue_nums: i32, write_queue_nums: i32) -> TopicConfig {
        TopicConfig { topic_name: topic.into(), read_queue_nums, write_queue_nums, ..TopicConfig::default() }
    }
}

/// Java's: 16 queues, readable and writable.
impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            attributes: BTreeMap::new(),
            order: false,
            perm: 6,
            read_queue_nums: 16,
            topic_filter_type: TopicFilterType::SingleTag,
            topic_name: ByteString::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

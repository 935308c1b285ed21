//! Offsets of groups.

use std::{collections::BTreeMap, fmt};

use bytestring::ByteString;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::{DataVersion, MessageQueue};

/// Body of RESET_CONSUMER_CLIENT_OFFSET 220 and answer to 222 (Java: `ResetOffsetBody`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetBody {
    /// Offsets by queue. A list, as C++ peers get it, is read as well.
    #[serde(deserialize_with = "map_or_list")]
    pub offset_table: BTreeMap<MessageQueue, i64>,
}

/// [`ResetOffsetBody`] for C++ clients (Java: `ResetOffsetBodyForC`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetBodyForC {
    /// The offsets.
    pub offset_table: Vec<MessageQueueForC>,
}

/// A queue with its offset (Java: `MessageQueueForC`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueueForC {
    /// The broker.
    pub broker_name: ByteString,
    /// The offset.
    pub offset: i64,
    /// The queue.
    pub queue_id: i32,
    /// The topic.
    pub topic: ByteString,
}

/// Answer to GET_CONSUMER_STATUS_FROM_CLIENT 221 and INVOKE_BROKER_TO_GET_CONSUMER_STATUS 223.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetConsumerStatusBody {
    /// 223: offsets by client id and queue.
    pub consumer_table: BTreeMap<ByteString, BTreeMap<MessageQueue, i64>>,
    /// 221: offsets by queue.
    pub message_queue_table: BTreeMap<MessageQueue, i64>,
}

/// Answer to GET_ALL_CONSUMER_OFFSET 43.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerOffsetSerializeWrapper {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Offsets by `topic@group` and queue id.
    pub offset_table: BTreeMap<ByteString, BTreeMap<i32, i64>>,
}

/// Answer to GET_ALL_DELAY_OFFSET 45.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelayOffsetSerializeWrapper {
    /// Offsets by delay level.
    pub offset_table: BTreeMap<i32, i64>,
}

/// Answer to QUERY_CORRECTION_OFFSET 308.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryCorrectionOffsetBody {
    /// Offsets by queue id.
    pub correction_offsets: BTreeMap<i32, i64>,
}

impl ResetOffsetBody {
    /// The form that C++ clients read.
    pub fn for_c(&self) -> ResetOffsetBodyForC {
        let entry = |(queue, offset): (&MessageQueue, &i64)| MessageQueueForC {
            broker_name: queue.broker_name.clone(),
            offset: *offset,
            queue_id: queue.queue_id,
            topic: queue.topic.clone(),
        };
        ResetOffsetBodyForC { offset_table: self.offset_table.iter().map(entry).collect() }
    }
}

/// Reads `{{queue}:offset}` or `[{queue and offset}]`.
fn map_or_list<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<MessageQueue, i64>, D::Error> {
    struct Table;

    impl<'de> Visitor<'de> for Table {
        type Value = BTreeMap<MessageQueue, i64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("offsets by queue, as a map or a list")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut table = BTreeMap::new();
            while let Some((queue, offset)) = map.next_entry()? {
                table.insert(queue, offset);
            }
            Ok(table)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut table = BTreeMap::new();
            while let Some(entry) = list.next_element::<MessageQueueForC>()? {
                table.insert(MessageQueue::new(entry.topic, entry.broker_name, entry.queue_id), entry.offset);
            }
            Ok(table)
        }
    }

    from.deserialize_any(Table)
}

//! Bodies of the POP family.

use std::collections::BTreeMap;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{MessageModel, MessageQueue, MessageRequestMode};

/// Body of QUERY_ASSIGNMENT 400.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignmentRequestBody {
    /// The client.
    pub client_id: ByteString,
    /// Its group.
    pub consumer_group: ByteString,
    /// Whether each member gets every message.
    pub message_model: MessageModel,
    /// How queues are shared out: `AVG`, ...
    pub strategy_name: ByteString,
    /// The topic.
    pub topic: ByteString,
}

/// Answer to QUERY_ASSIGNMENT 400.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignmentResponseBody {
    /// The client's share.
    pub message_queue_assignments: Vec<MessageQueueAssignment>,
}

/// A queue to consume (Java: `MessageQueueAssignment`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueueAssignment {
    /// More about it.
    pub attachments: Option<BTreeMap<ByteString, ByteString>>,
    /// The queue; id -1 stands for all of its broker.
    pub message_queue: MessageQueue,
    /// How to get the messages.
    pub mode: MessageRequestMode,
}

/// Body of SET_MESSAGE_REQUEST_MODE 401.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetMessageRequestModeRequestBody {
    /// The group.
    pub consumer_group: ByteString,
    /// How it shall get its messages.
    pub mode: MessageRequestMode,
    /// How many other queues a member also pops from; -1 for all.
    pub pop_share_queue_num: i32,
    /// The topic.
    pub topic: ByteString,
}

/// Body of BATCH_ACK_MESSAGE 200151.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchAckMessageRequestBody {
    /// The acknowledgements.
    pub acks: Vec<BatchAck>,
    /// The broker.
    pub broker_name: ByteString,
}

/// Acknowledges messages of one pop (Java: `BatchAck`). Names are one letter on the wire; long ones are read as well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchAck {
    /// Which: base64 of a bit set, least bit first.
    #[serde(rename = "b", alias = "bitSet")]
    pub bit_set: ByteString,
    /// The group.
    #[serde(rename = "c", alias = "consumerGroup")]
    pub consumer_group: ByteString,
    /// How long they are invisible, in milliseconds.
    #[serde(rename = "it", alias = "invisibleTime")]
    pub invisible_time: i64,
    /// When they were popped, in milliseconds since 1970.
    #[serde(rename = "pt", alias = "popTime")]
    pub pop_time: i64,
    /// The queue.
    #[serde(rename = "q", alias = "queueId")]
    pub queue_id: i32,
    /// `0` not from a retry topic, `1` from one of version 1, `2` from one of version 2.
    #[serde(rename = "r", alias = "retry")]
    pub retry: ByteString,
    /// The queue of the check point.
    #[serde(rename = "rq", alias = "reviveQueueId")]
    pub revive_queue_id: i32,
    /// The first offset of the pop.
    #[serde(rename = "so", alias = "startOffset")]
    pub start_offset: i64,
    /// The topic.
    #[serde(rename = "t", alias = "topic")]
    pub topic: ByteString,
}

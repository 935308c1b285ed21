//! A queue of a topic on a broker.

use std::{cmp::Ordering, fmt};

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

/// Names a queue (Java: `MessageQueue`). Ordered by topic, broker and id, as Java orders them: what every
/// member of a group has to agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    /// The broker's name, not its address.
    pub broker_name: ByteString,
    /// The queue's id on that broker.
    pub queue_id: i32,
    /// The topic.
    pub topic: ByteString,
}

impl MessageQueue {
    /// Queue `queue_id` of `topic` on the broker `broker_name`.
    pub fn new(topic: impl Into<ByteString>, broker_name: impl Into<ByteString>, queue_id: i32) -> Self {
        MessageQueue { broker_name: broker_name.into(), queue_id, topic: topic.into() }
    }
}

impl Ord for MessageQueue {
    fn cmp(&self, other: &Self) -> Ordering {
        // Java compares UTF-16 units; for the ASCII that names consist of, bytes are the same.
        self.topic
            .cmp(&other.topic)
            .then_with(|| self.broker_name.cmp(&other.broker_name))
            .then_with(|| self.queue_id.cmp(&other.queue_id))
    }
}

impl PartialOrd for MessageQueue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Java's text.
impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "MessageQueue [topic={}, brokerName={}, queueId={}]",
            self.topic, self.broker_name, self.queue_id
        )
    }
}

//! Locks of queues that are consumed in order.

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// Body of LOCK_BATCH_MQ 41 and UNLOCK_BATCH_MQ 42 (Java: `LockBatchRequestBody`, `UnlockBatchRequestBody`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatchRequestBody {
    /// The client that wants the locks.
    pub client_id: ByteString,
    /// Its group.
    pub consumer_group: ByteString,
    /// The queues.
    pub mq_set: Vec<MessageQueue>,
    /// Whether replicas are left alone.
    pub only_this_broker: bool,
}

/// Answer to LOCK_BATCH_MQ 41.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatchResponseBody {
    /// The queues that the client holds now.
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: Vec<MessageQueue>,
}

/// Body of UNLOCK_BATCH_MQ 42.
pub type UnlockBatchRequestBody = LockBatchRequestBody;

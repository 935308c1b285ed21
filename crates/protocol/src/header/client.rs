//! Headers of clients and groups: heartbeat, membership, locks, and what a broker asks a client.

use super::headers;

headers! {
    /// Java: `ConsumeMessageDirectlyResultRequestHeader`, request 309.
    ConsumeMessageDirectlyResultRequestHeader : Topic [request CONSUME_MESSAGE_DIRECTLY => ()] {
        consumer_group b"consumerGroup": required text,
        client_id b"clientId": optional text,
        msg_id b"msgId": optional text,
        broker_name b"brokerName": optional text,
        topic b"topic": optional text,
        topic_sys_flag b"topicSysFlag": optional int,
        group_sys_flag b"groupSysFlag": optional int,
    }

    /// Java: `GetConsumerListByGroupRequestHeader`, request 38.
    GetConsumerListByGroupRequestHeader : Rpc [request GET_CONSUMER_LIST_BY_GROUP => GetConsumerListByGroupResponseHeader] {
        consumer_group b"consumerGroup": required text,
    }

    /// Java: `GetConsumerListByGroupResponseHeader`.
    GetConsumerListByGroupResponseHeader [response] {
    }

    /// Java: `GetConsumerRunningInfoRequestHeader`, request 307.
    GetConsumerRunningInfoRequestHeader : Rpc [request GET_CONSUMER_RUNNING_INFO => ()] {
        consumer_group b"consumerGroup": required text,
        client_id b"clientId": required text,
        jstack_enable b"jstackEnable": default bool = false,
    }

    /// Java: `GetConsumerStatusRequestHeader`, request 223.
    GetConsumerStatusRequestHeader : Topic [request INVOKE_BROKER_TO_GET_CONSUMER_STATUS => ()] {
        topic b"topic": required text,
        group b"group": required text,
        client_addr b"clientAddr": optional text,
    }

    /// Java: `HeartbeatRequestHeader`, request 34.
    HeartbeatRequestHeader : Rpc [request HEART_BEAT => ()] {
    }

    /// Java: `LockBatchMqRequestHeader`, request 41.
    LockBatchMqRequestHeader : Rpc [request LOCK_BATCH_MQ => ()] {
    }

    /// Java: `NotifyConsumerIdsChangedRequestHeader`, request 40.
    NotifyConsumerIdsChangedRequestHeader : Rpc [request NOTIFY_CONSUMER_IDS_CHANGED => ()] {
        consumer_group b"consumerGroup": required text,
    }

    /// Java: `UnlockBatchMqRequestHeader`, request 42.
    UnlockBatchMqRequestHeader : Rpc [request UNLOCK_BATCH_MQ => ()] {
    }

    /// Java: `UnregisterClientRequestHeader`, request 35.
    UnregisterClientRequestHeader : Rpc [request UNREGISTER_CLIENT => UnregisterClientResponseHeader] {
        client_id b"clientID": required text,
        producer_group b"producerGroup": optional text,
        consumer_group b"consumerGroup": optional text,
    }

    /// Java: `UnregisterClientResponseHeader`.
    UnregisterClientResponseHeader [response] {
    }
}

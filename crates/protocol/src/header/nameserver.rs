//! Headers of the name server, and what it and brokers tell each other.

use super::headers;

headers! {
    /// Java: `ExchangeHAInfoRequestHeader`, request 906.
    ExchangeHAInfoRequestHeader [request EXCHANGE_BROKER_HA_INFO => ExchangeHAInfoResponseHeader] {
        master_ha_address b"masterHaAddress": optional text,
        master_flush_offset b"masterFlushOffset": optional long,
        master_address b"masterAddress": optional text,
    }

    /// Java: `ExchangeHAInfoResponseHeader`.
    ExchangeHAInfoResponseHeader [response] {
        master_ha_address b"masterHaAddress": optional text,
        master_flush_offset b"masterFlushOffset": optional long,
        master_address b"masterAddress": optional text,
    }

    /// Java: `GetBrokerMemberGroupRequestHeader`, request 901.
    GetBrokerMemberGroupRequestHeader [request GET_BROKER_MEMBER_GROUP => ()] {
        cluster_name b"clusterName": required text,
        broker_name b"brokerName": required text,
    }

    /// Java: `GetTopicsByClusterRequestHeader`, request 224.
    GetTopicsByClusterRequestHeader [request GET_TOPICS_BY_CLUSTER => ()] {
        cluster b"cluster": required text,
    }

    /// Java: `NotifyMinBrokerIdChangeRequestHeader`, request 905.
    NotifyMinBrokerIdChangeRequestHeader [request NOTIFY_MIN_BROKER_ID_CHANGE => ()] {
        min_broker_id b"minBrokerId": optional long,
        broker_name b"brokerName": optional text,
        min_broker_addr b"minBrokerAddr": optional text,
        offline_broker_addr b"offlineBrokerAddr": optional text,
        ha_broker_addr b"haBrokerAddr": optional text,
    }

    /// Java: `AddWritePermOfBrokerRequestHeader`, request 327.
    AddWritePermOfBrokerRequestHeader [request ADD_WRITE_PERM_OF_BROKER => AddWritePermOfBrokerResponseHeader] {
        broker_name b"brokerName": required text,
    }

    /// Java: `AddWritePermOfBrokerResponseHeader`.
    AddWritePermOfBrokerResponseHeader [response] {
        add_topic_count b"addTopicCount": required int,
    }

    /// Java: `BrokerHeartbeatRequestHeader`, request 904.
    BrokerHeartbeatRequestHeader [request BROKER_HEARTBEAT => ()] {
        cluster_name b"clusterName": required text,
        broker_addr b"brokerAddr": required text,
        broker_name b"brokerName": required text,
        broker_id b"brokerId": optional long,
        epoch b"epoch": optional int,
        max_offset b"maxOffset": optional long,
        confirm_offset b"confirmOffset": optional long,
        heartbeat_timeout_mills b"heartbeatTimeoutMills": optional long,
        election_priority b"electionPriority": optional int,
    }

    /// Java: `DeleteKVConfigRequestHeader`, request 102.
    DeleteKVConfigRequestHeader [request DELETE_KV_CONFIG => ()] {
        namespace b"namespace": required text,
        key b"key": required text,
    }

    /// Java: `DeleteTopicFromNamesrvRequestHeader`, request 216.
    DeleteTopicFromNamesrvRequestHeader : Topic [request DELETE_TOPIC_IN_NAMESRV => ()] {
        topic b"topic": required text,
        cluster_name b"clusterName": optional text,
    }

    /// Java: `GetKVConfigRequestHeader`, request 101.
    GetKVConfigRequestHeader [request GET_KV_CONFIG => GetKVConfigResponseHeader] {
        namespace b"namespace": required text,
        key b"key": required text,
    }

    /// Java: `GetKVConfigResponseHeader`.
    GetKVConfigResponseHeader [response] {
        value b"value": optional text,
    }

    /// Java: `GetKVListByNamespaceRequestHeader`, request 219.
    GetKVListByNamespaceRequestHeader [request GET_KVLIST_BY_NAMESPACE => ()] {
        namespace b"namespace": required text,
    }

    /// Java: `GetRouteInfoRequestHeader`, request 105.
    GetRouteInfoRequestHeader : Topic [request GET_ROUTEINFO_BY_TOPIC => ()] {
        topic b"topic": required text,
        accept_standard_json_only b"acceptStandardJsonOnly": optional bool,
    }

    /// Java: `PutKVConfigRequestHeader`, request 100.
    PutKVConfigRequestHeader [request PUT_KV_CONFIG => ()] {
        namespace b"namespace": required text,
        key b"key": required text,
        value b"value": required text,
    }

    /// Java: `QueryDataVersionRequestHeader`, request 322.
    QueryDataVersionRequestHeader [request QUERY_DATA_VERSION => QueryDataVersionResponseHeader] {
        broker_name b"brokerName": required text,
        broker_addr b"brokerAddr": required text,
        cluster_name b"clusterName": required text,
        broker_id b"brokerId": required long,
    }

    /// Java: `QueryDataVersionResponseHeader`.
    QueryDataVersionResponseHeader [response] {
        changed b"changed": required bool,
    }

    /// Java: `RegisterBrokerRequestHeader`, request 103.
    RegisterBrokerRequestHeader [request REGISTER_BROKER => RegisterBrokerResponseHeader] {
        broker_name b"brokerName": required text,
        broker_addr b"brokerAddr": required text,
        cluster_name b"clusterName": required text,
        ha_server_addr b"haServerAddr": required text,
        broker_id b"brokerId": required long,
        heartbeat_timeout_millis b"heartbeatTimeoutMillis": optional long,
        enable_acting_master b"enableActingMaster": optional bool,
        compressed b"compressed": default bool = false,
        body_crc32 b"bodyCrc32": optional int,
    }

    /// Java: `RegisterBrokerResponseHeader`.
    RegisterBrokerResponseHeader [response] {
        ha_server_addr b"haServerAddr": optional text,
        master_addr b"masterAddr": optional text,
    }

    /// Java: `RegisterOrderTopicRequestHeader`.
    RegisterOrderTopicRequestHeader [plain] {
        topic b"topic": required text,
        order_topic_string b"orderTopicString": required text,
    }

    /// Java: `RegisterTopicRequestHeader`, request 217.
    RegisterTopicRequestHeader : Topic [request REGISTER_TOPIC_IN_NAMESRV => ()] {
        topic b"topic": required text,
    }

    /// Java: `UnRegisterBrokerRequestHeader`, request 104.
    UnRegisterBrokerRequestHeader [request UNREGISTER_BROKER => ()] {
        broker_name b"brokerName": required text,
        broker_addr b"brokerAddr": required text,
        cluster_name b"clusterName": required text,
        broker_id b"brokerId": required long,
    }

    /// Java: `WipeWritePermOfBrokerRequestHeader`, request 205.
    WipeWritePermOfBrokerRequestHeader [request WIPE_WRITE_PERM_OF_BROKER => WipeWritePermOfBrokerResponseHeader] {
        broker_name b"brokerName": required text,
    }

    /// Java: `WipeWritePermOfBrokerResponseHeader`.
    WipeWritePermOfBrokerResponseHeader [response] {
        wipe_topic_count b"wipeTopicCount": required int,
    }
}

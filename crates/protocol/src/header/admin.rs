//! Headers of administration: topics, groups, statistics, brokers.

use super::headers;

headers! {
    /// Java: `AddBrokerRequestHeader`, request 902.
    AddBrokerRequestHeader [request ADD_BROKER => ()] {
        config_path b"configPath": optional text,
    }

    /// Java: `CheckRocksdbCqWriteProgressRequestHeader`, request 354.
    CheckRocksdbCqWriteProgressRequestHeader [request CHECK_ROCKSDB_CQ_WRITE_PROGRESS => ()] {
        topic b"topic": required text,
        check_store_time b"checkStoreTime": default long = 0,
    }

    /// Java: `CreateTopicListRequestHeader`, request 18.
    CreateTopicListRequestHeader : Rpc [request UPDATE_AND_CREATE_TOPIC_LIST => ()] {
    }

    /// Java: `CreateTopicRequestHeader`, request 17.
    CreateTopicRequestHeader : Topic [request UPDATE_AND_CREATE_TOPIC => ()] {
        topic b"topic": required text,
        default_topic b"defaultTopic": required text,
        read_queue_nums b"readQueueNums": required int,
        write_queue_nums b"writeQueueNums": required int,
        perm b"perm": required int,
        topic_filter_type b"topicFilterType": required text,
        topic_sys_flag b"topicSysFlag": optional int,
        order b"order": optional bool,
        attributes b"attributes": optional text,
        force b"force": optional bool,
    }

    /// Java: `DeleteSubscriptionGroupRequestHeader`, request 207.
    DeleteSubscriptionGroupRequestHeader : Rpc [request DELETE_SUBSCRIPTIONGROUP => ()] {
        group_name b"groupName": required text,
        clean_offset b"cleanOffset": default bool = false,
    }

    /// Java: `DeleteTopicRequestHeader`, request 215.
    DeleteTopicRequestHeader : Topic [request DELETE_TOPIC_IN_BROKER => ()] {
        topic b"topic": required text,
    }

    /// Java: `ExportRocksDBConfigToJsonRequestHeader`, request 355.
    ExportRocksDBConfigToJsonRequestHeader [request EXPORT_ROCKSDB_CONFIG_TO_JSON => ()] {
        config_type b"configType": required text,
    }

    /// Java: `GetAllProducerInfoRequestHeader`, request 328.
    GetAllProducerInfoRequestHeader [request GET_ALL_PRODUCER_INFO => ()] {
    }

    /// Java: `GetAllSubscriptionGroupRequestHeader`, request 201.
    GetAllSubscriptionGroupRequestHeader [request GET_ALL_SUBSCRIPTIONGROUP_CONFIG => GetAllSubscriptionGroupResponseHeader] {
        group_seq b"groupSeq": required int,
        data_version b"dataVersion": optional text,
        max_group_num b"maxGroupNum": optional int,
    }

    /// Java: `GetAllSubscriptionGroupResponseHeader`.
    GetAllSubscriptionGroupResponseHeader [response] {
        total_group_num b"totalGroupNum": required int,
    }

    /// Java: `GetAllTopicConfigRequestHeader`, request 21.
    GetAllTopicConfigRequestHeader [request GET_ALL_TOPIC_CONFIG => GetAllTopicConfigResponseHeader] {
        topic_seq b"topicSeq": required int,
        data_version b"dataVersion": optional text,
        max_topic_num b"maxTopicNum": optional int,
    }

    /// Java: `GetAllTopicConfigResponseHeader`.
    GetAllTopicConfigResponseHeader [response] {
        total_topic_num b"totalTopicNum": required int,
    }

    /// Java: `GetBrokerConfigResponseHeader`.
    GetBrokerConfigResponseHeader [response] {
        version b"version": required text,
    }

    /// Java: `GetConsumeStatsInBrokerHeader`, request 317.
    GetConsumeStatsInBrokerHeader [request GET_BROKER_CONSUME_STATS => ()] {
        order b"isOrder": default bool = false,
    }

    /// Java: `GetConsumeStatsRequestHeader`, request 208.
    GetConsumeStatsRequestHeader : Topic [request GET_CONSUME_STATS => ()] {
        consumer_group b"consumerGroup": required text,
        topic b"topic": optional text,
        topic_list b"topicList": optional text,
    }

    /// Java: `GetConsumerConnectionListRequestHeader`, request 203.
    GetConsumerConnectionListRequestHeader : Rpc [request GET_CONSUMER_CONNECTION_LIST => ()] {
        consumer_group b"consumerGroup": required text,
    }

    /// Java: `GetProducerConnectionListRequestHeader`, request 204.
    GetProducerConnectionListRequestHeader : Rpc [request GET_PRODUCER_CONNECTION_LIST => ()] {
        producer_group b"producerGroup": required text,
    }

    /// Java: `GetSubscriptionGroupConfigRequestHeader`, request 352.
    GetSubscriptionGroupConfigRequestHeader : Rpc [request GET_SUBSCRIPTIONGROUP_CONFIG => ()] {
        group b"group": required text,
    }

    /// Java: `GetTopicConfigRequestHeader`, request 351.
    GetTopicConfigRequestHeader : Topic [request GET_TOPIC_CONFIG => ()] {
        topic b"topic": required text,
    }

    /// Java: `GetTopicStatsInfoRequestHeader`, request 202.
    GetTopicStatsInfoRequestHeader : Topic [request GET_TOPIC_STATS_INFO => ()] {
        topic b"topic": required text,
    }

    /// Java: `QueryConsumeQueueRequestHeader`, request 321.
    QueryConsumeQueueRequestHeader : Topic [request QUERY_CONSUME_QUEUE => ()] {
        topic b"topic": optional text,
        queue_id b"queueId": default int = 0,
        index b"index": default long = 0,
        count b"count": default int = 0,
        consumer_group b"consumerGroup": optional text,
    }

    /// Java: `QueryConsumeTimeSpanRequestHeader`, request 303.
    QueryConsumeTimeSpanRequestHeader : Topic [request QUERY_CONSUME_TIME_SPAN => ()] {
        topic b"topic": required text,
        group b"group": required text,
    }

    /// Java: `QuerySubscriptionByConsumerRequestHeader`, request 345.
    QuerySubscriptionByConsumerRequestHeader : Topic [request QUERY_SUBSCRIPTION_BY_CONSUMER => ()] {
        group b"group": required text,
        topic b"topic": optional text,
    }

    /// Java: `QueryTopicConsumeByWhoRequestHeader`, request 300.
    QueryTopicConsumeByWhoRequestHeader : Topic [request QUERY_TOPIC_CONSUME_BY_WHO => ()] {
        topic b"topic": required text,
    }

    /// Java: `QueryTopicsByConsumerRequestHeader`, request 343.
    QueryTopicsByConsumerRequestHeader : Rpc [request QUERY_TOPICS_BY_CONSUMER => ()] {
        group b"group": required text,
    }

    /// Java: `RemoveBrokerRequestHeader`, request 903.
    RemoveBrokerRequestHeader [request REMOVE_BROKER => ()] {
        broker_name b"brokerName": required text,
        broker_cluster_name b"brokerClusterName": required text,
        broker_id b"brokerId": required long,
    }

    /// Java: `ResetMasterFlushOffsetHeader`, request 908.
    ResetMasterFlushOffsetHeader [request RESET_MASTER_FLUSH_OFFSET => ()] {
        master_flush_offset b"masterFlushOffset": required long,
    }

    /// Java: `StatisticsMessagesRequestHeader`.
    StatisticsMessagesRequestHeader : Topic [plain] {
        consumer_group b"consumerGroup": required text,
        topic b"topic": required text,
        queue_id b"queueId": default int = 0,
        from_time b"fromTime": default long = 0,
        to_time b"toTime": default long = 0,
    }

    /// Java: `UpdateGroupForbiddenRequestHeader`, request 353.
    UpdateGroupForbiddenRequestHeader : Topic [request UPDATE_AND_GET_GROUP_FORBIDDEN => ()] {
        group b"group": required text,
        topic b"topic": required text,
        readable b"readable": optional bool,
    }

    /// Java: `ViewBrokerStatsDataRequestHeader`, request 315.
    ViewBrokerStatsDataRequestHeader [request VIEW_BROKER_STATS_DATA => ()] {
        stats_name b"statsName": required text,
        stats_key b"statsKey": required text,
    }
}

//! Headers of reading: pull, pop, acknowledge, query.

use super::headers;

headers! {
    /// Java: `AckMessageRequestHeader`, request 200051.
    AckMessageRequestHeader : Topic [request ACK_MESSAGE => ()] {
        consumer_group b"consumerGroup": required text,
        topic b"topic": required text,
        queue_id b"queueId": required int,
        extra_info b"extraInfo": required text,
        offset b"offset": required long,
    }

    /// Java: `ChangeInvisibleTimeRequestHeader`, request 200053.
    ChangeInvisibleTimeRequestHeader : Topic [request CHANGE_MESSAGE_INVISIBLETIME => ChangeInvisibleTimeResponseHeader] {
        consumer_group b"consumerGroup": required text,
        topic b"topic": required text,
        queue_id b"queueId": required int,
        extra_info b"extraInfo": required text,
        offset b"offset": required long,
        invisible_time b"invisibleTime": required long,
    }

    /// Java: `ChangeInvisibleTimeResponseHeader`.
    ChangeInvisibleTimeResponseHeader [response] {
        pop_time b"popTime": default long = 0,
        invisible_time b"invisibleTime": default long = 0,
        revive_qid b"reviveQid": default int = 0,
    }

    /// Java: `NotificationRequestHeader`, request 200054.
    NotificationRequestHeader : Topic [request NOTIFICATION => NotificationResponseHeader] {
        consumer_group b"consumerGroup": required text,
        topic b"topic": required text,
        queue_id b"queueId": default int = 0,
        poll_time b"pollTime": default long = 0,
        born_time b"bornTime": default long = 0,
        order b"order": optional bool,
        attempt_id b"attemptId": optional text,
    }

    /// Java: `NotificationResponseHeader`.
    NotificationResponseHeader [response] {
        has_msg b"hasMsg": default bool = false,
        polling_full b"pollingFull": default bool = false,
    }

    /// Java: `PeekMessageRequestHeader`, request 200052.
    PeekMessageRequestHeader : Topic [request PEEK_MESSAGE => ()] {
        topic b"topic": required text,
        queue_id b"queueId": default int = 0,
        max_msg_nums b"maxMsgNums": default int = 0,
        consumer_group b"consumerGroup": required text,
    }

    /// Java: `PollingInfoRequestHeader`, request 200055.
    PollingInfoRequestHeader : Topic [request POLLING_INFO => PollingInfoResponseHeader] {
        consumer_group b"consumerGroup": required text,
        topic b"topic": required text,
        queue_id b"queueId": default int = 0,
    }

    /// Java: `PollingInfoResponseHeader`.
    PollingInfoResponseHeader [response] {
        polling_num b"pollingNum": default int = 0,
    }

    /// Java: `PopMessageRequestHeader`, request 200050.
    PopMessageRequestHeader : Topic [request POP_MESSAGE => PopMessageResponseHeader] {
        consumer_group b"consumerGroup": required text,
        topic b"topic": required text,
        queue_id b"queueId": default int = 0,
        max_msg_nums b"maxMsgNums": default int = 0,
        invisible_time b"invisibleTime": default long = 0,
        poll_time b"pollTime": default long = 0,
        born_time b"bornTime": default long = 0,
        init_mode b"initMode": default int = 0,
        exp_type b"expType": optional text,
        exp b"exp": optional text,
        order b"order": optional bool,
        attempt_id b"attemptId": optional text,
    }

    /// Java: `PopMessageResponseHeader`.
    PopMessageResponseHeader [response] {
        pop_time b"popTime": default long = 0,
        invisible_time b"invisibleTime": default long = 0,
        revive_qid b"reviveQid": default int = 0,
        rest_num b"restNum": default long = 0,
        start_offset_info b"startOffsetInfo": optional text,
        msg_offset_info b"msgOffsetInfo": optional text,
        order_count_info b"orderCountInfo": optional text,
    }

    /// Java: `PullMessageRequestHeader`, request 11.
    PullMessageRequestHeader : Topic [request PULL_MESSAGE => PullMessageResponseHeader] {
        consumer_group b"consumerGroup": required text,
        topic b"topic": required text,
        queue_id b"queueId": required int,
        queue_offset b"queueOffset": required long,
        max_msg_nums b"maxMsgNums": required int,
        sys_flag b"sysFlag": required int,
        commit_offset b"commitOffset": required long,
        suspend_timeout_millis b"suspendTimeoutMillis": required long,
        subscription b"subscription": optional text,
        sub_version b"subVersion": required long,
        expression_type b"expressionType": optional text,
        max_msg_bytes b"maxMsgBytes": optional int,
        request_source b"requestSource": optional int,
        proxy_froward_client_id b"proxyFrowardClientId": optional text,
    }

    /// Java: `PullMessageResponseHeader`.
    PullMessageResponseHeader [response] {
        suggest_which_broker_id b"suggestWhichBrokerId": required long,
        next_begin_offset b"nextBeginOffset": required long,
        min_offset b"minOffset": required long,
        max_offset b"maxOffset": required long,
        offset_delta b"offsetDelta": optional long,
        topic_sys_flag b"topicSysFlag": optional int,
        group_sys_flag b"groupSysFlag": optional int,
        forbidden_type b"forbiddenType": optional int,
    }

    /// Java: `QueryMessageRequestHeader`, request 12.
    QueryMessageRequestHeader : Topic [request QUERY_MESSAGE => QueryMessageResponseHeader] {
        topic b"topic": required text,
        key b"key": required text,
        max_num b"maxNum": required int,
        begin_timestamp b"beginTimestamp": required long,
        end_timestamp b"endTimestamp": required long,
    }

    /// Java: `QueryMessageResponseHeader`.
    QueryMessageResponseHeader [response] {
        index_last_update_timestamp b"indexLastUpdateTimestamp": required long,
        index_last_update_phyoffset b"indexLastUpdatePhyoffset": required long,
    }

    /// Java: `ViewMessageRequestHeader`, request 33.
    ViewMessageRequestHeader [request VIEW_MESSAGE_BY_ID => ViewMessageResponseHeader] {
        topic b"topic": optional text,
        offset b"offset": required long,
    }

    /// Java: `ViewMessageResponseHeader`.
    ViewMessageResponseHeader [response] {
    }
}

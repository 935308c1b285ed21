//! Headers of sending: messages, replies, send-back, transactions.

use super::headers;

headers! {
    /// Java: `CheckTransactionStateRequestHeader`, request 39.
    CheckTransactionStateRequestHeader : Rpc [request CHECK_TRANSACTION_STATE => CheckTransactionStateResponseHeader] {
        topic b"topic": optional text,
        tran_state_table_offset b"tranStateTableOffset": required long,
        commit_log_offset b"commitLogOffset": required long,
        msg_id b"msgId": optional text,
        transaction_id b"transactionId": optional text,
        offset_msg_id b"offsetMsgId": optional text,
    }

    /// Java: `CheckTransactionStateResponseHeader`.
    CheckTransactionStateResponseHeader [response] {
        producer_group b"producerGroup": required text,
        tran_state_table_offset b"tranStateTableOffset": required long,
        commit_log_offset b"commitLogOffset": required long,
        commit_or_rollback b"commitOrRollback": required int,
    }

    /// Java: `ConsumerSendMsgBackRequestHeader`, request 36.
    ConsumerSendMsgBackRequestHeader : Rpc [request CONSUMER_SEND_MSG_BACK => ()] {
        offset b"offset": required long,
        group b"group": required text,
        delay_level b"delayLevel": required int,
        origin_msg_id b"originMsgId": optional text,
        origin_topic b"originTopic": optional text,
        unit_mode b"unitMode": default bool = false,
        max_reconsume_times b"maxReconsumeTimes": optional int,
    }

    /// Java: `EndTransactionRequestHeader`, request 37.
    EndTransactionRequestHeader : Rpc [request END_TRANSACTION => EndTransactionResponseHeader] {
        topic b"topic": optional text,
        producer_group b"producerGroup": required text,
        tran_state_table_offset b"tranStateTableOffset": required long,
        commit_log_offset b"commitLogOffset": required long,
        commit_or_rollback b"commitOrRollback": required int,
        from_transaction_check b"fromTransactionCheck": optional bool,
        msg_id b"msgId": required text,
        transaction_id b"transactionId": optional text,
    }

    /// Java: `EndTransactionResponseHeader`.
    EndTransactionResponseHeader [response] {
    }

    /// Java: `RecallMessageRequestHeader`, request 370.
    RecallMessageRequestHeader : Topic [request RECALL_MESSAGE => RecallMessageResponseHeader] {
        producer_group b"producerGroup": optional text,
        topic b"topic": required text,
        recall_handle b"recallHandle": required text,
    }

    /// Java: `RecallMessageResponseHeader`.
    RecallMessageResponseHeader [response] {
        msg_id b"msgId": required text,
    }

    /// Java: `ReplyMessageRequestHeader`, request 326.
    ReplyMessageRequestHeader : Topic [request PUSH_REPLY_MESSAGE_TO_CLIENT => ()] {
        producer_group b"producerGroup": required text,
        topic b"topic": required text,
        default_topic b"defaultTopic": required text,
        default_topic_queue_nums b"defaultTopicQueueNums": required int,
        queue_id b"queueId": required int,
        sys_flag b"sysFlag": required int,
        born_timestamp b"bornTimestamp": required long,
        flag b"flag": required int,
        properties b"properties": optional text,
        reconsume_times b"reconsumeTimes": optional int,
        unit_mode b"unitMode": default bool = false,
        born_host b"bornHost": required text,
        store_host b"storeHost": required text,
        store_timestamp b"storeTimestamp": default long = 0,
    }

    /// Java: `ResumeCheckHalfMessageRequestHeader`, request 323.
    ResumeCheckHalfMessageRequestHeader [request RESUME_CHECK_HALF_MESSAGE => ()] {
        topic b"topic": optional text,
        msg_id b"msgId": optional text,
    }

    /// Java: `SendMessageRequestHeader`, request 10.
    SendMessageRequestHeader : Topic [request SEND_MESSAGE => SendMessageResponseHeader] {
        producer_group b"producerGroup": required text,
        topic b"topic": required text,
        default_topic b"defaultTopic": required text,
        default_topic_queue_nums b"defaultTopicQueueNums": required int,
        queue_id b"queueId": required int,
        sys_flag b"sysFlag": required int,
        born_timestamp b"bornTimestamp": required long,
        flag b"flag": required int,
        properties b"properties": optional text,
        reconsume_times b"reconsumeTimes": optional int,
        unit_mode b"unitMode": optional bool,
        batch b"batch": optional bool,
        max_reconsume_times b"maxReconsumeTimes": optional int,
    }

    /// Java: `SendMessageRequestHeaderV2`, request 310: the fields of `SendMessageRequestHeader` under one-letter names.
    SendMessageRequestHeaderV2 : Topic [request SEND_MESSAGE_V2 => SendMessageResponseHeader] {
        producer_group b"a": required text,
        topic b"b": required text,
        default_topic b"c": required text,
        default_topic_queue_nums b"d": required int,
        queue_id b"e": required int,
        sys_flag b"f": required int,
        born_timestamp b"g": required long,
        flag b"h": required int,
        properties b"i": optional text,
        reconsume_times b"j": optional int,
        unit_mode b"k": optional bool,
        max_reconsume_times b"l": optional int,
        batch b"m": optional bool,
        broker_name b"n": optional text,
    }

    /// Java: `SendMessageResponseHeader`.
    SendMessageResponseHeader [response] {
        msg_id b"msgId": required text,
        queue_id b"queueId": required int,
        queue_offset b"queueOffset": required long,
        transaction_id b"transactionId": optional text,
        batch_uniq_id b"batchUniqId": optional text,
        recall_handle b"recallHandle": optional text,
    }
}

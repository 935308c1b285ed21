//! Headers of offsets: a group's progress, a queue's ends, searches by time.

use super::headers;

headers! {
    /// Java: `CloneGroupOffsetRequestHeader`, request 314.
    CloneGroupOffsetRequestHeader : Rpc [request CLONE_GROUP_OFFSET => ()] {
        src_group b"srcGroup": required text,
        dest_group b"destGroup": required text,
        topic b"topic": optional text,
        offline b"offline": default bool = false,
    }

    /// Java: `GetEarliestMsgStoretimeRequestHeader`, request 32.
    GetEarliestMsgStoretimeRequestHeader : Topic [request GET_EARLIEST_MSG_STORETIME => GetEarliestMsgStoretimeResponseHeader] {
        topic b"topic": required text,
        queue_id b"queueId": required int,
    }

    /// Java: `GetEarliestMsgStoretimeResponseHeader`.
    GetEarliestMsgStoretimeResponseHeader [response] {
        timestamp b"timestamp": required long,
    }

    /// Java: `GetMaxOffsetRequestHeader`, request 30.
    GetMaxOffsetRequestHeader : Topic [request GET_MAX_OFFSET => GetMaxOffsetResponseHeader] {
        topic b"topic": required text,
        queue_id b"queueId": required int,
        committed b"committed": default bool = true,
    }

    /// Java: `GetMaxOffsetResponseHeader`.
    GetMaxOffsetResponseHeader [response] {
        offset b"offset": required long,
    }

    /// Java: `GetMinOffsetRequestHeader`, request 31.
    GetMinOffsetRequestHeader : Topic [request GET_MIN_OFFSET => GetMinOffsetResponseHeader] {
        topic b"topic": required text,
        queue_id b"queueId": required int,
    }

    /// Java: `GetMinOffsetResponseHeader`.
    GetMinOffsetResponseHeader [response] {
        offset b"offset": required long,
    }

    /// Java: `InitConsumerOffsetRequestHeader`.
    InitConsumerOffsetRequestHeader : Topic [plain] {
        topic b"topic": optional text,
        init_mode b"initMode": default int = 0,
    }

    /// Java: `QueryConsumerOffsetRequestHeader`, request 14.
    QueryConsumerOffsetRequestHeader : Topic [request QUERY_CONSUMER_OFFSET => QueryConsumerOffsetResponseHeader] {
        consumer_group b"consumerGroup": required text,
        topic b"topic": required text,
        queue_id b"queueId": required int,
        set_zero_if_not_found b"setZeroIfNotFound": optional bool,
    }

    /// Java: `QueryConsumerOffsetResponseHeader`.
    QueryConsumerOffsetResponseHeader [response] {
        offset b"offset": required long,
    }

    /// Java: `QueryCorrectionOffsetHeader`, request 308.
    QueryCorrectionOffsetHeader : Topic [request QUERY_CORRECTION_OFFSET => ()] {
        filter_groups b"filterGroups": optional text,
        compare_group b"compareGroup": required text,
        topic b"topic": required text,
    }

    /// Java: `ResetOffsetRequestHeader`, request 222.
    ResetOffsetRequestHeader : Topic [request INVOKE_BROKER_TO_RESET_OFFSET => ()] {
        group b"group": required text,
        topic b"topic": required text,
        queue_id b"queueId": default int = -1,
        offset b"offset": optional long,
        timestamp b"timestamp": default long = 0,
        force b"isForce": default bool = false,
    }

    /// Java: `SearchOffsetRequestHeader`, request 29.
    SearchOffsetRequestHeader : Topic [request SEARCH_OFFSET_BY_TIMESTAMP => SearchOffsetResponseHeader] {
        topic b"topic": required text,
        queue_id b"queueId": required int,
        timestamp b"timestamp": required long,
        boundary_type b"boundaryType": optional boundary,
    }

    /// Java: `SearchOffsetResponseHeader`.
    SearchOffsetResponseHeader [response] {
        offset b"offset": required long,
    }

    /// Java: `UpdateConsumerOffsetRequestHeader`, request 15.
    UpdateConsumerOffsetRequestHeader : Topic [request UPDATE_CONSUMER_OFFSET => UpdateConsumerOffsetResponseHeader] {
        consumer_group b"consumerGroup": required text,
        topic b"topic": required text,
        queue_id b"queueId": required int,
        commit_offset b"commitOffset": required long,
    }

    /// Java: `UpdateConsumerOffsetResponseHeader`.
    UpdateConsumerOffsetResponseHeader [response] {
    }
}

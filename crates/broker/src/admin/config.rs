//! The broker's settings.

use std::fmt::Write;

use rocketwire_protocol::{Command, ResponseCode, body, header::GetBrokerConfigResponseHeader};
use rocketwire_store::Flush;

use crate::{
    call::{Call, Plan, Stop, refuse},
    shared::Shared,
};

/// Request 26: settings by Java's names. Paths and secrets are none of them.
pub(super) fn get(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let mut text = String::new();
    for (name, value) in own(shared, call).into_iter().chain(of_messages(shared)).chain(of_time(shared)) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}={value}");
    }
    for (name, value) in GIVEN {
        let _ = writeln!(text, "{name}={value}");
    }
    let version = body::encode(shared.topics().version());
    let header = GetBrokerConfigResponseHeader {
        version: String::from_utf8_lossy(&version).into_owned().into(),
        ..Default::default()
    };
    Ok(Command::response(ResponseCode::SUCCESS).with_header(&header).with_body(text).into())
}

/// What cannot be set here, since it is never otherwise.
const GIVEN: [(&str, &str); 19] = [
    ("brokerId", "0"),
    ("brokerRole", "ASYNC_MASTER"),
    ("brokerPermission", "6"),
    ("brokerTopicEnable", "true"),
    ("clusterTopicEnable", "true"),
    ("defaultMessageRequestMode", "PULL"),
    ("enableControllerMode", "false"),
    ("enableSlaveActingMaster", "false"),
    ("litePullMessageEnable", "true"),
    ("longPollingEnable", "true"),
    ("maxTopicLength", "127"),
    ("messageIndexEnable", "true"),
    ("msgTraceTopicName", "RMQ_SYS_TRACE_TOPIC"),
    ("notifyConsumerIdsChangedEnable", "true"),
    ("slaveReadEnable", "false"),
    ("timerMaxDelaySec", "259200"),
    ("timerPrecisionMs", "1000"),
    ("timerWheelEnable", "true"),
    ("useServerSideResetOffset", "true"),
];

fn own(shared: &Shared, call: Call<'_>) -> Vec<(&'static str, String)> {
    let options = &shared.options;
    let addr = options.advertised.unwrap_or_else(|| call.connection.local_addr());
    vec![
        ("brokerClusterName", options.cluster.to_string()),
        ("brokerName", options.broker_name.to_string()),
        ("brokerIP1", addr.ip().to_string()),
        ("listenPort", addr.port().to_string()),
        ("regionId", options.region.to_string()),
        ("autoCreateTopicEnable", options.auto_create_topic.to_string()),
        ("autoCreateSubscriptionGroup", options.auto_create_group.to_string()),
        ("defaultTopicQueueNums", options.default_topic_queue_nums.to_string()),
    ]
}

fn of_messages(shared: &Shared) -> Vec<(&'static str, String)> {
    let (options, store) = (&shared.options, shared.store.options());
    let flush = if store.flush == Flush::Sync { "SYNC_FLUSH" } else { "ASYNC_FLUSH" };
    vec![
        ("flushDiskType", flush.into()),
        ("mappedFileSizeCommitLog", store.segment_bytes.to_string()),
        ("maxMessageSize", options.max_message_size.to_string()),
        ("maxMsgsNumBatch", options.max_query_messages.to_string()),
        ("enablePropertyFilter", options.enable_property_filter.to_string()),
        ("storeReplyMessageEnable", options.store_replies.to_string()),
        ("recallMessageEnable", options.recall_message.to_string()),
        ("traceOn", options.trace_on.to_string()),
        ("traceTopicEnable", options.trace_topic.to_string()),
        ("messageDelayLevel", options.delay_levels.to_string()),
    ]
}

fn of_time(shared: &Shared) -> Vec<(&'static str, String)> {
    let (options, store) = (&shared.options, shared.store.options());
    vec![
        ("fileReservedTime", (store.retention.as_secs() / 3600).to_string()),
        ("flushIntervalCommitLog", store.flush_interval.as_millis().to_string()),
        ("syncFlushTimeout", store.flush_timeout.as_millis().to_string()),
        ("flushConsumerOffsetInterval", options.snapshot_interval.as_millis().to_string()),
        ("channelExpiredTimeout", options.client_expiry.as_millis().to_string()),
        ("transactionTimeOut", options.transaction_timeout.as_millis().to_string()),
        ("transactionCheckInterval", options.transaction_check_interval.as_millis().to_string()),
        ("transactionCheckMax", options.transaction_check_max.to_string()),
    ]
}

/// Request 25: nothing is settable from the network.
pub(super) fn update() -> Result<Plan, Stop> {
    let remark = "Can not update config in black list. No setting of this broker can be changed remotely; restart it with other options";
    Err(refuse(ResponseCode::NO_PERMISSION, remark))
}

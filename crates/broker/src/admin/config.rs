//! The broker's settings.

use std::fmt::Write;

use rocketwire_protocol::{Command, ResponseCode, body, header::GetBrokerConfigResponseHeader};
use rocketwire_store::Flush;

use crate::{
    call::{Call, Plan, Stop, refuse},
    permission::Permission,
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
const GIVEN: [(&str, &str); 18] = [
    ("brokerId", "0"),
    ("brokerRole", "ASYNC_MASTER"),
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
        ("brokerPermission", shared.permission.bits().to_string()),
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

/// Request 25: whether the broker takes messages and gives them out. Nothing else is settable from the network.
pub(super) fn update(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let Ok(text) = std::str::from_utf8(&call.command.body) else {
        return Err(refuse(ResponseCode::SYSTEM_ERROR, "string2Properties error"));
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    let settings: Vec<(&str, &str)> =
        lines.map(|line| line.split_once(['=', ':']).unwrap_or((line, ""))).collect();
    if let Some((name, _)) = settings.iter().find(|(name, _)| name.trim() != "brokerPermission") {
        let remark = format!(
            "Can not update config in black list. Only brokerPermission can be changed remotely, not {}; restart the \
             broker with other options",
            name.trim()
        );
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    let Some((_, value)) = settings.last() else {
        return Ok(Plan::success());
    };
    let Some(permission) = value.trim().parse().ok().and_then(Permission::new) else {
        let remark = format!("brokerPermission {} is none of 6, 4, 2 and 0", value.trim());
        return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    };
    shared.permit(&permission);
    Ok(Plan::success())
}

//! The broker's settings.

use std::fmt::Write;

use rocketwire_protocol::{Command, ResponseCode, body, header::GetBrokerConfigResponseHeader};

use crate::{
    call::{Plan, Stop, refuse},
    shared::Shared,
};

/// Request 26: settings by Java's names. Paths and secrets are none of them.
pub(super) fn get(shared: &Shared) -> Result<Plan, Stop> {
    let options = &shared.options;
    let settings: [(&str, String); 20] = [
        ("brokerClusterName", options.cluster.to_string()),
        ("brokerName", options.broker_name.to_string()),
        ("brokerId", "0".into()),
        ("brokerRole", "ASYNC_MASTER".into()),
        ("brokerPermission", "6".into()),
        ("autoCreateTopicEnable", options.auto_create_topic.to_string()),
        ("autoCreateSubscriptionGroup", options.auto_create_group.to_string()),
        ("defaultTopicQueueNums", options.default_topic_queue_nums.to_string()),
        ("regionId", options.region.to_string()),
        ("traceOn", options.trace_on.to_string()),
        ("traceTopicEnable", options.trace_topic.to_string()),
        ("maxMessageSize", options.max_message_size.to_string()),
        ("enablePropertyFilter", options.enable_property_filter.to_string()),
        ("timerWheelEnable", "true".into()),
        ("timerMaxDelaySec", "259200".into()),
        ("recallMessageEnable", options.recall_message.to_string()),
        ("transactionTimeOut", options.transaction_timeout.as_millis().to_string()),
        ("transactionCheckInterval", options.transaction_check_interval.as_millis().to_string()),
        ("transactionCheckMax", options.transaction_check_max.to_string()),
        ("flushConsumerOffsetInterval", options.snapshot_interval.as_millis().to_string()),
    ];
    let mut text = String::new();
    for (name, value) in settings {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}={value}");
    }
    let version = body::encode(shared.topics().version());
    let header = GetBrokerConfigResponseHeader {
        version: String::from_utf8_lossy(&version).into_owned().into(),
        ..Default::default()
    };
    Ok(Command::response(ResponseCode::SUCCESS).with_header(&header).with_body(text).into())
}

/// Request 25: nothing is settable from the network.
pub(super) fn update() -> Result<Plan, Stop> {
    let remark = "Can not update config in black list. No setting of this broker can be changed remotely; restart it with other options";
    Err(refuse(ResponseCode::NO_PERMISSION, remark))
}

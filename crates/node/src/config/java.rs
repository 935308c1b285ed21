//! Names of Java's `broker.conf`, where they mean the same as a setting of ours.

/// What a name of Java's comes to.
pub(super) enum Meaning {
    /// This setting, with this value.
    Setting(&'static str, String),
    /// Nothing that has to be said: what it asks for is so anyway.
    Granted,
    /// Nothing here; why, or what instead.
    Ignored(&'static str),
}

use Meaning::{Granted, Ignored, Setting};

/// What `name` = `value` means.
///
/// # Errors
/// A value that Java would not have understood, or that this node cannot be.
pub(super) fn meaning(name: &str, value: &str) -> Result<Meaning, String> {
    if let Some((_, ours)) = SAME.iter().find(|(java, _)| *java == name) {
        return Ok(Setting(ours, value.to_owned()));
    }
    if let Some((_, ours, unit)) = UNITS.iter().find(|(java, _, _)| *java == name) {
        whole(value)?;
        return Ok(Setting(ours, format!("{value}{unit}")));
    }
    Ok(match name {
        "flushDiskType" => match value {
            "SYNC_FLUSH" => Setting("flush", "sync".to_owned()),
            "ASYNC_FLUSH" => Setting("flush", "async".to_owned()),
            _ => return Err("SYNC_FLUSH or ASYNC_FLUSH is wanted".to_owned()),
        },
        "diskSpaceWarningLevelRatio" => Setting("min_free_percent", free_percent(value)?),
        "brokerRole" if value == "SLAVE" => {
            return Err("this node replicates to nobody and from nobody".to_owned());
        }
        "brokerRole" => Ignored("this node has no replica"),
        "brokerId" if value == "0" => Granted,
        "brokerId" => return Err("this node is always a master, which is 0".to_owned()),
        "cleanFileForciblyEnable" if value == "false" => Granted,
        "cleanFileForciblyEnable" => Ignored(
            "messages go before their time only with on_full = drop_oldest, which can stand in this file, too",
        ),
        "deleteWhen" => Ignored("expired messages are deleted at any hour"),
        "diskMaxUsedSpaceRatio" => {
            Ignored("expired messages are deleted whatever is free; see min_free_percent and min_free_bytes")
        }
        "transientStorePoolEnable" if value == "false" => Granted,
        "transientStorePoolEnable" => {
            Ignored("there is no pool: a message that is answered is in the system's hands at least")
        }
        "storePathCommitLog" | "storePathConsumeQueue" | "storePathIndex" => {
            Ignored("everything is in storePathRootDir")
        }
        _ => Ignored("it has no meaning here"),
    })
}

/// Java's name, ours; the values are written alike.
pub(super) const SAME: &[(&str, &str)] = &[
    ("brokerName", "broker_name"),
    ("brokerClusterName", "cluster"),
    ("brokerIP1", "advertise"),
    ("bindAddress", "host"),
    ("listenPort", "port"),
    ("serverSocketBacklog", "backlog"),
    ("serverSocketSndBufSize", "send_buffer"),
    ("serverSocketRcvBufSize", "receive_buffer"),
    ("storePathRootDir", "data"),
    ("mappedFileSizeCommitLog", "segment_size"),
    ("maxMessageSize", "max_message_size"),
    ("autoCreateTopicEnable", "auto_create_topic"),
    ("autoCreateSubscriptionGroup", "auto_create_group"),
    ("defaultTopicQueueNums", "default_topic_queue_nums"),
    ("enablePropertyFilter", "property_filter"),
    ("maxTransferCountOnMessageInMemory", "max_pull_messages"),
    ("maxTransferBytesOnMessageInMemory", "max_pull_bytes"),
    ("maxMsgsNumBatch", "max_query_messages"),
    ("traceTopicEnable", "trace_topic"),
    ("namesrvAddr", "register"),
    ("messageDelayLevel", "delay_levels"),
    ("recallMessageEnable", "recall_message"),
    ("brokerPermission", "broker_permission"),
    ("regionId", "region"),
    ("storeReplyMessageEnable", "store_replies"),
    ("transactionCheckMax", "transaction_check_max"),
];

/// Java's name, ours, the unit of Java's number.
pub(super) const UNITS: &[(&str, &str, &str)] = &[
    ("fileReservedTime", "retention", "h"),
    ("flushIntervalCommitLog", "flush_interval", "ms"),
    ("syncFlushTimeout", "flush_timeout", "ms"),
    ("flushConsumerOffsetInterval", "snapshot_interval", "ms"),
    ("transactionTimeOut", "transaction_timeout", "ms"),
    ("transactionCheckInterval", "transaction_check_interval", "ms"),
    ("channelExpiredTimeout", "client_expiry", "ms"),
    ("serverChannelMaxIdleTimeSeconds", "idle_timeout", "s"),
];

fn whole(value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| "a whole number is wanted".to_owned())
}

/// Java counts what is used: 90, or 0.90 where it is a system property.
fn free_percent(value: &str) -> Result<String, String> {
    let used = match value.parse::<f64>() {
        Ok(ratio @ 0.0..=1.0) => ratio * 100.0,
        Ok(percent @ 1.0..=100.0) => percent,
        _ => return Err("a part from 0 to 1 or a percentage is wanted".to_owned()),
    };
    Ok(format!("{:.0}", (100.0 - used).round()))
}

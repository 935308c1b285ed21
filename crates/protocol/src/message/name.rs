//! Names of topics and groups: which are allowed and which are the system's (Java: `TopicValidator`, `MixAll`).

/// The longest topic, in bytes.
pub const TOPIC_MAX_LEN: usize = 127;
/// The longest retry or DLQ topic, in bytes.
pub const RETRY_OR_DLQ_TOPIC_MAX_LEN: usize = 255;
/// The longest group, in bytes.
pub const GROUP_MAX_LEN: usize = 120;
/// Before the group in the name of its retry topic.
pub const RETRY_GROUP_TOPIC_PREFIX: &str = "%RETRY%";
/// Before the group in the name of its dead-letter topic.
pub const DLQ_GROUP_TOPIC_PREFIX: &str = "%DLQ%";
/// What every system topic that is not in [`SYSTEM_TOPICS`] begins with.
pub const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";
/// What every system group that is not in [`SYSTEM_GROUPS`] begins with.
pub const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

/// The topic whose route a producer takes for one that does not exist yet.
pub const AUTO_CREATE_TOPIC_KEY_TOPIC: &str = "TBW102";
/// Delayed messages by level.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// For benchmarks.
pub const BENCHMARK_TOPIC: &str = "BenchmarkTest";
/// Half messages.
pub const TRANS_HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Marks of half messages that are committed or rolled back.
pub const TRANS_OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Half messages that nobody answered for.
pub const TRANS_CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// Traces.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// The broker's own test.
pub const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
/// Pulls at offsets that are not there.
pub const OFFSET_MOVED_EVENT: &str = "OFFSET_MOVED_EVENT";
/// Timer messages.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";

/// System topics by name.
pub const SYSTEM_TOPICS: &[&str] = &[
    AUTO_CREATE_TOPIC_KEY_TOPIC,
    SCHEDULE_TOPIC,
    BENCHMARK_TOPIC,
    TRANS_HALF_TOPIC,
    TRACE_TOPIC,
    TRANS_OP_HALF_TOPIC,
    TRANS_CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_EVENT,
];

/// Topics that clients may not send to.
pub const SEND_FORBIDDEN_TOPICS: &[&str] = &[
    SCHEDULE_TOPIC,
    TRANS_HALF_TOPIC,
    TRANS_OP_HALF_TOPIC,
    TRANS_CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_EVENT,
];

/// System groups by name.
pub const SYSTEM_GROUPS: &[&str] = &[
    "DEFAULT_PRODUCER",
    "DEFAULT_CONSUMER",
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_P_GROUP",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
];

/// The groups of a new broker (Java: `SubscriptionGroupManager.init`).
pub const FIRST_GROUPS: &[&str] = &[
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
];

/// A name that is not allowed; the texts are the broker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing but white space.
    #[error("The specified {0} is blank.")]
    Blank(&'static str),
    /// Characters beyond letters, digits, `%`, `|`, `_` and `-`.
    #[error("The specified {0}: {1}, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$")]
    Illegal(&'static str, String),
    /// Longer than [`TOPIC_MAX_LEN`] or [`GROUP_MAX_LEN`].
    #[error("The specified {0}: {1}, is longer than {0} max length: {2}")]
    TooLong(&'static str, String, usize),
    /// A retry or DLQ topic longer than [`RETRY_OR_DLQ_TOPIC_MAX_LEN`].
    #[error("The specified topic is DLQ or Retry topic: {0}, and it's longer than topic max length: 255")]
    RetryTooLong(String),
}

/// Whether a topic may have this name.
pub fn check_topic(topic: &str) -> Result<(), NameError> {
    check_characters("topic", topic)?;
    if is_retry_topic(topic) || is_dlq_topic(topic) {
        if topic.len() > RETRY_OR_DLQ_TOPIC_MAX_LEN {
            return Err(NameError::RetryTooLong(topic.to_owned()));
        }
    } else if topic.len() > TOPIC_MAX_LEN {
        return Err(NameError::TooLong("topic", topic.to_owned(), TOPIC_MAX_LEN));
    }
    Ok(())
}

/// Whether a group may have this name.
pub fn check_group(group: &str) -> Result<(), NameError> {
    check_characters("group", group)?;
    if group.len() > GROUP_MAX_LEN {
        return Err(NameError::TooLong("group", group.to_owned(), GROUP_MAX_LEN));
    }
    Ok(())
}

fn check_characters(what: &'static str, name: &str) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::Blank(what));
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'%' | b'|' | b'_' | b'-');
    if !name.bytes().all(legal) {
        return Err(NameError::Illegal(what, name.to_owned()));
    }
    Ok(())
}

/// Whether the topic is one of the system's.
pub fn is_system_topic(topic: &str) -> bool {
    topic.starts_with(SYSTEM_TOPIC_PREFIX) || SYSTEM_TOPICS.contains(&topic)
}

/// Whether clients may not send to the topic.
pub fn is_send_forbidden(topic: &str) -> bool {
    SEND_FORBIDDEN_TOPICS.contains(&topic)
}

/// Whether the group is one of the system's.
pub fn is_system_group(group: &str) -> bool {
    group.starts_with(SYSTEM_GROUP_PREFIX) || SYSTEM_GROUPS.contains(&group)
}

/// Where messages go that a group failed to consume.
pub fn retry_topic(group: &str) -> String {
    [RETRY_GROUP_TOPIC_PREFIX, group].concat()
}

/// Where messages go that a group failed to consume too often.
pub fn dlq_topic(group: &str) -> String {
    [DLQ_GROUP_TOPIC_PREFIX, group].concat()
}

/// Whether the topic is a retry topic.
pub fn is_retry_topic(topic: &str) -> bool {
    topic.starts_with(RETRY_GROUP_TOPIC_PREFIX)
}

/// Whether the topic is a dead-letter topic.
pub fn is_dlq_topic(topic: &str) -> bool {
    topic.starts_with(DLQ_GROUP_TOPIC_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_with_javas_texts() {
        // spec: broker C.9
        let topic = |name: &str| check_topic(name).unwrap_err().to_string();
        assert_eq!(topic(" \t"), "The specified topic is blank.");
        assert_eq!(
            topic("a b"),
            "The specified topic: a b, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"
        );
        let long = "t".repeat(128);
        assert_eq!(
            topic(&long),
            format!("The specified topic: {long}, is longer than topic max length: 127")
        );
        let retry = retry_topic(&"g".repeat(249));
        assert_eq!(
            topic(&retry),
            format!(
                "The specified topic is DLQ or Retry topic: {retry}, and it's longer than topic max length: 255"
            )
        );
        let group = "g".repeat(121);
        assert_eq!(
            check_group(&group).unwrap_err().to_string(),
            format!("The specified group: {group}, is longer than group max length: 120")
        );
        for good in ["%RETRY%a|b-C_9", &"t".repeat(127), &dlq_topic(&"g".repeat(200))] {
            assert_eq!(check_topic(good), Ok(()));
        }
        assert_eq!(check_group(&"g".repeat(120)), Ok(()));
    }

    #[test]
    fn system_names_are_known() {
        assert!(is_system_topic("TBW102") && is_system_topic("rmq_sys_wheel_timer"));
        assert!(!is_system_topic("%RETRY%g") && !is_system_topic("tbw102"));
        assert!(is_send_forbidden("SCHEDULE_TOPIC_XXXX") && !is_send_forbidden("TBW102"));
        assert!(is_system_group("CID_RMQ_SYS_x") && is_system_group("TOOLS_CONSUMER"));
        assert!(!is_system_group("g"));
    }
}

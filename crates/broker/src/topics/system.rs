//! The topics that exist from the start (spec broker C.9).

use rocketwire_protocol::{
    body::TopicConfig,
    message::name::{
        AUTO_CREATE_TOPIC_KEY_TOPIC, BENCHMARK_TOPIC, OFFSET_MOVED_EVENT, SCHEDULE_TOPIC, SELF_TEST_TOPIC,
        TIMER_TOPIC, TRACE_TOPIC, TRANS_CHECK_MAX_TIME_TOPIC, TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC,
    },
};

use super::{PERM_INHERIT, PERM_READ, PERM_WRITE, new_config};

/// The topics that exist from the start.
pub(crate) fn system_topics(
    cluster: &str,
    broker: &str,
    default_queues: i32,
    template: bool,
    trace: bool,
) -> Vec<TopicConfig> {
    const RW: i32 = PERM_READ | PERM_WRITE;
    const ALL: i32 = RW | PERM_INHERIT;
    let mut topics = vec![
        new_config(SELF_TEST_TOPIC, 1, RW),
        new_config(BENCHMARK_TOPIC, 1024, RW),
        new_config(cluster, 16, ALL),
        new_config(broker, 1, ALL),
        new_config(OFFSET_MOVED_EVENT, 1, RW),
        new_config(SCHEDULE_TOPIC, 18, RW),
        new_config(&format!("{cluster}_REPLY_TOPIC"), 1, RW),
        new_config(TRANS_HALF_TOPIC, 1, RW),
        new_config(TRANS_OP_HALF_TOPIC, 1, RW),
        new_config(TRANS_CHECK_MAX_TIME_TOPIC, 1, RW),
        new_config(TIMER_TOPIC, 1, RW),
        new_config(&format!("rmq_sys_REVIVE_LOG_{cluster}"), 8, RW),
        new_config(&format!("rmq_sys_SYNC_BROKER_MEMBER_{broker}"), 1, PERM_INHERIT),
    ];
    if template {
        topics.push(new_config(AUTO_CREATE_TOPIC_KEY_TOPIC, default_queues, ALL));
    }
    if trace {
        topics.push(new_config(TRACE_TOPIC, 1, RW));
    }
    topics
}

//! What brokers ask of a consumer: how it is, and to go elsewhere (spec client F.12).

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytestring::ByteString;
use rocketwire_protocol::{
    Version,
    body::{ConsumerRunningInfo, MessageQueue, ProcessQueueInfo},
};

use super::{
    core::{ActiveQueue, PushCore},
    rebalance,
};

/// How long handlers get to finish before offsets are set; Java always waits that long.
const RESET_WAIT: Duration = Duration::from_secs(10);

/// GET_CONSUMER_RUNNING_INFO.
pub(crate) fn running_info(core: &PushCore) -> ConsumerRunningInfo {
    let offsets: BTreeMap<MessageQueue, i64> = core.offsets.snapshot().into_iter().collect();
    let queues = core.queues();
    let info =
        |active: &Arc<ActiveQueue>| (active.queue.clone(), queue_info(active, offsets.get(&active.queue)));
    let orderly = core.is_orderly().to_string();
    let text = |name: &'static str, value: String| (ByteString::from_static(name), ByteString::from(value));
    ConsumerRunningInfo {
        mq_table: queues.iter().map(info).collect(),
        properties: [
            text("PROP_NAMESERVER_ADDR", core.client.inner.options.name_servers.join(";")),
            text("PROP_CONSUME_TYPE", "CONSUME_PASSIVELY".into()),
            text("PROP_CLIENT_VERSION", Version::CURRENT.to_string()),
            text("PROP_CONSUMEORDERLY", orderly),
            text("PROP_THREADPOOL_CORE_SIZE", core.options.concurrency.to_string()),
            text("PROP_CONSUMER_START_TIMESTAMP", core.started_ms.to_string()),
            text("consumerGroup", core.group.to_string()),
            text("messageModel", core.options.message_model.name().into()),
            text("consumedOk", core.counts.ok.load(Ordering::Relaxed).to_string()),
            text("consumedFailed", core.counts.failed.load(Ordering::Relaxed).to_string()),
        ]
        .into(),
        subscription_set: core.subscriptions(),
        ..ConsumerRunningInfo::default()
    }
}

fn queue_info(active: &ActiveQueue, committed: Option<&i64>) -> ProcessQueueInfo {
    let state = active.state();
    let (first, last) = state.offsets().unwrap_or_default();
    ProcessQueueInfo {
        cached_msg_count: i32::try_from(state.len()).unwrap_or(i32::MAX),
        cached_msg_min_offset: first,
        cached_msg_max_offset: last,
        cached_msg_size_in_mib: i32::try_from(state.bytes() >> 20).unwrap_or(i32::MAX),
        commit_offset: committed.copied().unwrap_or(-1),
        droped: active.is_dropped(),
        last_pull_timestamp: active.last_pull_ms.load(Ordering::Relaxed),
        last_consume_timestamp: active.last_consume_ms.load(Ordering::Relaxed),
        locked: active.is_locked(),
        ..ProcessQueueInfo::default()
    }
}

/// GET_CONSUMER_STATUS_FROM_CLIENT: the offsets of a topic.
pub(crate) fn offsets(core: &PushCore, topic: &str) -> BTreeMap<MessageQueue, i64> {
    core.offsets.snapshot().into_iter().filter(|(queue, _)| *queue.topic == *topic).collect()
}

/// RESET_CONSUMER_CLIENT_OFFSET: drops the listed queues, lets their handlers finish, sets the offsets; the next
/// rebalance takes the queues again.
pub(crate) async fn reset_offsets(
    core: Arc<PushCore>,
    topic: ByteString,
    offsets: BTreeMap<MessageQueue, i64>,
) {
    core.suspend();
    let listed = |active: &Arc<ActiveQueue>| offsets.contains_key(&active.queue);
    let queues: Vec<_> = core.queues_of(&topic).into_iter().filter(listed).collect();
    for active in &queues {
        active.drop_it();
        active.state().clear();
    }
    for active in &queues {
        active.quiet(RESET_WAIT).await;
    }
    if !core.fetching.is_stopped() {
        for active in &queues {
            if let Some(offset) = offsets.get(&active.queue) {
                tracing::info!(queue = %active.queue, offset, "the offset was set by an administrator");
                core.offsets.update(&active.queue, *offset, false);
                rebalance::release(&core, active).await;
            }
        }
    }
    core.resume();
    core.want_rebalance();
}

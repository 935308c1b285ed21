//! One pull at a time per queue, held by the broker while there is nothing (spec client F.6).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rocketwire_protocol::{
    ResponseCode,
    message::{MessageExt, property},
};

use super::{
    core::{ActiveQueue, PushCore},
    orderly, rebalance,
    work::Batch,
};
use crate::{PullOutcome, PullStatus, RequestError, client::PullRequest, identity::now_ms};

/// How often a full queue is looked at, if no handler says that there is room (Java: 50 ms).
const FLOW_CONTROL: Duration = Duration::from_millis(50);
/// Pause after the broker's own flow control (Java: 20 ms).
const BROKER_FLOW_CONTROL: Duration = Duration::from_millis(20);
/// How often a suspended consumer looks whether it may go on (Java: 1 s).
const SUSPENDED: Duration = Duration::from_secs(1);

/// Begins to pull a queue, and to consume it if it is an ordered one.
pub(crate) fn spawn(core: &Arc<PushCore>, active: Arc<ActiveQueue>, offset: i64) {
    if core.is_orderly() {
        core.handling.spawn(orderly::run(core.clone(), active.clone()));
    }
    core.fetching.spawn(run(core.clone(), active, offset));
}

async fn run(core: Arc<PushCore>, active: Arc<ActiveQueue>, mut next: i64) {
    let mut stop = core.fetching.stop_signal();
    let mut dropped = active.dropped();
    while !active.is_dropped() && !core.fetching.is_stopped() {
        let step = async {
            // Before the look at what is in the way: a loop that waits for room is alive (spec client 79).
            active.last_pull_ms.store(now_ms(), Ordering::Relaxed);
            if let Some(pause) = hindrance(&core, &active) {
                let _ = tokio::time::timeout(pause, active.room.notified()).await;
                return Step::Again;
            }
            match pull(&core, &active, next).await {
                Ok(outcome) => took(&core, &active, outcome),
                Err(error) => {
                    tokio::time::sleep(failed(&core, &active, &error)).await;
                    Step::Again
                }
            }
        };
        let step = tokio::select! {
            step = step => step,
            () = dropped.wait() => return,
            () = stop.wait() => return,
        };
        match step {
            Step::Again => {}
            Step::Next { offset, pause } => {
                next = offset;
                if !pause.is_zero() && !stop.sleep(pause).await {
                    return;
                }
            }
            Step::OffsetIllegal(offset) => return give_up(&core, &active, offset).await,
        }
    }
}

enum Step {
    /// Look again.
    Again,
    /// Go on there.
    Next { offset: i64, pause: Duration },
    /// The broker says that the queue goes on elsewhere.
    OffsetIllegal(i64),
}

/// Why not to pull now, as a pause.
fn hindrance(core: &PushCore, active: &ActiveQueue) -> Option<Duration> {
    if core.is_suspended() {
        return Some(SUSPENDED);
    }
    if active.state().is_over(&core.thresholds()) {
        return Some(FLOW_CONTROL);
    }
    let unlocked = core.is_orderly() && core.is_clustering() && !active.is_locked();
    unlocked.then_some(core.options.pull_error_delay)
}

async fn pull(core: &PushCore, active: &ActiveQueue, offset: i64) -> Result<PullOutcome, RequestError> {
    let Some(subscription) = core.subscription(&active.queue.topic) else {
        return std::future::pending().await; // the queue will be dropped
    };
    let in_memory = core.offsets.read(&active.queue).filter(|offset| *offset > 0 && core.is_clustering());
    let request = PullRequest {
        group: &core.group,
        queue: &active.queue,
        offset,
        subscription: &subscription,
        post_subscription: core.options.post_subscription,
        max_messages: core.options.pull_batch,
        max_bytes: Some(core.options.pull_batch_bytes),
        commit: in_memory,
        suspend: core.options.long_poll,
        timeout: core.options.pull_timeout,
        broker_id: active.broker_id.load(Ordering::Relaxed),
    };
    core.client.inner.pull(request).await
}

/// Takes in what a pull brought.
fn took(core: &PushCore, active: &Arc<ActiveQueue>, outcome: PullOutcome) -> Step {
    active.broker_id.store(outcome.suggested_broker, Ordering::Relaxed);
    let offset = outcome.next_offset;
    if outcome.status == PullStatus::OffsetIllegal {
        return Step::OffsetIllegal(offset);
    }
    if outcome.messages.is_empty() {
        // Nothing that this consumer wants up to there: without messages in hand the group has come that far.
        if active.state().is_empty() {
            core.offsets.update(&active.queue, offset, true);
        }
        return Step::Next { offset, pause: Duration::ZERO };
    }
    submit(core, active, outcome.messages);
    Step::Next { offset, pause: core.options.pull_interval }
}

/// Puts messages into the process queue and before the handlers.
fn submit(core: &PushCore, active: &Arc<ActiveQueue>, messages: Vec<MessageExt>) {
    let mut new = Vec::with_capacity(messages.len());
    {
        let mut state = active.state();
        for message in messages {
            let message = Arc::new(with_original_topic(message, core));
            if state.put(message.queue_offset, message.body.len(), message.clone()) {
                new.push(message);
            }
        }
    }
    if core.is_orderly() {
        active.arrived.notify_one();
        return;
    }
    let batches = new.chunks(core.options.consume_batch);
    core.work.push(batches.map(|batch| Batch { queue: active.clone(), messages: batch.to_vec() }));
}

/// A retry comes from `%RETRY%<group>`, and the handler sees the topic it was sent to.
pub(crate) fn with_original_topic(mut message: MessageExt, core: &PushCore) -> MessageExt {
    if let Some(prefixless) =
        message.topic.strip_prefix(rocketwire_protocol::message::name::RETRY_GROUP_TOPIC_PREFIX)
        && *prefixless == *core.group
        && let Some(original) = message.property(property::RETRY_TOPIC)
    {
        message.topic = original.into();
    }
    message
}

/// What to do about a failed pull; how long to wait.
fn failed(core: &PushCore, active: &ActiveQueue, error: &RequestError) -> Duration {
    match error.code() {
        Some(ResponseCode::FLOW_CONTROL) => return BROKER_FLOW_CONTROL,
        // The broker does not know this client: it restarted, or the heartbeat is on its way.
        Some(ResponseCode::SUBSCRIPTION_NOT_EXIST | ResponseCode::SUBSCRIPTION_NOT_LATEST) => {
            tracing::debug!(queue = %active.queue, %error, "telling the broker about this consumer again");
            core.client.inner.want_heartbeat();
        }
        _ => tracing::warn!(queue = %active.queue, %error, "pull failed; trying again"),
    }
    active.broker_id.store(0, Ordering::Relaxed);
    core.options.pull_error_delay
}

/// OFFSET_ILLEGAL: the broker's offset is stored, the queue is dropped and the next rebalance takes it anew.
async fn give_up(core: &PushCore, active: &ActiveQueue, offset: i64) {
    tracing::warn!(queue = %active.queue, offset, "the offset was not in the queue; going on at the broker's");
    active.drop_it();
    core.offsets.freeze(&active.queue, offset);
    rebalance::release(core, active).await;
    core.want_rebalance();
}

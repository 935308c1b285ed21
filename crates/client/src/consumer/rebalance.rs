//! Who gets which queue: the runtime around `allocate` (spec client F.4, F.5).

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rocketwire_protocol::body::MessageQueue;
use tokio::time::Instant;

use super::{
    ConsumeFrom,
    core::{ActiveQueue, PushCore},
    orderly, pull_loop,
};
use crate::{
    RequestError, allocate,
    identity::{self, now_ms},
    route::TopicRoute,
    tasks::after,
};

/// Rounds come no closer than this (Java: `minInterval`).
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// A queue whose pulls have been silent for so long is dropped and taken again (Java: `pullMaxIdleTime`).
const MAX_IDLE_MS: i64 = 120_000;
/// How long one round waits for the handler of an ordered queue (Java: `tryLock`).
const HANDLER_WAIT: Duration = Duration::from_millis(500);
/// After so long an ordered queue is given up though its handler still runs (Java: `UNLOCK_DELAY_TIME_MILLS`).
const FORCE_RELEASE: Duration = Duration::from_secs(20);

/// Rebalances: at once, then by the interval, when asked, and soon after a round that left something open.
pub(crate) async fn run(core: Arc<PushCore>) {
    let mut stop = core.fetching.stop_signal();
    let mut open_rounds = 0u32;
    loop {
        let begun = Instant::now();
        let balanced = tokio::select! {
            balanced = round(&core) => balanced,
            () = stop.wait() => return,
        };
        open_rounds = if balanced { 0 } else { open_rounds.saturating_add(1) };
        let wait = next_wait(open_rounds, core.options.rebalance_interval);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = core.rebalance_wanted.notified() => {}
            () = stop.wait() => return,
        }
        let too_early = MIN_INTERVAL.saturating_sub(begun.elapsed());
        if !too_early.is_zero() && !stop.sleep(too_early).await {
            return;
        }
    }
}

/// 1 s after a round that left something open; longer if it stays open (a topic that does not exist), so that
/// name servers are not asked every second for ever.
fn next_wait(open_rounds: u32, interval: Duration) -> Duration {
    match open_rounds {
        0 => interval,
        n => MIN_INTERVAL.saturating_mul(1 << (n - 1).min(10)).min(interval),
    }
}

/// One round over all topics; whether it left nothing open.
async fn round(core: &Arc<PushCore>) -> bool {
    let mut balanced = true;
    let mut changed = false;
    let mut added = Vec::new();
    for topic in core.topics() {
        let Some(route) = route(core, &topic).await else {
            balanced = false;
            continue;
        };
        let Some(wanted) = assignment(core, &route).await else { continue };
        let update = apply(core, &topic, wanted).await;
        balanced &= update.complete;
        if update.changed {
            core.renew_subscription(&topic);
            changed = true;
        }
        added.extend(update.added);
    }
    if changed {
        // Before the first pull: a broker refuses pulls whose subscription is newer than the heartbeat's.
        core.client.inner.heartbeat_all().await;
    }
    for (active, offset) in added {
        // Java waits 500 ms here; nothing is gained by that once the heartbeat is answered.
        pull_loop::spawn(core, active, offset);
    }
    balanced
}

async fn route(core: &PushCore, topic: &str) -> Option<Arc<TopicRoute>> {
    let client = &core.client.inner;
    let cached = client.routes().topic(topic);
    if cached.is_some() {
        return cached;
    }
    match client.ask(topic, after(client.options.api_timeout)).await {
        Ok(Some(route)) => Some(route),
        Ok(None) => {
            tracing::debug!(topic, group = &*core.group, "no route yet");
            None
        }
        Err(error) => {
            tracing::warn!(%error, group = &*core.group, "no route");
            None
        }
    }
}

/// The queues that are this consumer's; `None`: nothing can be said, keep what there is.
async fn assignment(core: &PushCore, route: &TopicRoute) -> Option<Vec<MessageQueue>> {
    if !core.is_clustering() {
        return Some(route.subscribe.clone());
    }
    let members = members(core, route).await?;
    let client_id = &*core.client.inner.client_id;
    allocate::allocate(&*core.options.allocate, client_id, route.subscribe.clone(), members)
}

/// The client ids of the group, from any broker of the topic.
async fn members(core: &PushCore, route: &TopicRoute) -> Option<Vec<String>> {
    let addresses = route.one_address_each();
    let start = identity::random() as usize % addresses.len().max(1);
    let client = &core.client.inner;
    for address in addresses.iter().cycle().skip(start).take(addresses.len()) {
        match client.broker(address).members(&core.group, client.options.api_timeout).await {
            Ok(members) => return Some(members),
            Err(error) => {
                tracing::warn!(%error, group = &*core.group, "the members of the group are not known")
            }
        }
    }
    None
}

struct Update {
    changed: bool,
    /// Every wanted queue is there now.
    complete: bool,
    added: Vec<(Arc<ActiveQueue>, i64)>,
}

/// Drops what is not this consumer's any more, and takes what is new.
async fn apply(core: &Arc<PushCore>, topic: &str, wanted: Vec<MessageQueue>) -> Update {
    let mut update = Update { changed: false, complete: true, added: Vec::new() };
    let wanted: HashSet<MessageQueue> = wanted.into_iter().collect();
    let idle_since = now_ms() - MAX_IDLE_MS;
    for active in core.queues_of(topic) {
        let idle = active.last_pull_ms.load(Ordering::Relaxed) < idle_since && !core.is_suspended();
        if !wanted.contains(&active.queue) || idle || active.is_leaving() {
            if idle && !active.is_leaving() {
                tracing::error!(queue = %active.queue, "no pull for 120 s; the queue is taken anew");
            }
            if may_leave(core, &active).await {
                release(core, &active).await;
                update.changed = true;
            } else {
                update.complete = false;
            }
        }
    }
    let mut new: Vec<MessageQueue> = wanted.into_iter().filter(|queue| !core.owns(queue)).collect();
    new.sort();
    let locked =
        if core.is_orderly() && core.is_clustering() { orderly::lock(core, &new).await } else { new.clone() };
    update.complete &= locked.len() == new.len();
    for queue in locked {
        let (offset, is_end) = match start_offset(core, &queue).await {
            Ok(start) => start,
            Err(error) => {
                tracing::warn!(%queue, %error, "where to begin is not known; trying again");
                update.complete = false;
                if core.is_orderly() && core.is_clustering() {
                    // It may be another's by then.
                    orderly::unlock(core, vec![queue]).await;
                }
                continue;
            }
        };
        let active = Arc::new(ActiveQueue::new(queue));
        active.set_locked(core.is_orderly());
        if core.add_queue(&active) {
            if is_end {
                // The next one has to begin here as well, not at an end that is further on by then.
                core.offsets.update(&active.queue, offset, false);
                core.offsets.persist_one(&core.client.inner, &core.group, &active.queue).await;
            }
            update.changed = true;
            update.added.push((active, offset));
        }
    }
    update
}

/// Stops a queue that another client is to get. An ordered one is kept until its handler has finished, or else the
/// next client would handle the same messages beside it; `false`: not yet, the next round looks again.
async fn may_leave(core: &PushCore, active: &ActiveQueue) -> bool {
    active.drop_it();
    if !core.is_orderly() || !core.is_clustering() {
        return true;
    }
    let since = active.leave();
    let finished = tokio::time::timeout(HANDLER_WAIT, active.consuming.lock()).await.is_ok();
    finished || since.elapsed() > FORCE_RELEASE
}

/// Gives a queue up: no more pulls, its offset is stored, its lock given back.
pub(crate) async fn release(core: &PushCore, active: &ActiveQueue) {
    active.drop_it();
    if core.is_orderly() {
        // For a handler that should finish before the queue begins anew.
        let _ = tokio::time::timeout(HANDLER_WAIT, active.consuming.lock()).await;
    }
    let client = &core.client.inner;
    core.offsets.persist_and_forget(client, &core.group, &active.queue).await;
    if core.is_orderly() && core.is_clustering() {
        orderly::unlock(core, vec![active.queue.clone()]).await;
    }
    active.state().clear();
    core.forget_queue(active);
}

/// Where to begin, and whether that is the end (Java: `computePullFromWhereWithException`).
async fn start_offset(core: &PushCore, queue: &MessageQueue) -> Result<(i64, bool), RequestError> {
    let client = &core.client.inner;
    let stored = core.offsets.stored(client, &core.group, queue).await?;
    match begin(stored, core.options.consume_from, PushCore::is_retry_topic(&queue.topic)) {
        Begin::At(offset) => Ok((offset, false)),
        Begin::AtEnd => Ok((core.client.max_offset(queue).await?, true)),
        Begin::AtTime(timestamp) => Ok((core.client.offset_for_time(queue, timestamp).await?, false)),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Begin {
    At(i64),
    AtEnd,
    AtTime(i64),
}

/// The table of spec client F.5.
fn begin(stored: Option<i64>, from: ConsumeFrom, retry_topic: bool) -> Begin {
    match (stored, from) {
        (Some(offset), _) if offset >= 0 => Begin::At(offset),
        (_, ConsumeFrom::Last) if retry_topic => Begin::At(0),
        (_, ConsumeFrom::Last) => Begin::AtEnd,
        (_, ConsumeFrom::First) => Begin::At(0),
        (_, ConsumeFrom::Timestamp(_)) if retry_topic => Begin::AtEnd,
        (_, ConsumeFrom::Timestamp(timestamp)) => Begin::AtTime(timestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_begin() {
        // spec: client 83 84 85
        for (stored, from, retry, expected) in [
            (Some(7), ConsumeFrom::Last, false, Begin::At(7)),
            (Some(0), ConsumeFrom::Timestamp(5), true, Begin::At(0)),
            (None, ConsumeFrom::Last, false, Begin::AtEnd),
            (None, ConsumeFrom::Last, true, Begin::At(0)),
            (Some(-1), ConsumeFrom::Last, false, Begin::AtEnd),
            (None, ConsumeFrom::First, false, Begin::At(0)),
            (None, ConsumeFrom::First, true, Begin::At(0)),
            (None, ConsumeFrom::Timestamp(5), false, Begin::AtTime(5)),
            (None, ConsumeFrom::Timestamp(5), true, Begin::AtEnd),
        ] {
            assert_eq!(begin(stored, from, retry), expected, "{stored:?} {from:?} {retry}");
        }
    }

    #[test]
    fn rounds_are_20_s_apart_and_1_s_after_one_that_left_something_open() {
        // spec: client 75
        let interval = Duration::from_secs(20);
        let waits = [0, 1, 2, 3, 5, 6, 60].map(|open| next_wait(open, interval).as_secs());
        assert_eq!(waits, [20, 1, 2, 4, 16, 20, 20]);
    }
}

//! Queues in order: one handler per queue at a time, under the broker's lock (spec client F.9).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rocketwire_protocol::{body::MessageQueue, message::MessageExt};
use tokio::time::Instant;

use super::{
    OrderlyResult,
    core::{ActiveQueue, PushCore},
    handler::Handler,
    send_back::resend,
};
use crate::identity::now_ms;

/// How often locks are renewed (Java: `lockInterval`), and when for the first time.
const LOCK_INTERVAL: Duration = Duration::from_secs(20);
const FIRST_LOCK: Duration = Duration::from_secs(1);
/// How long one queue may keep a handler's permit while others wait (Java: `MAX_TIME_CONSUME_CONTINUOUSLY`).
const MAX_CONTINUOUS: Duration = Duration::from_secs(60);
/// Pause before a lock that was lost is tried again.
const RELOCK: Duration = Duration::from_secs(3);

/// Starts to renew the locks.
pub(crate) fn spawn(core: &Arc<PushCore>) {
    if core.is_clustering() {
        core.fetching.spawn(renew(core.clone()));
    }
}

async fn renew(core: Arc<PushCore>) {
    let mut stop = core.fetching.stop_signal();
    let mut wait = FIRST_LOCK;
    while stop.sleep(wait).await {
        wait = LOCK_INTERVAL;
        let queues: Vec<MessageQueue> = core.queues().iter().map(|active| active.queue.clone()).collect();
        let answers: HashMap<MessageQueue, bool> = ask_for_locks(&core, &queues).await.into_iter().collect();
        for active in core.queues() {
            // A broker that did not answer has taken no lock away: it counts until it is too old.
            if let Some(granted) = answers.get(&active.queue) {
                active.set_locked(*granted);
            }
        }
    }
}

/// Locks queues at their brokers; those that this client holds afterwards.
pub(crate) async fn lock(core: &PushCore, queues: &[MessageQueue]) -> Vec<MessageQueue> {
    let answers = ask_for_locks(core, queues).await;
    answers.into_iter().filter(|(_, granted)| *granted).map(|(queue, _)| queue).collect()
}

/// Which of the queues the brokers granted; those of brokers that did not answer are left out.
async fn ask_for_locks(core: &PushCore, queues: &[MessageQueue]) -> Vec<(MessageQueue, bool)> {
    let client = &core.client.inner;
    let mut answers = Vec::new();
    for (address, queues) in by_broker(core, queues.iter().cloned()) {
        match client.broker(&address).lock(&core.group, &client.client_id, queues.clone()).await {
            Ok(granted) => answers.extend(queues.into_iter().map(|queue| {
                let is_granted = granted.contains(&queue);
                (queue, is_granted)
            })),
            Err(error) => tracing::warn!(%error, "queues are not locked; trying again"),
        }
    }
    answers
}

pub(crate) async fn unlock(core: &PushCore, queues: Vec<MessageQueue>) {
    let client = &core.client.inner;
    for (address, queues) in by_broker(core, queues.into_iter()) {
        client.broker(&address).unlock(&core.group, &client.client_id, queues).await;
    }
}

/// Gives all locks back, those as well that a rebalance which was cut off has asked for.
pub(crate) async fn unlock_all(core: &PushCore) {
    let mut queues: BTreeSet<MessageQueue> =
        core.queues().iter().map(|active| active.queue.clone()).collect();
    let routes: Vec<_> =
        core.topics().iter().filter_map(|topic| core.client.inner.routes().topic(topic)).collect();
    queues.extend(routes.iter().flat_map(|route| route.subscribe.iter().cloned()));
    unlock(core, queues.into_iter().collect()).await;
}

/// Queues by the address of their master; those of brokers that are not known are left out.
fn by_broker(
    core: &PushCore,
    queues: impl Iterator<Item = MessageQueue>,
) -> BTreeMap<String, Vec<MessageQueue>> {
    let routes = core.client.inner.routes();
    let mut all: BTreeMap<String, Vec<MessageQueue>> = BTreeMap::new();
    for queue in queues {
        if let Some(address) = routes.master(&queue.broker_name) {
            all.entry(address.to_string()).or_default().push(queue);
        }
    }
    all
}

/// Consumes one queue until it is dropped or the consumer shuts down.
pub(crate) async fn run(core: Arc<PushCore>, active: Arc<ActiveQueue>) {
    let mut stop = core.handling.stop_signal();
    let mut dropped = active.dropped();
    loop {
        tokio::select! {
            () = active.arrived.notified() => {}
            () = dropped.wait() => return,
            () = stop.wait() => return,
        }
        // A permit that is given back after a minute lets queues that wait go first.
        while !active.is_dropped() && !core.handling.is_stopped() {
            let Ok(permit) = core.permits.acquire().await else { return };
            let pause = consume_some(&core, &active).await;
            drop(permit);
            match pause {
                Pause::Empty => break,
                Pause::For(time) => {
                    let mut stop = core.handling.stop_signal();
                    tokio::select! {
                        () = tokio::time::sleep(time) => {}
                        () = dropped.wait() => return,
                        () = stop.wait() => return,
                    }
                }
            }
        }
    }
}

enum Pause {
    /// Until something arrives.
    Empty,
    /// Then go on.
    For(Duration),
}

async fn consume_some(core: &PushCore, active: &ActiveQueue) -> Pause {
    let _only_handler = active.consuming.lock().await;
    let begun = Instant::now();
    while begun.elapsed() < MAX_CONTINUOUS {
        if active.is_dropped() || core.handling.is_stopped() {
            return Pause::Empty;
        }
        if core.is_clustering() && !active.is_locked() {
            return Pause::For(relock(core, active).await);
        }
        let batch: Vec<Arc<MessageExt>> =
            active.state().take(core.options.consume_batch).into_iter().map(|(_, message)| message).collect();
        if batch.is_empty() {
            return Pause::Empty;
        }
        let pause = match call(core, batch.clone()).await {
            OrderlyResult::Success => None,
            OrderlyResult::Suspend => Some(core.options.suspend),
            OrderlyResult::SuspendFor(time) => Some(time),
        };
        active.last_consume_ms.store(now_ms(), Ordering::Relaxed);
        if let Some(pause) = pause {
            core.counts.failed.fetch_add(batch.len() as u64, Ordering::Relaxed);
            if again(core, active, &batch).await {
                return Pause::For(suspend_time(pause));
            }
        } else {
            core.counts.ok.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
        let commit = active.state().commit();
        active.room.notify_one();
        // A queue that is leaving is given away only behind this, and goes on elsewhere with this offset.
        if let Some(offset) = commit
            && (!active.is_dropped() || active.is_leaving())
        {
            core.offsets.update(&active.queue, offset, false);
        }
    }
    Pause::For(Duration::from_millis(10))
}

async fn call(core: &PushCore, batch: Vec<Arc<MessageExt>>) -> OrderlyResult {
    let Handler::Orderly(handler) = &core.handler else { return OrderlyResult::Suspend };
    if batch.iter().any(|message| message.sys_flag.is_compressed()) {
        return OrderlyResult::Suspend;
    }
    handler.clone().handle(batch).await.unwrap_or_else(|panic| {
        tracing::error!(group = &*core.group, %panic, "the handler panicked; its messages come again");
        OrderlyResult::Suspend
    })
}

/// The messages failed. Puts them back, a delivery older; `false` if all have come too often and went to the
/// retry topic instead, from where the broker moves them to the DLQ.
async fn again(core: &PushCore, active: &ActiveQueue, batch: &[Arc<MessageExt>]) -> bool {
    let mut suspend = false;
    for message in batch {
        if message.reconsume_times < core.max_reconsume_times() {
            suspend = true;
        } else if let Err(error) = resend(core, message).await {
            tracing::error!(%error, id = message.msg_id(), "could not give the message up; it comes again");
            suspend = true;
        }
    }
    if suspend {
        let older = |message: &Arc<MessageExt>| {
            let mut message = (**message).clone();
            message.reconsume_times = message.reconsume_times.saturating_add(1);
            (message.queue_offset, Arc::new(message))
        };
        active.state().rollback(batch.iter().map(older));
    }
    suspend
}

/// The lock is gone: asks for it again. How long to wait before looking once more.
async fn relock(core: &PushCore, active: &ActiveQueue) -> Duration {
    let granted = lock(core, std::slice::from_ref(&active.queue)).await;
    active.set_locked(!granted.is_empty());
    if granted.is_empty() { RELOCK } else { Duration::from_millis(10) }
}

fn suspend_time(wanted: Duration) -> Duration {
    wanted.clamp(Duration::from_millis(10), Duration::from_secs(30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_bounded() {
        // spec: client 113
        let clamped = [0, 10, 1000, 60_000].map(|ms| suspend_time(Duration::from_millis(ms)).as_millis());
        assert_eq!(clamped, [10, 10, 1000, 30_000]);
    }
}

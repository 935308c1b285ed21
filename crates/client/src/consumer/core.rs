//! What all parts of a push consumer share.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytestring::ByteString;
use rocketwire_protocol::{
    body::{ConsumeType, ConsumerData, MessageModel, MessageQueue, SubscriptionData},
    message::{MessageExt, name::RETRY_GROUP_TOPIC_PREFIX},
};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::Instant,
};

use super::{
    PushConsumerOptions, ShutdownReport, handler::Handler, offset_store::OffsetStore, work::WorkQueue,
};
use crate::{
    Client,
    identity::now_ms,
    process_queue::{ProcessQueue, Thresholds},
    tasks::{Stop, Tasks},
};

/// A push consumer, from the inside.
pub(crate) struct PushCore {
    pub(crate) client: Client,
    pub(crate) group: ByteString,
    pub(crate) options: PushConsumerOptions,
    pub(crate) handler: Handler,
    pub(crate) offsets: OffsetStore,
    pub(crate) work: WorkQueue,
    /// Handlers of ordered queues that may run at a time; concurrent ones have that many workers.
    pub(crate) permits: Semaphore,
    pub(crate) rebalance_wanted: Notify,
    /// Rebalance and pull loops.
    pub(crate) fetching: Tasks,
    /// Handlers and what comes after them.
    pub(crate) handling: Tasks,
    pub(crate) started_ms: i64,
    pub(crate) counts: Counts,
    /// Held by a shutdown.
    ending: tokio::sync::Mutex<()>,
    suspended: AtomicBool,
    subscriptions: Mutex<BTreeMap<ByteString, Arc<SubscriptionData>>>,
    queues: Mutex<HashMap<MessageQueue, Arc<ActiveQueue>>>,
}

/// What has been done, for those who ask (307).
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ok: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// A queue that this consumer owns.
pub(crate) struct ActiveQueue {
    pub(crate) queue: MessageQueue,
    state: Mutex<ProcessQueue<Arc<MessageExt>>>,
    dropped: watch::Sender<bool>,
    /// There is room again.
    pub(crate) room: Notify,
    /// Orderly: there are messages.
    pub(crate) arrived: Notify,
    /// Concurrent: handlers that have messages of the queue.
    pub(crate) running: AtomicUsize,
    pub(crate) broker_id: AtomicI64,
    pub(crate) last_pull_ms: AtomicI64,
    pub(crate) last_consume_ms: AtomicI64,
    /// Orderly: when the broker last granted the lock.
    locked_at: Mutex<Option<Instant>>,
    /// Orderly: when the queue was first to be given up, while its handler goes on.
    leaving_since: Mutex<Option<Instant>>,
    /// Orderly: held while a handler has messages of the queue.
    pub(crate) consuming: tokio::sync::Mutex<()>,
}

/// How long a lock counts after the broker granted it; half of the broker's lease.
const LOCK_LIFE: Duration = Duration::from_secs(30);

impl ActiveQueue {
    pub(crate) fn new(queue: MessageQueue) -> ActiveQueue {
        ActiveQueue {
            queue,
            state: Mutex::default(),
            dropped: watch::Sender::new(false),
            room: Notify::new(),
            arrived: Notify::new(),
            running: AtomicUsize::new(0),
            broker_id: AtomicI64::new(0),
            last_pull_ms: AtomicI64::new(now_ms()),
            last_consume_ms: AtomicI64::new(now_ms()),
            locked_at: Mutex::default(),
            leaving_since: Mutex::default(),
            consuming: tokio::sync::Mutex::default(),
        }
    }

    /// The messages. Never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, ProcessQueue<Arc<MessageExt>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_dropped(&self) -> bool {
        *self.dropped.borrow()
    }

    pub(crate) fn drop_it(&self) {
        self.dropped.send_replace(true);
    }

    /// Ends when the queue is dropped.
    pub(crate) fn dropped(&self) -> Stop {
        Stop::new(self.dropped.subscribe())
    }

    pub(crate) fn set_locked(&self, locked: bool) {
        let mut at = self.locked_at.lock().unwrap_or_else(PoisonError::into_inner);
        *at = locked.then(Instant::now);
    }

    /// Waits until no handler has messages of the queue, or for `limit`.
    pub(crate) async fn quiet(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let _handler = tokio::time::timeout_at(deadline, self.consuming.lock()).await;
        while self.running.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Since when the queue is to be given up: from now on, if it was not.
    pub(crate) fn leave(&self) -> Instant {
        let mut since = self.leaving_since.lock().unwrap_or_else(PoisonError::into_inner);
        *since.get_or_insert_with(Instant::now)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving_since.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether the lock is held and young enough.
    pub(crate) fn is_locked(&self) -> bool {
        let at = self.locked_at.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| at.elapsed() < LOCK_LIFE)
    }
}

impl PushCore {
    pub(crate) fn new(
        client: Client,
        group: ByteString,
        options: PushConsumerOptions,
        handler: Handler,
        offsets: OffsetStore,
        subscriptions: BTreeMap<ByteString, Arc<SubscriptionData>>,
    ) -> PushCore {
        PushCore {
            client,
            group,
            handler,
            offsets,
            work: WorkQueue::new(),
            permits: Semaphore::new(options.concurrency),
            rebalance_wanted: Notify::new(),
            fetching: Tasks::new(),
            handling: Tasks::new(),
            started_ms: now_ms(),
            counts: Counts::default(),
            ending: tokio::sync::Mutex::default(),
            suspended: AtomicBool::new(false),
            subscriptions: Mutex::new(subscriptions),
            queues: Mutex::default(),
            options,
        }
    }

    pub(crate) fn is_orderly(&self) -> bool {
        matches!(self.handler, Handler::Orderly(_))
    }

    pub(crate) fn is_clustering(&self) -> bool {
        self.options.message_model == MessageModel::Clustering
    }

    pub(crate) fn is_retry_topic(topic: &str) -> bool {
        topic.starts_with(RETRY_GROUP_TOPIC_PREFIX)
    }

    /// Deliveries after the first before a message is given up.
    pub(crate) fn max_reconsume_times(&self) -> i32 {
        let unset = if self.is_orderly() { i32::MAX } else { 16 };
        self.options.max_reconsume_times.unwrap_or(unset)
    }

    pub(crate) fn thresholds(&self) -> Thresholds {
        Thresholds {
            count: self.options.queue_messages,
            bytes: self.options.queue_bytes,
            span: (!self.is_orderly()).then_some(self.options.max_span),
        }
    }

    fn lock_subscriptions(&self) -> MutexGuard<'_, BTreeMap<ByteString, Arc<SubscriptionData>>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn topics(&self) -> Vec<ByteString> {
        self.lock_subscriptions().keys().cloned().collect()
    }

    pub(crate) fn subscription(&self, topic: &str) -> Option<Arc<SubscriptionData>> {
        self.lock_subscriptions().get(topic).cloned()
    }

    pub(crate) fn subscriptions(&self) -> Vec<SubscriptionData> {
        self.lock_subscriptions().values().map(|data| (**data).clone()).collect()
    }

    /// The queues of the topic changed: brokers take the subscription anew when its version is larger.
    pub(crate) fn renew_subscription(&self, topic: &str) {
        if let Some(data) = self.lock_subscriptions().get_mut(topic) {
            let data = Arc::make_mut(data);
            data.sub_version = now_ms().max(data.sub_version + 1);
        }
    }

    /// What heartbeats say about this consumer.
    pub(crate) fn heartbeat(&self) -> ConsumerData {
        ConsumerData {
            group_name: self.group.clone(),
            consume_type: ConsumeType::Passively,
            message_model: self.options.message_model,
            consume_from_where: self.options.consume_from.wire(),
            subscription_data_set: self.subscriptions(),
            unit_mode: false,
        }
    }

    fn lock_queues(&self) -> MutexGuard<'_, HashMap<MessageQueue, Arc<ActiveQueue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queues(&self) -> Vec<Arc<ActiveQueue>> {
        self.lock_queues().values().cloned().collect()
    }

    pub(crate) fn queues_of(&self, topic: &str) -> Vec<Arc<ActiveQueue>> {
        self.lock_queues().values().filter(|active| *active.queue.topic == *topic).cloned().collect()
    }

    pub(crate) fn owns(&self, queue: &MessageQueue) -> bool {
        self.lock_queues().contains_key(queue)
    }

    /// `false` if the queue is there already.
    pub(crate) fn add_queue(&self, active: &Arc<ActiveQueue>) -> bool {
        use std::collections::hash_map::Entry;
        match self.lock_queues().entry(active.queue.clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(active.clone());
                true
            }
        }
    }

    /// Takes a queue out: its pulls end, what its handlers still finish is not committed any more.
    pub(crate) fn forget_queue(&self, active: &ActiveQueue) {
        active.drop_it();
        let mut queues = self.lock_queues();
        // It may have been taken anew meanwhile.
        if queues.get(&active.queue).is_some_and(|known| std::ptr::eq(Arc::as_ptr(known), active)) {
            queues.remove(&active.queue);
        }
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Relaxed)
    }

    pub(crate) fn suspend(&self) {
        self.suspended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        self.suspended.store(false, Ordering::Relaxed);
        for active in self.queues() {
            active.room.notify_one();
        }
    }

    /// Asks for a rebalance now.
    pub(crate) fn want_rebalance(&self) {
        self.rebalance_wanted.notify_one();
    }

    /// Stores offsets: those that changed, or `all`.
    pub(crate) async fn persist_offsets(&self, all: bool) {
        self.offsets.retain(|queue| self.owns(queue));
        self.offsets.persist(&self.client.inner, &self.group, all).await;
    }

    /// Ends in order: no more fetching, handlers finish, offsets are committed, the group is left.
    pub(crate) async fn shutdown(&self, deadline: Instant) -> ShutdownReport {
        // A second one at the same time would find no task to wait for, and give queues away whose handlers run.
        let _alone = tokio::time::timeout_at(deadline, self.ending.lock()).await;
        self.fetching.close(deadline).await;
        let unfinished = if self.is_orderly() {
            self.handling.close(deadline).await
        } else {
            let unfinished = self.work.drain(deadline).await;
            self.work.close();
            self.handling.close(deadline.min(Instant::now() + Duration::from_millis(100))).await;
            unfinished
        };
        self.work.close();
        self.offsets.retain(|queue| self.owns(queue));
        let uncommitted = self.offsets.flush(&self.client.inner, &self.group, deadline).await;
        if self.is_orderly() && self.is_clustering() {
            super::orderly::unlock_all(self).await;
        }
        for active in self.queues() {
            self.forget_queue(&active);
        }
        self.client.inner.unregister_consumer(&self.group, deadline).await;
        self.client.inner.groups.remove_consumer(&self.group);
        ShutdownReport { unfinished, uncommitted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: client 111
    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_not_renewed_is_good_for_thirty_seconds() {
        let active = ActiveQueue::new(MessageQueue::new("T", "a", 0));
        assert!(!active.is_locked());
        active.set_locked(true);
        tokio::time::advance(Duration::from_millis(29_999)).await;
        assert!(active.is_locked());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!active.is_locked());
        active.set_locked(true);
        assert!(active.is_locked());
        active.set_locked(false);
        assert!(!active.is_locked());
    }
}

//! What all processors share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, ResponseCode,
    body::{SubscriptionGroupConfig, TopicConfig},
    header::NotifyConsumerIdsChangedRequestHeader,
    message::UniqIdGenerator,
};
use rocketwire_remoting::Connection;
use rocketwire_store::{Clock, QueueId, Store};

use crate::{
    BrokerOptions, TopicListener,
    blocking::Blocking,
    call::{Disk, Stop, needs_disk, refuse},
    creation::{Creations, Wanted},
    delay::Delays,
    groups::{Changed, Clients, Groups},
    hold::Holds,
    locks::Locks,
    meters::{Amount, Measured, Meters},
    metrics::Created,
    offsets::Offsets,
    permission::Permission,
    planted::planted,
    pull::Held,
    send::Stored,
    statistics::{History, Mornings, Statistics},
    tables::Tables,
    timer::Wheel,
    topics::{Topic, TopicOrigin, Topics},
    transaction::Transactions,
};

/// The state of a broker. Locks are short, and only ever one at a time unless noted.
pub(crate) struct Shared {
    pub(crate) options: BrokerOptions,
    pub(crate) store: Store<Stored>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) listener: Arc<dyn TopicListener>,
    pub(crate) topics: RwLock<Topics<QueueId>>,
    pub(crate) groups: RwLock<Groups>,
    pub(crate) clients: Mutex<Clients<Connection>>,
    pub(crate) offsets: Mutex<Offsets>,
    pub(crate) locks: Mutex<Locks>,
    pub(crate) holds: Mutex<Holds<QueueId, Held>>,
    /// How many pulls are parked, so that an arrival need not take the lock to find none.
    pub(crate) held: AtomicUsize,
    pub(crate) delays: Mutex<Delays>,
    pub(crate) transactions: Mutex<Transactions>,
    pub(crate) timers: Mutex<Wheel>,
    pub(crate) statistics: Statistics,
    pub(crate) history: Mutex<History>,
    pub(crate) meters: Mutex<Meters>,
    pub(crate) mornings: Mutex<Mornings>,
    pub(crate) ids: UniqIdGenerator,
    pub(crate) tables: Tables,
    pub(crate) blocking: Blocking,
    pub(crate) permission: Permission,
    pub(crate) creations: Creations,
    pub(crate) created: Created,
    pub(crate) boot_ms: i64,
    pub(crate) stopping: AtomicBool,
    /// Held by periodic work on the disk, one piece at a time, and by the end, which comes behind.
    pub(crate) at_work: Mutex<()>,
    /// Spreads messages without a queue over the queues.
    pub(crate) turn: AtomicU32,
}

impl Shared {
    pub(crate) fn topics(&self) -> RwLockReadGuard<'_, Topics<QueueId>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn topics_mut(&self) -> RwLockWriteGuard<'_, Topics<QueueId>> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn groups(&self) -> RwLockReadGuard<'_, Groups> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn groups_mut(&self) -> RwLockWriteGuard<'_, Groups> {
        self.groups.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clients(&self) -> MutexGuard<'_, Clients<Connection>> {
        lock(&self.clients)
    }

    pub(crate) fn offsets(&self) -> MutexGuard<'_, Offsets> {
        lock(&self.offsets)
    }

    pub(crate) fn locks(&self) -> MutexGuard<'_, Locks> {
        lock(&self.locks)
    }

    pub(crate) fn holds(&self) -> MutexGuard<'_, Holds<QueueId, Held>> {
        lock(&self.holds)
    }

    pub(crate) fn delays(&self) -> MutexGuard<'_, Delays> {
        lock(&self.delays)
    }

    pub(crate) fn transactions(&self) -> MutexGuard<'_, Transactions> {
        lock(&self.transactions)
    }

    pub(crate) fn timers(&self) -> MutexGuard<'_, Wheel> {
        lock(&self.timers)
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    pub(crate) fn meters(&self) -> MutexGuard<'_, Meters> {
        lock(&self.meters)
    }

    pub(crate) fn mornings(&self) -> MutexGuard<'_, Mornings> {
        lock(&self.mornings)
    }

    /// What was stored in a topic since the start.
    pub(crate) fn put_into(&self, topic: &str) -> Amount {
        self.topic(topic).map(|topic| topic.puts.amount()).unwrap_or_default()
    }

    /// What was sent to consumers since the start; the key is `topic@group`.
    pub(crate) fn got_by(&self, key: &str) -> Amount {
        let (topic, group) = key.split_once('@').unwrap_or_default();
        self.offsets().got(&group.into(), &topic.into())
    }

    /// Notes all counters, for the numbers that tools show. To be called every ten seconds.
    pub(crate) fn note_counters(&self) {
        let (now_ms, reading) = (self.now_ms(), self.statistics.reading());
        self.history().note(now_ms, reading);
        self.mornings().note(now_ms, reading);
        let mut amounts: Vec<(Measured, Amount)> = self
            .topics()
            .iter()
            .map(|topic| (Measured::Topic(topic.name().clone()), topic.puts.amount()))
            .filter(|(_, amount)| amount.messages > 0)
            .collect();
        amounts.extend(self.offsets().all_got().map(|(key, amount)| (Measured::Group(key), amount)));
        amounts.push((Measured::BrokerIn, self.statistics.amount_in()));
        amounts.push((Measured::BrokerOut, self.statistics.amount_out()));
        self.meters().note(now_ms, amounts.into_iter());
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// Time that never steps back.
    pub(crate) fn now(&self) -> Duration {
        if planted("wall clock in a deadline") {
            return Duration::from_millis(self.clock.wall_ms().unsigned_abs());
        }
        self.clock.monotonic()
    }

    /// A topic by name.
    pub(crate) fn topic(&self, name: &str) -> Option<Arc<Topic<QueueId>>> {
        self.topics().find(name)
    }

    /// The queue for a message that waited. Its topic may have fewer queues by now; it goes where it would have gone, and
    /// is seen when they are there again. `None`: the topic is gone.
    pub(crate) fn queue_of(&self, topic: &str, queue_id: i32) -> Option<QueueId> {
        let topic = self.topic(topic)?;
        let of_store = || Some(self.store.queue(topic.name(), u32::try_from(queue_id).ok()?));
        topic.queue(queue_id).or_else(of_store)
    }

    /// A group's settings.
    pub(crate) fn group(&self, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        self.groups().find(name)
    }

    /// The next of `n` queues.
    pub(crate) fn next_of(&self, n: i32) -> i32 {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let n = u32::try_from(n).unwrap_or(0).max(1);
        i32::try_from(turn % n).unwrap_or(0)
    }

    /// Whether the broker is shutting down.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// A topic by name; one that does not exist is created from `config`, saved, and told to the name server.
    pub(crate) fn topic_or_create(
        &self,
        config: TopicConfig,
        disk: Disk,
    ) -> Result<Arc<Topic<QueueId>>, Stop> {
        if let Some(topic) = self.topic(&config.topic_name) {
            return Ok(topic);
        }
        self.put_topic(config, TopicOrigin::Broker, disk)
    }

    /// Creates or changes a topic. When this returns it is on disk and the name server knows it.
    pub(crate) fn put_topic(
        &self,
        config: TopicConfig,
        origin: TopicOrigin,
        disk: Disk,
    ) -> Result<Arc<Topic<QueueId>>, Stop> {
        let name = config.topic_name.clone();
        let wanted = Wanted::one(config, origin);
        if disk == Disk::Avoid {
            return Err(Stop::NeedsTopic(Box::new(wanted)));
        }
        self.creations.add_and_wait(wanted)?;
        self.topic(&name).ok_or_else(|| {
            refuse(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{name}] not exist: it was deleted at once"))
        })
    }

    /// A group's settings; an unknown group is created where that is allowed, and saved.
    pub(crate) fn group_or_create(
        &self,
        name: &ByteString,
        disk: Disk,
    ) -> Result<Arc<SubscriptionGroupConfig>, Stop> {
        if let Some(group) = self.group(name) {
            return Ok(group);
        }
        rocketwire_protocol::message::name::check_group(name)
            .map_err(|error| refuse(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
        if self.options.auto_create_group {
            needs_disk(disk)?;
        }
        let (group, is_new) = self.groups_mut().find_or_create(name, self.now_ms())?;
        if is_new && let Err(error) = self.tables.save_groups(self) {
            self.groups_mut().remove(name, self.now_ms());
            let remark = format!("group {name} was not created, because it cannot be saved: {error}");
            return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
        }
        Ok(group)
    }

    /// Tells the members of groups that they must share out their queues anew (request 40). A member that
    /// cannot be reached notices by itself within 20 s.
    pub(crate) fn notify(&self, changes: Vec<Changed<Connection>>) {
        for change in changes {
            if !self.group(&change.group).is_none_or(|group| group.notify_consumer_ids_changed_enable) {
                continue;
            }
            let header = NotifyConsumerIdsChangedRequestHeader {
                consumer_group: change.group.clone(),
                ..Default::default()
            };
            for member in change.members {
                if let Err(error) = member.invoke_oneway(Command::of(&header).oneway()) {
                    tracing::debug!(group = %change.group, %error, "a member was not told of a change");
                }
            }
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

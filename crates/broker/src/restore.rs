//! A broker as its tables and queues say that it was.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicUsize},
    },
    time::Duration,
};

use rocketwire_protocol::message::{UniqIdGenerator, name};
use rocketwire_store::{Clock, QueueId, Store};

use crate::{
    BrokerError, BrokerOptions, TopicListener,
    blocking::Blocking,
    creation::Creations,
    delay::Delays,
    groups::{Clients, Groups},
    hold::Holds,
    locks::Locks,
    meters::Meters,
    metrics::Created,
    offsets::Offsets,
    permission::Permission,
    send::Stored,
    shared::Shared,
    statistics::{History, Mornings, Statistics},
    tables::Tables,
    timer::Wheel,
    topics::{TopicLimits, Topics, system_topics},
    transaction,
};

/// Brings the tables back.
pub(crate) fn restore(
    options: BrokerOptions,
    store: Store<Stored>,
    tables: Tables,
    clock: Arc<dyn Clock>,
    listener: Arc<dyn TopicListener>,
    roll: Duration,
) -> Result<Shared, BrokerError> {
    let permission = Permission::new(options.permission).ok_or_else(|| {
        BrokerError::Options(format!(
            "{} is no permission: 6 is all, 4 reading, 2 writing, 0 nothing",
            options.permission
        ))
    })?;
    let limits = TopicLimits {
        topics: options.max_topics,
        auto_created: options.max_auto_created_topics,
        queues: options.max_topic_queues,
    };
    let mut topics = Topics::new(limits);
    topics.restore(tables.load_topics()?, |topic, id| store.queue(topic, id));
    let mut groups = Groups::new(options.auto_create_group, options.max_groups);
    groups.restore(tables.load_groups()?);
    let queue = |topic: &str, id: i32| u32::try_from(id).ok().and_then(|id| store.find_queue(topic, id));
    let end = |topic: &str, id: i32| queue(topic, id).map_or(0, |queue: QueueId| store.bounds(queue).max);
    let offsets = Offsets::restore(tables.load_offsets()?, end);
    let delays = Delays::restore(tables.load_delays()?, |level| {
        let bounds =
            queue(name::SCHEDULE_TOPIC, level - 1).map(|queue| store.bounds(queue)).unwrap_or_default();
        (bounds.min, bounds.max)
    })
    .with_lengths(options.delay_levels.clone());
    let bounds = queue(name::TIMER_TOPIC, 0).map(|queue| store.bounds(queue)).unwrap_or_default();
    let timers = Wheel::restore(tables.load_timers()?, (bounds.min, bounds.max), options.max_timers, roll);
    let transactions = transaction::restore(
        &store,
        store.queue(name::TRANS_HALF_TOPIC, 0),
        store.queue(name::TRANS_OP_HALF_TOPIC, 0),
        tables.load_transactions()?,
        options.max_pending_transactions,
    )?;
    let ip = options.advertised.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |addr| addr.ip());
    let boot_ms = clock.wall_ms();
    Ok(Shared {
        ids: UniqIdGenerator::new(ip, std::process::id(), boot_ms as u32),
        topics: RwLock::new(topics),
        groups: RwLock::new(groups),
        clients: Mutex::new(Clients::new(options.max_groups)),
        offsets: Mutex::new(offsets),
        locks: Mutex::new(Locks::new(options.max_locks)),
        holds: Mutex::new(Holds::new(options.max_holds)),
        held: AtomicUsize::new(0),
        delays: Mutex::new(delays),
        transactions: Mutex::new(transactions),
        timers: Mutex::new(timers),
        statistics: Statistics::default(),
        history: Mutex::new(History::default()),
        meters: Mutex::new(Meters::default()),
        mornings: Mutex::new(Mornings::default()),
        blocking: Blocking::new(options.max_cold_reads),
        permission,
        creations: Creations::new(options.max_topic_creations),
        created: Created::default(),
        stopping: AtomicBool::new(false),
        at_work: Mutex::default(),
        turn: AtomicU32::new(0),
        boot_ms,
        options,
        store,
        clock,
        listener,
        tables,
    })
}

/// Messages without a topic take space until retention takes them, and would be those of the next topic of that name.
/// They are left alone: it may be the table of topics that is not the newest.
pub(crate) fn warn_of_orphans(shared: &Shared) {
    let names = shared.store.queues().into_iter().map(|queue| queue.topic);
    let orphans: std::collections::BTreeSet<_> = names.filter(|name| shared.topic(name).is_none()).collect();
    if !orphans.is_empty() {
        let some: Vec<_> = orphans.iter().take(10).collect();
        tracing::warn!(
            count = orphans.len(),
            ?some,
            "the log has messages of topics that do not exist; create these topics to read them, or delete them by their names"
        );
    }
}

/// Creates the topics that exist from the start, those that are not there yet. That of automatic creation follows the
/// settings: no operator can change it in any other way.
pub(crate) fn add_system_topics(shared: &Shared) -> Result<(), BrokerError> {
    let options = &shared.options;
    let wanted = system_topics(
        &options.cluster,
        &options.broker_name,
        options.default_topic_queue_nums,
        options.auto_create_topic,
        options.trace_topic,
    );
    let mut is_changed = false;
    for config in wanted {
        let found = shared.topic(&config.topic_name);
        let is_as_wanted = found.is_some_and(|topic| {
            config.topic_name != name::AUTO_CREATE_TOPIC_KEY_TOPIC
                || topic.config.write_queue_nums == config.write_queue_nums
        });
        if !is_as_wanted {
            let queue = |topic: &str, id: u32| shared.store.queue(topic, id);
            let created = shared.topics_mut().update(config, shared.now_ms(), queue);
            created.map_err(|error| BrokerError::Options(error.to_string()))?;
            is_changed = true;
        }
    }
    if !options.auto_create_topic
        && shared.topics_mut().remove(name::AUTO_CREATE_TOPIC_KEY_TOPIC, shared.now_ms()).is_some()
    {
        is_changed = true;
    }
    if is_changed {
        shared.tables.save_topics(shared)?;
    }
    Ok(())
}

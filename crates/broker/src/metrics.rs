//! Numbers for a monitoring system, gathered when it asks (RIP-46; Java: `BrokerMetricsManager`,
//! `ConsumerLagCalculator`, `DefaultStoreMetricsManager`).
//!
//! What is counted while messages pass is an addition to an atomic number of their topic, or to an entry that is
//! locked and written anyway. Everything else is read off the tables here.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use bytestring::ByteString;
use rocketwire_protocol::{LanguageCode, Version, body::ConsumeType, message::name};

use crate::{Broker, shared::Shared, statistics::Statistics};

/// Numbers of one name, as Prometheus has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub help: &'static str,
    /// How the numbers move.
    pub kind: Kind,
    /// The numbers.
    pub samples: Vec<Sample>,
}

/// How a family's numbers move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up only.
    Counter,
    /// Up and down.
    Gauge,
    /// Buckets, their sum and their number; each sample says which by its suffix.
    Histogram,
}

/// A number with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What follows the family's name; empty but for histograms.
    pub suffix: &'static str,
    /// Names and values. Values are any text.
    pub labels: Vec<(&'static str, ByteString)>,
    /// The number.
    pub value: f64,
}

impl Family {
    /// A family of this name without numbers.
    pub fn new(name: &'static str, kind: Kind, help: &'static str) -> Family {
        Family { name, help, kind, samples: Vec::new() }
    }

    /// One number without labels.
    pub fn one(name: &'static str, kind: Kind, help: &'static str, value: impl Number) -> Family {
        let mut family = Family::new(name, kind, help);
        family.push(Vec::new(), value);
        family
    }

    /// Adds a number.
    pub fn push(&mut self, labels: Vec<(&'static str, ByteString)>, value: impl Number) {
        self.samples.push(Sample { suffix: "", labels, value: value.number() });
    }
}

/// What a sample can be made of. Above 2^53 the last digits are lost, as in every such system.
pub trait Number {
    /// The same as a float.
    fn number(self) -> f64;
}

macro_rules! numbers {
    ($($type:ty),+) => {
        $(impl Number for $type {
            fn number(self) -> f64 {
                self as f64
            }
        })+
    };
}

numbers!(u64, i64, usize, i32, f64);

/// How a message is to be delivered (label `message_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MessageType {
    #[default]
    Normal,
    Fifo,
    Delay,
    Transaction,
}

const MESSAGE_TYPES: [(MessageType, &str); 4] = [
    (MessageType::Normal, "normal"),
    (MessageType::Fifo, "fifo"),
    (MessageType::Delay, "delay"),
    (MessageType::Transaction, "transaction"),
];

/// What came in for a topic. It outlives changes of the topic's settings.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    by_type: [Flow; 4],
}

#[derive(Debug, Default)]
struct Flow {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    /// Messages were stored.
    pub(crate) fn stored(&self, kind: MessageType, messages: usize, bytes: usize) {
        if let Some(flow) = self.by_type.get(kind as usize) {
            Statistics::add(&flow.messages, messages);
            Statistics::add(&flow.bytes, bytes);
        }
    }

    fn flows(&self) -> impl Iterator<Item = (&'static str, u64, u64)> + '_ {
        let all = MESSAGE_TYPES.iter().zip(&self.by_type).map(|((_, name), flow)| {
            (*name, flow.messages.load(Ordering::Relaxed), flow.bytes.load(Ordering::Relaxed))
        });
        all.filter(|(_, messages, _)| *messages > 0)
    }
}

/// Queues at most whose oldest waiting message is looked up for a latency; each can be a read from the disk.
const MAX_LOOKED_UP: usize = 1_024;

impl Broker {
    /// All numbers of this moment. Takes the tables' locks one after the other, and may block on the disk.
    pub fn metrics(&self) -> Vec<Family> {
        let shared = self.shared();
        let mut families = Vec::from(traffic_in(shared));
        families.extend(traffic_out(shared));
        families.extend(waiting(shared));
        families.extend(connections(shared));
        families.extend(storage(shared));
        families.extend(broker(shared));
        families.extend(bounds(shared));
        families
    }
}

fn boolean(is: bool) -> ByteString {
    ByteString::from_static(if is { "true" } else { "false" })
}

fn traffic_in(shared: &Shared) -> [Family; 2] {
    let mut messages = Family::new(
        "rocketmq_messages_in_total",
        Kind::Counter,
        "Messages stored for producers since the start",
    );
    let mut bytes = Family::new(
        "rocketmq_throughput_in_total",
        Kind::Counter,
        "Bytes of messages stored for producers since the start",
    );
    for topic in shared.topics().iter() {
        for (kind, count, size) in topic.traffic().flows() {
            let labels = vec![
                ("topic", topic.name().clone()),
                ("message_type", ByteString::from_static(kind)),
                ("is_system", boolean(name::is_system_topic(topic.name()))),
            ];
            messages.push(labels.clone(), count);
            bytes.push(labels, size);
        }
    }
    [messages, bytes]
}

fn traffic_out(shared: &Shared) -> [Family; 3] {
    let mut messages = Family::new(
        "rocketmq_messages_out_total",
        Kind::Counter,
        "Messages sent to consumers since the start",
    );
    let mut bytes = Family::new(
        "rocketmq_throughput_out_total",
        Kind::Counter,
        "Bytes of messages sent to consumers since the start",
    );
    let mut dead = Family::new(
        "rocketmq_send_to_dlq_messages_total",
        Kind::Counter,
        "Messages that went to the dead letters since the start",
    );
    for (group, topic, served, given_up) in shared.offsets().served() {
        let is_system = name::is_system_topic(&topic) || name::is_system_group(&group);
        let labels =
            vec![("topic", topic.clone()), ("consumer_group", group), ("is_system", boolean(is_system))];
        if given_up > 0 {
            dead.push(labels.clone(), given_up);
        }
        // As in Apache: what goes out again is not counted twice.
        if served.messages > 0 && !name::is_retry_topic(&topic) && !name::is_dlq_topic(&topic) {
            messages.push(labels.clone(), served.messages);
            bytes.push(labels, served.bytes);
        }
    }
    [messages, bytes, dead]
}

/// What waits for a group in a topic.
#[derive(Default)]
struct Waiting {
    lag: i64,
    in_flight: i64,
    ready: i64,
    /// Store time of the oldest message that is not consumed.
    oldest_ms: Option<i64>,
}

fn waiting(shared: &Shared) -> [Family; 4] {
    let mut lag =
        Family::new("rocketmq_consumer_lag_messages", Kind::Gauge, "Messages that a group has not consumed");
    let mut latency = Family::new(
        "rocketmq_consumer_lag_latency",
        Kind::Gauge,
        "Age in milliseconds of the oldest message that a group has not consumed",
    );
    let mut in_flight = Family::new(
        "rocketmq_consumer_inflight_messages",
        Kind::Gauge,
        "Messages that a group has pulled and not consumed",
    );
    let mut ready =
        Family::new("rocketmq_consumer_ready_messages", Kind::Gauge, "Messages that a group has not pulled");
    let now = shared.now_ms();
    let mut looked_up = 0;
    let positions = shared.offsets().positions();
    for ((group, topic), queues) in positions {
        let Some(waiting) = waiting_of(shared, &topic, &queues, &mut looked_up) else { continue };
        let is_system = name::is_system_topic(&topic) || name::is_system_group(&group);
        let labels = vec![
            ("consumer_group", group),
            ("topic", topic.clone()),
            ("is_retry", boolean(name::is_retry_topic(&topic))),
            ("is_system", boolean(is_system)),
        ];
        lag.push(labels.clone(), waiting.lag);
        in_flight.push(labels.clone(), waiting.in_flight);
        ready.push(labels.clone(), waiting.ready);
        match waiting.oldest_ms {
            Some(oldest) => latency.push(labels, (now - oldest).max(0)),
            None if waiting.lag == 0 => latency.push(labels, 0_i64),
            // Not looked up: no number is better than a wrong one.
            None => {}
        }
    }
    [lag, latency, in_flight, ready]
}

fn waiting_of(
    shared: &Shared,
    topic: &ByteString,
    queues: &BTreeMap<i32, (i64, Option<i64>)>,
    looked_up: &mut usize,
) -> Option<Waiting> {
    let topic = shared.topic(topic)?;
    let mut waiting = Waiting::default();
    for (id, (committed, pulled)) in queues {
        let Some(queue) = topic.queue(*id) else { continue };
        let bounds = shared.store.bounds(queue);
        // What retention took is not waiting any more.
        let committed = (*committed).clamp(bounds.min, bounds.max);
        let pulled = pulled.unwrap_or(committed).clamp(committed, bounds.max);
        waiting.lag += bounds.max - committed;
        waiting.in_flight += pulled - committed;
        waiting.ready += bounds.max - pulled;
        if committed < bounds.max && *looked_up < MAX_LOOKED_UP {
            *looked_up += 1;
            let time = shared.store.store_time(queue, committed).ok().flatten();
            waiting.oldest_ms = [waiting.oldest_ms, time].into_iter().flatten().min();
        }
    }
    Some(waiting)
}

fn connections(shared: &Shared) -> [Family; 2] {
    let mut producers = Family::new(
        "rocketmq_producer_connections",
        Kind::Gauge,
        "Memberships of connections in producer groups",
    );
    let mut consumers =
        Family::new("rocketmq_consumer_connections", Kind::Gauge, "Connections of each consumer group");
    let clients = shared.clients();
    let mut counts: BTreeMap<(LanguageCode, Version), usize> = BTreeMap::new();
    for (_, members) in clients.producer_groups() {
        for member in members {
            *counts.entry((member.language, member.version)).or_default() += 1;
        }
    }
    for ((language, version), count) in counts {
        producers.push(client(language, version), count);
    }
    for (group, consumer) in clients.consumer_groups() {
        let mut counts: BTreeMap<(LanguageCode, Version), usize> = BTreeMap::new();
        for member in consumer.members.values() {
            *counts.entry((member.language, member.version)).or_default() += 1;
        }
        let mode = match consumer.consume_type {
            ConsumeType::Actively => "pull",
            ConsumeType::Passively => "push",
            ConsumeType::Pop => "pop",
        };
        for ((language, version), count) in counts {
            let mut labels = client(language, version);
            labels.push(("consumer_group", group.clone()));
            labels.push(("consume_mode", ByteString::from_static(mode)));
            labels.push(("is_system", boolean(name::is_system_group(group))));
            consumers.push(labels, count);
        }
    }
    [producers, consumers]
}

fn client(language: LanguageCode, version: Version) -> Vec<(&'static str, ByteString)> {
    let lower = |name: Option<&str>, number: String| match name {
        Some(name) => ByteString::from(name.to_ascii_lowercase()),
        None => ByteString::from(number),
    };
    vec![
        ("language", lower(language.name(), language.0.to_string())),
        ("version", lower(version.name(), version.0.to_string())),
        ("protocol_type", ByteString::from_static("remoting")),
    ]
}

fn storage(shared: &Shared) -> Vec<Family> {
    let store = &shared.store;
    let (disk, behind) = (store.disk(), store.behind());
    let with = |name, help, value: f64| {
        let mut family = Family::new(name, Kind::Gauge, help);
        let word = ByteString::from_static;
        family.push(vec![("storage_type", word("local")), ("storage_medium", word("disk"))], value);
        family
    };
    let oldest = store.oldest_store_time().ok().flatten();
    let age = oldest.map_or(0, |oldest| (shared.now_ms() - oldest).max(0));
    let log = store.physical_bounds();
    let used = disk.total.saturating_sub(disk.available);
    vec![
        with("rocketmq_storage_size", "Bytes of the store's disk that are used, by anything", used.number()),
        with(
            "rocketmq_storage_flush_behind_bytes",
            "Bytes that are written and not flushed",
            behind.flush.number(),
        ),
        with(
            "rocketmq_storage_dispatch_behind_bytes",
            "Bytes that are written and not in their queues",
            behind.publish.number(),
        ),
        with(
            "rocketmq_storage_message_reserve_time",
            "Age in milliseconds of the oldest message",
            age.number(),
        ),
        Family::one("rocketwire_log_bytes", Kind::Gauge, "Bytes of the log", log.max - log.min),
        Family::one("rocketwire_disk_free_bytes", Kind::Gauge, "Free bytes of the disk", disk.available),
        Family::one(
            "rocketwire_disk_free_limit_bytes",
            Kind::Gauge,
            "Free bytes of the disk below which messages are refused",
            disk.limit,
        ),
        Family::one(
            "rocketwire_disk_full",
            Kind::Gauge,
            "1 while messages are refused because the disk is full",
            i32::from(disk.is_full),
        ),
        Family::one(
            "rocketwire_store_poisoned",
            Kind::Gauge,
            "1 after a failed write or flush: no message is taken until a restart",
            i32::from(store.is_poisoned()),
        ),
        Family::one(
            "rocketwire_store_pending_bytes",
            Kind::Gauge,
            "Bytes that wait for the store's writer",
            behind.pending,
        ),
    ]
}

fn broker(shared: &Shared) -> Vec<Family> {
    let mut watermark = Family::new(
        "rocketmq_processor_watermark",
        Kind::Gauge,
        "Requests that wait for a thread: reads of old messages are the only ones that do",
    );
    watermark.push(vec![("processor", ByteString::from_static("pull"))], shared.blocking.running());
    // Who may read and write: this broker is never anything else.
    const PERMISSION: i32 = 6;
    vec![
        watermark,
        Family::one("rocketmq_broker_permission", Kind::Gauge, "Permission bits of the broker", PERMISSION),
        Family::one("rocketmq_topic_number", Kind::Gauge, "Topics", shared.topics().iter().count()),
        Family::one(
            "rocketmq_consumer_group_number",
            Kind::Gauge,
            "Consumer groups",
            shared.groups().all().len(),
        ),
        Family::one(
            "rocketmq_half_messages",
            Kind::Gauge,
            "Half messages without a verdict",
            shared.transactions().len(),
        ),
    ]
}

/// What has a limit, and how much of it is used.
fn bounds(shared: &Shared) -> Vec<Family> {
    let statistics = &shared.statistics;
    let options = &shared.options;
    vec![
        Family::one(
            "rocketwire_parked_pulls",
            Kind::Gauge,
            "Pulls that wait for a message",
            shared.held.load(Ordering::Relaxed),
        ),
        Family::one("rocketwire_parked_pulls_limit", Kind::Gauge, "max_holds", options.max_holds),
        Family::one("rocketwire_cold_reads_limit", Kind::Gauge, "max_cold_reads", options.max_cold_reads),
        Family::one(
            "rocketwire_topic_creations",
            Kind::Gauge,
            "Requests that wait for topics to be saved",
            shared.creations.len(),
        ),
        Family::one(
            "rocketwire_topic_creations_limit",
            Kind::Gauge,
            "max_topic_creations",
            options.max_topic_creations,
        ),
        Family::one("rocketwire_topics_limit", Kind::Gauge, "max_topics", options.max_topics),
        Family::one("rocketwire_groups_limit", Kind::Gauge, "max_groups", options.max_groups),
        Family::one(
            "rocketwire_half_messages_limit",
            Kind::Gauge,
            "max_pending_transactions",
            options.max_pending_transactions,
        ),
        Family::one(
            "rocketwire_sends_failed_total",
            Kind::Counter,
            "Messages that the store did not take",
            Statistics::value(&statistics.sends_failed),
        ),
        Family::one(
            "rocketwire_pulls_found_total",
            Kind::Counter,
            "Pulls that found something",
            Statistics::value(&statistics.pulls_found),
        ),
        Family::one(
            "rocketwire_pulls_missed_total",
            Kind::Counter,
            "Pulls that found nothing",
            Statistics::value(&statistics.pulls_missed),
        ),
    ]
}

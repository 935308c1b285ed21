//! What comes in and goes out, by topic and group.

use std::sync::OnceLock;

use bytestring::ByteString;
use rocketwire_protocol::message::name;

use super::{
    Family, Histogram, Kind, Number, boolean, histogram::SIZE_BOUNDS, timers::Scheduled,
    transactions::Verdicts,
};
use crate::shared::Shared;

/// How a message is to be delivered (label `message_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageType {
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
    /// How large the messages were. Their number and their bytes follow from it.
    sizes: [Histogram<{ SIZE_BOUNDS.len() + 1 }>; 4],
    /// Made with the first one.
    verdicts: OnceLock<Box<Verdicts>>,
    timers: OnceLock<Box<Scheduled>>,
}

impl Traffic {
    /// Messages were stored.
    pub(crate) fn stored(&self, kind: MessageType, messages: usize, bytes: usize) {
        if let Some(sizes) = self.sizes.get(kind as usize) {
            let (messages, bytes) = (messages as u64, bytes as u64);
            sizes.record_all(&SIZE_BOUNDS, bytes / messages.max(1), messages, bytes);
        }
    }

    /// What became of half messages, if there were any.
    pub(super) fn verdicts(&self) -> Option<&Verdicts> {
        self.verdicts.get().map(|verdicts| &**verdicts)
    }

    /// The same, to count the first one too.
    pub(super) fn verdicts_to_count(&self) -> &Verdicts {
        self.verdicts.get_or_init(Box::default)
    }

    /// What went through the timer, if anything did.
    pub(super) fn timers(&self) -> Option<&Scheduled> {
        self.timers.get().map(|timers| &**timers)
    }

    /// The same, to count the first one too.
    pub(super) fn timers_to_count(&self) -> &Scheduled {
        self.timers.get_or_init(Box::default)
    }
}

pub(super) fn traffic_in(shared: &Shared) -> [Family; 3] {
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
    let mut sizes = Family::new(
        "rocketmq_message_size",
        Kind::Histogram,
        "Bytes of each message stored for producers, in a batch those of the average",
    );
    for topic in shared.topics().iter() {
        // As in Apache: what a consumer sends back is not counted twice.
        if name::is_retry_topic(topic.name()) || name::is_dlq_topic(topic.name()) {
            continue;
        }
        for ((_, kind), flow) in MESSAGE_TYPES.iter().zip(&topic.traffic().sizes) {
            if flow.total() == 0 {
                continue;
            }
            let labels = vec![
                ("topic", topic.name().clone()),
                ("message_type", ByteString::from_static(kind)),
                ("is_system", boolean(name::is_system_topic(topic.name()))),
            ];
            let bounds = SIZE_BOUNDS.iter().map(|bound| bound.number());
            sizes.push_histogram(&labels, bounds, &flow.counts(), flow.sum().number());
            messages.push(labels.clone(), flow.total());
            bytes.push(labels, flow.sum());
        }
    }
    [messages, bytes, sizes]
}

pub(super) fn traffic_out(shared: &Shared) -> [Family; 3] {
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

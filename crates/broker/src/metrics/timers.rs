//! Timer messages.

use std::sync::atomic::{AtomicU64, Ordering};

use rocketwire_protocol::message::name::TIMER_TOPIC;

use super::{Family, Histogram, Kind, Number, histogram::DELAY_BOUNDS_S};
use crate::{shared::Shared, statistics::Statistics};

/// Timer messages of a topic.
#[derive(Debug, Default)]
pub(super) struct Scheduled {
    /// How long they are to wait.
    delays: Histogram<{ DELAY_BOUNDS_S.len() + 1 }>,
    out: AtomicU64,
}

impl Shared {
    /// Counts a timer message that waits now.
    pub(crate) fn count_timer_in(&self, topic: &str, delay_ms: i64) {
        let Some(topic) = self.topic(topic) else { return };
        let delay_s = u64::try_from(delay_ms).unwrap_or(0) / 1_000;
        topic.traffic().timers_to_count().delays.record(&DELAY_BOUNDS_S, delay_s);
    }

    /// Counts one that was delivered.
    pub(crate) fn count_timer_out(&self, topic: &str) {
        let Some(topic) = self.topic(topic) else { return };
        Statistics::add(&topic.traffic().timers_to_count().out, 1);
    }
}

pub(super) fn timers(shared: &Shared) -> [Family; 5] {
    let mut entered = Family::new(
        "rocketmq_timer_enqueue_total",
        Kind::Counter,
        "Timer messages that began to wait since the start, those found by the start too",
    );
    let mut left = Family::new(
        "rocketmq_timer_dequeue_total",
        Kind::Counter,
        "Timer messages delivered since the start",
    );
    let mut delays = Family::new(
        "rocketmq_delay_message_latency",
        Kind::Histogram,
        "Seconds from the birth of a timer message to its moment",
    );
    for topic in shared.topics().iter() {
        let Some(timers) = topic.traffic().timers() else { continue };
        let labels = vec![("topic", topic.name().clone())];
        let bounds = DELAY_BOUNDS_S.iter().map(|bound| bound.number());
        delays.push_histogram(&labels, bounds, &timers.delays.counts(), timers.delays.sum().number());
        entered.push(labels.clone(), timers.delays.total());
        left.push(labels, timers.out.load(Ordering::Relaxed));
    }
    let queue = shared.topic(TIMER_TOPIC).and_then(|topic| topic.queue(0));
    let end = queue.map_or(0, |queue| shared.store.bounds(queue).max);
    let timers = shared.timers();
    [
        entered,
        left,
        delays,
        Family::one("rocketmq_timing_messages", Kind::Gauge, "Timer messages that wait", timers.len()),
        Family::one(
            "rocketmq_timer_enqueue_lag",
            Kind::Gauge,
            "Timer messages that are stored and not in the wheel yet",
            timers.unread(end),
        ),
    ]
}

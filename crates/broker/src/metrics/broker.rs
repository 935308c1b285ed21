//! The broker as a whole, and all that has a limit.

use std::sync::atomic::Ordering;

use bytestring::ByteString;

use super::{Family, Kind};
use crate::{shared::Shared, statistics::Statistics};

pub(super) fn broker(shared: &Shared) -> Vec<Family> {
    let mut watermark = Family::new(
        "rocketmq_processor_watermark",
        Kind::Gauge,
        "Requests that wait for a thread: reads of old messages are the only ones that do",
    );
    watermark.push(vec![("processor", ByteString::from_static("pull"))], shared.blocking.running());
    vec![
        watermark,
        Family::one(
            "rocketmq_broker_permission",
            Kind::Gauge,
            "Permission bits of the broker",
            shared.permission.bits(),
        ),
        Family::one("rocketmq_topic_number", Kind::Gauge, "Topics", shared.topics().iter().count()),
        Family::one(
            "rocketmq_consumer_group_number",
            Kind::Gauge,
            "Consumer groups",
            shared.groups().all().len(),
        ),
    ]
}

/// What has a limit, and how much of it is used.
pub(super) fn bounds(shared: &Shared) -> Vec<Family> {
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

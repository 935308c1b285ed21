//! Transactions.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use bytestring::ByteString;

use super::{Family, Histogram, Kind, Number, histogram::COMMIT_BOUNDS_S};
use crate::{shared::Shared, statistics::Statistics};

/// What became of a half message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was delivered; it was born then, in milliseconds since 1970.
    Commit { born_ms: i64 },
    /// It was dropped.
    Rollback,
    /// Nobody answered for it.
    GivenUp,
}

/// Verdicts about the half messages of a topic.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    commits: Histogram<{ COMMIT_BOUNDS_S.len() + 1 }>,
    rollbacks: AtomicU64,
}

impl Shared {
    /// Counts a verdict that is stored.
    pub(crate) fn count_verdict(&self, topic: &str, verdict: Verdict) {
        let Some(topic) = self.topic(topic) else { return };
        let verdicts = topic.traffic().verdicts_to_count();
        match verdict {
            Verdict::Commit { born_ms } => {
                let age = u64::try_from(self.now_ms().saturating_sub(born_ms)).unwrap_or(0);
                verdicts.commits.record(&COMMIT_BOUNDS_S, age / 1_000);
            }
            Verdict::Rollback => Statistics::add(&verdicts.rollbacks, 1),
            Verdict::GivenUp => {}
        }
    }
}

pub(super) fn transactions(shared: &Shared) -> [Family; 4] {
    let mut half = Family::new("rocketmq_half_messages", Kind::Gauge, "Half messages without a verdict");
    let mut commits = Family::new(
        "rocketmq_commit_messages_total",
        Kind::Counter,
        "Half messages committed since the start",
    );
    let mut rollbacks = Family::new(
        "rocketmq_rollback_messages_total",
        Kind::Counter,
        "Half messages rolled back since the start",
    );
    let mut latency = Family::new(
        "rocketmq_finish_message_latency",
        Kind::Histogram,
        "Seconds from the birth of a half message to its commit",
    );
    let mut waiting: BTreeMap<ByteString, usize> = BTreeMap::new();
    for topic in shared.transactions().topics() {
        *waiting.entry(topic.clone()).or_default() += 1;
    }
    for topic in shared.topics().iter() {
        let labels = vec![("topic", topic.name().clone())];
        let Some(verdicts) = topic.traffic().verdicts() else { continue };
        let (committed, rolled_back) = (verdicts.commits.total(), verdicts.rollbacks.load(Ordering::Relaxed));
        // A topic whose half messages all have their verdicts stays in sight.
        waiting.entry(topic.name().clone()).or_default();
        if committed > 0 {
            let bounds = COMMIT_BOUNDS_S.iter().map(|bound| bound.number());
            latency.push_histogram(
                &labels,
                bounds,
                &verdicts.commits.counts(),
                verdicts.commits.sum().number(),
            );
        }
        commits.push(labels.clone(), committed);
        rollbacks.push(labels, rolled_back);
    }
    for (topic, count) in waiting {
        half.push(vec![("topic", topic)], count);
    }
    [half, commits, rollbacks, latency]
}

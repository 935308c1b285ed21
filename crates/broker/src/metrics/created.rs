//! How long operators waited for topics and groups.

use std::time::Duration;

use bytestring::ByteString;

use super::{Family, Histogram, Kind, Number, histogram::CREATION_BOUNDS_MS};
use crate::shared::Shared;

/// What operators created or changed.
#[derive(Debug, Default)]
pub(crate) struct Created {
    pub(crate) topics: Ended,
    pub(crate) groups: Ended,
}

/// How long it took, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    done: Times,
    failed: Times,
}

type Times = Histogram<{ CREATION_BOUNDS_MS.len() + 1 }>;

impl Ended {
    /// One took so long.
    pub(crate) fn count(&self, is_done: bool, took: Duration) {
        let times = if is_done { &self.done } else { &self.failed };
        times.record(&CREATION_BOUNDS_MS, took.as_millis() as u64);
    }

    fn push(&self, family: &mut Family) {
        for (status, times) in [("success", &self.done), ("failure", &self.failed)] {
            if times.total() > 0 {
                let labels = [("invocation_status", ByteString::from_static(status))];
                let bounds = CREATION_BOUNDS_MS.iter().map(|bound| bound.number());
                family.push_histogram(&labels, bounds, &times.counts(), times.sum().number());
            }
        }
    }
}

pub(super) fn created(shared: &Shared) -> [Family; 2] {
    let mut topics = Family::new(
        "rocketmq_topic_create_execution_time",
        Kind::Histogram,
        "Milliseconds in which topics were created or changed by operators",
    );
    let mut groups = Family::new(
        "rocketmq_consumer_group_create_execution_time",
        Kind::Histogram,
        "Milliseconds in which groups were created or changed by operators",
    );
    shared.created.topics.push(&mut topics);
    shared.created.groups.push(&mut groups);
    [topics, groups]
}

//! The tables of a broker of ours, made of Apache's.

use std::collections::BTreeMap;

use rocketwire_protocol::message::name::{SYSTEM_GROUP_PREFIX, TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC};
use serde::Serialize;

use super::config::Config;
use crate::delay::DelaySnapshot;
use crate::groups::GroupSnapshot;
use crate::offsets::OffsetSnapshot;
use crate::timer::TimerSnapshot;
use crate::topics::TopicSnapshot;
use crate::transaction::TransactionSnapshot;

/// Java looks at a timer message at least this often: after two days of `timerRollWindowSlot` seconds.
const ROLL_MS: i64 = 2 * 24 * 3600 * 1000;

/// Name and content of each table. `ends` are the ends of the queues that are there.
pub(super) fn of(config: &Config, ends: &BTreeMap<(String, i32), i64>) -> Vec<(&'static str, Vec<u8>)> {
    let delivered = config.delays.iter().map(|(level, next)| (*level, (*next).max(0))).collect();
    let committed = config.offsets.iter().map(|((group, topic), queues)| {
        // An offset behind the end would skip what comes next.
        let within = |(id, offset): (&i32, &i64)| {
            let end = ends.get(&(topic.clone(), *id)).copied().unwrap_or(0);
            (*id, (*offset).clamp(0, end))
        };
        (group.clone(), topic.clone(), queues.iter().map(within).collect())
    });
    let timers = config.timers.map(|timers| TimerSnapshot::of(timers.read_to, timers.taken_to_ms, ROLL_MS));
    vec![
        ("timers", json(&timers.unwrap_or_default())),
        ("topics", json(&TopicSnapshot::of(config.topics.values().cloned().collect()))),
        ("groups", json(&GroupSnapshot::of(config.groups.values().cloned().collect()))),
        ("offsets", json(&OffsetSnapshot::of(committed))),
        ("delays", json(&DelaySnapshot { delivered })),
        ("transactions", json(&transactions(config))),
    ]
}

/// Java keeps how far it has looked through half messages and verdicts as the offsets of a group of its own.
fn transactions(config: &Config) -> TransactionSnapshot {
    let group = format!("{SYSTEM_GROUP_PREFIX}TRANS");
    let of = |topic: &str| {
        let queues = config.offsets.get(&(group.clone(), topic.to_owned()));
        queues.and_then(|queues| queues.get(&0)).copied().unwrap_or(0).max(0)
    };
    TransactionSnapshot { half_from: of(TRANS_HALF_TOPIC), op_from: of(TRANS_OP_HALF_TOPIC) }
}

fn json<T: Serialize>(snapshot: &T) -> Vec<u8> {
    #[allow(clippy::expect_used)]
    // a snapshot is made of maps with integer or text keys, numbers and texts
    serde_json::to_vec(snapshot).expect("a snapshot is always representable as JSON")
}

//! How far behind groups are (Java: `ConsumerLagCalculator`).

use std::collections::BTreeMap;

use bytestring::ByteString;
use rocketwire_protocol::message::name;

use super::{Family, Kind, boolean};
use crate::shared::Shared;

/// Queues at most whose oldest waiting message is looked up for a latency; each can be a read from the disk.
const MAX_LOOKED_UP: usize = 1_024;

/// What waits for a group in a topic.
#[derive(Default)]
struct Waiting {
    lag: i64,
    in_flight: i64,
    ready: i64,
    /// Store time of the oldest message that is not consumed.
    oldest_ms: Option<i64>,
    /// The same of what is not pulled.
    oldest_ready_ms: Option<i64>,
}

pub(super) fn waiting(shared: &Shared) -> [Family; 5] {
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
    let mut queueing = Family::new(
        "rocketmq_consumer_queueing_latency",
        Kind::Gauge,
        "Age in milliseconds of the oldest message that a group has not pulled",
    );
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
        for (family, oldest, count) in [
            (&mut latency, waiting.oldest_ms, waiting.lag),
            (&mut queueing, waiting.oldest_ready_ms, waiting.ready),
        ] {
            match oldest {
                Some(oldest) => family.push(labels.clone(), (now - oldest).max(0)),
                None if count == 0 => family.push(labels.clone(), 0_i64),
                // Not looked up: no number is better than a wrong one.
                None => {}
            }
        }
    }
    [lag, latency, queueing, in_flight, ready]
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
            let time = |offset| shared.store.store_time(queue, offset).ok().flatten();
            let oldest = time(committed);
            let oldest_ready = match pulled {
                pulled if pulled >= bounds.max => None,
                pulled if pulled == committed => oldest,
                pulled => time(pulled),
            };
            waiting.oldest_ms = [waiting.oldest_ms, oldest].into_iter().flatten().min();
            waiting.oldest_ready_ms = [waiting.oldest_ready_ms, oldest_ready].into_iter().flatten().min();
        }
    }
    Some(waiting)
}

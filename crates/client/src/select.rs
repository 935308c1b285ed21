//! Which queue a message goes to (Java: `TopicPublishInfo`, `MQFaultStrategy`; spec client E.4, E.12).

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use rocketwire_protocol::body::MessageQueue;

use crate::{fault::FaultTable, route::PublishQueue};

/// Where the round robin of a topic stands; starts anywhere, so that many clients do not march in step.
#[derive(Debug)]
pub(crate) struct RoundRobin(AtomicU32);

impl RoundRobin {
    pub(crate) fn new(start: u32) -> RoundRobin {
        RoundRobin(AtomicU32::new(start))
    }

    fn next<'a>(&self, queues: &'a [PublishQueue]) -> Option<&'a PublishQueue> {
        let index = self.0.fetch_add(1, Ordering::Relaxed) as usize;
        queues.get(index.checked_rem(queues.len())?)
    }

    /// The next queue that passes, looking at each at most once.
    fn next_where<'a>(
        &self,
        queues: &'a [PublishQueue],
        passes: impl Fn(&PublishQueue) -> bool,
    ) -> Option<&'a PublishQueue> {
        (0..queues.len()).find_map(|_| self.next(queues).filter(|queue| passes(queue)))
    }
}

/// The queue of the next attempt: on another broker than `last_broker` if there is one, and with a table of
/// faults on one that is well. `None` only without queues.
pub(crate) fn choose<'a>(
    queues: &'a [PublishQueue],
    round_robin: &RoundRobin,
    last_broker: Option<&str>,
    faults: Option<(&FaultTable, Instant)>,
) -> Option<&'a PublishQueue> {
    let other = |queue: &PublishQueue| last_broker.is_none_or(|last| *queue.queue.broker_name != *last);
    let chosen = match faults {
        None => round_robin.next_where(queues, other),
        Some((table, now)) => {
            let available = |q: &PublishQueue| other(q) && table.is_available(&q.queue.broker_name, now);
            let reachable = |q: &PublishQueue| other(q) && table.is_reachable(&q.queue.broker_name);
            let first = round_robin.next_where(queues, available);
            first.or_else(|| round_robin.next_where(queues, reachable))
        }
    };
    chosen.or_else(|| round_robin.next(queues))
}

/// The queue for a key: the same one as long as the number of queues does not change
/// (Java: `SelectMessageQueueByHash`, with `String.hashCode`).
///
/// `None` without queues.
pub fn queue_by_hash<'a>(key: &str, queues: &'a [MessageQueue]) -> Option<&'a MessageQueue> {
    let hash =
        key.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let count = i32::try_from(queues.len()).ok()?;
    let index = hash.checked_rem(count)?.unsigned_abs();
    queues.get(index as usize)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queues(brokers: &[&str]) -> Vec<PublishQueue> {
        let queue = |(id, broker): (usize, &&str)| PublishQueue {
            queue: MessageQueue::new("T", *broker, id as i32),
            address: "127.0.0.1:10911".into(),
        };
        brokers.iter().enumerate().map(queue).collect()
    }

    fn id(queue: Option<&PublishQueue>) -> i32 {
        queue.expect("there are queues").queue.queue_id
    }

    #[test]
    fn goes_around_from_where_it_starts() {
        // spec: client 47
        let (queues, round_robin) = (queues(&["a", "a", "a"]), RoundRobin::new(u32::MAX));
        let ids: Vec<_> = (0..5).map(|_| id(choose(&queues, &round_robin, None, None))).collect();
        assert_eq!(ids, [0, 0, 1, 2, 0], "u32::MAX % 3 is 0, and the wrap does not panic");
    }

    #[test]
    fn a_retry_goes_to_another_broker() {
        // spec: client 43
        let queues = queues(&["a", "a", "b"]);
        for start in 0..6 {
            assert_eq!(id(choose(&queues, &RoundRobin::new(start), Some("a"), None)), 2);
        }
        let chosen = choose(&queues[..2], &RoundRobin::new(0), Some("a"), None);
        assert!(chosen.is_some(), "with one broker the retry goes to that one");
        assert!(choose(&[], &RoundRobin::new(0), None, None).is_none());
    }

    #[test]
    fn an_ailing_broker_is_avoided_while_another_is_well() {
        // spec: client 43 44
        let now = Instant::now();
        let queues = queues(&["a", "b"]);
        let mut table = FaultTable::default();
        table.update("a", Duration::ZERO, true, true, now);
        for start in 0..4 {
            assert_eq!(id(choose(&queues, &RoundRobin::new(start), None, Some((&table, now)))), 1);
        }
        // Both ail: the reachable one is better than the unreachable one.
        table.update("a", Duration::ZERO, true, false, now);
        table.update("b", Duration::ZERO, true, true, now);
        for start in 0..4 {
            assert_eq!(id(choose(&queues, &RoundRobin::new(start), None, Some((&table, now)))), 1);
        }
        table.update("b", Duration::ZERO, true, false, now);
        assert!(choose(&queues, &RoundRobin::new(0), None, Some((&table, now))).is_some());
    }

    #[test]
    fn without_the_table_faults_count_for_nothing() {
        // spec: client 45
        let queues = queues(&["a", "b"]);
        let ids = [0, 1].map(|start| id(choose(&queues, &RoundRobin::new(start), None, None)));
        assert_eq!(ids, [0, 1]);
    }

    #[test]
    fn a_key_keeps_its_queue() {
        let queues: Vec<_> = (0..7).map(|id| MessageQueue::new("T", "a", id)).collect();
        // "order-1".hashCode() is -1207111310 in Java, and -1207111310 % 7 is -6.
        assert_eq!(queue_by_hash("order-1", &queues).expect("queues").queue_id, 6);
        // Java's hash of this text is i32::MIN, whose absolute value does not exist.
        assert!(queue_by_hash("polygenelubricants", &queues).is_some());
        assert!(queue_by_hash("order-1", &[]).is_none());
    }
}

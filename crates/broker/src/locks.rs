//! Leases on queues for orderly consumers (Java: `RebalanceLockManager`; spec broker B.11).

use std::{collections::HashMap, time::Duration};

use bytestring::ByteString;
use rocketwire_protocol::body::MessageQueue;

/// Java: `rocketmq.broker.rebalance.lockMaxLiveTime`, 60 s.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// Who may consume which queue of which group. In memory only: a restart frees every queue. Times are those of
/// the broker's monotonic clock.
#[derive(Debug)]
pub(crate) struct Locks {
    groups: HashMap<ByteString, HashMap<MessageQueue, Lease>>,
    len: usize,
    limit: usize,
}

#[derive(Debug)]
struct Lease {
    client_id: ByteString,
    refreshed: Duration,
}

impl Lease {
    fn has_expired(&self, now: Duration) -> bool {
        now.saturating_sub(self.refreshed) > LEASE
    }
}

impl Locks {
    /// A table of at most `limit` leases.
    pub(crate) fn new(limit: usize) -> Self {
        Locks { groups: HashMap::new(), len: 0, limit }
    }

    /// Leases what is free, expired or the client's own, and tells which of `queues` it holds now.
    pub(crate) fn lock(
        &mut self,
        group: &ByteString,
        client_id: &ByteString,
        queues: impl IntoIterator<Item = MessageQueue>,
        now: Duration,
    ) -> Vec<MessageQueue> {
        let leases = self.groups.entry(group.clone()).or_default();
        let mut held = Vec::new();
        for queue in queues {
            match leases.get_mut(&queue) {
                Some(lease) if lease.client_id == *client_id => lease.refreshed = now,
                Some(lease) if lease.has_expired(now) => {
                    lease.client_id = client_id.clone();
                    lease.refreshed = now;
                }
                Some(_) => continue,
                None if self.len >= self.limit => continue,
                None => {
                    self.len += 1;
                    let lease = Lease { client_id: client_id.clone(), refreshed: now };
                    leases.insert(queue.clone(), lease);
                }
            }
            held.push(queue);
        }
        held
    }

    /// Frees those of `queues` that the client holds.
    pub(crate) fn unlock<'a>(
        &mut self,
        group: &str,
        client_id: &str,
        queues: impl IntoIterator<Item = &'a MessageQueue>,
    ) {
        let Some(leases) = self.groups.get_mut(group) else {
            return;
        };
        for queue in queues {
            if leases.get(queue).is_some_and(|lease| lease.client_id == *client_id) {
                leases.remove(queue);
                self.len -= 1;
            }
        }
        if leases.is_empty() {
            self.groups.remove(group);
        }
    }

    /// Whether the group holds any lease that has not expired: it consumes orderly (spec broker B.2 step 9).
    pub(crate) fn holds_any(&self, group: &str, now: Duration) -> bool {
        self.groups.get(group).is_some_and(|leases| leases.values().any(|lease| !lease.has_expired(now)))
    }

    /// Forgets expired leases.
    pub(crate) fn expire(&mut self, now: Duration) {
        self.groups.retain(|_, leases| {
            leases.retain(|_, lease| !lease.has_expired(now));
            !leases.is_empty()
        });
        self.len = self.groups.values().map(HashMap::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(id: i32) -> MessageQueue {
        MessageQueue { topic: "T".into(), broker_name: "broker-a".into(), queue_id: id }
    }

    #[test]
    fn a_lease_is_exclusive_reentrant_and_lasts_a_minute() {
        // spec: client 156
        let start = Duration::from_secs(1_000);
        let mut locks = Locks::new(100);
        let (g, a, b) = ("g".into(), "a".into(), "b".into());
        assert_eq!(locks.lock(&g, &a, [queue(0), queue(1)], start), [queue(0), queue(1)]);
        assert_eq!(locks.lock(&g, &b, [queue(1), queue(2)], start), [queue(2)]);

        let refreshed = start + Duration::from_secs(40);
        assert_eq!(locks.lock(&g, &a, [queue(0)], refreshed), [queue(0)]);
        let later = start + Duration::from_secs(61);
        assert_eq!(locks.lock(&g, &b, [queue(0), queue(1)], later), [queue(1)], "queue 0 was refreshed");
    }

    #[test]
    fn groups_do_not_see_each_other() {
        let now = Duration::from_secs(1_000);
        let mut locks = Locks::new(100);
        assert_eq!(locks.lock(&"g".into(), &"a".into(), [queue(0)], now).len(), 1);
        assert_eq!(locks.lock(&"h".into(), &"b".into(), [queue(0)], now).len(), 1);
    }

    #[test]
    fn only_the_holder_unlocks() {
        let now = Duration::from_secs(1_000);
        let mut locks = Locks::new(100);
        let (g, a, b) = ("g".into(), "a".into(), "b".into());
        locks.lock(&g, &a, [queue(0)], now);
        locks.unlock("g", "b", &[queue(0)]);
        assert!(locks.lock(&g, &b, [queue(0)], now).is_empty());
        locks.unlock("g", "a", &[queue(0)]);
        assert_eq!(locks.lock(&g, &b, [queue(0)], now).len(), 1);
    }

    #[test]
    fn a_group_is_orderly_while_a_lease_lives() {
        let start = Duration::from_secs(1_000);
        let mut locks = Locks::new(100);
        assert!(!locks.holds_any("g", start));
        locks.lock(&"g".into(), &"a".into(), [queue(0)], start);
        assert!(locks.holds_any("g", start + LEASE));
        let later = start + LEASE + Duration::from_millis(1);
        assert!(!locks.holds_any("g", later));
        locks.expire(later);
        assert_eq!(locks.len, 0);
    }

    #[test]
    fn the_table_is_bounded() {
        let now = Duration::from_secs(1_000);
        let mut locks = Locks::new(2);
        let held = locks.lock(&"g".into(), &"a".into(), (0..5).map(queue), now);
        assert_eq!(held.len(), 2);
    }
}

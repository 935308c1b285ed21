//! Which queues are whose in a group (spec client F.4).

mod consistent_hash;

use std::{collections::BTreeSet, fmt};

use rocketwire_protocol::body::MessageQueue;

pub use consistent_hash::ConsistentHash;

/// Shares the queues of a topic among the clients of a group.
///
/// Every client of the group computes this by itself, from the same sorted lists; so the result must depend on
/// nothing else, and all clients must use the same strategy.
pub trait AllocateStrategy: fmt::Debug + Send + Sync + 'static {
    /// The name in logs (Java: `getName`).
    fn name(&self) -> &str;

    /// The queues of `client_id`. `queues` and `clients` are sorted, not empty, and `client_id` is among them.
    fn allocate(&self, client_id: &str, queues: &[MessageQueue], clients: &[String]) -> Vec<MessageQueue>;
}

/// Runs a strategy on lists in any order. `None`: nothing can be said (a list is empty), keep what you have.
pub(crate) fn allocate(
    strategy: &dyn AllocateStrategy,
    client_id: &str,
    mut queues: Vec<MessageQueue>,
    mut clients: Vec<String>,
) -> Option<Vec<MessageQueue>> {
    if client_id.is_empty() || queues.is_empty() || clients.is_empty() {
        return None;
    }
    queues.sort();
    clients.sort();
    if clients.binary_search_by(|client| client.as_str().cmp(client_id)).is_err() {
        return Some(Vec::new());
    }
    Some(strategy.allocate(client_id, &queues, &clients))
}

/// Contiguous shares; the first clients have one queue more (Java: `AllocateMessageQueueAveragely`, the default).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Averagely;

impl AllocateStrategy for Averagely {
    fn name(&self) -> &str {
        "AVG"
    }

    fn allocate(&self, client_id: &str, queues: &[MessageQueue], clients: &[String]) -> Vec<MessageQueue> {
        let Some(index) = position(client_id, clients) else { return Vec::new() };
        let (share, rest) = (queues.len() / clients.len(), queues.len() % clients.len());
        let start = index * share + index.min(rest);
        let count = share + usize::from(index < rest);
        queues.iter().skip(start).take(count).cloned().collect()
    }
}

/// One queue to each client in turn (Java: `AllocateMessageQueueAveragelyByCircle`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AveragelyByCircle;

impl AllocateStrategy for AveragelyByCircle {
    fn name(&self) -> &str {
        "AVG_BY_CIRCLE"
    }

    fn allocate(&self, client_id: &str, queues: &[MessageQueue], clients: &[String]) -> Vec<MessageQueue> {
        let Some(index) = position(client_id, clients) else { return Vec::new() };
        queues.iter().skip(index).step_by(clients.len()).cloned().collect()
    }
}

/// A fixed list, whoever else is there (Java: `AllocateMessageQueueByConfig`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByConfig {
    /// The queues.
    pub queues: Vec<MessageQueue>,
}

impl AllocateStrategy for ByConfig {
    fn name(&self) -> &str {
        "CONFIG"
    }

    fn allocate(&self, _: &str, _: &[MessageQueue], _: &[String]) -> Vec<MessageQueue> {
        self.queues.clone()
    }
}

/// Queues of brokers named `room@name` in certain rooms (Java: `AllocateMessageQueueByMachineRoom`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByMachineRoom {
    /// The rooms.
    pub rooms: BTreeSet<String>,
}

impl AllocateStrategy for ByMachineRoom {
    fn name(&self) -> &str {
        "MACHINE_ROOM"
    }

    fn allocate(&self, client_id: &str, queues: &[MessageQueue], clients: &[String]) -> Vec<MessageQueue> {
        let Some(index) = position(client_id, clients) else { return Vec::new() };
        let here = |queue: &&MessageQueue| {
            let room = queue.broker_name.split_once('@').map(|(room, _)| room);
            room.is_some_and(|room| self.rooms.contains(room))
        };
        let here: Vec<&MessageQueue> = queues.iter().filter(here).collect();
        let (share, rest) = (here.len() / clients.len(), here.len() % clients.len());
        let own = here.iter().skip(index * share).take(share);
        let extra = here.get(clients.len() * share + index).filter(|_| index < rest);
        own.chain(extra).map(|queue| (*queue).clone()).collect()
    }
}

fn position(client_id: &str, clients: &[String]) -> Option<usize> {
    clients.iter().position(|client| client == client_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn queues(count: i32) -> Vec<MessageQueue> {
        (0..count).map(|id| MessageQueue::new("T", "broker-a", id)).collect()
    }

    pub(super) fn clients(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("10.0.0.{i}@1")).collect()
    }

    fn shares(strategy: &dyn AllocateStrategy, queue_count: i32, client_count: usize) -> Vec<Vec<i32>> {
        let ids = clients(client_count);
        let share = |id: &String| {
            let mine = allocate(strategy, id, queues(queue_count), ids.clone());
            mine.expect("lists are not empty").iter().map(|queue| queue.queue_id).collect()
        };
        ids.iter().map(share).collect()
    }

    #[test]
    fn averagely_is_contiguous_and_the_first_have_more() {
        // spec: client 76
        assert_eq!(shares(&Averagely, 8, 3), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        assert_eq!(shares(&Averagely, 4, 4), [vec![0], vec![1], vec![2], vec![3]]);
        assert_eq!(shares(&Averagely, 2, 3), [vec![0], vec![1], vec![]]);
        assert_eq!(shares(&Averagely, 5, 1), [vec![0, 1, 2, 3, 4]]);
    }

    #[test]
    fn circle_deals_them_out() {
        assert_eq!(shares(&AveragelyByCircle, 5, 2), [vec![0, 2, 4], vec![1, 3]]);
        assert_eq!(shares(&AveragelyByCircle, 1, 2), [vec![0], vec![]]);
    }

    #[test]
    fn every_queue_has_exactly_one_owner() {
        for (queue_count, client_count) in [(1, 1), (7, 2), (16, 5), (3, 8), (100, 7)] {
            for strategy in
                [&Averagely as &dyn AllocateStrategy, &AveragelyByCircle, &ConsistentHash::default()]
            {
                let mut all: Vec<i32> = shares(strategy, queue_count, client_count).concat();
                all.sort_unstable();
                let expected: Vec<i32> = (0..queue_count).collect();
                assert_eq!(all, expected, "{} {queue_count}/{client_count}", strategy.name());
            }
        }
    }

    #[test]
    fn the_order_of_the_lists_does_not_matter() {
        let mut shuffled = queues(8);
        shuffled.rotate_left(3);
        let mut ids = clients(3);
        ids.reverse();
        let mine = allocate(&Averagely, "10.0.0.0@1", shuffled, ids).expect("not empty");
        assert_eq!(mine, queues(8).into_iter().take(3).collect::<Vec<_>>());
    }

    #[test]
    fn a_client_that_is_not_listed_has_nothing() {
        assert_eq!(allocate(&Averagely, "stranger", queues(4), clients(2)), Some(vec![]));
        assert_eq!(allocate(&Averagely, "10.0.0.0@1", Vec::new(), clients(2)), None);
        assert_eq!(allocate(&Averagely, "10.0.0.0@1", queues(4), Vec::new()), None);
    }

    #[test]
    fn machine_room_takes_only_its_rooms_and_deals_out_the_rest() {
        let queue = |broker: &str, id| MessageQueue::new("T", broker, id);
        let all: Vec<_> = (0..5)
            .map(|id| queue("hz@a", id))
            .chain((0..3).map(|id| queue("sh@b", id)))
            .chain([queue("plain", 0)])
            .collect();
        let strategy = ByMachineRoom { rooms: ["hz".to_owned()].into() };
        let ids = |client: &str| {
            let mine = allocate(&strategy, client, all.clone(), clients(2)).expect("not empty");
            assert!(mine.iter().all(|queue| &*queue.broker_name == "hz@a"));
            mine.iter().map(|queue| queue.queue_id).collect::<Vec<_>>()
        };
        assert_eq!(ids("10.0.0.0@1"), [0, 1, 4]);
        assert_eq!(ids("10.0.0.1@1"), [2, 3]);
    }
}

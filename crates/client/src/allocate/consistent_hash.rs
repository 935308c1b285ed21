//! Consistent hashing (Java: `AllocateMessageQueueConsistentHash`, `ConsistentHashRouter`).

use std::collections::BTreeMap;

use rocketwire_protocol::body::MessageQueue;

use super::AllocateStrategy;
use crate::auth::digest::md5;

/// A ring of hashes: when a client comes or goes, few queues change hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsistentHash {
    /// Points of each client on the ring. Default 10; all clients of a group must have the same.
    pub virtual_nodes: usize,
}

impl Default for ConsistentHash {
    fn default() -> Self {
        ConsistentHash { virtual_nodes: 10 }
    }
}

impl AllocateStrategy for ConsistentHash {
    fn name(&self) -> &str {
        "CONSISTENT_HASH"
    }

    fn allocate(&self, client_id: &str, queues: &[MessageQueue], clients: &[String]) -> Vec<MessageQueue> {
        let mut ring = BTreeMap::new();
        for client in clients {
            for i in 0..self.virtual_nodes {
                ring.insert(hash(&format!("{client}-{i}")), client.as_str());
            }
        }
        let owner = |queue: &MessageQueue| {
            let at = hash(&queue.to_string());
            // The first point at or behind the hash, around the ring.
            ring.range(at..).next().or_else(|| ring.first_key_value()).map(|(_, client)| *client)
        };
        queues.iter().filter(|queue| owner(queue) == Some(client_id)).cloned().collect()
    }
}

/// The first four bytes of the MD5, unsigned, big-endian.
fn hash(text: &str) -> u32 {
    let [a, b, c, d, ..] = md5(text.as_bytes());
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::{
        super::{allocate, tests::*},
        *,
    };

    #[test]
    fn the_hash_is_the_head_of_an_md5() {
        // spec: client 77
        assert_eq!(hash("message digest"), 0xf96b_697d);
        let key = MessageQueue::new("T", "b", 3).to_string();
        assert_eq!(key, "MessageQueue [topic=T, brokerName=b, queueId=3]");
    }

    #[test]
    fn a_client_that_leaves_moves_only_its_own_queues() {
        // spec: client 77
        let share = |id: &str, ids: Vec<String>| {
            allocate(&ConsistentHash::default(), id, queues(64), ids).expect("not empty")
        };
        let (before, after) = (clients(4), clients(3));
        for id in &after {
            let old = share(id, before.clone());
            let new = share(id, after.clone());
            assert!(old.iter().all(|queue| new.contains(queue)), "{id} lost a queue although nobody came");
        }
        assert!(!share("10.0.0.3@1", before).is_empty(), "the test needs a client with queues to leave");
    }
}

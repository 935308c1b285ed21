use std::collections::HashMap;
use std::sync::Arc;

use super::{ByQueue, QueueId, QueueName};

/// Names to ids and back. A queue that goes with its topic leaves its place to another one, whose id is another.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_topic: HashMap<Arc<str>, Vec<(u32, QueueId)>>,
    names: ByQueue<Arc<QueueName>>,
    /// Ids that were never given out, for the places of queues that are gone.
    spare: Vec<QueueId>,
}

impl Registry {
    pub(crate) fn find(&self, topic: &str, queue_id: u32) -> Option<QueueId> {
        let queues = self.by_topic.get(topic)?;
        queues.iter().find(|(number, _)| *number == queue_id).map(|(_, id)| *id)
    }

    /// Gives the queue an id; it must not have one.
    pub(crate) fn add(&mut self, topic: &str, queue_id: u32) -> (QueueId, Arc<QueueName>) {
        let topic = match self.by_topic.get_key_value(topic) {
            Some((topic, _)) => topic.clone(),
            None => Arc::from(topic),
        };
        let id = self.spare.pop().unwrap_or_else(|| self.names.unused());
        self.by_topic.entry(topic.clone()).or_default().push((queue_id, id));
        let name = Arc::new(QueueName { topic, queue_id });
        self.names.insert(id, name.clone());
        (id, name)
    }

    pub(crate) fn name(&self, id: QueueId) -> Option<&Arc<QueueName>> {
        self.names.get(id)
    }

    /// All queues, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (QueueId, &Arc<QueueName>)> {
        self.names.iter()
    }

    pub(crate) fn queues_of(&self, topic: &str) -> impl Iterator<Item = QueueId> {
        self.by_topic.get(topic).into_iter().flatten().map(|(_, id)| *id)
    }

    /// Forgets the queues of a topic; their ids lead to nothing from now on.
    pub(crate) fn remove_topic(&mut self, topic: &str) -> Vec<QueueId> {
        let gone: Vec<QueueId> =
            self.by_topic.remove(topic).into_iter().flatten().map(|(_, id)| id).collect();
        for id in &gone {
            self.names.remove(*id);
            self.spare.extend(id.next_life());
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_come_and_go_take_the_same_places_and_never_the_same_ids() {
        let mut registry = Registry::default();
        let (kept, _) = registry.add("kept", 0);
        let mut seen = std::collections::HashSet::from([kept]);
        for n in 0..1_000 {
            let topic = format!("t{}", n % 3);
            for queue_id in 0..4 {
                let (id, name) = registry.add(&topic, queue_id);
                assert!(seen.insert(id), "{id:?} was given out before");
                assert_eq!((registry.name(id), registry.find(&topic, queue_id)), (Some(&name), Some(id)));
            }
            let gone = registry.remove_topic(&topic);
            assert_eq!(gone.len(), 4);
            assert!(gone.iter().all(|id| registry.name(*id).is_none()));
            assert_eq!(registry.find(&topic, 0), None);
        }
        assert_eq!((registry.names.places(), registry.spare.len(), registry.by_topic.len()), (5, 4, 1));
        assert_eq!(registry.iter().map(|(id, _)| id).collect::<Vec<_>>(), [kept]);
    }
}

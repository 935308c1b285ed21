use std::collections::HashMap;
use std::sync::Arc;

use super::{QueueId, QueueName};

/// Names to ids and back. Ids last as long as the store is open.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_topic: HashMap<Arc<str>, Vec<(u32, QueueId)>>,
    names: Vec<Arc<QueueName>>,
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
        let id = QueueId::at(self.names.len());
        self.by_topic.entry(topic.clone()).or_default().push((queue_id, id));
        let name = Arc::new(QueueName { topic, queue_id });
        self.names.push(name.clone());
        (id, name)
    }

    pub(crate) fn name(&self, id: QueueId) -> Option<&Arc<QueueName>> {
        self.names.get(id.index())
    }

    pub(crate) fn names(&self) -> &[Arc<QueueName>] {
        &self.names
    }

    pub(crate) fn queues_of(&self, topic: &str) -> impl Iterator<Item = QueueId> {
        self.by_topic.get(topic).into_iter().flatten().map(|(_, id)| *id)
    }
}

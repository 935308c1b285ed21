//! Changes of topics that nobody sees yet: first they are saved, then they are shown.

use std::{collections::BTreeMap, sync::Arc};

use bytestring::ByteString;
use rocketwire_protocol::body::{DataVersion, TopicConfig};

use super::{Topic, TopicError, TopicOrigin, TopicSnapshot, Topics, bump, open};

/// Topics that are new or changed, and not in the table yet.
#[derive(Debug)]
pub(crate) struct Staged<Q> {
    topics: BTreeMap<ByteString, Arc<Topic<Q>>>,
    /// How many of them the table does not have.
    new: usize,
    version: DataVersion,
    auto_created: usize,
}

impl<Q> Staged<Q> {
    /// Whether there is nothing to save.
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }
}

impl<Q: Copy> Topics<Q> {
    /// Begins with no change.
    pub(crate) fn stage(&self) -> Staged<Q> {
        let (version, auto_created) = (self.version.clone(), self.auto_created);
        Staged { topics: BTreeMap::new(), new: 0, version, auto_created }
    }

    /// Adds a topic, or another one's settings. Only an operator changes what is there. `queue` names a queue of the
    /// store.
    pub(crate) fn add(
        &self,
        staged: &mut Staged<Q>,
        config: TopicConfig,
        origin: TopicOrigin,
        now_ms: i64,
        queue: impl Fn(&str, u32) -> Q,
    ) -> Result<(), TopicError> {
        let before = staged.topics.get(&config.topic_name).or_else(|| self.table.get(&config.topic_name));
        if before.is_some() && origin != TopicOrigin::Operator {
            // Another request was faster.
            return Ok(());
        }
        self.check(&config)?;
        let is_new = before.is_none();
        if is_new {
            let topics = self.table.len() + staged.new;
            self.check_room(&config.topic_name, origin, topics, staged.auto_created)?;
        }
        let topic = open(config, before.map(|topic| &**topic), queue);
        staged.topics.insert(topic.name().clone(), Arc::new(topic));
        staged.new += usize::from(is_new);
        staged.auto_created += usize::from(origin == TopicOrigin::Sender);
        bump(&mut staged.version, now_ms);
        Ok(())
    }

    /// What is kept over a restart, with what nobody sees yet.
    pub(crate) fn snapshot_with(&self, staged: &Staged<Q>) -> TopicSnapshot {
        let mut topics = self.all();
        let changed = staged.topics.iter().map(|(name, topic)| (name.clone(), topic.config.clone()));
        topics.extend(changed);
        TopicSnapshot {
            topics: topics.into_values().collect(),
            version: staged.version.clone(),
            auto_created: staged.auto_created,
        }
    }

    /// What is kept over a restart, without a topic that everybody still sees.
    pub(crate) fn snapshot_without(&self, name: &str, now_ms: i64) -> TopicSnapshot {
        let mut snapshot = self.snapshot();
        let before = snapshot.topics.len();
        snapshot.topics.retain(|topic| topic.topic_name != *name);
        if snapshot.topics.len() < before {
            bump(&mut snapshot.version, now_ms);
            snapshot.auto_created = snapshot.auto_created.saturating_sub(1);
        }
        snapshot
    }

    /// Shows everybody what was staged, and names it. The table must not have changed since.
    pub(crate) fn publish(&mut self, staged: Staged<Q>) -> Vec<Arc<Topic<Q>>> {
        let topics: Vec<_> = staged.topics.into_values().collect();
        self.table.extend(topics.iter().map(|topic| (topic.name().clone(), Arc::clone(topic))));
        self.version = staged.version;
        self.auto_created = staged.auto_created;
        topics
    }
}

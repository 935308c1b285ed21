//! Topics by name.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytestring::ByteString;
use rocketwire_protocol::{
    body::{DataVersion, TopicConfig},
    message::name,
};
use serde::{Deserialize, Serialize};

use super::{PERM_INHERIT, PERM_READ, PERM_WRITE, Topic, UNIT_FLAG, new_config, open, unit_sub_flag};
use crate::planted::planted;

/// Topics by name.
#[derive(Debug)]
pub(crate) struct Topics<Q> {
    pub(super) table: HashMap<ByteString, Arc<Topic<Q>>>,
    pub(super) version: DataVersion,
    pub(super) auto_created: usize,
    pub(super) limits: TopicLimits,
}

/// Who wants a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopicOrigin {
    /// A producer, by sending to it.
    Sender,
    /// The broker: retry and dead-letter topics.
    Broker,
    /// An operator.
    Operator,
}

/// Bounds of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicLimits {
    /// Topics at most.
    pub(crate) topics: usize,
    /// Of them by sending.
    pub(crate) auto_created: usize,
    /// Queues of one.
    pub(crate) queues: i32,
}

/// What a sender to an unknown topic said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template<'a> {
    /// The topic whose settings are to be copied.
    pub(crate) default_topic: &'a str,
    /// Queues that the sender wants.
    pub(crate) queue_nums: i32,
    /// From the request.
    pub(crate) unit_mode: bool,
}

/// Why a topic cannot be created or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TopicError {
    /// The name or a number is none; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// The table is full.
    #[error("the broker has {0} topics, which is the limit; delete some, or raise max_topics")]
    TooMany(usize),
    /// Too many topics were created by sending to them. To the sender it is as if they were not.
    #[error(
        "topic[{0}] not exist, apply first please! {1} topics were created by sending to them, which is the limit \
         of max_auto_created_topics"
    )]
    TooManyBySending(ByteString, usize),
}

/// What is written to disk.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct TopicSnapshot {
    pub(super) topics: Vec<TopicConfig>,
    #[serde(default)]
    pub(super) version: DataVersion,
    #[serde(default)]
    pub(super) auto_created: usize,
}

impl TopicSnapshot {
    /// These topics, all of them made by operators.
    pub(crate) fn of(topics: Vec<TopicConfig>) -> TopicSnapshot {
        TopicSnapshot { topics, ..TopicSnapshot::default() }
    }
}

impl<Q: Copy> Topics<Q> {
    /// An empty table.
    pub(crate) fn new(limits: TopicLimits) -> Self {
        Topics { table: HashMap::new(), version: DataVersion::default(), auto_created: 0, limits }
    }

    /// A topic by name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Topic<Q>>> {
        self.table.get(name).cloned()
    }

    /// How a topic would look that is created by sending to it (spec broker B.3). `None`: it may not be.
    ///
    /// # Errors
    /// A bound is reached.
    pub(crate) fn templated(
        &self,
        name: &ByteString,
        template: Template<'_>,
    ) -> Result<Option<TopicConfig>, TopicError> {
        let base = self.table.get(template.default_topic).filter(|base| base.config.perm & PERM_INHERIT != 0);
        let is_retry = name::is_retry_topic(name);
        let sys_flag = match is_retry {
            true => unit_sub_flag(template.unit_mode),
            false => i32::from(template.unit_mode) * UNIT_FLAG,
        };
        let mut config = match base {
            Some(base) => {
                let queues = template.queue_nums.min(base.config.write_queue_nums).max(0);
                let mut config = new_config(name, queues, base.config.perm & !PERM_INHERIT);
                config.topic_filter_type = base.config.topic_filter_type;
                config
            }
            None if is_retry => new_config(name, 1, PERM_READ | PERM_WRITE),
            None => return Ok(None),
        };
        config.topic_sys_flag = sys_flag;
        self.check_room(name, TopicOrigin::Sender, self.table.len(), self.auto_created)?;
        Ok(Some(config))
    }

    /// Whether there is room for one more topic, when there are so many, and so many of them by sending.
    pub(super) fn check_room(
        &self,
        name: &ByteString,
        origin: TopicOrigin,
        topics: usize,
        auto_created: usize,
    ) -> Result<(), TopicError> {
        if topics >= self.limits.topics {
            return Err(TopicError::TooMany(self.limits.topics));
        }
        if origin == TopicOrigin::Sender && auto_created >= self.limits.auto_created {
            return Err(TopicError::TooManyBySending(name.clone(), self.limits.auto_created));
        }
        Ok(())
    }

    /// Creates a topic, or replaces its settings.
    pub(crate) fn update(
        &mut self,
        config: TopicConfig,
        now_ms: i64,
        queue: impl Fn(&str, u32) -> Q,
    ) -> Result<Arc<Topic<Q>>, TopicError> {
        let mut staged = self.stage();
        let name = config.topic_name.clone();
        self.add(&mut staged, config, TopicOrigin::Operator, now_ms, queue)?;
        self.publish(staged);
        self.find(&name).ok_or_else(|| TopicError::Invalid(format!("topic {name} was not kept")))
    }

    /// Forgets a topic.
    pub(crate) fn remove(&mut self, name: &str, now_ms: i64) -> Option<Arc<Topic<Q>>> {
        let removed = self.table.remove(name);
        if removed.is_some() {
            bump(&mut self.version, now_ms);
            // Who created it is not kept. Without this, a broker whose clients come and go with their topics would
            // refuse new ones for good.
            if !planted("a deleted topic counts for good") {
                self.auto_created = self.auto_created.saturating_sub(1);
            }
        }
        removed
    }

    /// All settings, sorted by name.
    pub(crate) fn all(&self) -> BTreeMap<ByteString, TopicConfig> {
        self.table.iter().map(|(name, topic)| (name.clone(), topic.config.clone())).collect()
    }

    /// All topics.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Topic<Q>>> {
        self.table.values()
    }

    /// Something that concerns all topics has changed.
    pub(crate) fn touch(&mut self, now_ms: i64) {
        bump(&mut self.version, now_ms);
    }

    /// Counts changes.
    pub(crate) fn version(&self) -> &DataVersion {
        &self.version
    }

    /// What is kept over a restart.
    pub(crate) fn snapshot(&self) -> TopicSnapshot {
        TopicSnapshot {
            topics: self.all().into_values().collect(),
            version: self.version.clone(),
            auto_created: self.auto_created,
        }
    }

    /// Takes a snapshot in. What no request could have brought is left out. Bounds are for what is new: a topic that was
    /// left out because of one would be gone for good with the next save, and its messages without a topic.
    pub(crate) fn restore(&mut self, snapshot: TopicSnapshot, queue: impl Fn(&str, u32) -> Q) {
        let is_number = |queues: i32| (0..=i32::from(u16::MAX)).contains(&queues);
        for config in snapshot.topics {
            let is_sound = is_number(config.read_queue_nums) && is_number(config.write_queue_nums);
            if is_sound && name::check_topic(&config.topic_name).is_ok() {
                let topic = open(config, None, &queue);
                self.table.insert(topic.name().clone(), Arc::new(topic));
            }
        }
        self.version = snapshot.version;
        self.auto_created = snapshot.auto_created;
    }

    /// Whether name and numbers are allowed.
    pub(super) fn check(&self, config: &TopicConfig) -> Result<(), TopicError> {
        name::check_topic(&config.topic_name).map_err(|error| TopicError::Invalid(error.to_string()))?;
        for (what, queues) in [("read", config.read_queue_nums), ("write", config.write_queue_nums)] {
            if !(0..=self.limits.queues).contains(&queues) {
                let limit = self.limits.queues;
                let text = format!(
                    "{queues} {what} queues are not between 0 and {limit}, the limit of max_topic_queues"
                );
                return Err(TopicError::Invalid(text));
            }
        }
        Ok(())
    }
}

/// Counts a change (Java: `DataVersion.nextVersion`).
pub(crate) fn bump(version: &mut DataVersion, now_ms: i64) {
    version.counter += 1;
    version.timestamp = now_ms;
}

//! The topics of the broker (Java: `TopicConfigManager`; spec broker B.3, B.17, C.9).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytestring::ByteString;
use rocketwire_protocol::{
    body::{DataVersion, TopicConfig},
    message::name::{
        self, AUTO_CREATE_TOPIC_KEY_TOPIC, BENCHMARK_TOPIC, OFFSET_MOVED_EVENT, SCHEDULE_TOPIC,
        SELF_TEST_TOPIC, TIMER_TOPIC, TRACE_TOPIC, TRANS_CHECK_MAX_TIME_TOPIC, TRANS_HALF_TOPIC,
        TRANS_OP_HALF_TOPIC,
    },
};
use serde::{Deserialize, Serialize};

use crate::{call::owned, meters::Meter, metrics::Traffic};

/// Messages may be read.
pub(crate) const PERM_READ: i32 = 4;
/// Messages may be sent.
pub(crate) const PERM_WRITE: i32 = 2;
/// The topic may be the template of another.
pub(crate) const PERM_INHERIT: i32 = 1;
const UNIT_FLAG: i32 = 1;
const UNIT_SUB_FLAG: i32 = 2;

/// A topic as the hot path needs it. `Q` is how the store names a queue.
#[derive(Debug)]
pub(crate) struct Topic<Q> {
    /// Its settings.
    pub(crate) config: TopicConfig,
    /// What was stored in it since the start.
    pub(crate) puts: Arc<Meter>,
    /// The store's queues by number, enough for reading and writing.
    queues: Vec<Q>,
    traffic: Arc<Traffic>,
}

impl<Q: Copy> Topic<Q> {
    /// The store's queue of a number, if there is one.
    pub(crate) fn queue(&self, queue_id: i32) -> Option<Q> {
        self.queues.get(usize::try_from(queue_id).ok()?).copied()
    }

    /// The topic's name.
    pub(crate) fn name(&self) -> &ByteString {
        &self.config.topic_name
    }

    /// What came in for it.
    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Whether messages may be sent.
    pub(crate) fn is_writable(&self) -> bool {
        self.config.perm & PERM_WRITE != 0
    }

    /// Whether messages may be pulled.
    pub(crate) fn is_readable(&self) -> bool {
        self.config.perm & PERM_READ != 0
    }

    /// Numbers of the queues that a pull may name.
    pub(crate) fn read_queues(&self) -> impl Iterator<Item = (i32, Q)> + '_ {
        (0..self.config.read_queue_nums).filter_map(|id| Some((id, self.queue(id)?)))
    }

    /// Every queue, whether it is for reading or writing.
    pub(crate) fn all_queues(&self) -> impl Iterator<Item = (i32, Q)> + '_ {
        (0..).zip(self.queues.iter().copied())
    }
}

/// Topics by name.
#[derive(Debug)]
pub(crate) struct Topics<Q> {
    table: HashMap<ByteString, Arc<Topic<Q>>>,
    version: DataVersion,
    auto_created: usize,
    limits: TopicLimits,
}

/// A topic that is not in the table yet.
#[derive(Debug)]
pub(crate) struct Prepared<Q> {
    topic: Arc<Topic<Q>>,
    version: DataVersion,
    auto_created: usize,
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
}

/// What is written to disk.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct TopicSnapshot {
    topics: Vec<TopicConfig>,
    #[serde(default)]
    version: DataVersion,
    #[serde(default)]
    auto_created: usize,
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
    pub(crate) fn templated(&self, name: &ByteString, template: Template<'_>) -> Option<TopicConfig> {
        if self.auto_created >= self.limits.auto_created {
            return None;
        }
        let base = self.table.get(template.default_topic).filter(|base| base.config.perm & PERM_INHERIT != 0);
        let is_retry = name::is_retry_topic(name);
        let sys_flag = match (template.unit_mode, is_retry) {
            (false, _) => 0,
            (true, false) => UNIT_FLAG,
            (true, true) => UNIT_SUB_FLAG,
        };
        match base {
            Some(base) => {
                let queues = template.queue_nums.min(base.config.write_queue_nums).max(0);
                let mut config = new_config(name, queues, base.config.perm & !PERM_INHERIT);
                config.topic_filter_type = base.config.topic_filter_type;
                config.topic_sys_flag = sys_flag;
                Some(config)
            }
            None if is_retry => {
                let mut config = new_config(name, 1, PERM_READ | PERM_WRITE);
                config.topic_sys_flag = sys_flag;
                Some(config)
            }
            None => None,
        }
    }

    /// How the table would be with a new topic, or another one's settings replaced; nobody sees it until it is
    /// [`publish`](Self::publish)ed. `queue` names a queue of the store.
    pub(crate) fn prepare(
        &self,
        config: TopicConfig,
        is_auto_created: bool,
        now_ms: i64,
        queue: impl Fn(&str, u32) -> Q,
    ) -> Result<Prepared<Q>, TopicError> {
        self.check(&config)?;
        let before = self.table.get(&config.topic_name);
        let puts = before.map(|topic| Arc::clone(&topic.puts)).unwrap_or_default();
        let traffic = before.map(|topic| Arc::clone(&topic.traffic)).unwrap_or_default();
        let topic = Arc::new(open(config, puts, traffic, queue));
        let mut version = self.version.clone();
        bump(&mut version, now_ms);
        Ok(Prepared { topic, version, auto_created: self.auto_created + usize::from(is_auto_created) })
    }

    /// What is kept over a restart, with a topic that nobody sees yet.
    pub(crate) fn snapshot_with(&self, prepared: &Prepared<Q>) -> TopicSnapshot {
        let mut topics = self.all();
        topics.insert(prepared.topic.name().clone(), prepared.topic.config.clone());
        TopicSnapshot {
            topics: topics.into_values().collect(),
            version: prepared.version.clone(),
            auto_created: prepared.auto_created,
        }
    }

    /// Shows a prepared topic to everybody. The table must not have changed since.
    pub(crate) fn publish(&mut self, prepared: Prepared<Q>) -> Arc<Topic<Q>> {
        let Prepared { topic, version, auto_created } = prepared;
        self.table.insert(topic.name().clone(), Arc::clone(&topic));
        self.version = version;
        self.auto_created = auto_created;
        topic
    }

    /// Creates a topic, or replaces its settings.
    pub(crate) fn update(
        &mut self,
        config: TopicConfig,
        now_ms: i64,
        queue: impl Fn(&str, u32) -> Q,
    ) -> Result<Arc<Topic<Q>>, TopicError> {
        let prepared = self.prepare(config, false, now_ms, queue)?;
        Ok(self.publish(prepared))
    }

    /// Forgets a topic.
    pub(crate) fn remove(&mut self, name: &str, now_ms: i64) -> Option<Arc<Topic<Q>>> {
        let removed = self.table.remove(name);
        if removed.is_some() {
            bump(&mut self.version, now_ms);
            // Who created it is not kept. Without this, a broker whose clients come and go with their topics would
            // refuse new ones for good.
            self.auto_created = self.auto_created.saturating_sub(1);
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

    /// Takes a snapshot in. What no request could have brought is left out.
    pub(crate) fn restore(&mut self, snapshot: TopicSnapshot, queue: impl Fn(&str, u32) -> Q) {
        for config in snapshot.topics {
            if self.check(&config).is_ok() {
                let topic = open(config, Arc::default(), Arc::default(), &queue);
                self.table.insert(topic.name().clone(), Arc::new(topic));
            }
        }
        self.version = snapshot.version;
        self.auto_created = snapshot.auto_created;
    }

    fn check(&self, config: &TopicConfig) -> Result<(), TopicError> {
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
        if self.table.len() >= self.limits.topics && !self.table.contains_key(&config.topic_name) {
            return Err(TopicError::TooMany(self.limits.topics));
        }
        Ok(())
    }
}

fn open<Q>(
    mut config: TopicConfig,
    puts: Arc<Meter>,
    traffic: Arc<Traffic>,
    queue: impl Fn(&str, u32) -> Q,
) -> Topic<Q> {
    config.topic_name = owned(&config.topic_name);
    let count = config.read_queue_nums.max(config.write_queue_nums);
    let queues = (0..u32::try_from(count).unwrap_or(0)).map(|id| queue(&config.topic_name, id)).collect();
    Topic { config, puts, queues, traffic }
}

/// Counts a change (Java: `DataVersion.nextVersion`).
pub(crate) fn bump(version: &mut DataVersion, now_ms: i64) {
    version.counter += 1;
    version.timestamp = now_ms;
}

/// A topic with as many queues for reading as for writing.
pub(crate) fn new_config(name: &str, queues: i32, perm: i32) -> TopicConfig {
    TopicConfig { perm, ..TopicConfig::new(name, queues, queues) }
}

/// The topics that exist from the start (spec broker C.9).
pub(crate) fn system_topics(
    cluster: &str,
    broker: &str,
    default_queues: i32,
    template: bool,
    trace: bool,
) -> Vec<TopicConfig> {
    const RW: i32 = PERM_READ | PERM_WRITE;
    const ALL: i32 = RW | PERM_INHERIT;
    let mut topics = vec![
        new_config(SELF_TEST_TOPIC, 1, RW),
        new_config(BENCHMARK_TOPIC, 1024, RW),
        new_config(cluster, 16, ALL),
        new_config(broker, 1, ALL),
        new_config(OFFSET_MOVED_EVENT, 1, RW),
        new_config(SCHEDULE_TOPIC, 18, RW),
        new_config(&format!("{cluster}_REPLY_TOPIC"), 1, RW),
        new_config(TRANS_HALF_TOPIC, 1, RW),
        new_config(TRANS_OP_HALF_TOPIC, 1, RW),
        new_config(TRANS_CHECK_MAX_TIME_TOPIC, 1, RW),
        new_config(TIMER_TOPIC, 1, RW),
        new_config(&format!("rmq_sys_REVIVE_LOG_{cluster}"), 8, RW),
        new_config(&format!("rmq_sys_SYNC_BROKER_MEMBER_{broker}"), 1, PERM_INHERIT),
    ];
    if template {
        topics.push(new_config(AUTO_CREATE_TOPIC_KEY_TOPIC, default_queues, ALL));
    }
    if trace {
        topics.push(new_config(TRACE_TOPIC, 1, RW));
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    const TBW102: &str = AUTO_CREATE_TOPIC_KEY_TOPIC;
    const LIMITS: TopicLimits = TopicLimits { topics: 50, auto_created: 2, queues: 1024 };

    fn queue(_: &str, id: u32) -> u32 {
        id
    }

    fn topics(template: bool) -> Topics<u32> {
        let mut topics = Topics::new(LIMITS);
        for config in system_topics("c", "b", 8, template, true) {
            topics.update(config, 1, queue).unwrap();
        }
        topics
    }

    fn auto_create(topics: &mut Topics<u32>, config: TopicConfig) {
        let prepared = topics.prepare(config, true, 1, queue).unwrap();
        topics.publish(prepared);
    }

    fn template(default_topic: &str, queue_nums: i32) -> Template<'_> {
        Template { default_topic, queue_nums, unit_mode: false }
    }

    #[test]
    fn a_new_topic_has_the_lesser_number_of_queues_and_does_not_inherit() {
        // spec: client 140
        let topics = topics(true);
        let config = topics.templated(&"T".into(), template(TBW102, 4)).unwrap();
        assert_eq!((config.read_queue_nums, config.write_queue_nums, config.perm), (4, 4, 6));
        let config = topics.templated(&"T".into(), template(TBW102, 100)).unwrap();
        assert_eq!(config.write_queue_nums, 8);
        let config = topics.templated(&"T".into(), template("c", 100)).unwrap();
        assert_eq!(config.write_queue_nums, 16, "the cluster's topic is a template, too");
    }

    #[test]
    fn without_a_template_there_is_no_new_topic() {
        // spec: client 141
        let mut topics = topics(false);
        assert!(topics.templated(&"T".into(), template(TBW102, 4)).is_none());
        topics.update(new_config("plain", 4, 6), 1, queue).unwrap();
        assert!(topics.templated(&"T".into(), template("plain", 4)).is_none(), "it has no inherit bit");
        let retry = topics.templated(&"%RETRY%g".into(), template("plain", 4)).unwrap();
        assert_eq!((retry.read_queue_nums, retry.perm), (1, 6));
    }

    #[test]
    fn a_deleted_topic_makes_room_for_another() {
        let mut topics = topics(true);
        for round in 0..3 {
            let name = format!("T{round}").into();
            let config = topics.templated(&name, template(TBW102, 4)).unwrap();
            auto_create(&mut topics, config);
            topics.remove(&name, 1).unwrap();
        }
    }

    #[test]
    fn a_prepared_topic_is_in_the_snapshot_and_nowhere_else() {
        let mut topics = topics(true);
        let before = topics.version().clone();
        let prepared = topics.prepare(new_config("T", 4, 6), true, 2, queue).unwrap();
        assert!(topics.find("T").is_none() && *topics.version() == before);
        let mut restarted = Topics::new(LIMITS);
        restarted.restore(topics.snapshot_with(&prepared), queue);
        topics.publish(prepared);
        assert_eq!(topics.all(), restarted.all());
        assert_eq!((topics.version(), topics.auto_created), (restarted.version(), restarted.auto_created));
        assert_ne!(*topics.version(), before);
    }

    #[test]
    fn unit_mode_sets_its_flag() {
        let topics = topics(true);
        let unit = Template { unit_mode: true, ..template(TBW102, 4) };
        assert_eq!(topics.templated(&"T".into(), unit).unwrap().topic_sys_flag, 1);
        assert_eq!(topics.templated(&"%RETRY%g".into(), unit).unwrap().topic_sys_flag, 2);
    }

    #[test]
    fn queues_exist_for_reading_and_writing() {
        let mut topics = topics(true);
        let mut config = new_config("T", 2, 6);
        config.write_queue_nums = 3;
        let topic = topics.update(config, 1, queue).unwrap();
        assert_eq!(topic.queue(2), Some(2));
        assert_eq!(topic.queue(3), None);
        assert_eq!(topic.queue(-1), None);
        assert_eq!(topic.read_queues().count(), 2);
        assert_eq!(topic.all_queues().count(), 3);
        assert!(topic.is_readable() && topic.is_writable());
    }

    #[test]
    fn bad_names_and_numbers_are_refused() {
        let mut topics = topics(true);
        for name in ["../x", "a/b", "a\0", "", &"t".repeat(128)] {
            assert!(
                matches!(topics.update(new_config(name, 1, 6), 1, queue), Err(TopicError::Invalid(_))),
                "{name:?}"
            );
        }
        for queues in [-1, 1025, i32::MAX] {
            assert!(matches!(
                topics.update(new_config("T", queues, 6), 1, queue),
                Err(TopicError::Invalid(_))
            ));
        }
        assert!(topics.find("T").is_none());
    }

    #[test]
    fn names_that_differ_by_case_are_different_topics() {
        let mut topics = topics(true);
        topics.update(new_config("a", 1, 6), 1, queue).unwrap();
        topics.update(new_config("A", 2, 6), 1, queue).unwrap();
        assert_eq!(topics.find("a").unwrap().config.read_queue_nums, 1);
        assert_eq!(topics.find("A").unwrap().config.read_queue_nums, 2);
    }

    #[test]
    fn automatic_creation_is_bounded() {
        let mut topics = topics(true);
        for name in ["A", "B"] {
            let config = topics.templated(&name.into(), template(TBW102, 4)).unwrap();
            auto_create(&mut topics, config);
        }
        assert!(topics.templated(&"C".into(), template(TBW102, 4)).is_none());
        topics.update(new_config("C", 4, 6), 1, queue).unwrap();
        let room = LIMITS.topics - topics.all().len();
        for n in 0..room {
            topics.update(new_config(&format!("more{n}"), 1, 6), 1, queue).unwrap();
        }
        let refused = topics.update(new_config("one-more", 1, 6), 1, queue);
        assert_eq!(refused.map(drop), Err(TopicError::TooMany(50)));
        assert!(topics.update(new_config("C", 5, 6), 1, queue).is_ok(), "a change is not a new topic");
    }

    #[test]
    fn a_snapshot_comes_back() {
        let mut topics = topics(true);
        let config = topics.templated(&"T".into(), template(TBW102, 4)).unwrap();
        auto_create(&mut topics, config);
        let text = serde_json::to_vec(&topics.snapshot()).unwrap();
        let mut back = Topics::new(LIMITS);
        back.restore(serde_json::from_slice(&text).unwrap(), queue);
        assert_eq!(back.all(), topics.all());
        assert_eq!(back.auto_created, 1);
        assert_eq!(back.version(), topics.version());
        assert!(back.remove("T", 2).is_some());
        assert!(back.find("T").is_none());
    }
}

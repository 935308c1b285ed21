//! Settings of consumer groups (Java: `SubscriptionGroupManager`; spec broker B.17).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytestring::ByteString;
use rocketwire_protocol::{
    body::{DataVersion, SubscriptionGroupConfig},
    message::name,
};
use serde::{Deserialize, Serialize};

use crate::call::owned;

/// Settings by group.
#[derive(Debug)]
pub(crate) struct Groups {
    table: HashMap<ByteString, Arc<SubscriptionGroupConfig>>,
    /// Topics that groups may not read, by group.
    forbidden: BTreeMap<ByteString, BTreeSet<ByteString>>,
    version: DataVersion,
    auto_create: bool,
    limit: usize,
}

/// Why a group cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GroupError {
    /// The name is none; the text is the validator's.
    #[error("{0}")]
    Name(String),
    /// The group does not exist and may not be created.
    #[error("the group does not exist")]
    Unknown,
    /// The table is full.
    #[error("the broker has {limit} consumer groups, which is the limit; delete some, or raise max_groups")]
    TooMany {
        /// How many groups may exist.
        limit: usize,
    },
}

/// What is written to disk.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct GroupSnapshot {
    groups: Vec<SubscriptionGroupConfig>,
    #[serde(default)]
    version: DataVersion,
    #[serde(default)]
    forbidden: BTreeMap<ByteString, BTreeSet<ByteString>>,
}

impl GroupSnapshot {
    /// These groups.
    pub(crate) fn of(groups: Vec<SubscriptionGroupConfig>) -> GroupSnapshot {
        GroupSnapshot { groups, ..GroupSnapshot::default() }
    }
}

impl Groups {
    /// An empty table of at most `limit` groups.
    pub(crate) fn new(auto_create: bool, limit: usize) -> Groups {
        Groups {
            table: HashMap::new(),
            forbidden: BTreeMap::new(),
            version: DataVersion::default(),
            auto_create,
            limit,
        }
    }

    /// A group's settings. System groups always exist.
    pub(crate) fn find(&self, group: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        match self.table.get(group) {
            Some(config) => Some(Arc::clone(config)),
            None if name::is_system_group(group) => Some(Arc::new(SubscriptionGroupConfig::new(group))),
            None => None,
        }
    }

    /// A group's settings; creates them with Java's defaults where that is allowed. The flag: they are new.
    pub(crate) fn find_or_create(
        &mut self,
        group: &ByteString,
        now_ms: i64,
    ) -> Result<(Arc<SubscriptionGroupConfig>, bool), GroupError> {
        if let Some(config) = self.find(group) {
            return Ok((config, false));
        }
        if !self.auto_create {
            return Err(GroupError::Unknown);
        }
        self.update(SubscriptionGroupConfig::new(group.clone()), now_ms)?;
        self.find(group).map(|config| (config, true)).ok_or(GroupError::Unknown)
    }

    /// Creates or replaces a group.
    pub(crate) fn update(
        &mut self,
        mut config: SubscriptionGroupConfig,
        now_ms: i64,
    ) -> Result<(), GroupError> {
        name::check_group(&config.group_name).map_err(|error| GroupError::Name(error.to_string()))?;
        if self.table.len() >= self.limit && !self.table.contains_key(&config.group_name) {
            return Err(GroupError::TooMany { limit: self.limit });
        }
        config.group_name = owned(&config.group_name);
        self.table.insert(config.group_name.clone(), Arc::new(config));
        crate::topics::bump(&mut self.version, now_ms);
        Ok(())
    }

    /// Forgets a group; tells whether it was there.
    pub(crate) fn remove(&mut self, group: &str, now_ms: i64) -> bool {
        let removed = self.table.remove(group).is_some();
        if self.forbidden.remove(group).is_some() || removed {
            crate::topics::bump(&mut self.version, now_ms);
        }
        removed
    }

    /// Whether a group may not read a topic.
    pub(crate) fn is_forbidden(&self, group: &str, topic: &str) -> bool {
        self.forbidden.get(group).is_some_and(|topics| topics.contains(topic))
    }

    /// Forbids a group to read a topic, or allows it again.
    pub(crate) fn forbid(&mut self, group: &ByteString, topic: &ByteString, is_forbidden: bool, now_ms: i64) {
        if is_forbidden {
            self.forbidden.entry(owned(group)).or_default().insert(owned(topic));
        } else if let Some(topics) = self.forbidden.get_mut(group) {
            topics.remove(topic);
        }
        self.forbidden.retain(|_, topics| !topics.is_empty());
        crate::topics::bump(&mut self.version, now_ms);
    }

    /// What groups may not do, as Java writes it: bit 0 is reading.
    pub(crate) fn forbidden(&self) -> BTreeMap<ByteString, BTreeMap<ByteString, i32>> {
        let bits = |topics: &BTreeSet<ByteString>| topics.iter().map(|topic| (topic.clone(), 1)).collect();
        self.forbidden.iter().map(|(group, topics)| (group.clone(), bits(topics))).collect()
    }

    /// All groups, sorted by name.
    pub(crate) fn all(&self) -> BTreeMap<ByteString, SubscriptionGroupConfig> {
        self.table.iter().map(|(name, config)| (name.clone(), (**config).clone())).collect()
    }

    /// All groups, and those of the system that Java's brokers begin with.
    pub(crate) fn listed(&self) -> BTreeMap<ByteString, SubscriptionGroupConfig> {
        let mut all = self.all();
        for group in name::FIRST_GROUPS {
            let group = ByteString::from_static(group);
            all.entry(group.clone()).or_insert_with(|| SubscriptionGroupConfig::new(group));
        }
        all
    }

    /// Counts changes.
    pub(crate) fn version(&self) -> &DataVersion {
        &self.version
    }

    /// Counts changes since the start; a larger number is a later state.
    pub(crate) fn changes(&self) -> u64 {
        u64::try_from(self.version.counter).unwrap_or(0)
    }

    /// What is kept over a restart.
    pub(crate) fn snapshot(&self) -> GroupSnapshot {
        GroupSnapshot {
            groups: self.all().into_values().collect(),
            version: self.version.clone(),
            forbidden: self.forbidden.clone(),
        }
    }

    /// Takes a snapshot in. Names that no request could have brought are left out.
    pub(crate) fn restore(&mut self, snapshot: GroupSnapshot) {
        let valid =
            snapshot.groups.into_iter().filter(|config| name::check_group(&config.group_name).is_ok());
        self.table = valid.map(|config| (config.group_name.clone(), Arc::new(config))).collect();
        self.version = snapshot.version;
        self.forbidden = snapshot.forbidden;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_appear_with_javas_defaults_where_allowed() {
        let mut groups = Groups::new(true, 10);
        let (config, is_new) = groups.find_or_create(&"g".into(), 1).unwrap();
        assert!(is_new);
        assert_eq!((config.retry_max_times, config.retry_queue_nums), (16, 1));
        assert!(config.consume_enable && config.notify_consumer_ids_changed_enable);
        assert!(!groups.find_or_create(&"g".into(), 1).unwrap().1);

        let mut strict = Groups::new(false, 10);
        assert_eq!(strict.find_or_create(&"g".into(), 1).unwrap_err(), GroupError::Unknown);
        assert!(strict.find("TOOLS_CONSUMER").is_some(), "system groups always exist");
        assert!(strict.all().is_empty() && strict.listed().contains_key("CID_RMQ_SYS_TRANS"));
    }

    #[test]
    fn bad_names_and_full_tables_are_refused() {
        let mut groups = Groups::new(true, 1);
        assert!(matches!(groups.find_or_create(&"a/b".into(), 1), Err(GroupError::Name(_))));
        assert!(matches!(groups.find_or_create(&"".into(), 1), Err(GroupError::Name(_))));
        assert!(matches!(groups.find_or_create(&"g".repeat(121).into(), 1), Err(GroupError::Name(_))));
        groups.find_or_create(&"g".into(), 1).unwrap();
        assert_eq!(groups.find_or_create(&"h".into(), 1).unwrap_err(), GroupError::TooMany { limit: 1 });
    }

    #[test]
    fn a_snapshot_comes_back() {
        let mut groups = Groups::new(true, 10);
        groups.find_or_create(&"g".into(), 1).unwrap();
        let mut config = (*groups.find("g").unwrap()).clone();
        config.retry_max_times = 3;
        groups.update(config, 2).unwrap();
        let text = serde_json::to_vec(&groups.snapshot()).unwrap();
        let mut back = Groups::new(true, 10);
        back.restore(serde_json::from_slice(&text).unwrap());
        assert_eq!(back.find("g").unwrap().retry_max_times, 3);
        assert_eq!(back.version(), groups.version());
        assert!(back.remove("g", 3));
        assert!(back.find("g").is_none());
        assert!(!back.remove("g", 3));
    }
}

//! Who is connected (Java: `ProducerManager`, `ConsumerManager`, `ConsumerGroupInfo`; spec broker B.8).
//!
//! A member is a connection that named a group in a heartbeat. It goes when it unregisters, when its
//! connection closes (some clients know no other way), or when it has been silent for the expiry.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytestring::ByteString;
use rocketwire_protocol::{
    LanguageCode, Version,
    body::{ConsumeFromWhere, ConsumeType, ConsumerData, HeartbeatData, MessageModel, SubscriptionData},
};

use crate::filter::{Filter, FilterError};

/// Producers and consumers by group. `C` is what reaches a client: its connection.
#[derive(Debug)]
pub(crate) struct Clients<C> {
    producers: HashMap<ByteString, BTreeMap<u64, Member<C>>>,
    consumers: HashMap<ByteString, ConsumerGroup<C>>,
    /// Groups by connection, so that closing one does not look at every group.
    presence: HashMap<u64, Presence>,
    limit: usize,
    turn: u64,
}

#[derive(Debug, Default)]
struct Presence {
    producers: HashSet<ByteString>,
    consumers: HashSet<ByteString>,
}

/// A connection in a group.
#[derive(Clone, Debug)]
pub(crate) struct Member<C> {
    /// The id that the client gave itself.
    pub(crate) client_id: ByteString,
    /// From its heartbeat.
    pub(crate) language: LanguageCode,
    /// From its heartbeat.
    pub(crate) version: Version,
    /// When it was last heard of.
    pub(crate) seen: Duration,
    /// How to reach it.
    pub(crate) channel: C,
}

/// Who sent a heartbeat.
#[derive(Debug)]
pub(crate) struct Heartbeat<C> {
    /// The connection's number.
    pub(crate) connection: u64,
    /// From the request.
    pub(crate) language: LanguageCode,
    /// From the request.
    pub(crate) version: Version,
    /// How to reach the client.
    pub(crate) channel: C,
}

/// The consumers of a group and what they subscribed to.
#[derive(Debug)]
pub(crate) struct ConsumerGroup<C> {
    /// By connection.
    pub(crate) members: BTreeMap<u64, Member<C>>,
    /// By topic.
    pub(crate) subscriptions: BTreeMap<ByteString, Arc<Subscription>>,
    /// How the group consumes, by its latest heartbeat.
    pub(crate) consume_type: ConsumeType,
    /// Shared or each for itself.
    pub(crate) message_model: MessageModel,
    /// Where a new group begins.
    pub(crate) consume_from_where: ConsumeFromWhere,
    fingerprint: i32,
}

/// A subscription and its compiled form.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// As the client sent it.
    pub(crate) data: SubscriptionData,
    filter: OnceLock<Result<Filter, FilterError>>,
}

impl Subscription {
    fn new(data: SubscriptionData) -> Subscription {
        Subscription { data, filter: OnceLock::new() }
    }

    /// The expression, compiled when it is first needed.
    ///
    /// Its text decides, not the client's hashes of it: Go hashes other bytes than Java, and the C++ client sends
    /// zeros.
    pub(crate) fn filter(&self) -> Result<&Filter, &FilterError> {
        let compile = || Filter::compile(Some(&self.data.expression_type), &self.data.sub_string);
        self.filter.get_or_init(compile).as_ref()
    }
}

/// A group whose membership or topics changed, and whom to tell (request 40).
#[derive(Debug)]
pub(crate) struct Changed<C> {
    /// The group.
    pub(crate) group: ByteString,
    /// Every member that is left or new. Empty for broadcasting groups: there is nothing to share out.
    pub(crate) members: Vec<C>,
}

/// The table of groups is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// How many groups may exist.
    pub(crate) limit: usize,
}

impl<C: Clone> Clients<C> {
    /// A registry of at most `limit` groups of each kind.
    pub(crate) fn new(limit: usize) -> Self {
        Clients {
            producers: HashMap::new(),
            consumers: HashMap::new(),
            presence: HashMap::new(),
            limit,
            turn: 0,
        }
    }

    /// Takes in the producer groups of a heartbeat.
    pub(crate) fn register_producers(
        &mut self,
        from: &Heartbeat<C>,
        data: &HeartbeatData,
        now: Duration,
    ) -> Result<(), TooMany> {
        for producer in &data.producer_data_set {
            let group = &producer.group_name;
            if self.producers.len() >= self.limit && !self.producers.contains_key(group) {
                return Err(TooMany { limit: self.limit });
            }
            let member = member(from, &data.client_id, now);
            self.producers.entry(group.clone()).or_default().insert(from.connection, member);
            self.presence.entry(from.connection).or_default().producers.insert(group.clone());
        }
        Ok(())
    }

    /// Takes in one consumer group of a heartbeat, and tells whether its members must rebalance.
    pub(crate) fn register_consumer(
        &mut self,
        from: &Heartbeat<C>,
        heartbeat: &HeartbeatData,
        data: &ConsumerData,
        now: Duration,
    ) -> Result<Option<Changed<C>>, TooMany> {
        let name = &data.group_name;
        let groups = self.consumers.len();
        let group = match self.consumers.entry(name.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if groups >= self.limit => return Err(TooMany { limit: self.limit }),
            Entry::Vacant(entry) => entry.insert(ConsumerGroup {
                members: BTreeMap::new(),
                subscriptions: BTreeMap::new(),
                consume_type: data.consume_type,
                message_model: data.message_model,
                consume_from_where: data.consume_from_where,
                fingerprint: 0,
            }),
        };
        group.consume_type = data.consume_type;
        group.message_model = data.message_model;
        group.consume_from_where = data.consume_from_where;
        let is_new = group.members.insert(from.connection, member(from, &heartbeat.client_id, now)).is_none();
        let topics_changed = !heartbeat.without_sub && group.subscribe(&data.subscription_data_set);
        self.presence.entry(from.connection).or_default().consumers.insert(name.clone());
        Ok((is_new || topics_changed).then(|| group.changed(name)))
    }

    /// Remembers a group's fingerprint of heartbeat V2; tells whether it had another one.
    pub(crate) fn update_fingerprint(&mut self, group: &str, fingerprint: i32) -> bool {
        let Some(group) = self.consumers.get_mut(group) else {
            return false;
        };
        let before = std::mem::replace(&mut group.fingerprint, fingerprint);
        before != 0 && before != fingerprint
    }

    /// Whether nobody has said yet what a group subscribes to.
    pub(crate) fn has_no_subscription(&self, group: &str) -> bool {
        self.consumers.get(group).is_none_or(|group| group.subscriptions.is_empty())
    }

    /// Takes a connection out of a producer group.
    pub(crate) fn unregister_producer(&mut self, connection: u64, group: &str) {
        if let Some(members) = self.producers.get_mut(group) {
            members.remove(&connection);
            if members.is_empty() {
                self.producers.remove(group);
            }
        }
        self.forget(connection, |presence| presence.producers.remove(group));
    }

    /// Takes a connection out of a consumer group.
    pub(crate) fn unregister_consumer(&mut self, connection: u64, group: &str) -> Option<Changed<C>> {
        self.forget(connection, |presence| presence.consumers.remove(group));
        let (name, mut entry) = self.consumers.remove_entry(group)?;
        let removed = entry.members.remove(&connection).is_some();
        if entry.members.is_empty() {
            return None;
        }
        let changed = removed.then(|| entry.changed(&name));
        self.consumers.insert(name, entry);
        changed
    }

    /// Takes a closed connection out of all its groups.
    pub(crate) fn connection_closed(&mut self, connection: u64) -> Vec<Changed<C>> {
        let Some(presence) = self.presence.remove(&connection) else {
            return Vec::new();
        };
        for group in &presence.producers {
            self.unregister_producer(connection, group);
        }
        presence.consumers.iter().filter_map(|group| self.unregister_consumer(connection, group)).collect()
    }

    /// Takes out every member that was silent for longer than `expiry`.
    pub(crate) fn expire(&mut self, now: Duration, expiry: Duration) -> Vec<Changed<C>> {
        let is_silent = |member: &Member<C>| now.saturating_sub(member.seen) > expiry;
        let producers: Vec<_> = self
            .producers
            .iter()
            .flat_map(|(group, members)| {
                members.iter().filter(|(_, m)| is_silent(m)).map(|(id, _)| (*id, group.clone()))
            })
            .collect();
        let consumers: Vec<_> = self
            .consumers
            .iter()
            .flat_map(|(name, group)| {
                group.members.iter().filter(|(_, m)| is_silent(m)).map(|(id, _)| (*id, name.clone()))
            })
            .collect();
        for (connection, group) in &producers {
            self.unregister_producer(*connection, group);
        }
        consumers
            .iter()
            .filter_map(|(connection, group)| self.unregister_consumer(*connection, group))
            .collect()
    }

    /// A consumer group with at least one member.
    pub(crate) fn consumer_group(&self, group: &str) -> Option<&ConsumerGroup<C>> {
        self.consumers.get(group)
    }

    /// Names of all consumer groups with members.
    pub(crate) fn consumer_groups(&self) -> impl Iterator<Item = (&ByteString, &ConsumerGroup<C>)> {
        self.consumers.iter()
    }

    /// A consumer by group and client id.
    pub(crate) fn consumer(&self, group: &str, client_id: &str) -> Option<&Member<C>> {
        self.consumers.get(group)?.members.values().find(|member| member.client_id == *client_id)
    }

    /// The members of a producer group.
    pub(crate) fn producers(&self, group: &str) -> Option<impl Iterator<Item = &Member<C>>> {
        self.producers.get(group).map(|members| members.values())
    }

    /// All producer groups.
    pub(crate) fn producer_groups(
        &self,
    ) -> impl Iterator<Item = (&ByteString, impl Iterator<Item = &Member<C>>)> {
        self.producers.iter().map(|(group, members)| (group, members.values()))
    }

    /// The members of a producer group in turn, for transaction checks.
    pub(crate) fn next_producer(&mut self, group: &str) -> Option<C> {
        let members = self.producers.get(group)?;
        self.turn = self.turn.wrapping_add(1);
        let index = usize::try_from(self.turn % members.len().max(1) as u64).unwrap_or_default();
        members.values().nth(index).map(|member| member.channel.clone())
    }

    /// A producer by client id, in whatever group: who waits for a reply.
    pub(crate) fn producer_by_client_id(&self, client_id: &str) -> Option<&Member<C>> {
        self.producers.values().flat_map(BTreeMap::values).find(|member| member.client_id == *client_id)
    }

    /// Connections that are members of something.
    pub(crate) fn connections(&self) -> usize {
        self.presence.len()
    }

    fn forget(&mut self, connection: u64, remove: impl FnOnce(&mut Presence) -> bool) {
        if let Some(presence) = self.presence.get_mut(&connection) {
            remove(presence);
            if presence.producers.is_empty() && presence.consumers.is_empty() {
                self.presence.remove(&connection);
            }
        }
    }
}

impl<C: Clone> ConsumerGroup<C> {
    /// Replaces what is newer and removes what is absent; tells whether the set of topics changed.
    ///
    /// Two clients of one group that subscribe to different topics take them from each other, as in Java.
    fn subscribe(&mut self, subscriptions: &[SubscriptionData]) -> bool {
        let mut changed = false;
        for data in subscriptions {
            let known = self.subscriptions.get(&data.topic).map(|known| known.data.sub_version);
            changed |= known.is_none();
            if known.is_none_or(|version| data.sub_version > version) {
                self.subscriptions.insert(data.topic.clone(), Arc::new(Subscription::new(data.clone())));
            }
        }
        let before = self.subscriptions.len();
        let named: HashSet<&ByteString> = subscriptions.iter().map(|data| &data.topic).collect();
        self.subscriptions.retain(|topic, _| named.contains(topic));
        changed || self.subscriptions.len() != before
    }

    fn changed(&self, group: &ByteString) -> Changed<C> {
        let members = match self.message_model {
            MessageModel::Broadcasting => Vec::new(),
            _ => self.members.values().map(|member| member.channel.clone()).collect(),
        };
        Changed { group: group.clone(), members }
    }
}

fn member<C: Clone>(from: &Heartbeat<C>, client_id: &ByteString, now: Duration) -> Member<C> {
    Member {
        client_id: client_id.clone(),
        language: from.language,
        version: from.version,
        seen: now,
        channel: from.channel.clone(),
    }
}

#[cfg(test)]
mod tests;

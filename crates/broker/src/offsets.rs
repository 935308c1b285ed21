//! How far each group has come in each queue (Java: `ConsumerOffsetManager`; spec broker B.7, B.14, B.16).

use std::collections::{BTreeMap, HashMap};

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{call::owned, meters::Amount, planted::planted};

/// Offsets of all groups, and resets that an operator ordered and no client has seen yet.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: HashMap<Key, BTreeMap<i32, i64>>,
    pulled: HashMap<Key, Pulled>,
    pending_resets: HashMap<Key, BTreeMap<i32, i64>>,
    changes: u64,
}

/// Where a group is in the queues of a topic: what it committed, and up to where it was served.
pub(crate) type Positions = BTreeMap<i32, (i64, Option<i64>)>;

/// A group's view of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    group: ByteString,
    topic: ByteString,
}

impl Key {
    fn new(group: &ByteString, topic: &ByteString) -> Key {
        Key { group: group.clone(), topic: topic.clone() }
    }

    /// As Java writes it.
    fn java(&self) -> ByteString {
        format!("{}@{}", self.topic, self.group).into()
    }
}

/// What a group was served with since the start.
#[derive(Debug, Default)]
struct Pulled {
    next: BTreeMap<i32, i64>,
    amount: Amount,
    /// Messages that the group gave up.
    dead: u64,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It counts.
    Stored,
    /// A negative offset says nothing: some clients send -1 for a queue at its beginning.
    Ignored,
    /// An operator has reset the queue, and the client has not pulled since.
    ResetPending,
}

impl Offsets {
    /// Notes that the group is done with everything before `offset`. It may go backwards.
    pub(crate) fn commit(
        &mut self,
        group: &ByteString,
        topic: &ByteString,
        queue_id: i32,
        offset: i64,
    ) -> Committed {
        if offset < 0 {
            return Committed::Ignored;
        }
        let key = Key::new(group, topic);
        if self.pending_resets.get(&key).is_some_and(|queues| queues.contains_key(&queue_id)) {
            return Committed::ResetPending;
        }
        if self.committed.entry(key).or_default().insert(queue_id, offset) != Some(offset) {
            self.changes += 1;
        }
        Committed::Stored
    }

    /// The group's offset in a queue, if it ever committed one.
    pub(crate) fn committed(&self, group: &ByteString, topic: &ByteString, queue_id: i32) -> Option<i64> {
        self.committed.get(&Key::new(group, topic))?.get(&queue_id).copied()
    }

    /// Notes with what and up to where the group has been served; for statistics only, and not kept over a restart.
    pub(crate) fn pulled(
        &mut self,
        group: &ByteString,
        topic: &ByteString,
        queue_id: i32,
        next: i64,
        amount: Amount,
    ) {
        let pulled = self.pulled.entry(Key::new(group, topic)).or_default();
        pulled.next.insert(queue_id, next);
        pulled.amount.messages += amount.messages;
        pulled.amount.bytes += amount.bytes;
    }

    /// What the group was served with.
    pub(crate) fn got(&self, group: &ByteString, topic: &ByteString) -> Amount {
        self.pulled.get(&Key::new(group, topic)).map(|pulled| pulled.amount).unwrap_or_default()
    }

    /// What each group was served with, by Java's key `topic@group`.
    pub(crate) fn all_got(&self) -> impl Iterator<Item = (ByteString, Amount)> {
        self.pulled.iter().map(|(key, pulled)| (key.java(), pulled.amount))
    }

    /// The least offset that a group has in each queue of a topic; some groups are left out, and offsets below `min`.
    pub(crate) fn least(
        &self,
        topic: &str,
        without: &[&str],
        min: impl Fn(i32) -> i64,
    ) -> BTreeMap<i32, i64> {
        let mut least = BTreeMap::new();
        let is_meant = |key: &&Key| key.topic == *topic && !without.contains(&&*key.group);
        for key in self.committed.keys().filter(is_meant) {
            for (queue_id, offset) in self.committed.get(key).into_iter().flatten() {
                if *offset >= min(*queue_id) {
                    let known = least.entry(*queue_id).or_insert(*offset);
                    *known = (*offset).min(*known);
                }
            }
        }
        least
    }

    /// All offsets of a group in a topic.
    pub(crate) fn queues_of(&self, group: &ByteString, topic: &ByteString) -> BTreeMap<i32, i64> {
        self.committed.get(&Key::new(group, topic)).cloned().unwrap_or_default()
    }

    /// Counts a message that the group gave up.
    pub(crate) fn dead(&mut self, group: &ByteString, topic: &ByteString) {
        self.pulled.entry(Key::new(group, topic)).or_default().dead += 1;
    }

    /// What each group was sent of each topic, and how much of it the group gave up.
    pub(crate) fn served(&self) -> Vec<(ByteString, ByteString, Amount, u64)> {
        let one = |(key, pulled): (&Key, &Pulled)| {
            (key.group.clone(), key.topic.clone(), pulled.amount, pulled.dead)
        };
        let mut all: Vec<_> = self.pulled.iter().map(one).collect();
        all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        all
    }

    /// Where each group is in each topic; only queues in which it has committed something.
    pub(crate) fn positions(&self) -> BTreeMap<(ByteString, ByteString), Positions> {
        let of = |(key, queues): (&Key, &BTreeMap<i32, i64>)| {
            let pulled = self.pulled.get(key);
            let position = |(id, committed): (&i32, &i64)| {
                (*id, (*committed, pulled.and_then(|pulled| pulled.next.get(id).copied())))
            };
            ((key.group.clone(), key.topic.clone()), queues.iter().map(position).collect())
        };
        self.committed.iter().map(of).collect()
    }

    /// Where the group was served up to.
    pub(crate) fn pull_offset(&self, group: &ByteString, topic: &ByteString, queue_id: i32) -> Option<i64> {
        self.pulled.get(&Key::new(group, topic))?.next.get(&queue_id).copied()
    }

    /// Moves the group to `offset`: at once for who asks for its offset, and by its next pull for who runs.
    pub(crate) fn reset(&mut self, group: &ByteString, topic: &ByteString, queue_id: i32, offset: i64) {
        let key = Key::new(group, topic);
        self.committed.entry(key.clone()).or_default().insert(queue_id, offset);
        self.pending_resets.entry(key).or_default().insert(queue_id, offset);
        self.changes += 1;
    }

    /// Takes the pending reset of a queue, for the pull that tells the client.
    pub(crate) fn take_reset(
        &mut self,
        group: &ByteString,
        topic: &ByteString,
        queue_id: i32,
    ) -> Option<i64> {
        if self.pending_resets.is_empty() {
            return None;
        }
        let key = Key::new(group, topic);
        let queues = self.pending_resets.get_mut(&key)?;
        let offset = queues.remove(&queue_id)?;
        if queues.is_empty() {
            self.pending_resets.remove(&key);
        }
        Some(offset)
    }

    /// Everything, by Java's key `topic@group`.
    pub(crate) fn all(&self) -> BTreeMap<ByteString, BTreeMap<i32, i64>> {
        self.committed.iter().map(|(key, queues)| (key.java(), queues.clone())).collect()
    }

    /// The topics in which a group has offsets, sorted.
    pub(crate) fn topics_of(&self, group: &str) -> Vec<ByteString> {
        let mut topics: Vec<_> =
            self.committed.keys().filter(|key| key.group == *group).map(|key| key.topic.clone()).collect();
        topics.sort();
        topics
    }

    /// The groups that have offsets in a topic, sorted.
    pub(crate) fn groups_of(&self, topic: &str) -> Vec<ByteString> {
        let mut groups: Vec<_> =
            self.committed.keys().filter(|key| key.topic == *topic).map(|key| key.group.clone()).collect();
        groups.sort();
        groups
    }

    /// Copies the offsets of one group in a topic to another.
    pub(crate) fn clone_group(&mut self, from: &ByteString, to: &ByteString, topic: &ByteString) {
        let Some(queues) = self.committed.get(&Key::new(from, topic)) else { return };
        let (key, queues) = (Key::new(to, &owned(topic)), queues.clone());
        self.committed.insert(key, queues);
        self.changes += 1;
    }

    /// Forgets a group.
    pub(crate) fn remove_group(&mut self, group: &str) {
        self.retain(|key| key.group != *group);
    }

    /// Forgets a topic.
    pub(crate) fn remove_topic(&mut self, topic: &str) {
        self.retain(|key| key.topic != *topic);
    }

    fn retain(&mut self, keep: impl Fn(&Key) -> bool) {
        self.committed.retain(|key, _| keep(key));
        self.pulled.retain(|key, _| keep(key));
        self.pending_resets.retain(|key, _| keep(key));
        self.changes += 1;
    }

    /// Counts changes of what a snapshot holds; equal numbers mean that nothing needs to be saved.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// What is kept over a restart. Pending resets are: the client that must hear of them may return later.
    pub(crate) fn snapshot(&self) -> OffsetSnapshot {
        let rows = |table: &HashMap<Key, BTreeMap<i32, i64>>| {
            let mut rows: Vec<_> = table
                .iter()
                .map(|(key, queues)| OffsetRow {
                    group: key.group.to_string(),
                    topic: key.topic.to_string(),
                    queues: queues.clone(),
                })
                .collect();
            rows.sort_by(|a, b| (&a.group, &a.topic).cmp(&(&b.group, &b.topic)));
            rows
        };
        OffsetSnapshot { committed: rows(&self.committed), pending_resets: rows(&self.pending_resets) }
    }

    /// The table of a snapshot, cut to what the log still has: `end(topic, queue_id)` is a queue's maximum offset.
    ///
    /// After a power cut in asynchronous mode the log may be shorter than a group's offset says.
    pub(crate) fn restore(snapshot: OffsetSnapshot, end: impl Fn(&str, i32) -> i64) -> Offsets {
        let table = |rows: Vec<OffsetRow>| {
            rows.into_iter()
                .map(|row| {
                    let queues = row
                        .queues
                        .into_iter()
                        .map(|(id, offset)| match planted("no clamp of offsets") {
                            true => (id, offset),
                            false => (id, offset.clamp(0, end(&row.topic, id))),
                        })
                        .collect();
                    (Key::new(&row.group.into(), &row.topic.into()), queues)
                })
                .collect()
        };
        Offsets {
            committed: table(snapshot.committed),
            pending_resets: table(snapshot.pending_resets),
            ..Offsets::default()
        }
    }
}

/// What is written to disk.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OffsetSnapshot {
    committed: Vec<OffsetRow>,
    #[serde(default)]
    pending_resets: Vec<OffsetRow>,
}

impl OffsetSnapshot {
    /// Group, topic, and the offset of each queue.
    pub(crate) fn of(
        committed: impl Iterator<Item = (String, String, BTreeMap<i32, i64>)>,
    ) -> OffsetSnapshot {
        let row = |(group, topic, queues)| OffsetRow { group, topic, queues };
        OffsetSnapshot { committed: committed.map(row).collect(), pending_resets: Vec::new() }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OffsetRow {
    group: String,
    topic: String,
    queues: BTreeMap<i32, i64>,
}

#[cfg(test)]
mod model_test;

#[cfg(test)]
mod tests;

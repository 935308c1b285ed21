//! Half messages without a verdict.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;
use rocketwire_store::Appended;
use serde::{Deserialize, Serialize};

use crate::{levels::CLOCK_SLACK_MS, planted::planted};

/// Pending half messages by their offset in the half queue.
#[derive(Debug)]
pub(crate) struct Transactions {
    pending: BTreeMap<i64, Pending>,
    /// `op_from` of half messages whose verdict is on its way to the log. A restart must find them: the verdict may
    /// not arrive there.
    claimed: BTreeMap<i64, i64>,
    /// Those of `claimed` that are on their way to the log once more. They have no verdict yet.
    moving: BTreeSet<i64>,
    /// Former offsets of half messages that were stored anew since: producers may know them by those.
    aliases: BTreeMap<i64, i64>,
    limit: usize,
    /// The end of the half queue, and of the op queue, as far as known.
    half_end: i64,
    op_end: i64,
    changes: u64,
}

/// A half message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pending {
    /// Its place in the log.
    pub(crate) physical_offset: i64,
    /// Who is asked about it.
    pub(crate) group: ByteString,
    /// Where it goes if it is committed.
    pub(crate) topic: ByteString,
    /// Since when it waits, in milliseconds since 1970.
    pub(crate) since_ms: i64,
    /// How often it was asked about.
    pub(crate) checks: i32,
    /// Its former offsets, as many as it was asked about at most.
    pub(crate) former: Vec<i64>,
    /// The op queue's end when it was stored: its verdict is not before that.
    pub(crate) op_from: i64,
}

/// Whose half message it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Half {
    /// The group of its producer.
    pub(crate) group: ByteString,
    /// Its topic.
    pub(crate) topic: ByteString,
}

/// What is kept over a restart: where to begin reading both queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TransactionSnapshot {
    /// No half message before this one is pending.
    pub(crate) half_from: i64,
    /// No verdict before this one is about a pending half message.
    pub(crate) op_from: i64,
}

impl Transactions {
    /// An empty table of at most `limit` half messages.
    pub(crate) fn new(limit: usize) -> Transactions {
        Transactions {
            pending: BTreeMap::new(),
            claimed: BTreeMap::new(),
            moving: BTreeSet::new(),
            aliases: BTreeMap::new(),
            limit,
            half_end: 0,
            op_end: 0,
            changes: 0,
        }
    }

    /// Whether no more half messages are taken.
    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= self.limit
    }

    /// Whether a half message waits, by its offset or a former one.
    pub(crate) fn is_pending(&self, half_offset: i64) -> bool {
        self.pending.contains_key(&half_offset) || self.aliases.contains_key(&half_offset)
    }

    /// The topic of each that waits.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &ByteString> {
        self.pending.values().map(|pending| &pending.topic)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// A half message was stored.
    pub(crate) fn prepared(&mut self, appended: &Appended, of: Half, now_ms: i64) {
        self.insert(appended.queue_offset, appended.physical_offset, of, now_ms);
    }

    /// A half message is in the queue.
    pub(crate) fn insert(
        &mut self,
        half_offset: i64,
        physical_offset: i64,
        Half { group, topic }: Half,
        since_ms: i64,
    ) {
        let (former, op_from) = (Vec::new(), self.op_end);
        let pending = Pending { physical_offset, group, topic, since_ms, checks: 0, former, op_from };
        self.half_end = self.half_end.max(half_offset + 1);
        self.pending.insert(half_offset, pending);
        self.changes += 1;
    }

    /// A half message that was claimed is stored once more: it waits at its new offset.
    pub(crate) fn moved(&mut self, from: i64, half_offset: i64, mut pending: Pending) {
        self.unclaim(from);
        self.pending.remove(&from);
        pending.former.push(from);
        self.aliases.extend(pending.former.iter().map(|former| (*former, half_offset)));
        self.half_end = self.half_end.max(half_offset + 1);
        self.pending.insert(half_offset, pending);
        self.changes += 1;
    }

    /// What the queue says of a half message: it follows another one, and was asked about so often.
    pub(crate) fn note(&mut self, half_offset: i64, from: Option<i64>, checks: i32) {
        let before = from.and_then(|from| self.pending.remove(&from).map(|before| (from, before)));
        let Some(pending) = self.pending.get_mut(&half_offset) else {
            // It has its verdict, and so have all before it.
            return;
        };
        pending.checks = checks;
        if let Some((from, before)) = before {
            pending.former = before.former;
            pending.former.push(from);
            self.aliases.extend(pending.former.iter().map(|former| (*former, half_offset)));
        }
    }

    /// Takes a half message for its verdict, by its offset or a former one; tells where it is. [`put_back`](Self::put_back), [`done`](Self::done) or
    /// [`forget`](Self::forget) must follow. `None`: it has one, or was never there.
    pub(crate) fn claim(&mut self, half_offset: i64) -> Option<(i64, Pending)> {
        let half_offset = self.now_at(half_offset);
        let pending = self.pending.remove(&half_offset)?;
        for former in &pending.former {
            self.aliases.remove(former);
        }
        self.claimed.insert(half_offset, pending.op_from);
        Some((half_offset, pending))
    }

    /// Takes a half message to store it once more, by its offset or a former one; a verdict has to wait meanwhile.
    /// [`moved`](Self::moved) or [`put_back`](Self::put_back) must follow. `None`: it has its verdict, or is being moved.
    pub(crate) fn claim_to_move(&mut self, half_offset: i64) -> Option<(i64, Pending)> {
        let half_offset = self.now_at(half_offset);
        let pending = self.pending.remove(&half_offset)?;
        self.claimed.insert(half_offset, pending.op_from);
        self.moving.insert(half_offset);
        Some((half_offset, pending))
    }

    /// Whether a half message is being stored once more, by its offset or a former one.
    pub(crate) fn is_moving(&self, half_offset: i64) -> bool {
        self.moving.contains(&self.now_at(half_offset))
    }

    /// The newest offset of a half message.
    fn now_at(&self, half_offset: i64) -> i64 {
        let now_at = self.aliases.get(&half_offset).filter(|_| !planted("late verdict ignored"));
        now_at.copied().unwrap_or(half_offset)
    }

    fn unclaim(&mut self, half_offset: i64) {
        self.claimed.remove(&half_offset);
        self.moving.remove(&half_offset);
    }

    /// The verdict could not be stored: the half message waits again.
    pub(crate) fn put_back(&mut self, half_offset: i64, pending: Pending) {
        self.unclaim(half_offset);
        self.aliases.extend(pending.former.iter().map(|former| (*former, half_offset)));
        self.pending.insert(half_offset, pending);
    }

    /// The verdict is in the op queue, whose end is now `op_end`.
    pub(crate) fn done(&mut self, half_offset: i64, op_end: i64) {
        self.op_end = self.op_end.max(op_end);
        self.forget(half_offset);
    }

    /// The half message needs no verdict in the op queue.
    pub(crate) fn forget(&mut self, half_offset: i64) {
        for former in self.pending.remove(&half_offset).map(|pending| pending.former).unwrap_or_default() {
            self.aliases.remove(&former);
        }
        self.unclaim(half_offset);
        self.changes += 1;
    }

    /// Half messages that have waited for at least `timeout_ms`, at most `limit`, those that were asked about
    /// least first. Those that wait since a time to come were stored before the clock was set back: they are due, too.
    pub(crate) fn due(&self, now_ms: i64, timeout_ms: i64, limit: usize) -> Vec<(i64, Pending)> {
        let is_due = |age_ms: i64| age_ms >= timeout_ms || age_ms < -CLOCK_SLACK_MS;
        let mut due: Vec<(i32, i64)> = self
            .pending
            .iter()
            .filter(|(_, p)| is_due(now_ms.saturating_sub(p.since_ms)))
            .map(|(offset, p)| (p.checks, *offset))
            .collect();
        due.sort_unstable();
        due.truncate(limit);
        due.into_iter().filter_map(|(_, offset)| Some((offset, self.pending.get(&offset)?.clone()))).collect()
    }

    /// Counts changes of what a snapshot holds.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// What is kept over a restart. A half message is read again from where it was first: its producer may know it by
    /// that.
    pub(crate) fn snapshot(&self) -> TransactionSnapshot {
        let pending = self.pending.first_key_value().map(|(offset, pending)| (*offset, pending.op_from));
        let claimed = self.claimed.first_key_value().map(|(offset, op_from)| (*offset, *op_from));
        let op_from = |now_at| {
            let of_pending = self.pending.get(now_at).map(|pending| &pending.op_from);
            of_pending.or(self.claimed.get(now_at)).copied()
        };
        let former = self.aliases.first_key_value().and_then(|(former, at)| Some((*former, op_from(at)?)));
        let first = [pending, claimed, former].into_iter().flatten().min();
        let (half_from, op_from) = first.unwrap_or((self.half_end, self.op_end));
        TransactionSnapshot { half_from, op_from }
    }

    /// Sets where both queues were read up to.
    pub(crate) fn set_ends(&mut self, half_end: i64, op_end: i64) {
        self.half_end = half_end;
        self.op_end = op_end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half() -> Half {
        Half { group: "g".into(), topic: "T".into() }
    }

    fn appended(queue_offset: i64) -> Appended {
        Appended {
            queue_offset,
            physical_offset: queue_offset * 100,
            store_timestamp: 0,
            flush_timeout: false,
        }
    }

    #[test]
    fn a_half_message_has_one_verdict() {
        let mut table = Transactions::new(2);
        table.prepared(&appended(0), half(), 1_000);
        let (offset, pending) = table.claim(0).unwrap();
        assert_eq!((offset, pending.physical_offset), (0, 0));
        assert!(table.claim(0).is_none());
        table.put_back(0, pending);
        assert!(table.claim(0).is_some());
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = Transactions::new(1);
        assert!(!table.is_full());
        table.prepared(&appended(0), half(), 1_000);
        assert!(table.is_full());
        table.claim(0);
        assert!(!table.is_full());
    }

    #[test]
    fn only_what_waited_long_enough_is_due_and_each_is_counted() {
        // spec: client 159
        let mut table = Transactions::new(10);
        table.prepared(&appended(0), half(), 1_000);
        table.prepared(&appended(1), half(), 1_001);
        assert!(table.due(6_999, 6_000, 10).is_empty());
        let due = table.due(7_000, 6_000, 10);
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].0, due[0].1.checks), (0, 0));
        asked(&mut table, 0, 2);
        assert_eq!(table.due(8_000, 6_000, 1)[0].0, 1, "what was asked about least comes first");
        assert_eq!(table.due(8_000, 6_000, 10).iter().map(|(_, p)| p.checks).collect::<Vec<_>>(), [0, 1]);
    }

    /// A half message is asked about: it is stored anew.
    fn asked(table: &mut Transactions, from: i64, to: i64) {
        let (offset, mut pending) = table.claim_to_move(from).unwrap();
        pending.checks += 1;
        table.moved(offset, to, pending);
    }

    #[test]
    fn a_half_message_is_found_by_its_former_offsets_and_has_one_verdict() {
        let mut table = Transactions::new(10);
        table.prepared(&appended(0), half(), 1_000);
        asked(&mut table, 0, 1);
        asked(&mut table, 1, 2);
        assert_eq!(
            (table.len(), table.snapshot().half_from),
            (1, 0),
            "a restart must know its former offsets"
        );
        let (offset, pending) = table.claim(0).unwrap();
        assert_eq!((offset, pending.checks), (2, 2));
        assert!(table.claim(1).is_none() && table.claim(2).is_none());
        table.put_back(offset, pending);
        assert_eq!(table.claim(1).unwrap().0, 2);
        table.done(2, 1);
        assert!(table.claim(0).is_none());
        assert!(table.aliases.is_empty());
    }

    #[test]
    fn a_verdict_waits_while_its_half_message_is_moved() {
        let mut table = Transactions::new(10);
        table.prepared(&appended(0), half(), 1_000);
        asked(&mut table, 0, 1);
        let (offset, pending) = table.claim_to_move(1).unwrap();
        assert!(table.is_moving(0) && table.is_moving(1) && !table.is_moving(2));
        assert!(table.claim(0).is_none() && table.claim_to_move(0).is_none());
        table.moved(offset, 2, pending);
        assert!(!table.is_moving(0) && !table.is_moving(2));
        let (offset, pending) = table.claim_to_move(0).unwrap();
        table.put_back(offset, pending);
        assert!(!table.is_moving(2));
        assert_eq!(table.claim(0).unwrap().0, 2);
        assert!(!table.is_moving(0), "it has a verdict");
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_from_being_asked() {
        let mut table = Transactions::new(10);
        table.prepared(&appended(0), half(), 1_000_000);
        assert!(table.due(1_000_000 - CLOCK_SLACK_MS, 6_000, 10).is_empty(), "a little is waited for");
        assert_eq!(table.due(1_000_000 - CLOCK_SLACK_MS - 1, 6_000, 10).len(), 1);
    }

    #[test]
    fn a_restart_reads_what_follows_what() {
        let mut table = Transactions::new(10);
        for offset in 0..5 {
            table.insert(offset, 0, half(), 1_000);
        }
        // 1 is 0 stored anew, 3 is 1; 4 is 2, and has its verdict.
        table.note(1, Some(0), 1);
        table.note(3, Some(1), 2);
        table.pending.remove(&4);
        table.note(4, Some(2), 1);
        assert_eq!(table.due(1_000, 0, 10).iter().map(|(o, p)| (*o, p.checks)).collect::<Vec<_>>(), [(3, 2)]);
        assert_eq!(table.claim(0).unwrap().0, 3);
    }

    #[test]
    fn a_snapshot_says_where_to_read_again() {
        let mut table = Transactions::new(10);
        for offset in 0..3 {
            table.prepared(&appended(offset), half(), 1_000);
        }
        table.claim(0);
        table.done(0, 1);
        table.prepared(&appended(3), half(), 1_000);
        assert_eq!(table.snapshot(), TransactionSnapshot { half_from: 1, op_from: 0 });
        for offset in 1..4 {
            table.claim(offset);
            table.done(offset, offset + 1);
        }
        assert_eq!(table.snapshot(), TransactionSnapshot { half_from: 4, op_from: 4 });
    }

    #[test]
    fn a_half_message_is_read_again_until_its_verdict_is_stored() {
        let mut table = Transactions::new(10);
        for offset in 0..2 {
            table.prepared(&appended(offset), half(), 1_000);
        }
        // The first is on its way to the log when the snapshot is taken, and a kill can follow.
        let (_, first) = table.claim(0).unwrap();
        table.claim(1);
        table.done(1, 1);
        assert_eq!(table.snapshot(), TransactionSnapshot { half_from: 0, op_from: 0 });
        table.put_back(0, first);
        assert_eq!(table.snapshot(), TransactionSnapshot { half_from: 0, op_from: 0 });
        table.claim(0);
        let before = table.changes();
        table.forget(0);
        assert_eq!(table.snapshot(), TransactionSnapshot { half_from: 2, op_from: 1 });
        assert_ne!(table.changes(), before, "it is to be saved");
    }
}

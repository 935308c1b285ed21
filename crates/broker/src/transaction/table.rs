//! Half messages without a verdict.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

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
    /// Those of `claimed` whose messages are delivered, and whose op records were not taken. A second try follows.
    owed: BTreeSet<i64>,
    /// Former offsets of half messages that were stored anew since: producers may know them by those.
    aliases: BTreeMap<i64, i64>,
    limit: usize,
    /// What is still to be looked through to ask producers.
    round: Range<i64>,
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
            owed: BTreeSet::new(),
            aliases: BTreeMap::new(),
            limit,
            round: 0..0,
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
            for former in before.map(|(_, before)| before.former).unwrap_or_default() {
                self.aliases.remove(&former);
            }
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
        self.owed.remove(&half_offset);
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

    /// The message is delivered, and its op record was not taken: without one a restart would deliver it again.
    pub(crate) fn owe(&mut self, half_offset: i64) {
        self.owed.insert(half_offset);
    }

    /// Half messages whose op records are to be tried again; [`done`](Self::done) or [`owe`](Self::owe) must follow.
    pub(crate) fn take_owed(&mut self) -> BTreeSet<i64> {
        std::mem::take(&mut self.owed)
    }

    /// Whether one waits to be asked about, or for its op record.
    pub(crate) fn has_work(&self) -> bool {
        !self.pending.is_empty() || !self.owed.is_empty()
    }

    /// Half messages whose verdicts, or copies, are on their way to the log.
    pub(crate) fn under_way(&self) -> usize {
        self.claimed.len() - self.owed.len()
    }

    /// The half message needs no verdict in the op queue.
    pub(crate) fn forget(&mut self, half_offset: i64) {
        for former in self.pending.remove(&half_offset).map(|pending| pending.former).unwrap_or_default() {
            self.aliases.remove(&former);
        }
        self.unclaim(half_offset);
        self.changes += 1;
    }

    /// Begins to look through all that are there now, if that is not under way.
    pub(crate) fn begin_round(&mut self) {
        if !self.is_in_round() {
            self.round = i64::MIN..self.half_end;
        }
    }

    /// Whether the round that was begun goes on.
    pub(crate) fn is_in_round(&self) -> bool {
        !self.round.is_empty()
    }

    /// The next half messages of the round that have waited for at least `timeout_ms`, at most `limit`. Those that are
    /// stored anew meanwhile are behind its end, so that each comes once. Those that wait since a time to come were stored
    /// before the clock was set back: they are due, too.
    pub(crate) fn next_due(&mut self, now_ms: i64, timeout_ms: i64, limit: usize) -> Vec<(i64, Pending)> {
        let is_due = |age_ms: i64| age_ms >= timeout_ms || age_ms < -CLOCK_SLACK_MS;
        let due = self.pending.range(self.round.clone());
        let due = due.filter(|(_, p)| is_due(now_ms.saturating_sub(p.since_ms))).take(limit);
        let due: Vec<_> = due.map(|(offset, pending)| (*offset, pending.clone())).collect();
        self.round.start = match due.last() {
            Some((last, _)) if due.len() == limit => last + 1,
            _ => self.round.end,
        };
        due
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
mod tests;

//! Which timer messages wait, in the order of their time.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{backoff::Backoff, planted::planted};

/// Timer messages by their time. It is handed the time and does no I/O; the messages are in the timer topic.
///
/// An entry takes some 40 bytes. The table is built by reading the timer topic from [`Wheel::next_read`] on, as
/// messages come and after a restart; a snapshot says where to begin and, in a few numbers, what is delivered.
#[derive(Debug)]
pub(crate) struct Wheel {
    waiting: BTreeSet<Entry>,
    /// Handed to the store, and cancellations until all messages of their time are through.
    under_way: BTreeSet<Entry>,
    /// The timer topic is read up to here.
    next_read: i64,
    /// Nothing of a later time was taken yet.
    taken_to_ms: i64,
    /// What is cancelled of the time that is being delivered.
    cancelled: HashSet<String>,
    cancelling_ms: i64,
    limit: usize,
    roll_ms: i64,
    /// What the last snapshot knew, until the topic is read up to where it ends.
    restored: Option<TimerSnapshot>,
    changes: u64,
    /// After failed deliveries.
    pub(crate) backoff: Backoff,
    /// Messages that were dropped, for how often that is warned of.
    pub(crate) losses: Backoff,
}

/// A message in the timer topic. Cancellations come before the messages of the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// When it is to be looked at, in milliseconds since 1970.
    pub(crate) due_ms: i64,
    /// It is a message, not a cancellation of one.
    pub(crate) is_message: bool,
    /// Its place in the timer topic.
    pub(crate) offset: i64,
}

/// What is kept over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TimerSnapshot {
    /// No message before this one waits.
    from: i64,
    /// No message from this one on was looked at.
    read_to: i64,
    /// In between, what was due up to this time is delivered ...
    taken_to_ms: i64,
    /// ... but for these.
    late: BTreeSet<i64>,
    /// With this much as the longest time between two looks at a message.
    roll_ms: i64,
}

impl TimerSnapshot {
    /// Of a broker whose own table is not known: of the messages before `read_to` those are delivered that were due
    /// up to `taken_to_ms`, where none was left alone for longer than `roll_ms`.
    pub(crate) fn of(read_to: i64, taken_to_ms: i64, roll_ms: i64) -> TimerSnapshot {
        TimerSnapshot { from: 0, read_to, taken_to_ms, late: BTreeSet::new(), roll_ms }
    }
}

impl Wheel {
    /// The table of a snapshot: empty, until the topic is read again. `bounds` are the topic's first and last
    /// offset in the log.
    pub(crate) fn restore(
        mut snapshot: TimerSnapshot,
        (min, max): (i64, i64),
        limit: usize,
        roll: Duration,
    ) -> Wheel {
        let next_read = snapshot.from.clamp(min, max.max(min));
        snapshot.read_to = snapshot.read_to.min(max);
        Wheel {
            waiting: BTreeSet::new(),
            under_way: BTreeSet::new(),
            next_read,
            taken_to_ms: snapshot.taken_to_ms,
            cancelled: HashSet::new(),
            cancelling_ms: 0,
            limit,
            roll_ms: i64::try_from(roll.as_millis()).unwrap_or(i64::MAX).max(1),
            restored: (snapshot.read_to > next_read).then_some(snapshot),
            changes: 0,
            backoff: Backoff::default(),
            losses: Backoff::default(),
        }
    }

    /// How many wait or are under way.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }

    /// Whether no more are taken; `end` is the end of the timer topic.
    pub(crate) fn is_full(&self, end: i64) -> bool {
        let unread = usize::try_from(end - self.next_read).unwrap_or(0);
        self.len() + unread >= self.limit
    }

    /// Where reading the timer topic goes on; `None` if nothing is new, or there is no room for it. What was let
    /// in before a restart has room in any case.
    pub(crate) fn next_read(&self, end: i64) -> Option<i64> {
        let has_room = self.restored.is_some() || self.len() < self.limit;
        (self.next_read < end && has_room).then_some(self.next_read)
    }

    /// How many messages of the timer topic are not yet read.
    pub(crate) fn unread(&self, end: i64) -> i64 {
        (end - self.next_read).max(0)
    }

    /// A message of the timer topic: due `out_ms` at the earliest, stored at `stored_ms`.
    pub(crate) fn add(&mut self, offset: i64, out_ms: i64, stored_ms: i64, is_message: bool) {
        let due_ms = look_ms(out_ms, stored_ms, self.roll_ms);
        if let Some(restored) = self.restored.as_ref().filter(|restored| offset < restored.read_to) {
            let was_due_ms = look_ms(out_ms, stored_ms, restored.roll_ms);
            if was_due_ms <= restored.taken_to_ms && !restored.late.contains(&offset) {
                return;
            }
        }
        self.waiting.insert(Entry { due_ms, is_message, offset });
        self.changes += 1;
    }

    /// The timer topic is read up to `next`.
    pub(crate) fn read(&mut self, next: i64) {
        self.next_read = self.next_read.max(next);
        if self.restored.as_ref().is_some_and(|restored| self.next_read >= restored.read_to) {
            self.restored = None;
        }
        self.changes += 1;
    }

    /// Whether something is due. Not before everything was read that a snapshot knew of: the next snapshot could
    /// not say what of it is delivered.
    pub(crate) fn is_due(&self, wall_ms: i64, now: Duration) -> bool {
        let wall_ms = if planted("timer a second early") { wall_ms + 1_000 } else { wall_ms };
        self.restored.is_none()
            && self.backoff.is_over(now)
            && self.waiting.first().is_some_and(|entry| entry.due_ms <= wall_ms)
    }

    /// Takes up to `max` that are due, the oldest first; [`Wheel::finished`] must follow for each.
    pub(crate) fn take_due(&mut self, wall_ms: i64, now: Duration, max: usize) -> Vec<Entry> {
        let mut due = Vec::new();
        while due.len() < max && self.is_due(wall_ms, now) {
            let Some(entry) = self.waiting.pop_first() else { break };
            self.under_way.insert(entry);
            self.taken_to_ms = self.taken_to_ms.max(entry.due_ms);
            due.push(entry);
        }
        if !due.is_empty() {
            self.changes += 1;
        }
        due
    }

    /// Remembers what a cancellation cancels, as long as messages of its time are delivered.
    pub(crate) fn cancel(&mut self, entry: Entry, key: &str) {
        self.begin(entry.due_ms);
        self.cancelled.insert(key.to_owned());
    }

    /// The cancellations of a time are to be looked at once more, with its messages.
    pub(crate) fn cancel_again(&mut self, due_ms: i64) {
        let is_one = |entry: &&Entry| !entry.is_message && entry.due_ms == due_ms;
        let again: Vec<Entry> = self.under_way.iter().filter(is_one).copied().collect();
        again.into_iter().for_each(|entry| self.finished(entry, false));
    }

    /// Whether a message was cancelled.
    pub(crate) fn is_cancelled(&mut self, entry: Entry, key: &str) -> bool {
        self.begin(entry.due_ms);
        self.cancelled.contains(key)
    }

    /// Another time begins: what was cancelled at an earlier one is through.
    fn begin(&mut self, due_ms: i64) {
        if due_ms > self.cancelling_ms {
            self.cancelling_ms = due_ms;
            self.cancelled.clear();
            self.under_way.retain(|entry| entry.is_message || entry.due_ms >= due_ms);
        }
    }

    /// A message is delivered, rolled or given up, or `stored` is false: it waits again.
    pub(crate) fn finished(&mut self, entry: Entry, stored: bool) {
        self.under_way.remove(&entry);
        if stored {
            self.backoff.worked();
        } else {
            self.waiting.insert(entry);
        }
        self.changes += 1;
    }

    /// How many messages are handed to the store.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.iter().filter(|entry| entry.is_message).count()
    }

    /// Counts changes of what a snapshot holds.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// What is kept over a restart; that of before, as long as it is still being read.
    pub(crate) fn snapshot(&self) -> TimerSnapshot {
        if let Some(restored) = &self.restored {
            return restored.clone();
        }
        let is_open = |entry: &&Entry| entry.is_message || !planted("cancellations forgotten by a restart");
        let open = || self.waiting.iter().chain(&self.under_way).filter(is_open);
        let is_late = |e: &&Entry| e.due_ms <= self.taken_to_ms && !planted("late timers forgotten");
        TimerSnapshot {
            from: open().map(|entry| entry.offset).min().unwrap_or(self.next_read),
            read_to: self.next_read,
            taken_to_ms: self.taken_to_ms,
            late: open().filter(is_late).map(|e| e.offset).collect(),
            roll_ms: self.roll_ms,
        }
    }
}

/// When a message is to be looked at: at its time, or earlier, to be stored anew before retention takes it.
fn look_ms(out_ms: i64, stored_ms: i64, roll_ms: i64) -> i64 {
    out_ms.min(stored_ms.saturating_add(roll_ms))
}

#[cfg(test)]
mod model_test;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const ROLL: Duration = Duration::from_millis(1_000);

    fn wheel(limit: usize) -> Wheel {
        Wheel::restore(TimerSnapshot::default(), (0, 0), limit, ROLL)
    }

    fn taken(wheel: &mut Wheel, wall_ms: i64) -> Vec<i64> {
        wheel.take_due(wall_ms, NOW, 100).iter().map(|entry| entry.offset).collect()
    }

    /// The same topic, of `due` times by offset, read by the wheel of a snapshot.
    fn again(snapshot: &TimerSnapshot, due: &[i64], roll: Duration) -> Wheel {
        let text = serde_json::to_vec(snapshot).unwrap();
        let end = due.len() as i64;
        let mut wheel = Wheel::restore(serde_json::from_slice(&text).unwrap(), (0, end), 100, roll);
        while let Some(offset) = wheel.next_read(end) {
            wheel.add(offset, due[offset as usize], 0, true);
            wheel.read(offset + 1);
        }
        wheel
    }

    #[test]
    fn messages_are_due_in_the_order_of_their_times() {
        let mut wheel = wheel(10);
        for (offset, out) in [300, 100, 200].into_iter().enumerate() {
            wheel.add(offset as i64, out, 0, true);
        }
        wheel.read(3);
        assert!(!wheel.is_due(99, NOW));
        assert_eq!(taken(&mut wheel, 250), [1, 2]);
        assert_eq!(taken(&mut wheel, 50), [0_i64; 0], "a clock that is set back brings nothing early");
        assert_eq!(taken(&mut wheel, 300), [0]);
        assert!(taken(&mut wheel, 10_000).is_empty(), "each is taken once");
    }

    #[test]
    fn a_message_far_away_is_looked_at_before_retention_takes_it() {
        let mut wheel = wheel(10);
        wheel.add(0, 5_000, 500, true);
        assert!(!wheel.is_due(1_499, NOW));
        assert!(wheel.is_due(1_500, NOW));
    }

    #[test]
    fn a_failed_delivery_waits_and_comes_again() {
        let mut wheel = wheel(10);
        wheel.add(0, 100, 0, true);
        let entry = wheel.take_due(100, NOW, 1)[0];
        wheel.finished(entry, false);
        wheel.backoff.failed(NOW);
        assert!(!wheel.is_due(100, NOW));
        assert!(wheel.is_due(100, Duration::from_secs(1)));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut wheel = wheel(2);
        wheel.add(0, 100, 0, true);
        wheel.read(1);
        assert!(!wheel.is_full(1));
        assert!(wheel.is_full(2), "what is not yet read counts, too");
        wheel.add(1, 100, 0, true);
        wheel.read(2);
        assert_eq!(wheel.next_read(3), None);
        let entry = wheel.take_due(100, NOW, 1)[0];
        wheel.finished(entry, true);
        assert_eq!(wheel.next_read(3), Some(2));
    }

    #[test]
    fn a_cancellation_is_known_until_its_time_is_through() {
        let mut wheel = wheel(10);
        wheel.add(0, 100, 0, true);
        wheel.add(1, 200, 0, true);
        wheel.add(2, 100, 0, false);
        wheel.read(3);
        let due = wheel.take_due(150, NOW, 10);
        assert_eq!(due.iter().map(|e| e.offset).collect::<Vec<_>>(), [2, 0], "cancellations come first");
        wheel.cancel(due[0], "T+a");
        assert!(wheel.is_cancelled(due[1], "T+a"));
        wheel.finished(due[1], true);
        assert_eq!(wheel.snapshot().late, [2].into(), "a restart must know of it still");
        let due = wheel.take_due(200, NOW, 10);
        assert!(!wheel.is_cancelled(due[0], "T+a"), "that was another time");
        wheel.finished(due[0], true);
        assert_eq!(wheel.snapshot().from, 3);
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn a_restart_knows_what_is_delivered_and_what_is_not() {
        let due = [500, 100, 200, 300, 100];
        let mut wheel = wheel(10);
        for (offset, out) in due.iter().enumerate().take(4) {
            wheel.add(offset as i64, *out, 0, true);
        }
        wheel.read(4);
        let entries = wheel.take_due(250, NOW, 10);
        wheel.finished(entries[0], true);
        // The second is under way. Another one comes that was due before both.
        wheel.add(4, due[4], 0, true);
        wheel.read(5);
        let snapshot = wheel.snapshot();
        assert_eq!(snapshot.from, 0);
        let mut wheel = again(&snapshot, &due, ROLL);
        assert_eq!(taken(&mut wheel, 1_000), [4, 2, 3, 0], "all but the delivered one");
        // What is due when is another matter once the setting has changed, but not what was delivered.
        let mut wheel = again(&snapshot, &due, Duration::from_millis(50));
        assert_eq!(taken(&mut wheel, 1_000), [0, 2, 3, 4]);
    }

    #[test]
    fn until_all_is_read_again_nothing_is_delivered_and_the_old_snapshot_counts() {
        let due = [100, 100, 100];
        let mut wheel = wheel(1);
        for (offset, out) in due.iter().enumerate() {
            wheel.add(offset as i64, *out, 0, true);
        }
        wheel.read(3);
        let first = wheel.take_due(100, NOW, 2)[1];
        wheel.finished(first, true);
        let snapshot = wheel.snapshot();
        let mut wheel = Wheel::restore(snapshot.clone(), (0, 3), 1, ROLL);
        for offset in 0..3 {
            assert_eq!(wheel.next_read(3), Some(offset), "the limit is for what is new");
            assert!(!wheel.is_due(1_000, NOW));
            assert_eq!(wheel.snapshot(), snapshot);
            wheel.add(offset, 100, 0, true);
            wheel.read(offset + 1);
        }
        assert_eq!(taken(&mut wheel, 100), [0, 2]);
    }

    #[test]
    fn a_snapshot_is_cut_to_the_log() {
        let snapshot = TimerSnapshot { from: 7, read_to: 9, ..TimerSnapshot::default() };
        let wheel = Wheel::restore(snapshot, (0, 5), 10, ROLL);
        assert_eq!(wheel.next_read(5), None);
        assert_eq!(wheel.next_read(6), Some(5));
    }
}

//! Delayed messages (Java: `ScheduleMessageService`; spec broker C.7).
//!
//! A delayed message is stored in `SCHEDULE_TOPIC_XXXX`, in the queue of its level; there all messages have the
//! same delay, so the queue is in the order of delivery. This table remembers how far each level is.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{DelayLevels, backoff::Backoff};

/// How far each level is delivered.
#[derive(Debug, Default)]
pub(crate) struct Delays {
    levels: BTreeMap<i32, Level>,
    changes: u64,
    lengths: DelayLevels,
}

#[derive(Debug, Default)]
struct Level {
    /// Everything before it is delivered.
    delivered: i64,
    /// Where reading goes on.
    next: i64,
    /// Deliveries whose end is not known yet.
    outstanding: usize,
    /// The first of them that failed.
    failed: Option<i64>,
    /// Nothing is due before this.
    due_ms: i64,
    /// After failed deliveries.
    backoff: Backoff,
}

/// What is kept over a restart: delivered messages by level.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DelaySnapshot {
    /// By level.
    pub(crate) delivered: BTreeMap<i32, i64>,
}

impl Delays {
    /// Where to read a level now; `None` if nothing is due, nothing is there, or a delivery is under way.
    pub(crate) fn poll(&mut self, level: i32, end: i64, now_ms: i64, now: Duration) -> Option<i64> {
        let state = self.levels.entry(level).or_default();
        let is_ready = state.outstanding == 0
            && state.next < end
            && self.lengths.due_ms(level, state.due_ms, now_ms) <= now_ms;
        (is_ready && state.backoff.is_over(now)).then_some(state.next)
    }

    /// The message at the front of a level is due only then.
    pub(crate) fn wait_until(&mut self, level: i32, due_ms: i64) {
        self.levels.entry(level).or_default().due_ms = due_ms;
    }

    /// A message is handed to the store.
    pub(crate) fn started(&mut self, level: i32, offset: i64) {
        let state = self.levels.entry(level).or_default();
        state.outstanding += 1;
        state.next = offset + 1;
    }

    /// A message cannot be delivered to anyone, or its place is empty: go on behind it.
    pub(crate) fn skip(&mut self, level: i32, next: i64) {
        let state = self.levels.entry(level).or_default();
        state.next = next;
        if state.outstanding == 0 {
            state.delivered = next;
            self.changes += 1;
        }
    }

    /// The store has the message, or has not. After a failure the level is read again from there: what came
    /// behind it is delivered twice, never lost.
    pub(crate) fn finished(&mut self, level: i32, offset: i64, stored: bool) {
        let state = self.levels.entry(level).or_default();
        state.outstanding = state.outstanding.saturating_sub(1);
        if !stored {
            state.failed = Some(state.failed.map_or(offset, |failed| failed.min(offset)));
        }
        if state.outstanding == 0 {
            if let Some(failed) = state.failed.take() {
                state.next = failed;
            }
            state.delivered = state.next;
            self.changes += 1;
        }
        if stored {
            state.backoff.worked();
        }
    }

    /// Reading or delivering failed: the level rests for a while. Whether that is worth a warning.
    pub(crate) fn failed(&mut self, level: i32, now: Duration) -> bool {
        self.levels.entry(level).or_default().backoff.failed(now)
    }

    /// Deliveries whose end is not known yet, of all levels.
    pub(crate) fn outstanding(&self) -> usize {
        self.levels.values().map(|level| level.outstanding).sum()
    }

    /// How far a level is delivered.
    pub(crate) fn delivered(&self, level: i32) -> i64 {
        self.levels.get(&level).map_or(0, |state| state.delivered)
    }

    /// Counts changes of what a snapshot holds.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// With levels of these lengths, instead of Java's.
    pub(crate) fn with_lengths(mut self, lengths: DelayLevels) -> Delays {
        self.lengths = lengths;
        self
    }

    /// What is kept over a restart.
    pub(crate) fn snapshot(&self) -> DelaySnapshot {
        DelaySnapshot {
            delivered: self.levels.iter().map(|(level, state)| (*level, state.delivered)).collect(),
        }
    }

    /// The table of a snapshot; `bounds` are a level's first and last offset in the log.
    pub(crate) fn restore(snapshot: DelaySnapshot, bounds: impl Fn(i32) -> (i64, i64)) -> Delays {
        let level = |(level, delivered): (i32, i64)| {
            let (min, max) = bounds(level);
            let delivered = delivered.clamp(min, max.max(min));
            let state = Level { delivered, next: delivered, ..Level::default() };
            (level, state)
        };
        Delays {
            levels: snapshot.delivered.into_iter().map(level).collect(),
            changes: 0,
            lengths: DelayLevels::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn a_clock_that_was_set_back_keeps_no_message_for_long() {
        let mut delays = Delays::default();
        delays.wait_until(1, 1_700_000_001_000);
        assert_eq!(delays.poll(1, 1, 1_699_999_999_000, NOW), None);
        assert_eq!(delays.poll(1, 1, 1_600_000_000_000, NOW), Some(0), "years ago, all of a sudden");
    }

    #[test]
    fn a_level_waits_for_its_front_and_for_its_deliveries() {
        let mut delays = Delays::default();
        assert_eq!(delays.poll(1, 0, 1_000, NOW), None, "nothing is there");
        assert_eq!(delays.poll(1, 2, 1_000, NOW), Some(0));
        delays.wait_until(1, 2_000);
        assert_eq!(delays.poll(1, 2, 1_999, NOW), None);
        assert_eq!(delays.poll(1, 2, 2_000, NOW), Some(0));
        delays.started(1, 0);
        delays.started(1, 1);
        assert_eq!(delays.poll(1, 3, 2_000, NOW), None, "deliveries are under way");
        delays.finished(1, 0, true);
        assert_eq!(delays.delivered(1), 0, "not yet all");
        delays.finished(1, 1, true);
        assert_eq!(delays.delivered(1), 2);
        assert_eq!(delays.poll(1, 3, 2_000, NOW), Some(2));
    }

    #[test]
    fn a_failed_delivery_is_repeated_from_there() {
        let mut delays = Delays::default();
        for offset in 0..3 {
            delays.started(2, offset);
        }
        delays.finished(2, 0, true);
        delays.finished(2, 1, false);
        delays.finished(2, 2, true);
        assert!(delays.failed(2, NOW), "the first failure is told");
        assert!(!delays.failed(2, NOW), "and not each");
        assert_eq!(delays.delivered(2), 1);
        assert_eq!(delays.poll(2, 3, 0, NOW), None, "it rests");
        assert_eq!(delays.poll(2, 3, 0, NOW + Duration::from_secs(1)), Some(1));
    }

    #[test]
    fn a_snapshot_comes_back_cut_to_the_log() {
        let mut delays = Delays::default();
        delays.skip(1, 40);
        delays.skip(2, 3);
        let text = serde_json::to_vec(&delays.snapshot()).unwrap();
        let back = Delays::restore(serde_json::from_slice(&text).unwrap(), |_| (5, 20));
        assert_eq!((back.delivered(1), back.delivered(2), back.delivered(3)), (20, 5, 0));
    }
}

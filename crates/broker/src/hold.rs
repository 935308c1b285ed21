//! Parked long polls (Java: `PullRequestHoldService`; spec broker B.5).
//!
//! ```text
//! pull finds nothing -> park -> recheck the queue's end (a message may have arrived meanwhile)
//!                         |
//!      arrival with a matching tag | sweep: queue has grown, or deadline | connection closed
//!                         v                        v                             v
//!                   answer again             answer again                     dropped
//! ```
//! This table only decides; it holds whatever the caller needs for the answer as a token.

use std::{collections::HashMap, hash::Hash, time::Duration};

use crate::filter::Filter;

/// One parked pull.
#[derive(Debug)]
pub(crate) struct Hold<T> {
    /// The connection that asked; the hold is dropped with it.
    pub(crate) connection: u64,
    /// The first offset that the client wants.
    pub(crate) offset: i64,
    /// When to answer that nothing has come; by the broker's monotonic clock, as every time here.
    pub(crate) deadline: Duration,
    /// What the client wants to see.
    pub(crate) filter: Filter,
    /// What the answer needs.
    pub(crate) token: T,
}

/// Parked pulls by queue.
#[derive(Debug)]
pub(crate) struct Holds<Q, T> {
    queues: HashMap<Q, Vec<Hold<T>>>,
    len: usize,
    limit: usize,
}

impl<Q: Copy + Eq + Hash, T> Holds<Q, T> {
    /// A table for at most `limit` pulls.
    pub(crate) fn new(limit: usize) -> Self {
        Holds { queues: HashMap::new(), len: 0, limit }
    }

    /// How many pulls are parked.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Parks a pull. Gives it back when the table is full: answer it at once, as if nothing were there.
    pub(crate) fn park(&mut self, queue: Q, hold: Hold<T>) -> Result<(), Hold<T>> {
        if self.len >= self.limit {
            return Err(hold);
        }
        self.queues.entry(queue).or_default().push(hold);
        self.len += 1;
        Ok(())
    }

    /// A message is readable: takes out those who wait for it. `end` is the queue's new maximum offset.
    ///
    /// A hold whose tag does not match stays; the next sweep moves it past the messages it does not want.
    pub(crate) fn arrived(&mut self, queue: Q, end: i64, tags_code: i64) -> Vec<Hold<T>> {
        self.take(queue, |hold| hold.offset < end && hold.filter.accepts(tags_code))
    }

    /// Takes out every hold of a queue whose end is now beyond what was asked for, whatever the tags.
    pub(crate) fn grown(&mut self, queue: Q, end: i64) -> Vec<Hold<T>> {
        self.take(queue, |hold| hold.offset < end)
    }

    /// Takes out every hold past its deadline.
    pub(crate) fn expired(&mut self, now: Duration) -> Vec<Hold<T>> {
        let queues: Vec<Q> = self.queues.keys().copied().collect();
        let mut out = Vec::new();
        for queue in queues {
            out.extend(self.take(queue, |hold| hold.deadline <= now));
        }
        out
    }

    /// The queues that someone waits for.
    pub(crate) fn queues(&self) -> Vec<Q> {
        self.queues.keys().copied().collect()
    }

    /// Drops the holds of a closed connection; there is nobody to answer.
    pub(crate) fn connection_closed(&mut self, connection: u64) -> usize {
        let before = self.len;
        self.queues.retain(|_, holds| {
            let kept = holds.len();
            holds.retain(|hold| hold.connection != connection);
            self.len -= kept - holds.len();
            !holds.is_empty()
        });
        before - self.len
    }

    /// Takes out everything: the broker stops.
    pub(crate) fn drain(&mut self) -> Vec<Hold<T>> {
        self.len = 0;
        self.queues.drain().flat_map(|(_, holds)| holds).collect()
    }

    fn take(&mut self, queue: Q, released: impl Fn(&Hold<T>) -> bool) -> Vec<Hold<T>> {
        let Some(holds) = self.queues.get_mut(&queue) else {
            return Vec::new();
        };
        let out: Vec<Hold<T>> = holds.extract_if(.., |hold| released(hold)).collect();
        self.len -= out.len();
        if holds.is_empty() {
            self.queues.remove(&queue);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(connection: u64, offset: i64, deadline: Duration, expression: &str) -> Hold<&'static str> {
        Hold { connection, offset, deadline, filter: Filter::tags(expression), token: "answer" }
    }

    #[test]
    fn an_arrival_wakes_only_those_who_want_its_tag() {
        // spec: client 150
        let now = Duration::from_secs(1_000);
        let mut holds = Holds::new(10);
        holds.park(1u32, hold(1, 5, now, "A")).unwrap();
        holds.park(1, hold(2, 5, now, "B || C")).unwrap();
        holds.park(1, hold(3, 5, now, "*")).unwrap();
        holds.park(2, hold(4, 5, now, "*")).unwrap();

        let woken: Vec<u64> =
            holds.arrived(1, 6, i64::from(b'B')).iter().map(|hold| hold.connection).collect();
        assert_eq!(woken, [2, 3]);
        assert_eq!(holds.len(), 2);
        assert!(holds.arrived(1, 7, i64::from(b'B')).is_empty(), "the hold for A stays");
        assert_eq!(holds.arrived(1, 8, i64::from(b'A')).len(), 1);
    }

    #[test]
    fn a_hold_beyond_the_queues_end_is_not_woken() {
        let now = Duration::from_secs(1_000);
        let mut holds = Holds::new(10);
        holds.park(1u32, hold(1, 5, now, "*")).unwrap();
        assert!(holds.arrived(1, 5, 0).is_empty());
        assert!(holds.grown(1, 5).is_empty());
        assert_eq!(holds.grown(1, 6).len(), 1);
        assert_eq!(holds.len(), 0);
        assert!(holds.queues().is_empty());
    }

    #[test]
    fn growth_releases_whatever_the_tags() {
        let now = Duration::from_secs(1_000);
        let mut holds = Holds::new(10);
        holds.park(1u32, hold(1, 5, now, "A")).unwrap();
        assert!(holds.arrived(1, 9, 12345).is_empty());
        assert_eq!(holds.grown(1, 9).len(), 1);
    }

    #[test]
    fn deadlines_release_and_a_full_table_gives_the_pull_back() {
        let now = Duration::from_secs(1_000);
        let mut holds = Holds::new(2);
        holds.park(1u32, hold(1, 0, now + Duration::from_secs(1), "*")).unwrap();
        holds.park(2, hold(2, 0, now + Duration::from_secs(9), "*")).unwrap();
        let refused = holds.park(3, hold(3, 0, now, "*")).unwrap_err();
        assert_eq!(refused.connection, 3);

        assert!(holds.expired(now).is_empty());
        let expired = holds.expired(now + Duration::from_secs(1));
        assert_eq!(expired.len(), 1);
        assert_eq!(expired[0].connection, 1);
        assert_eq!(holds.len(), 1);
        holds.park(3, hold(3, 0, now, "*")).unwrap();
    }

    #[test]
    fn a_closed_connection_takes_its_holds_along() {
        let now = Duration::from_secs(1_000);
        let mut holds = Holds::new(10);
        for queue in 0..3u32 {
            holds.park(queue, hold(7, 0, now, "*")).unwrap();
            holds.park(queue, hold(8, 0, now, "*")).unwrap();
        }
        assert_eq!(holds.connection_closed(7), 3);
        assert_eq!(holds.connection_closed(7), 0);
        assert_eq!(holds.len(), 3);
        assert_eq!(holds.drain().len(), 3);
        assert_eq!(holds.len(), 0);
    }
}

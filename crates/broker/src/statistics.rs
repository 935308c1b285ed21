//! Counters for operators (Java: `BrokerStatsManager`, `StoreStatsService`; spec broker B.18).

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::meters::Amount;

/// What the broker has done since it started.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    /// Messages stored for producers.
    pub(crate) messages_in: AtomicU64,
    /// Bytes of their records.
    pub(crate) bytes_in: AtomicU64,
    /// Sends that were not stored.
    pub(crate) sends_failed: AtomicU64,
    /// Messages sent to consumers.
    pub(crate) messages_out: AtomicU64,
    /// Bytes of their records.
    pub(crate) bytes_out: AtomicU64,
    /// Pulls that found something.
    pub(crate) pulls_found: AtomicU64,
    /// Pulls that found nothing.
    pub(crate) pulls_missed: AtomicU64,
    /// Pulls that were held.
    pub(crate) pulls_held: AtomicU64,
    /// Timer messages that the timer took.
    pub(crate) timers_in: AtomicU64,
    /// Timer messages that it gave out.
    pub(crate) timers_out: AtomicU64,
}

/// Values of [`Statistics`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) pulls_found: u64,
    pub(crate) pulls_missed: u64,
    pub(crate) timers_in: u64,
    pub(crate) timers_out: u64,
}

impl Statistics {
    /// Adds to a counter.
    pub(crate) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub(crate) fn value(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Messages that came in.
    pub(crate) fn amount_in(&self) -> Amount {
        Amount { messages: Self::value(&self.messages_in), bytes: Self::value(&self.bytes_in) }
    }

    /// Messages that went out.
    pub(crate) fn amount_out(&self) -> Amount {
        Amount { messages: Self::value(&self.messages_out), bytes: Self::value(&self.bytes_out) }
    }

    /// The values now.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            messages_in: Self::value(&self.messages_in),
            messages_out: Self::value(&self.messages_out),
            pulls_found: Self::value(&self.pulls_found),
            pulls_missed: Self::value(&self.pulls_missed),
            timers_in: Self::value(&self.timers_in),
            timers_out: Self::value(&self.timers_out),
        }
    }
}

/// Totals at midnight (UTC; Java: `msgPutTotalTodayMorning` and its like), as far as the broker was up then.
#[derive(Debug, Default)]
pub(crate) struct Mornings {
    day: i64,
    /// Messages in and out until this day began.
    pub(crate) today: (u64, u64),
    /// And until the day before began.
    pub(crate) yesterday: (u64, u64),
}

impl Mornings {
    /// Notes the totals; to be called more often than once a day.
    pub(crate) fn note(&mut self, now_ms: i64, reading: Reading) {
        let day = now_ms.div_euclid(24 * 3600 * 1000);
        if self.day == 0 {
            self.day = day;
        }
        if day > self.day {
            self.day = day;
            self.yesterday = self.today;
            self.today = (reading.messages_in, reading.messages_out);
        }
    }
}

/// Readings of the last ten minutes, one every ten seconds: enough for the three rates that tools show.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<(i64, Reading)>);

impl History {
    const LENGTH: usize = 61;

    /// Notes the values at a time in milliseconds.
    pub(crate) fn note(&mut self, now_ms: i64, reading: Reading) {
        self.0.push_front((now_ms, reading));
        self.0.truncate(Self::LENGTH);
    }

    /// Events per second over the last 10, 60 and 600 s, as Java prints them.
    pub(crate) fn rates(&self, now_ms: i64, now: Reading, value: impl Fn(&Reading) -> u64) -> String {
        let rate = |seconds| self.rate(seconds, now_ms, now, &value);
        format!("{:?} {:?} {:?}", rate(10), rate(60), rate(600))
    }

    /// Events per second over so many seconds.
    pub(crate) fn rate(
        &self,
        seconds: usize,
        now_ms: i64,
        now: Reading,
        value: impl Fn(&Reading) -> u64,
    ) -> f64 {
        let steps = seconds / 10 - 1;
        let oldest = self.0.get(steps).or_else(|| self.0.back());
        let (then_ms, then) = oldest.copied().unwrap_or((now_ms, now));
        let elapsed = (now_ms - then_ms).max(1) as f64 / 1_000.0;
        value(&now).saturating_sub(value(&then)) as f64 / elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_look_back_ten_seconds_a_minute_and_ten() {
        let mut history = History::default();
        let reading = |messages_in| Reading { messages_in, ..Reading::default() };
        assert_eq!(history.rates(0, reading(0), |r| r.messages_in), "0.0 0.0 0.0");
        // 100 a second for 50 seconds, then 1,000 a second for the last ten.
        for second in (0..=50).step_by(10) {
            history.note(second * 1_000, reading(second as u64 * 100));
        }
        assert_eq!(history.rates(60_000, reading(15_000), |r| r.messages_in), "1000.0 250.0 250.0");
    }

    #[test]
    fn a_new_day_begins_with_the_total_so_far() {
        const DAY: i64 = 24 * 3600 * 1000;
        let mut mornings = Mornings::default();
        let reading = |n| Reading { messages_in: n, messages_out: n / 2, ..Reading::default() };
        mornings.note(DAY * 5 + 1, reading(10));
        assert_eq!((mornings.today, mornings.yesterday), ((0, 0), (0, 0)));
        mornings.note(DAY * 6, reading(100));
        mornings.note(DAY * 6 + 7, reading(150));
        assert_eq!((mornings.today, mornings.yesterday), ((100, 50), (0, 0)));
        mornings.note(DAY * 7, reading(200));
        assert_eq!((mornings.today, mornings.yesterday), ((200, 100), (100, 50)));
    }

    #[test]
    fn the_history_is_bounded() {
        let mut history = History::default();
        for n in 0..1_000 {
            history.note(n, Reading::default());
        }
        assert_eq!(history.0.len(), History::LENGTH);
    }
}

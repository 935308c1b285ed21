//! How many messages went through topics and to groups lately (Java: `StatsItemSet`; spec broker B.18, request 315).

use std::{
    collections::{HashMap, VecDeque},
    sync::atomic::{AtomicU64, Ordering},
};

use bytestring::ByteString;
use rocketwire_protocol::body::{BrokerStatsData, BrokerStatsItem};

/// Messages and bytes since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Messages.
    pub(crate) messages: u64,
    /// Bytes of their records.
    pub(crate) bytes: u64,
}

/// An amount that grows.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    /// Counts messages.
    pub(crate) fn add(&self, messages: usize, bytes: usize) {
        self.messages.fetch_add(messages as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn amount(&self) -> Amount {
        Amount { messages: self.messages.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Measured {
    /// Messages stored in a topic.
    Topic(ByteString),
    /// Messages of a topic sent to a group: `topic@group`.
    Group(ByteString),
    /// Messages stored.
    BrokerIn,
    /// Messages sent to consumers.
    BrokerOut,
}

/// Amounts of the last minute, hour and day.
#[derive(Debug, Default)]
pub(crate) struct Meters(HashMap<Measured, Series>);

/// Topics and groups whose past is kept; one takes up to 1 KiB. Of those beyond only the sum since the start is known.
const SERIES_MAX: usize = 16_384;
/// Distance and number of samples that make a minute, an hour and a day.
const SPANS: [(i64, usize); 3] = [(10_000, 7), (600_000, 7), (3_600_000, 25)];

#[derive(Debug)]
struct Series {
    spans: [VecDeque<Sample>; 3],
    is_fresh: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ms: i64,
    amount: Amount,
}

impl Meters {
    /// Notes what all meters say. To be called every ten seconds; what is not named any more is forgotten.
    pub(crate) fn note(&mut self, now_ms: i64, amounts: impl Iterator<Item = (Measured, Amount)>) {
        for (measured, amount) in amounts.filter(|(_, amount)| amount.messages > 0) {
            if let Some(series) = self.0.get_mut(&measured) {
                series.note(Sample { at_ms: now_ms, amount });
            } else if self.0.len() < SERIES_MAX {
                self.0.insert(measured, Series::new(now_ms));
            }
        }
        self.0.retain(|_, series| std::mem::take(&mut series.is_fresh));
    }

    /// The last minute, hour and day of an amount that is `amount` now. `value` picks what is summed up.
    pub(crate) fn view(
        &self,
        measured: &Measured,
        amount: Amount,
        now_ms: i64,
        value: fn(&Amount) -> u64,
    ) -> BrokerStatsData {
        let unknown = Series::new(now_ms);
        let series = self.0.get(measured).unwrap_or(&unknown);
        let [minute, hour, day] = &series.spans;
        let item = |span: &VecDeque<Sample>| {
            let first = span.front().copied().unwrap_or(Sample { at_ms: now_ms, amount });
            let sum = value(&amount).saturating_sub(value(&first.amount));
            let messages = amount.messages.saturating_sub(first.amount.messages);
            let seconds = (now_ms - first.at_ms).max(1_000) as f64 / 1_000.0;
            BrokerStatsItem {
                sum: i64::try_from(sum).unwrap_or(i64::MAX),
                tps: sum as f64 / seconds,
                avgpt: if messages == 0 { 0.0 } else { sum as f64 / messages as f64 },
            }
        };
        BrokerStatsData { stats_minute: item(minute), stats_hour: item(hour), stats_day: item(day) }
    }
}

impl Series {
    /// It began with nothing, at most ten seconds ago.
    fn new(now_ms: i64) -> Series {
        let begin = Sample { at_ms: now_ms - SPANS[0].0, amount: Amount::default() };
        Series { spans: [[begin].into(), [begin].into(), [begin].into()], is_fresh: true }
    }

    fn note(&mut self, sample: Sample) {
        self.is_fresh = true;
        for (span, (distance, length)) in self.spans.iter_mut().zip(SPANS) {
            // A clock that steps back begins a new distance.
            let since = span.back().map_or(distance, |last| sample.at_ms - last.at_ms);
            if since >= distance || since < 0 {
                span.push_back(sample);
            }
            while span.len() > length {
                span.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(messages: u64) -> Amount {
        Amount { messages, bytes: messages * 100 }
    }

    /// A topic that gets ten messages a second for so many seconds.
    fn after(seconds: u64) -> Meters {
        let mut meters = Meters::default();
        for second in (10..=seconds).step_by(10) {
            let said = [(Measured::Topic("T".into()), amount(second * 10))];
            meters.note(second as i64 * 1_000, said.into_iter());
        }
        meters
    }

    #[test]
    fn a_minute_an_hour_and_a_day_are_told_apart() {
        let topic = Measured::Topic("T".into());
        let view = |seconds: u64| {
            after(seconds).view(&topic, amount(seconds * 10), seconds as i64 * 1_000, |a| a.messages)
        };
        let young = view(30);
        assert_eq!((young.stats_minute.sum, young.stats_hour.sum, young.stats_day.sum), (300, 300, 300));
        assert_eq!(young.stats_minute.tps, 10.0);
        let old = view(2 * 86_400);
        assert_eq!(old.stats_minute.sum, 600);
        assert_eq!(old.stats_hour.sum, 36_000);
        assert_eq!(old.stats_day.sum, 864_000);
        assert_eq!((old.stats_day.tps, old.stats_day.avgpt), (10.0, 1.0));
    }

    #[test]
    fn bytes_are_summed_up_too() {
        let view = after(30).view(&Measured::Topic("T".into()), amount(300), 30_000, |a| a.bytes);
        assert_eq!((view.stats_minute.sum, view.stats_minute.avgpt), (30_000, 100.0));
    }

    #[test]
    fn what_is_gone_is_forgotten_and_the_table_is_bounded() {
        let mut meters = after(30);
        meters.note(40_000, std::iter::empty());
        assert!(meters.0.is_empty());
        let many = |_: i64| (0..SERIES_MAX + 5).map(|n| (Measured::Topic(n.to_string().into()), amount(1)));
        meters.note(50_000, many(0));
        meters.note(60_000, many(0));
        assert_eq!(meters.0.len(), SERIES_MAX);
        let beyond = Measured::Topic((SERIES_MAX + 4).to_string().into());
        let sums: Vec<_> = [Measured::Topic("0".into()), beyond]
            .map(|m| meters.view(&m, amount(1), 60_000, |a| a.messages).stats_day.sum)
            .into();
        assert_eq!(sums, [1, 1]);
    }
}

//! How long requests took (spec 12.2; Java: `RemotingMetricsManager`).
//!
//! A request is counted when its answer is written, by the task that wrote it: begin and end are looks at the clock
//! that the task takes anyway, once for all that it handled or wrote in one go. Counting is two additions to atomic
//! numbers for answers that are alike; nothing is locked, and nothing is allocated but once for each code.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rocketwire_protocol::{Command, RequestCode, ResponseCode};
use tokio::time::Instant;

use crate::dispatch::Return;

/// Upper bounds of the counts of a [`Latency`]; the last count is of those that took longer.
pub const LATENCY_BOUNDS: [Duration; 9] = [
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(5),
    Duration::from_millis(7),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
];

/// How long requests of one kind took: from the moment that they were read until their answer was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// Their code. `None`: any that has no route of its own.
    pub request: Option<RequestCode>,
    /// The code of their answer. `None`: any beyond the first few kinds of answers to this code.
    pub response: Option<ResponseCode>,
    /// Whether they waited on purpose ([`Responder::suspended`](crate::Responder::suspended)).
    pub is_long_polling: bool,
    /// What became of the answer.
    pub end: AnswerEnd,
    /// How many took no longer than each of [`LATENCY_BOUNDS`] and longer than the one before.
    pub counts: [u64; LATENCY_BOUNDS.len() + 1],
    /// All their times together.
    pub total: Duration,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerEnd {
    /// It was written.
    Written,
    /// Nobody wanted one: the request was one-way.
    Oneway,
    /// The connection was gone before.
    Lost,
}

impl AnswerEnd {
    const ALL: [AnswerEnd; 3] = [AnswerEnd::Written, AnswerEnd::Oneway, AnswerEnd::Lost];

    /// What Java calls it.
    pub fn name(self) -> &'static str {
        match self {
            AnswerEnd::Written => "success",
            AnswerEnd::Oneway => "oneway",
            AnswerEnd::Lost => "write_channel_failed",
        }
    }
}

/// An answer that is not counted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    begun: Instant,
    request: i32,
    response: i32,
    is_oneway: bool,
    is_suspended: bool,
}

impl Answered {
    pub(crate) fn new(response: &Command, back: &Return) -> Answered {
        Answered {
            begun: back.begun,
            request: back.code,
            response: response.code,
            is_oneway: back.oneway,
            is_suspended: back.suspended,
        }
    }
}

/// Kinds of answers to one code that are told apart.
const KINDS: usize = 16;

/// The counts of one client or server.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// Sorted by code.
    routes: Box<[(i32, Kinds)]>,
    others: Kinds,
}

/// Made when the first answer is counted.
type Kinds = OnceLock<Box<[Kind; KINDS]>>;

/// Answers of one kind to one code.
#[derive(Debug, Default)]
struct Kind {
    /// 0 while it is free.
    key: AtomicU64,
    counts: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    micros: AtomicU64,
}

const TAKEN: u64 = 1 << 63;
const SUSPENDED: u64 = 1 << 34;
const END: u32 = 32;
/// The key of the last kind, which has all that found no place.
const ANY: u64 = TAKEN | 1 << 35;

impl Latencies {
    /// For these codes, sorted; all others are counted together.
    pub(crate) fn new(codes: impl Iterator<Item = i32>) -> Latencies {
        Latencies { routes: codes.map(|code| (code, OnceLock::new())).collect(), others: OnceLock::new() }
    }

    /// Counts answers that have just been written, or were lost.
    pub(crate) fn count(&self, answered: &[Answered], now: Instant, is_lost: bool) {
        for alike in answered.chunk_by(|a, b| a == b) {
            if let Some(first) = alike.first() {
                self.count_alike(first, alike.len() as u64, now, is_lost);
            }
        }
    }

    fn count_alike(&self, answered: &Answered, times: u64, now: Instant, is_lost: bool) {
        let end = match (answered.is_oneway, is_lost) {
            (true, _) => AnswerEnd::Oneway,
            (false, true) => AnswerEnd::Lost,
            (false, false) => AnswerEnd::Written,
        };
        let suspended = if answered.is_suspended { SUSPENDED } else { 0 };
        let key = TAKEN | suspended | (end as u64) << END | u64::from(answered.response.cast_unsigned());
        let took = now.saturating_duration_since(answered.begun);
        let kinds = match self.routes.binary_search_by_key(&answered.request, |(code, _)| *code) {
            Ok(at) => self.routes.get(at).map_or(&self.others, |(_, kinds)| kinds),
            Err(_) => &self.others,
        };
        let kind = Kind::of(kinds.get_or_init(Box::default), key);
        let bucket = LATENCY_BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(LATENCY_BOUNDS.len());
        if let Some(count) = kind.counts.get(bucket) {
            count.fetch_add(times, Ordering::Relaxed);
        }
        kind.micros.fetch_add(took.as_micros() as u64 * times, Ordering::Relaxed);
    }

    /// All counts that are not zero.
    pub(crate) fn read(&self) -> Vec<Latency> {
        let routes = self.routes.iter().map(|(code, kinds)| (Some(RequestCode(*code)), kinds));
        let all = routes.chain([(None, &self.others)]);
        let kinds = all.flat_map(|(request, kinds)| {
            kinds
                .get()
                .into_iter()
                .flat_map(move |kinds| kinds.iter().filter_map(move |kind| kind.read(request)))
        });
        kinds.collect()
    }
}

impl Kind {
    fn of(kinds: &[Kind; KINDS], key: u64) -> &Kind {
        let (others, told_apart) = match kinds {
            [told_apart @ .., others] => (others, told_apart),
        };
        for kind in told_apart {
            let known = kind.key.load(Ordering::Relaxed);
            if known == key {
                return kind;
            }
            if known == 0 {
                match kind.key.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return kind,
                    // Another thread took it, perhaps for the same.
                    Err(taken) if taken == key => return kind,
                    Err(_) => {}
                }
            }
        }
        others.key.store(ANY, Ordering::Relaxed);
        others
    }

    fn read(&self, request: Option<RequestCode>) -> Option<Latency> {
        let key = self.key.load(Ordering::Relaxed);
        if key == 0 {
            return None;
        }
        let end = AnswerEnd::ALL.get((key >> END & 3) as usize).copied().unwrap_or(AnswerEnd::Written);
        Some(Latency {
            request,
            response: (key != ANY).then_some(ResponseCode((key as u32).cast_signed())),
            is_long_polling: key & SUSPENDED != 0,
            end,
            counts: std::array::from_fn(|at| {
                self.counts.get(at).map_or(0, |count| count.load(Ordering::Relaxed))
            }),
            total: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(begun: Instant, request: i32, response: i32) -> Answered {
        Answered { begun, request, response, is_oneway: false, is_suspended: false }
    }

    #[test]
    fn each_answer_is_counted_once_in_the_right_place() {
        // spec: remoting A11
        let begun = Instant::now();
        let latencies = Latencies::new([10, 11].into_iter());
        let ms = Duration::from_millis;
        latencies.count(&[answered(begun, 10, 0); 5], begun + ms(1), false);
        latencies.count(&[answered(begun, 10, 0)], begun + Duration::from_micros(1_001), false);
        latencies.count(&[answered(begun, 10, 2)], begun + ms(4_000), true);
        latencies.count(&[Answered { is_oneway: true, ..answered(begun, 11, 0) }], begun + ms(50), false);
        latencies.count(
            &[Answered { is_suspended: true, ..answered(begun, 11, 19) }],
            begun + ms(15_000),
            false,
        );
        latencies.count(&[answered(begun, 77, 3)], begun, false);
        let read = latencies.read();
        let named: Vec<_> = read
            .iter()
            .map(|kind| {
                let codes = (kind.request.map(|code| code.0), kind.response.map(|code| code.0));
                (codes, kind.is_long_polling, kind.end.name(), kind.counts)
            })
            .collect();
        let counts = |filled: &[(usize, u64)]| {
            let mut counts = [0; 10];
            filled.iter().for_each(|(at, n)| counts[*at] = *n);
            counts
        };
        assert_eq!(
            named,
            [
                ((Some(10), Some(0)), false, "success", counts(&[(0, 5), (1, 1)])),
                ((Some(10), Some(2)), false, "write_channel_failed", counts(&[(9, 1)])),
                ((Some(11), Some(0)), false, "oneway", counts(&[(5, 1)])),
                ((Some(11), Some(19)), true, "success", counts(&[(9, 1)])),
                ((None, Some(3)), false, "success", counts(&[(0, 1)])),
            ]
        );
        assert_eq!(read[0].total, Duration::from_micros(6_001));
    }

    #[test]
    fn answers_beyond_the_kinds_that_are_told_apart_are_counted_together() {
        let begun = Instant::now();
        let latencies = Latencies::new([10].into_iter());
        for response in 0..100 {
            latencies.count(&[answered(begun, 10, -response)], begun, false);
        }
        let read = latencies.read();
        assert_eq!(read.len(), KINDS);
        assert_eq!(read.iter().map(|kind| kind.counts[0]).sum::<u64>(), 100);
        let others = read.last().unwrap();
        assert_eq!((others.response, others.counts[0]), (None, 100 - (KINDS as u64 - 1)));
    }
}

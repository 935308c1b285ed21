//! What became of each message of a run, and when it was to be sent.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    commands::bench::load::{Plan, Window},
    failure::Failure,
};

/// What tells a message: the run and the number, in big-endian order.
pub(super) const MARK: usize = 16;
/// A byte of memory each, and few enough for 32 bits.
const MOST: u64 = 100_000_000;

pub(super) const STORED: u8 = 1;
const CONSUMED: u8 = 2;
pub(super) const FAILED: u8 = 4;

/// What became of each message of the run.
pub(super) struct Flights {
    /// Tells this run's messages from others in the topic.
    run: u64,
    interval: Duration,
    /// So many of the first are warm-up.
    warm_up: usize,
    states: Box<[AtomicU8]>,
}

impl Flights {
    pub(super) fn new(rate: u32, plan: &Plan) -> Result<Flights, Failure> {
        let count = |time: Duration| (time.as_secs_f64() * f64::from(rate)).ceil() as u64;
        let (warm_up, counted) = (count(plan.warm_up), count(plan.duration));
        if warm_up.saturating_add(counted) > MOST {
            return Err(Failure::new(format_args!(
                "that would be {counted} messages, {MOST} are the most: use a lower --rate or a shorter --duration"
            )));
        }
        Ok(Flights {
            // The standard library's hashers are seeded at random.
            run: RandomState::new().build_hasher().finish(),
            interval: Duration::from_secs(1) / rate,
            warm_up: warm_up as usize,
            states: (0..warm_up + counted).map(|_| AtomicU8::new(0)).collect(),
        })
    }

    /// How many there are, the warm-up's included.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    pub(super) fn body(&self, number: usize, size: usize) -> Bytes {
        let mut body = BytesMut::with_capacity(size);
        body.put_u64(self.run);
        body.put_u64(number as u64);
        body.resize(size, b'x');
        body.freeze()
    }

    /// The number of a message, if it is one of this run.
    pub(super) fn number(&self, body: &[u8]) -> Option<usize> {
        let (run, rest) = body.split_first_chunk()?;
        let number = u64::from_be_bytes(*rest.first_chunk()?);
        let ours = u64::from_be_bytes(*run) == self.run && number < self.states.len() as u64;
        ours.then_some(number as usize)
    }

    /// The send ended.
    pub(super) fn sent(&self, number: usize, how: u8) {
        if let Some(state) = self.states.get(number) {
            state.fetch_or(how, Relaxed);
        }
    }

    /// Whether the message is to be counted: not twice, and not in the warm-up.
    pub(super) fn consumed(&self, number: usize) -> bool {
        let before = self.states.get(number).map(|state| state.fetch_or(CONSUMED, Relaxed));
        number >= self.warm_up && before.is_some_and(|state| state & CONSUMED == 0)
    }

    /// Those that count.
    fn counted(&self) -> impl Iterator<Item = u8> {
        self.states.iter().skip(self.warm_up).map(|state| state.load(Relaxed))
    }

    /// Whether a send has not ended, or what it stored is not consumed.
    pub(super) fn under_way(&self) -> bool {
        self.counted().any(|state| state == 0 || state == STORED)
    }

    /// How many were stored and not consumed.
    pub(super) fn missing(&self) -> u64 {
        self.counted().filter(|state| *state == STORED).count() as u64
    }
}

/// When each message is to be sent.
#[derive(Clone, Copy)]
pub(super) struct Schedule {
    begin: Instant,
    interval: Duration,
    pub(super) end: Instant,
}

impl Schedule {
    /// The first message that counts is due when the window starts.
    pub(super) fn new(flights: &Flights, window: Window) -> Schedule {
        let warm_up = flights.interval * flights.warm_up as u32;
        let begin = window.start.checked_sub(warm_up).unwrap_or(window.start);
        Schedule { begin, interval: flights.interval, end: window.end }
    }

    pub(super) fn due(&self, number: usize) -> Instant {
        self.begin + self.interval * number as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn flights() -> Flights {
        // A quarter of four seconds is warm-up: 10 messages of 50.
        Flights::new(10, &Plan::new(2, Duration::from_secs(4), Format::Json)).unwrap()
    }

    #[test]
    fn messages_of_other_runs_and_other_bodies_are_told() {
        let (one, other) = (flights(), Flights { run: 7, ..flights() });
        assert_eq!(one.number(&one.body(49, 16)), Some(49));
        assert_eq!(one.number(&one.body(3, 4096)), Some(3));
        assert_eq!(one.number(&one.body(50, 16)), None);
        assert_eq!(one.number(&other.body(3, 16)), None);
        assert_eq!(one.number(b"!"), None);
    }

    #[test]
    fn warm_up_and_repetitions_do_not_count_and_what_is_lost_is_missing() {
        let flights = flights();
        (8..50).for_each(|number| flights.sent(number, if number < 14 { STORED } else { FAILED }));
        assert_eq!(flights.missing(), 4);
        assert!(!flights.consumed(9));
        assert!(flights.consumed(10));
        assert!(!flights.consumed(10));
        // A send that failed may have stored the message all the same.
        assert!(flights.consumed(20));
        assert_eq!(flights.missing(), 3);
        assert!(flights.under_way());
        assert!((11..14).all(|number| flights.consumed(number)));
        assert!(!flights.under_way());
    }

    #[test]
    fn the_first_counted_message_is_due_when_the_window_starts() {
        let start = Instant::now() + Duration::from_secs(100);
        let window = Window { start, end: start + Duration::from_secs(4) };
        let schedule = Schedule::new(&flights(), window);
        assert_eq!(schedule.due(0), start - Duration::from_secs(1));
        assert_eq!(schedule.due(10), start);
        assert_eq!(schedule.due(50), window.end);
    }

    #[test]
    fn too_many_messages_are_refused() {
        assert!(Flights::new(100_000, &Plan::new(2, Duration::from_secs(3600), Format::Json)).is_err());
    }
}

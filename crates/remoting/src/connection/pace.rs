//! How many requests one turn handles.
//!
//! A peer that sent many requests at once waits for the first answer until a turn is over, and has nothing to do
//! meanwhile; both sides take turns in working then. So a turn that is not short ends in the middle: half of what the
//! peer has under way goes out as answers, and the peer works on that while this side goes on with the other half. More
//! parts than two only cost more writes. How long a frame takes is measured, because a look at the clock for each
//! would cost as much as a cheap frame.

use std::time::Duration;

/// A turn that is no longer than this is not cut. About as long as ten writes: cutting a turn costs one of them.
const SHORT: Duration = Duration::from_micros(40);
/// A turn is never longer, but for the least number of frames.
const LONG: Duration = Duration::from_micros(320);
/// One frame cannot be cut, and says little about what others take.
const LEAST: usize = 2;
const MOST: usize = 4096;

#[derive(Debug)]
pub(crate) struct Pace {
    limit: usize,
    /// Nanoseconds that a frame takes.
    each: u64,
    /// Frames that the peer has under way, as it seems.
    window: usize,
    /// Frames of the turn before, if this one follows it at once.
    before: usize,
}

/// What one turn did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handled {
    /// Frames, and their bytes.
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    /// From the first of them until the answers were written.
    pub(crate) took: Duration,
    /// Bytes that came with them and were left for the next turn.
    pub(crate) left: usize,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        Pace { limit: 64, each: 0, window: 0, before: 0 }
    }

    /// Frames of one turn.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Nothing was there: what comes next was not held back by a turn.
    pub(crate) fn rest(&mut self) {
        self.before = 0;
    }

    /// A turn is over.
    pub(crate) fn learn(&mut self, turn: Handled) {
        let Handled { frames, bytes, took, left } = turn;
        let before = std::mem::replace(&mut self.before, frames);
        if frames < LEAST {
            return;
        }
        let sample = took.as_nanos() as u64 / frames as u64;
        self.each = (self.each * 3 + sample) / 4;
        // What the turn before answered is on its way, or back already and part of what is left.
        let under_way = frames + before.max(left / (bytes / frames).max(1));
        self.window = under_way.max(self.window - self.window.div_ceil(16));
        let in_time = |time: Duration| (time.as_nanos() as u64 / self.each.max(1)).min(MOST as u64) as usize;
        self.limit = (self.window / 2).min(in_time(LONG)).max(in_time(SHORT)).clamp(LEAST, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that keeps so many requests of 100 bytes under way, each of which takes so long. It asks again while the
    /// turn after that with its answers is under way.
    fn settled(window: usize, each: Duration) -> usize {
        let mut pace = Pace::new();
        let (mut here, mut away) = (window, 0);
        for _ in 0..300 {
            let frames = here.min(pace.limit());
            here -= frames;
            if frames == 0 {
                pace.rest();
            } else {
                let took = each * frames as u32;
                pace.learn(Handled { frames, bytes: frames * 100, took, left: here * 100 });
            }
            here += away;
            away = frames;
        }
        pace.limit()
    }

    #[test]
    fn turns_that_are_not_short_handle_half_of_what_is_under_way() {
        let us = Duration::from_micros;
        assert_eq!(settled(64, us(5)), 32);
        assert_eq!(settled(16, us(5)), 8);
        assert_eq!(settled(4, us(50)), 2);
        assert!((45..=55).contains(&settled(100, us(2))), "{}", settled(100, us(2)));
        assert_eq!(settled(1000, us(4)), 80, "no turn takes longer than LONG");
        assert_eq!(settled(64, us(100)), 3);
        assert_eq!(settled(64, us(500)), LEAST);
        assert_eq!(settled(64, us(1) / 2), 80, "a short turn is not cut");
        assert_eq!(settled(64, Duration::ZERO), MOST);
        assert_eq!(settled(LEAST - 1, us(100)), 64, "few frames tell nothing");
    }

    #[test]
    fn a_peer_that_waits_for_all_its_answers_gets_the_first_half_early() {
        let mut pace = Pace::new();
        for _ in 0..20 {
            pace.rest();
            let took = Duration::from_micros(5 * 64);
            pace.learn(Handled { frames: 64, bytes: 6400, took, left: 0 });
        }
        assert_eq!(pace.limit(), 32, "turns between which nothing was there are not added up");
    }

    #[test]
    fn a_peer_that_has_less_under_way_than_before_is_noticed() {
        let mut pace = Pace::new();
        let turn = |frames: usize| {
            let took = Duration::from_micros(5) * frames as u32;
            Handled { frames, bytes: frames * 100, took, left: 0 }
        };
        (0..20).for_each(|_| pace.learn(turn(60)));
        assert_eq!(pace.limit(), 60);
        (0..60).for_each(|_| pace.learn(turn(10)));
        assert!(pace.limit() < 20, "{}", pace.limit());
    }

    #[test]
    fn one_turn_that_lost_its_core_is_soon_forgotten() {
        let mut pace = Pace::new();
        let turn = |frames: usize, took| Handled { frames, bytes: frames * 100, took, left: 0 };
        (0..50).for_each(|_| pace.learn(turn(64, Duration::from_micros(32))));
        pace.learn(turn(64, Duration::from_millis(4)));
        assert!(pace.limit() < 64, "{}", pace.limit());
        for _ in 0..20 {
            let frames = pace.limit();
            pace.learn(turn(frames, Duration::from_nanos(500) * frames as u32));
        }
        assert!(pace.limit() >= 64, "{}", pace.limit());
    }
}

//! How many requests one turn handles.
//!
//! A peer that sent many requests at once waits for the first answer until a turn is over, and has nothing to do
//! meanwhile; both sides take turns in working then. So a turn ends after a slice of time, what is ready goes out,
//! and the peer works on that while this side goes on. How long a frame takes is measured, because a look at the
//! clock for each would cost as much as a cheap frame.

use std::time::Duration;

/// About as long as ten writes: cutting a turn costs one of them.
const SLICE: Duration = Duration::from_micros(40);
/// Fewer frames are not worth a write of their own, and say little about what one takes.
const LEAST: usize = 8;
const MOST: usize = 4096;

#[derive(Debug)]
pub(crate) struct Pace {
    limit: usize,
    /// Nanoseconds that a frame takes.
    each: u64,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        Pace { limit: 64, each: 0 }
    }

    /// Frames of one turn.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// So many frames took so long, their answers included.
    pub(crate) fn learn(&mut self, frames: usize, took: Duration) {
        if frames < LEAST {
            return;
        }
        let sample = took.as_nanos() as u64 / frames as u64;
        self.each = (self.each * 3 + sample) / 4;
        let frames = SLICE.as_nanos() as u64 / self.each.max(1);
        self.limit = usize::try_from(frames).unwrap_or(MOST).clamp(LEAST, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of so many frames that take so long each.
    fn settled(frames: usize, each: Duration) -> usize {
        let mut pace = Pace::new();
        (0..50).for_each(|_| pace.learn(frames, each * frames as u32));
        pace.limit()
    }

    #[test]
    fn what_a_frame_takes_decides_how_many_make_a_turn() {
        let us = Duration::from_micros;
        assert_eq!(settled(20, us(2)), 20);
        assert_eq!(settled(64, us(1) / 2), 80);
        assert_eq!(settled(64, us(100)), LEAST);
        assert_eq!(settled(64, Duration::ZERO), MOST);
        assert_eq!(settled(LEAST - 1, us(100)), 64, "few frames tell nothing");
    }

    #[test]
    fn one_turn_that_lost_its_core_is_soon_forgotten() {
        let mut pace = Pace::new();
        (0..50).for_each(|_| pace.learn(64, Duration::from_micros(32)));
        pace.learn(64, Duration::from_millis(4));
        assert_eq!(pace.limit(), LEAST);
        for _ in 0..20 {
            let frames = pace.limit();
            pace.learn(frames, Duration::from_nanos(500) * frames as u32);
        }
        assert!(pace.limit() > 64, "{}", pace.limit());
    }
}

//! Looking for events before sleeping.
//!
//! Waking a thread on an idle core costs tens of microseconds, many times a request's own cost. So after work a
//! task keeps yielding to the runtime for a moment, which makes the runtime ask the system for events without
//! waiting. One task of an endpoint doing so serves all its connections; the others sleep meanwhile.
//!
//! On a machine that is busy with something else a yield costs the other's time slice, milliseconds, while a
//! sleeper that is woken runs soon: there looking stops for a while.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(crate) struct Looker {
    window: Duration,
    base: Instant,
    /// When looking ends unless something happens: nanoseconds since `base`.
    until: AtomicU64,
    /// When looking may be tried again after a yield took long: nanoseconds since `base`.
    resume: AtomicU64,
    /// The length of the next rest in nanoseconds.
    rest: AtomicU64,
    busy: AtomicBool,
}

/// A yield that takes this long went to somebody else's work.
const SLOW_YIELD: Duration = Duration::from_micros(100);
/// How long looking rests then, at first; twice as long each time it happens again.
const REST: Duration = Duration::from_millis(20);
const LONGEST_REST: Duration = Duration::from_millis(640);

impl Looker {
    pub(crate) fn new(window: Duration) -> Looker {
        Looker {
            window,
            base: Instant::now(),
            until: AtomicU64::new(0),
            resume: AtomicU64::new(0),
            rest: AtomicU64::new(REST.as_nanos() as u64),
            busy: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.window.is_zero()
    }

    /// Something happened on a connection: look a little longer.
    pub(crate) fn hit(&self) {
        if self.is_on() {
            let until = self.base.elapsed() + self.window;
            self.until.store(until.as_nanos() as u64, Ordering::Relaxed);
        }
    }

    /// Whether it is worth looking on. `mine`: the caller is the one that looks.
    pub(crate) fn look(&self, mine: &mut bool) -> bool {
        let now = self.base.elapsed().as_nanos() as u64;
        let resume = self.resume.load(Ordering::Relaxed);
        if !self.is_on() || now >= self.until.load(Ordering::Relaxed) || now < resume {
            self.stop(mine);
            return false;
        }
        if !*mine {
            *mine = !self.busy.swap(true, Ordering::Relaxed);
        }
        *mine
    }

    /// Lets others of this core run, be they of another process.
    pub(crate) fn yield_now(&self) {
        let before = self.base.elapsed();
        std::thread::yield_now();
        let after = self.base.elapsed();
        let rest = self.rest.load(Ordering::Relaxed);
        let shortest = REST.as_nanos() as u64;
        if after - before > SLOW_YIELD {
            self.resume.store(after.as_nanos() as u64 + rest, Ordering::Relaxed);
            self.rest.store((rest * 2).min(LONGEST_REST.as_nanos() as u64), Ordering::Relaxed);
        } else if rest != shortest {
            self.rest.store(shortest, Ordering::Relaxed);
        }
    }

    /// The caller looks no more.
    pub(crate) fn stop(&self, mine: &mut bool) {
        if std::mem::take(mine) {
            self.busy.store(false, Ordering::Relaxed);
        }
    }
}

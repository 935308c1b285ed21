//! Looking for events before sleeping.
//!
//! Waking a thread on an idle core costs tens of microseconds, many times a request's own cost. So after work a
//! task keeps yielding to the runtime for a moment, which makes the runtime ask the system for events without
//! waiting. One task of an endpoint doing so serves all its connections; the others sleep meanwhile.

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
    busy: AtomicBool,
}

impl Looker {
    pub(crate) fn new(window: Duration) -> Looker {
        Looker { window, base: Instant::now(), until: AtomicU64::new(0), busy: AtomicBool::new(false) }
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
        if !self.is_on() || self.base.elapsed().as_nanos() as u64 >= self.until.load(Ordering::Relaxed) {
            self.stop(mine);
            return false;
        }
        if !*mine {
            *mine = !self.busy.swap(true, Ordering::Relaxed);
        }
        *mine
    }

    /// The caller looks no more.
    pub(crate) fn stop(&self, mine: &mut bool) {
        if std::mem::take(mine) {
            self.busy.store(false, Ordering::Relaxed);
        }
    }
}

//! The writer's own thread.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Completion, Writer};
use crate::engine::Shared;
use crate::log::lock;

/// Between two looks at a disk that is full.
const FULL_CHECK: Duration = Duration::from_millis(100);
/// A yield that takes this long went to somebody else's work; a thread that sleeps is woken sooner than one that
/// yields gets its turn again.
const SLOW_YIELD: Duration = Duration::from_micros(100);
/// How long looking rests then, at first; twice as long each time it happens again.
const REST: Duration = Duration::from_millis(20);
const LONGEST_REST: Duration = Duration::from_millis(640);

/// Writes whatever it is woken for, until the store is closed and everything pending is answered.
///
/// What is held for the end of a turn is nobody's work yet, and goes with the next group all the same.
pub(crate) fn run<C: Completion>(writer: &Mutex<Writer<C>>, shared: &Shared<C>) {
    shared.writer_wake.adopt();
    let mut looking = Looking { rest_until: Duration::ZERO, rest: REST };
    loop {
        let has_written = lock(writer).turn();
        if has_written && shared.has_work.load(Ordering::SeqCst) || looking.look(shared) {
            continue;
        }
        if shared.is_stopping.load(Ordering::Acquire) {
            // Pending is closed by now, so what it does not hold will not come.
            if !lock(writer).turn() {
                return;
            }
            continue;
        }
        let limit = shared.log.disk.is_full().then_some(FULL_CHECK);
        shared.writer_wake.sleep(limit, || {
            !shared.has_work.load(Ordering::SeqCst) && !shared.is_stopping.load(Ordering::Acquire)
        });
    }
}

/// Looking for work before sleeping.
struct Looking {
    /// No looking before this: the machine is busy with something else.
    rest_until: Duration,
    rest: Duration,
}

impl Looking {
    /// Looks for a while, because waking a sleeping thread costs more than that; whether there is work.
    fn look<C>(&mut self, shared: &Shared<C>) -> bool {
        let clock = &shared.log.clock;
        let budget = shared.log.options.look;
        if budget.is_zero() {
            return false;
        }
        let start = clock.monotonic();
        if start < self.rest_until {
            return false;
        }
        let mut last = start;
        while !shared.has_work.load(Ordering::Relaxed) {
            // A clock that is turned by hand never uses up the budget.
            if shared.is_stopping.load(Ordering::Relaxed) {
                return false;
            }
            let now = clock.monotonic();
            if now.saturating_sub(last) > SLOW_YIELD {
                self.rest_until = now + self.rest;
                self.rest = (self.rest * 2).min(LONGEST_REST);
                return false;
            }
            if now.saturating_sub(start) >= budget {
                return false;
            }
            if now > last {
                self.rest = REST;
            }
            last = now;
            std::thread::yield_now();
        }
        true
    }
}

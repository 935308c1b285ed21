//! What a task does when nothing happens: it sleeps until something does or is due.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep},
};

use super::{FEW, FIRST_READ, SHRINK, Task, Turn};
use crate::{CloseCause, connection::shared::CallEnd, planted::planted};

/// Deadlines are kept to this tick.
const TICK: Duration = Duration::from_millis(10);

impl<T: AsyncRead + AsyncWrite + Unpin> Task<'_, T> {
    /// Tells the endpoint how much an unfinished frame holds. Only a task that is about to sleep does: one that
    /// works will have finished it soon, or asked for more.
    fn account_partial(&mut self) -> Result<(), CloseCause> {
        let holds = if self.frame_begun.is_some() { self.input.len() } else { 0 };
        if holds == self.partial {
            return Ok(());
        }
        let all = &self.shared.endpoint.partial;
        let total = all.fetch_add(holds, Ordering::Relaxed) + holds - self.partial;
        all.fetch_sub(self.partial, Ordering::Relaxed);
        let grew = holds > self.partial;
        self.partial = holds;
        let limit = self.shared.options().max_partial;
        if grew && total > limit && !planted("unfinished frames without a budget") {
            return Err(CloseCause::PartialFrames { limit });
        }
        Ok(())
    }

    /// Registers everything that may wake the task; `Ready` if there is work after all.
    pub(super) fn sleep(&mut self, mut alarm: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Turn> {
        if let Err(cause) = self.account_partial() {
            return Poll::Ready(Turn::Close(cause));
        }
        let now = Instant::now();
        let next_deadline = {
            let mut state = self.shared.lock();
            let more = !state.out.is_empty() && self.written == self.out.len();
            // A responder wakes who sleeps, and was perhaps the last of them while this task was still awake.
            let may_read =
                self.held_back && self.may_read() && !planted("lost wake: reading is not taken up again");
            let ends = state.closing.is_some() || state.has_retired() || self.shared.has_drained(&state);
            let last_look = more || may_read || ends;
            if last_look && !planted("lost wake: no last look before sleeping") {
                return Poll::Ready(Turn::Worked);
            }
            match &mut state.sleeper {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            // Requests whose frames wait behind a write that is blocked.
            state.in_flight.date(now.into_std());
            state.in_flight.next_deadline()
        };
        let mut at = self.housekeeping_at(now);
        if let Some(deadline) = next_deadline {
            at = at.min(Instant::from_std(deadline).max(now + TICK / 2));
        }
        if at < self.alarm_at {
            alarm.as_mut().reset(at);
            self.alarm_at = at;
        }
        ready!(alarm.as_mut().poll(cx));
        match self.on_alarm(Instant::now()) {
            Err(cause) => Poll::Ready(Turn::Close(cause)),
            Ok(next) => {
                alarm.as_mut().reset(next);
                self.alarm_at = next;
                Poll::Ready(Turn::Worked)
            }
        }
    }

    /// When something besides a call's deadline may be due.
    fn housekeeping_at(&self, now: Instant) -> Instant {
        let options = self.shared.options();
        let mut at = now + Duration::from_secs(86_400);
        if let Some(idle) = self.idle_limit() {
            at = at.min(self.last_active + idle);
        }
        if let Some(since) = self.stalled_since {
            at = at.min(since + options.write_stall);
        }
        if self.frame_begun.is_some() {
            at = at.min(now + Duration::from_secs(1));
        }
        if self.has_idle_buffers() {
            at = at.min((self.last_active + SHRINK).max(now + TICK));
        }
        at
    }

    /// Whether there are buffers to give back. Those in use are not: whoever empties them comes by again.
    fn has_idle_buffers(&self) -> bool {
        let unused = self.input.len() < FEW && self.out.is_empty();
        unused && (!self.frugal || self.out.capacity() > 0)
    }

    /// How long this connection may do nothing.
    fn idle_limit(&self) -> Option<Duration> {
        let options = self.shared.options();
        let first = Some(options.first_byte).filter(|first| self.quiet && !first.is_zero());
        let idle = Some(options.idle).filter(|idle| !idle.is_zero());
        first.into_iter().chain(idle).min()
    }

    /// Does what is due, and says when to come again.
    pub(super) fn on_alarm(&mut self, now: Instant) -> Result<Instant, CloseCause> {
        let options = self.shared.options();
        self.expire_calls(now);
        if let Some(since) = self.stalled_since
            && now - since >= options.write_stall
            && !planted("a peer that never reads is kept")
        {
            return Err(CloseCause::Stalled { pending: self.out.len() - self.written, stalled: now - since });
        }
        if let Some(begun) = self.frame_begun {
            let allowed = options.frame_timeout + Duration::from_secs(self.input.len() as u64 / (64 << 10));
            if now - begun >= allowed {
                return Err(CloseCause::SlowFrame(now - begun));
            }
        }
        if let Some(idle) = self.idle_limit()
            && now - self.last_active >= idle
        {
            return Err(CloseCause::Idle(idle));
        }
        if now - self.last_active >= SHRINK && self.has_idle_buffers() {
            self.input = BytesMut::from(&*self.input);
            self.frugal = true;
            self.window = FIRST_READ;
            self.out = Vec::new();
            self.answered = Vec::new();
            let mut state = self.shared.lock();
            if state.out.is_empty() {
                state.out = Vec::new();
                state.answered = Vec::new();
            }
        }
        let deadline = self.shared.lock().in_flight.next_deadline();
        let at = self.housekeeping_at(now);
        Ok(deadline.map_or(at, |deadline| at.min(Instant::from_std(deadline))).max(now + TICK / 2))
    }

    pub(super) fn expire_calls(&mut self, now: Instant) {
        let late = if planted("deadline a second late") { Duration::from_secs(1) } else { Duration::ZERO };
        let due = if planted("wall clock in a call's deadline") {
            std::time::Instant::now()
        } else {
            (now - late).into_std()
        };
        let mut state = self.shared.lock();
        if state.in_flight.next_deadline().is_none_or(|deadline| deadline > due) {
            return;
        }
        let (expired, wakers) = state.in_flight.expire(due, |deadline| Err(CallEnd::TimedOut(deadline)));
        drop(state);
        self.shared.endpoint.counters.timeouts.fetch_add(expired as u64, Ordering::Relaxed);
        wakers.into_iter().for_each(Waker::wake);
    }
}

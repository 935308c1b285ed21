//! One request of this side, from its frame to its answer.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use rocketwire_protocol::{Command, rpc::Due};
use tokio::time::{Instant, timeout_at};

use super::shared::{CallEnd, Shared, wake};
use crate::{CloseCause, Phase, RpcError, options::FOREVER, planted::planted};

/// A call: sends its request when it is first polled. Dropped, it frees its slot.
///
/// Written by hand so that a call costs two short locks, no allocation and no copy of the command.
#[must_use = "a call does nothing unless it is awaited"]
pub(crate) struct Call {
    shared: Arc<Shared>,
    state: State,
    begun: Option<Instant>,
    timeout: Duration,
}

enum State {
    Start(Command),
    /// The table or the output buffer is full.
    Full(Command, Pin<Box<dyn Future<Output = Result<(), RpcError>> + Send>>),
    /// Sent, under this opaque.
    Waiting(i32),
    Ended,
}

enum NotBegun {
    Failed(RpcError),
    NoRoom,
}

impl Call {
    /// `begun`: when the caller's time began; without it, when the connection's task takes the request over.
    pub(crate) fn new(
        shared: Arc<Shared>,
        command: Command,
        begun: Option<Instant>,
        timeout: Duration,
    ) -> Call {
        Call { shared, state: State::Start(command), begun, timeout: timeout.min(FOREVER) }
    }

    /// The time of the call begins here, if it has not begun.
    fn wait_for_room(&mut self) -> Pin<Box<dyn Future<Output = Result<(), RpcError>> + Send>> {
        let (shared, timeout) = (self.shared.clone(), self.timeout);
        let begun = *self.begun.get_or_insert_with(Instant::now);
        Box::pin(async move {
            let _waiting = shared.wait_for_room();
            if timeout.is_zero() {
                let limit = shared.options().max_in_flight;
                return Err(RpcError::TooManyRequests { addr: shared.addr(), limit });
            }
            timeout_at(begun + timeout, shared.room.notified()).await.map_err(|_| {
                shared.endpoint.counters.timeouts.fetch_add(1, Ordering::Relaxed);
                RpcError::Timeout {
                    addr: shared.addr(),
                    phase: Phase::Queue,
                    elapsed: begun.elapsed(),
                    timeout,
                }
            })
        })
    }

    fn failed(&self, end: CallEnd) -> RpcError {
        match end {
            CallEnd::Closed(cause, due) => {
                let left = match due {
                    Due::At(deadline) => {
                        Instant::from_std(deadline).saturating_duration_since(Instant::now())
                    }
                    Due::In(timeout) => timeout,
                };
                self.closed(cause, Phase::Answer, self.timeout.saturating_sub(left))
            }
            CallEnd::TimedOut(deadline) => RpcError::Timeout {
                addr: self.shared.addr(),
                phase: Phase::Answer,
                elapsed: self.timeout + Instant::now().saturating_duration_since(deadline.into()),
                timeout: self.timeout,
            },
        }
    }

    fn closed(&self, cause: Arc<CloseCause>, phase: Phase, elapsed: Duration) -> RpcError {
        RpcError::Closed { addr: self.shared.addr(), phase, elapsed, timeout: self.timeout, cause }
    }

    /// Takes a slot, leaves the waker there and appends the frame, all under one short lock.
    fn begin(&mut self, waker: &Waker) -> Result<(), NotBegun> {
        let State::Start(command) = &self.state else { return Ok(()) };
        let (shared, options) = (&*self.shared, self.shared.options());
        // Without a begin the connection's task reads the clock, once for all that it takes over.
        let due =
            self.begun.map_or(Due::In(self.timeout), |begun| Due::At((begun + self.timeout).into_std()));
        let mut state = shared.lock();
        if let Some(cause) = &state.closed {
            let elapsed = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
            return Err(NotBegun::Failed(self.closed(cause.clone(), Phase::Queue, elapsed)));
        }
        if state.pending() > options.high_water {
            return Err(NotBegun::NoRoom);
        }
        let Ok(opaque) = state.in_flight.insert(due) else { return Err(NotBegun::NoRoom) };
        if let Err(source) = shared.encode_limited(command, opaque, options.encoding, &mut state.out) {
            state.in_flight.cancel(opaque);
            return Err(NotBegun::Failed(RpcError::Encode { addr: shared.addr(), source }));
        }
        let _ = state.in_flight.poll(opaque, waker);
        let sleeper = state.sleeper.take();
        drop(state);
        wake(sleeper);
        self.state = State::Waiting(opaque);
        Ok(())
    }

    /// Begins, or waits for room.
    fn start(&mut self, cx: &mut Context<'_>) -> Poll<Result<Command, RpcError>> {
        let mut room = None;
        loop {
            match self.begin(cx.waker()) {
                Ok(()) => return Poll::Pending,
                Err(NotBegun::Failed(error)) => return self.end(Err(error)),
                Err(NotBegun::NoRoom) => {}
            }
            if let Some(room) = room.take() {
                if let State::Start(command) = std::mem::replace(&mut self.state, State::Ended) {
                    self.state = State::Full(command, room);
                }
                return Poll::Pending;
            }
            let mut waiting = self.wait_for_room();
            match waiting.as_mut().poll(cx) {
                // Registered before the last look, so that no notice in between is missed.
                Poll::Pending => room = Some(waiting),
                // There was room before this call could wait for it, and may be none any more.
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return self.end(Err(error)),
            }
        }
    }

    fn end(&mut self, result: Result<Command, RpcError>) -> Poll<Result<Command, RpcError>> {
        self.state = State::Ended;
        Poll::Ready(result)
    }
}

impl Future for Call {
    type Output = Result<Command, RpcError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            // The command is large for something that moves: it stays where it is until it is written.
            match &mut this.state {
                State::Waiting(opaque) => {
                    let answer = ready!(this.shared.lock().in_flight.poll(*opaque, cx.waker()));
                    this.state = State::Ended;
                    this.shared.tell_room();
                    return Poll::Ready(answer.map_err(|end| this.failed(end)));
                }
                State::Start(_) => return this.start(cx),
                State::Full(_, room) => match ready!(room.as_mut().poll(cx)) {
                    Ok(()) => {
                        if let State::Full(command, _) = std::mem::replace(&mut this.state, State::Ended) {
                            this.state = State::Start(command);
                        }
                    }
                    Err(error) => return this.end(Err(error)),
                },
                // Polled after it ended: there is nothing more to come.
                State::Ended => return Poll::Pending,
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let State::Waiting(opaque) = self.state
            && !planted("slot leaked on cancel")
        {
            self.shared.cancel(opaque);
        }
    }
}

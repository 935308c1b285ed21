//! One request of this side, from its frame to its answer.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use rocketwire_protocol::Command;
use tokio::time::{Instant, timeout_at};

use super::shared::{CallEnd, Shared, wake};
use crate::{Phase, RpcError, planted::planted};

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
    /// `begun`: when the caller's time began; without it, at the first poll.
    pub(crate) fn new(
        shared: Arc<Shared>,
        command: Command,
        begun: Option<Instant>,
        timeout: Duration,
    ) -> Call {
        Call { shared, state: State::Start(command), begun, timeout }
    }

    fn wait_for_room(&self, begun: Instant) -> Pin<Box<dyn Future<Output = Result<(), RpcError>> + Send>> {
        let (shared, timeout) = (self.shared.clone(), self.timeout);
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

    fn failed(&self, end: CallEnd, begun: Instant) -> RpcError {
        match end {
            CallEnd::Closed(cause) => RpcError::Closed { addr: self.shared.addr(), cause },
            CallEnd::TimedOut => RpcError::Timeout {
                addr: self.shared.addr(),
                phase: Phase::Answer,
                elapsed: begun.elapsed(),
                timeout: self.timeout,
            },
        }
    }
}

/// Takes a slot, leaves the waker there and appends the frame, all under one short lock.
fn begin(shared: &Shared, command: &Command, deadline: Instant, waker: &Waker) -> Result<i32, NotBegun> {
    let options = shared.options();
    let mut state = shared.lock();
    if let Some(cause) = &state.closed {
        return Err(NotBegun::Failed(RpcError::Closed { addr: shared.addr(), cause: cause.clone() }));
    }
    if state.pending() > options.high_water {
        return Err(NotBegun::NoRoom);
    }
    let Ok(opaque) = state.in_flight.insert(deadline.into_std()) else { return Err(NotBegun::NoRoom) };
    if let Err(source) = shared.encode_limited(command, opaque, options.encoding, &mut state.out) {
        state.in_flight.cancel(opaque);
        return Err(NotBegun::Failed(RpcError::Encode { addr: shared.addr(), source }));
    }
    let _ = state.in_flight.poll(opaque, waker);
    let sleeper = state.sleeper.take();
    drop(state);
    wake(sleeper);
    Ok(opaque)
}

impl Future for Call {
    type Output = Result<Command, RpcError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let begun = *this.begun.get_or_insert_with(Instant::now);
        loop {
            match std::mem::replace(&mut this.state, State::Ended) {
                State::Waiting(opaque) => {
                    let polled = this.shared.lock().in_flight.poll(opaque, cx.waker());
                    let Poll::Ready(end) = polled else {
                        this.state = State::Waiting(opaque);
                        return Poll::Pending;
                    };
                    this.shared.tell_room();
                    return Poll::Ready(end.map_err(|end| this.failed(end, begun)));
                }
                State::Start(command) => {
                    match begin(&this.shared, &command, begun + this.timeout, cx.waker()) {
                        Ok(opaque) => {
                            this.state = State::Waiting(opaque);
                            return Poll::Pending;
                        }
                        Err(NotBegun::Failed(error)) => return Poll::Ready(Err(error)),
                        Err(NotBegun::NoRoom) => {
                            let mut room = this.wait_for_room(begun);
                            // Registered before the last look, so that no notice in between is missed.
                            if let Poll::Ready(Err(error)) = room.as_mut().poll(cx) {
                                return Poll::Ready(Err(error));
                            }
                            match begin(&this.shared, &command, begun + this.timeout, cx.waker()) {
                                Ok(opaque) => this.state = State::Waiting(opaque),
                                Err(NotBegun::Failed(error)) => return Poll::Ready(Err(error)),
                                Err(NotBegun::NoRoom) => this.state = State::Full(command, room),
                            }
                            return Poll::Pending;
                        }
                    }
                }
                State::Full(command, mut room) => match room.as_mut().poll(cx) {
                    Poll::Ready(Ok(())) => this.state = State::Start(command),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        this.state = State::Full(command, room);
                        return Poll::Pending;
                    }
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

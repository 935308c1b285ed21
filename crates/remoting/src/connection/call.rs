//! One request of this side, from its frame to its answer.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use rocketwire_protocol::Command;
use tokio::time::{Instant, timeout_at};

use super::shared::{CallEnd, Shared, wake};
use crate::{Phase, RpcError};

/// A call in flight. Dropped, it frees its slot.
pub(crate) struct Call {
    shared: Arc<Shared>,
    opaque: i32,
    begun: Instant,
    timeout: Duration,
    ended: bool,
}

pub(crate) enum NotBegun {
    Failed(RpcError),
    /// The table or the output buffer is full.
    NoRoom,
}

/// Takes a slot and appends the frame, both under one short lock.
pub(crate) fn begin(
    shared: &Arc<Shared>,
    command: &Command,
    begun: Instant,
    timeout: Duration,
) -> Result<Call, NotBegun> {
    let options = shared.options();
    let mut state = shared.lock();
    if let Some(cause) = &state.closed {
        return Err(NotBegun::Failed(RpcError::Closed { addr: shared.addr(), cause: cause.clone() }));
    }
    if state.pending() > options.high_water {
        return Err(NotBegun::NoRoom);
    }
    let deadline = begun + timeout;
    let Ok(opaque) = state.in_flight.insert(deadline.into_std()) else {
        return Err(NotBegun::NoRoom);
    };
    if let Err(source) = shared.encode_limited(command, opaque, options.encoding, &mut state.out) {
        state.in_flight.cancel(opaque);
        return Err(NotBegun::Failed(RpcError::Encode { addr: shared.addr(), source }));
    }
    let sleeper = state.sleeper.take();
    drop(state);
    wake(sleeper);
    Ok(Call { shared: shared.clone(), opaque, begun, timeout, ended: false })
}

/// [`begin`] as soon as there is room.
pub(crate) async fn begin_when_room(
    shared: &Arc<Shared>,
    command: Command,
    begun: Instant,
    timeout: Duration,
) -> Result<Call, RpcError> {
    let _waiting = shared.wait_for_room();
    loop {
        // Enabled before the look, so that no notice between the two is missed.
        let mut room = std::pin::pin!(shared.room.notified());
        room.as_mut().enable();
        match begin(shared, &command, begun, timeout) {
            Ok(call) => return Ok(call),
            Err(NotBegun::Failed(error)) => return Err(error),
            Err(NotBegun::NoRoom) if timeout.is_zero() => {
                return Err(RpcError::TooManyRequests {
                    addr: shared.addr(),
                    limit: shared.options().max_in_flight,
                });
            }
            Err(NotBegun::NoRoom) => {}
        }
        if timeout_at(begun + timeout, room).await.is_err() {
            shared.endpoint.counters.timeouts.fetch_add(1, Ordering::Relaxed);
            return Err(RpcError::Timeout {
                addr: shared.addr(),
                phase: Phase::Queue,
                elapsed: begun.elapsed(),
                timeout,
            });
        }
    }
}

impl Future for Call {
    type Output = Result<Command, RpcError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = this.shared.lock().in_flight.poll(this.opaque, cx.waker());
        let Poll::Ready(end) = polled else {
            return Poll::Pending;
        };
        this.ended = true;
        this.shared.tell_room();
        Poll::Ready(end.map_err(|end| match end {
            CallEnd::Closed(cause) => RpcError::Closed { addr: this.shared.addr(), cause },
            CallEnd::TimedOut => RpcError::Timeout {
                addr: this.shared.addr(),
                phase: Phase::Answer,
                elapsed: this.begun.elapsed(),
                timeout: this.timeout,
            },
        }))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.lock().in_flight.cancel(self.opaque);
            self.shared.tell_room();
        }
    }
}

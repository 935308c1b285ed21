//! Reading from and writing to the socket.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use rocketwire_protocol::frame;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{FEW, Task};
use crate::{CloseCause, planted::planted};

/// Bytes of one read, and of the buffer that frames are cut from, at the most.
const READ: usize = 64 << 10;
/// An output buffer that grew beyond this is given back once it is written.
const KEEP: usize = 256 << 10;

impl<T: AsyncRead + AsyncWrite + Unpin> Task<'_, T> {
    /// Reads once. `None`: nothing is there. `Some(true)`: the buffer was filled, there may be more.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Result<Option<bool>, CloseCause> {
        if self.frugal {
            return self.read_few(cx);
        }
        if self.input.capacity() - self.input.len() < self.window / 4 {
            let missing = frame::announced_len(&self.input)
                .map_or(0, |len| (len as usize).saturating_sub(self.input.len()));
            // Grows by what came, not by what is announced.
            let known = if planted("buffer sized by announced length") { missing } else { self.input.len() };
            self.input.reserve(self.window.max(missing.min(known)));
        }
        // Once the frames of the last read are gone, the next one goes to the same, warm memory.
        if self.input.is_empty() && self.input.capacity() < self.window {
            let _ = self.input.try_reclaim(self.window);
        }
        let room = self.input.capacity() - self.input.len();
        match pin!(self.io.read_buf(&mut self.input)).poll(cx) {
            Poll::Pending => Ok(None),
            Poll::Ready(Ok(0)) => Err(CloseCause::Peer),
            Poll::Ready(Ok(n)) => {
                if n == room {
                    self.window = (self.window * 2).min(READ);
                }
                Ok(Some(n == room))
            }
            Poll::Ready(Err(error)) => Err(CloseCause::Io(error)),
        }
    }

    /// A read of a connection that gave its buffer back: it gets another one for a frame or so, not for a few bytes.
    fn read_few(&mut self, cx: &mut Context<'_>) -> Result<Option<bool>, CloseCause> {
        let mut few = [0; FEW];
        let mut few = ReadBuf::new(&mut few);
        match Pin::new(&mut self.io).poll_read(cx, &mut few) {
            Poll::Pending => Ok(None),
            Poll::Ready(Ok(())) if few.filled().is_empty() => Err(CloseCause::Peer),
            Poll::Ready(Ok(())) => {
                self.frugal = few.remaining() > 0;
                self.input.reserve(if self.frugal { few.filled().len() } else { self.window });
                self.input.extend_from_slice(few.filled());
                Ok(Some(!self.frugal))
            }
            Poll::Ready(Err(error)) => Err(CloseCause::Io(error)),
        }
    }

    /// Writes what waits; whether a byte went out.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseCause> {
        match self.take_out()? {
            None => self.write_out(cx),
            Some(cause) => {
                // What the socket takes at once: it was queued before the close.
                let _ = self.write_out(cx);
                Err(cause)
            }
        }
    }

    fn write_out(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseCause> {
        let mut wrote = false;
        while self.written < self.out.len() {
            let left = self.out.get(self.written..).unwrap_or_default();
            match Pin::new(&mut self.io).poll_write(cx, left) {
                Poll::Ready(Ok(0)) => return Err(CloseCause::Peer),
                Poll::Ready(Ok(n)) => {
                    self.written += n;
                    wrote = true;
                }
                Poll::Ready(Err(error)) => return Err(CloseCause::Io(error)),
                Poll::Pending => break,
            }
        }
        if wrote {
            self.flushing = true;
            self.stalled_since = None;
            self.after_write();
        }
        if self.flushing {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.flushing = false,
                Poll::Ready(Err(error)) => return Err(CloseCause::Io(error)),
                Poll::Pending => {}
            }
        }
        if self.written < self.out.len() && self.stalled_since.is_none() {
            self.stalled_since = Some(Instant::now());
        }
        Ok(wrote)
    }

    /// Takes over what callers and responders appended; why this side wants to close, if it does.
    fn take_out(&mut self) -> Result<Option<CloseCause>, CloseCause> {
        let mut state = self.shared.lock();
        let closing = state.closing.take();
        if !state.out.is_empty() {
            if self.out.is_empty() {
                std::mem::swap(&mut self.out, &mut state.out);
            } else {
                self.out.extend_from_slice(&state.out);
                state.out.clear();
            }
            if self.answered.is_empty() {
                std::mem::swap(&mut self.answered, &mut state.answered);
            } else {
                self.answered.append(&mut state.answered);
            }
        }
        let pending = self.out.len() - self.written;
        state.writing = pending;
        // Awake: whoever appends from here on need not wake this task.
        state.sleeper = None;
        if state.in_flight.has_undated() {
            state.in_flight.date(Instant::now().into_std());
        }
        self.next_deadline = state.in_flight.next_deadline();
        if closing.is_some() {
            return Ok(closing);
        }
        if state.has_retired() {
            return Err(CloseCause::Local("retired after GO_AWAY".to_owned()));
        }
        if self.shared.has_drained(&state) {
            self.drained = true;
            return Err(CloseCause::Shutdown);
        }
        drop(state);
        if pending > self.shared.options().max_pending {
            let stalled = self.stalled_since.map_or(Duration::ZERO, |since| since.elapsed());
            return Err(CloseCause::Stalled { pending, stalled });
        }
        Ok(None)
    }

    fn after_write(&mut self) {
        let pending = self.out.len() - self.written;
        if pending == 0 {
            self.out.clear();
            self.written = 0;
            if self.out.capacity() > KEEP {
                self.out.shrink_to(KEEP);
            }
        } else if self.written > KEEP {
            self.out.drain(..self.written);
            self.written = 0;
        }
        self.shared.lock().writing = pending;
        if pending <= self.shared.options().low_water {
            self.shared.tell_room();
        }
    }
}

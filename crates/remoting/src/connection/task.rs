//! The task that owns a socket.
//!
//! A turn: write what waits, read what is there (two large reads at most), end the calls that were answered,
//! handle the requests, write the answers. Then the others have their turn; when nothing happens any more the
//! task looks for a moment (see `looker`), and sleeps.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::BytesMut;
use rocketwire_protocol::{Command, Version, frame};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, Sleep, sleep_until, timeout},
};

use super::{
    Connection, ConnectionEvent,
    pace::Pace,
    shared::{CallEnd, Shared},
};
use crate::{CloseCause, dispatch::Return, planted::planted, sniff};

/// Bytes of one read, and of the buffer that frames are cut from, at the most.
const READ: usize = 64 << 10;
/// The same at first. It doubles each time a read fills it: a thousand busy connections fit into a processor's cache.
const FIRST_READ: usize = 8 << 10;
/// Bytes of a read that is expected to bring little.
const FEW: usize = 512;
/// Reads of one turn: more would starve the other connections.
const READS: usize = 2;
/// An output buffer that grew beyond this is given back once it is written.
const KEEP: usize = 256 << 10;
/// Deadlines are kept to this tick.
const TICK: Duration = Duration::from_millis(10);
/// How long a peer that was answered may take to hang up.
const LINGER: Duration = Duration::from_secs(1);
/// When an idle connection gives its buffers back.
const SHRINK: Duration = Duration::from_secs(1);

/// Runs a connection until it closes.
///
/// `input`: bytes that were read already.
pub(crate) async fn run<T: AsyncRead + AsyncWrite + Unpin>(
    io: T,
    input: BytesMut,
    shared: Arc<Shared>,
) -> Arc<CloseCause> {
    let connection = Connection::new(shared.clone());
    let endpoint = shared.endpoint.clone();
    endpoint.emit(ConnectionEvent::Active(connection.clone()));
    let now = Instant::now();
    let mut alarm = pin!(sleep_until(now + SHRINK));
    let mut task = Task {
        io,
        connection: connection.clone(),
        shared: &shared,
        unread: !input.is_empty(),
        input,
        out: Vec::new(),
        written: 0,
        answers: Vec::new(),
        handled: 0,
        frames: 0,
        frames_since: None,
        pace: Pace::new(),
        wakers: Vec::new(),
        first: true,
        frugal: true,
        window: FIRST_READ,
        held_back: false,
        drained: false,
        ended: false,
        partial: 0,
        quiet: true,
        looking: false,
        flushing: false,
        last_active: now,
        frame_begun: None,
        stalled_since: None,
        alarm_at: now + SHRINK,
        next_deadline: None,
    };
    let cause = loop {
        match poll_fn(|cx| task.turn(alarm.as_mut(), cx)).await {
            Turn::Worked => tokio::task::yield_now().await,
            Turn::Look => {
                shared.looker().yield_now();
                tokio::task::yield_now().await;
            }
            Turn::Close(cause) => break Arc::new(cause),
        }
    };
    if !planted("answers that came before the end are lost") {
        poll_fn(|cx| {
            task.take_last_answers(&cause, cx);
            Poll::Ready(())
        })
        .await;
    }
    shared.looker().stop(&mut task.looking);
    endpoint.partial.fetch_sub(task.partial, Ordering::Relaxed);
    task.log_close(&cause);
    if matches!(&*cause, CloseCause::Idle(_)) {
        endpoint.emit(ConnectionEvent::Idle(connection.clone()));
    }
    shared.closed(&cause);
    if task.drained {
        Box::pin(linger(&mut task.io)).await;
    }
    endpoint.emit(ConnectionEvent::Closed(connection, cause.clone()));
    cause
}

/// Says that nothing more comes, and lets the peer have it all: a socket that closes with unread bytes resets the
/// connection, and what is still on its way is lost.
async fn linger(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut few = vec![0; FEW];
    let reading = async {
        io.shutdown().await?;
        while io.read(&mut few).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = timeout(LINGER, reading).await;
}

struct Task<'a, T> {
    io: T,
    connection: Connection,
    shared: &'a Arc<Shared>,
    input: BytesMut,
    /// The input may hold frames: it came with the connection, or a turn was cut.
    unread: bool,
    /// Being written: `out[written..]` is left.
    out: Vec<u8>,
    written: usize,
    answers: Vec<Command>,
    /// Requests of this turn that are not counted yet.
    handled: u64,
    /// Frames of this turn, and when the first of them was begun.
    frames: usize,
    frames_since: Option<Instant>,
    pace: Pace,
    wakers: Vec<Waker>,
    /// No frame has come yet.
    first: bool,
    /// Nothing but a few bytes came since the buffers were given back, or ever.
    frugal: bool,
    /// Bytes of the next read.
    window: usize,
    /// The socket was not looked at in this turn: too much is in work.
    held_back: bool,
    /// Everything was answered before the end.
    drained: bool,
    /// Only answers count any more.
    ended: bool,
    /// Bytes of an unfinished frame that the endpoint knows of.
    partial: usize,
    /// Neither side has said anything yet.
    quiet: bool,
    /// This task is the one of the endpoint that looks.
    looking: bool,
    /// The transport may hold written bytes back (TLS).
    flushing: bool,
    last_active: Instant,
    /// When the frame that is not complete began.
    frame_begun: Option<Instant>,
    /// Since when bytes wait and none go out.
    stalled_since: Option<Instant>,
    alarm_at: Instant,
    /// The table's, as of this turn.
    next_deadline: Option<std::time::Instant>,
}

enum Turn {
    /// Something happened: let the others run, then look again.
    Worked,
    /// Nothing happened, but soon something may.
    Look,
    Close(CloseCause),
}

impl<T: AsyncRead + AsyncWrite + Unpin> Task<'_, T> {
    /// Pending: the task sleeps until the socket, a caller, a responder or the alarm wakes it.
    fn turn(&mut self, mut alarm: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Turn> {
        let worked = match self.work(cx) {
            Ok(worked) => worked,
            Err(cause) => return Poll::Ready(Turn::Close(cause)),
        };
        let looker = self.shared.looker();
        if worked {
            looker.hit();
        } else if !looker.look(&mut self.looking) {
            return self.sleep(alarm.as_mut(), cx);
        }
        // The alarm is polled only by a task that sleeps; a busy one looks at the clock itself.
        let now = Instant::now();
        if let Some(since) = self.frames_since.take() {
            self.pace.learn(std::mem::take(&mut self.frames), now - since);
        }
        if worked {
            self.last_active = now;
            self.quiet = false;
        }
        if self.next_deadline.is_some_and(|deadline| deadline <= now.into_std()) {
            self.expire_calls(now);
        }
        if now >= self.alarm_at {
            match self.on_alarm(now) {
                Err(cause) => return Poll::Ready(Turn::Close(cause)),
                Ok(next) => {
                    alarm.as_mut().reset(next);
                    self.alarm_at = next;
                }
            }
        }
        Poll::Ready(if worked { Turn::Worked } else { Turn::Look })
    }

    /// One round of writing, reading and handling; whether anything happened.
    fn work(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseCause> {
        let mut worked = self.write(cx)?;
        if std::mem::take(&mut self.unread) {
            worked = true;
            self.handle_frames(cx)?;
        }
        self.held_back = !self.may_read();
        if !self.held_back && !self.unread {
            for _ in 0..READS {
                let Some(filled) = self.read(cx)? else { break };
                worked = true;
                self.handle_frames(cx)?;
                if !filled || self.unread {
                    break;
                }
            }
        }
        if self.handled > 0 {
            self.shared.endpoint.router.turn_ended();
        }
        // Callers that were just answered ask again at once, mostly: their frames and ours make one write.
        let woke = self.end_calls();
        if !woke {
            worked |= self.write(cx)?;
        }
        Ok(worked | woke)
    }

    /// Answers that came before the end are answers, those as well that nobody has read yet when a write fails.
    fn take_last_answers(&mut self, cause: &CloseCause, cx: &mut Context<'_>) {
        self.ended = true;
        if matches!(cause, CloseCause::Io(_)) {
            while let Ok(Some(_)) = self.read(cx)
                && self.handle_frames(cx).is_ok()
            {}
        }
        self.end_calls();
    }

    /// Below the watermark, and not too much in work.
    fn may_read(&self) -> bool {
        self.out.len() - self.written <= self.shared.options().high_water
            && self.shared.served() < self.shared.options().max_served
    }

    /// Reads once. `None`: nothing is there. `Some(true)`: the buffer was filled, there may be more.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<Option<bool>, CloseCause> {
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

    fn handle_frames(&mut self, cx: &mut Context<'_>) -> Result<(), CloseCause> {
        let limits = &self.shared.options().limits;
        let first =
            if self.first { Vec::from(self.input.get(..16).unwrap_or(&self.input)) } else { Vec::new() };
        self.frames_since.get_or_insert_with(Instant::now);
        loop {
            if self.frames >= self.pace.limit() {
                self.unread = !self.input.is_empty();
                return Ok(());
            }
            match frame::decode(&mut self.input, limits) {
                Ok(Some(command)) => {
                    self.first = false;
                    self.frugal = false;
                    self.frame_begun = None;
                    self.frames += 1;
                    if command.is_response() {
                        self.answers.push(command);
                    } else {
                        self.handle_request(command, cx);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let hint = if self.first { sniff::hint(&first) } else { String::new() };
                    return Err(CloseCause::Frame { error, hint });
                }
            }
        }
        if !self.input.is_empty() && self.frame_begun.is_none() {
            self.frame_begun = Some(Instant::now());
        }
        Ok(())
    }

    fn handle_request(&mut self, command: Command, cx: &mut Context<'_>) {
        let endpoint = &self.shared.endpoint;
        self.handled += 1;
        let back = Return::of(&command);
        let shutting_down = endpoint.shutting_down.load(Ordering::Relaxed);
        if self.ended {
            return;
        }
        // Not taken on: who understands it is told to go away, the others see the connection close.
        if self.shared.is_draining() && !(shutting_down && command.version > Version::V5_3_1) {
            return;
        }
        let response = endpoint.router.dispatch(&self.connection, command, shutting_down, cx);
        if let Some(mut response) = response
            && (!back.oneway || planted("one-way request is answered"))
            && !(planted("answer dropped when the buffer is full") && self.out.len() > 65_536)
        {
            self.shared.encode_answer(&mut response, back, &mut self.out);
        }
    }

    /// Hands the answers to their callers; whether one was woken.
    fn end_calls(&mut self) -> bool {
        if self.handled > 0 {
            let handled = std::mem::take(&mut self.handled);
            self.shared.endpoint.counters.requests.fetch_add(handled, Ordering::Relaxed);
        }
        if self.answers.is_empty() {
            return false;
        }
        let mut strays = 0;
        let mut state = self.shared.lock();
        for command in self.answers.drain(..) {
            match state.in_flight.end(command.opaque, Ok(command)) {
                Some(waker) => self.wakers.extend(waker),
                None => strays += 1,
            }
        }
        drop(state);
        if strays > 0 {
            self.shared.endpoint.counters.strays.fetch_add(strays, Ordering::Relaxed);
            tracing::debug!(peer = %self.shared.remote, strays, "responses that nobody waits for");
        }
        let woke = !self.wakers.is_empty();
        self.wakers.drain(..).for_each(Waker::wake);
        woke
    }

    /// Writes what waits; whether a byte went out.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseCause> {
        let mut wrote = false;
        self.take_out()?;
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

    /// Takes over what callers and responders appended.
    fn take_out(&mut self) -> Result<(), CloseCause> {
        let mut state = self.shared.lock();
        if let Some(cause) = state.closing.take() {
            return Err(cause);
        }
        if !state.out.is_empty() {
            if self.out.is_empty() {
                std::mem::swap(&mut self.out, &mut state.out);
            } else {
                self.out.extend_from_slice(&state.out);
                state.out.clear();
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
        Ok(())
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
    fn sleep(&mut self, mut alarm: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Turn> {
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
    fn on_alarm(&mut self, now: Instant) -> Result<Instant, CloseCause> {
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
            let mut state = self.shared.lock();
            if state.out.is_empty() {
                state.out = Vec::new();
            }
        }
        let deadline = self.shared.lock().in_flight.next_deadline();
        let at = self.housekeeping_at(now);
        Ok(deadline.map_or(at, |deadline| at.min(Instant::from_std(deadline))).max(now + TICK / 2))
    }

    fn expire_calls(&mut self, now: Instant) {
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

    /// One line for what an operator should see.
    fn log_close(&self, cause: &CloseCause) {
        let counters = &self.shared.endpoint.counters;
        let peer = self.shared.remote;
        match cause {
            CloseCause::Frame { .. } => {
                counters.protocol_errors.fetch_add(1, Ordering::Relaxed);
            }
            CloseCause::Stalled { .. } | CloseCause::SlowFrame(_) | CloseCause::PartialFrames { .. } => {
                counters.stalled.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                tracing::debug!(%peer, "connection closed: {cause}");
                return;
            }
        }
        match self.shared.endpoint.complaints.allow() {
            Some(0) => tracing::warn!(%peer, "connection closed: {cause}"),
            Some(unsaid) => tracing::warn!(%peer, unsaid, "connection closed: {cause}"),
            None => tracing::debug!(%peer, "connection closed: {cause}"),
        }
    }
}

//! The task that owns a socket.
//!
//! A turn: write what waits, read what is there (two large reads at most), end the calls that were answered,
//! handle the requests, write the answers. Then the others have their turn; when nothing happens any more the
//! task looks for a moment (see `looker`), and sleeps.

mod end;
mod io;
mod sleep;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::BytesMut;
use rocketwire_protocol::{Command, Version, frame};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, Sleep, sleep_until, timeout},
};

use super::{
    Connection, ConnectionEvent,
    pace::{Handled, Pace},
    shared::Shared,
};
use crate::{CloseCause, dispatch::Return, latency::Answered, planted::planted, sniff};

/// Bytes of a read at first. It doubles each time a read fills it: a thousand busy connections fit into a processor's cache.
const FIRST_READ: usize = 8 << 10;
/// Bytes of a read that is expected to bring little.
const FEW: usize = 512;
/// Reads of one turn: more would starve the other connections.
const READS: usize = 2;
/// How long a peer that was answered may take to hang up.
const LINGER: Duration = Duration::from_secs(1);
/// How long the last bytes of a peer are waited for that takes none any more. They are here already, mostly.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// Answers that wait to be counted while their connection has always something to write.
const UNCOUNTED: usize = 4096;
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
        answered: Vec::new(),
        written: 0,
        answers: Vec::new(),
        handled: 0,
        frames: 0,
        frame_bytes: 0,
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
        let last = poll_fn(|cx| task.take_last_answers(&cause, cx));
        let _ = Box::pin(timeout(LAST_WORDS, last)).await;
        task.end_turn();
    }
    task.log_close(&cause);
    if matches!(&*cause, CloseCause::Idle(_)) {
        endpoint.emit(ConnectionEvent::Idle(connection));
    }
    task.closed(&cause);
    if task.drained {
        Box::pin(linger(&mut task.io)).await;
    }
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
    /// What of it is answers; counted when all of it is written.
    answered: Vec<Answered>,
    written: usize,
    answers: Vec<Command>,
    /// Requests of this turn that are not counted yet.
    handled: u64,
    /// Frames of this turn, their bytes, and when the first of them was begun.
    frames: usize,
    frame_bytes: usize,
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
    /// Only answers and one-way requests count any more.
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
        self.learn(now);
        if worked {
            self.last_active = now;
            self.quiet = false;
            self.count_answered(now);
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

    /// How much the next turn should handle.
    fn learn(&mut self, now: Instant) {
        let Some(since) = self.frames_since.take() else { return self.pace.rest() };
        self.pace.learn(Handled {
            frames: std::mem::take(&mut self.frames),
            bytes: std::mem::take(&mut self.frame_bytes),
            took: now - since,
            left: if self.unread { self.input.len() } else { 0 },
        });
    }

    /// One round of writing, reading and handling; whether anything happened.
    fn work(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseCause> {
        let mut worked = self.write(cx)?;
        if std::mem::take(&mut self.unread) {
            worked = true;
            self.handle_frames(cx)?;
        }
        self.held_back = !self.may_read();
        if self.held_back && self.frame_begun.is_some() {
            // The rest of a frame that nobody reads is not late.
            self.frame_begun = Some(Instant::now());
        }
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
        // Callers that were just answered ask again at once, mostly: their frames and ours make one write.
        let woke = self.end_turn();
        if !woke {
            worked |= self.write(cx)?;
        }
        Ok(worked | woke)
    }

    /// Answers and one-way requests that came before the end count, those as well that nobody has read yet when a write
    /// fails: a consumer's last word is how far it came.
    ///
    /// Pending until the socket was read to its end: the runtime may not have heard yet of what came last.
    fn take_last_answers(&mut self, cause: &CloseCause, cx: &mut Context<'_>) -> Poll<()> {
        self.ended = true;
        let mut is_whole = self.handle_rest(cx).is_ok();
        while is_whole && matches!(cause, CloseCause::Io(_)) {
            match self.read(cx) {
                Ok(Some(_)) => is_whole = self.handle_rest(cx).is_ok(),
                Ok(None) => return Poll::Pending,
                Err(_) => break,
            }
        }
        Poll::Ready(())
    }

    /// All frames that are there: no turn follows that could go on with them.
    fn handle_rest(&mut self, cx: &mut Context<'_>) -> Result<(), CloseCause> {
        loop {
            (self.frames, self.unread) = (0, false);
            self.handle_frames(cx)?;
            if !self.unread {
                return Ok(());
            }
        }
    }

    /// Below the watermark, and not too much in work.
    fn may_read(&self) -> bool {
        self.out.len() - self.written <= self.shared.options().high_water
            && self.shared.served() < self.shared.options().max_served
    }

    fn handle_frames(&mut self, cx: &mut Context<'_>) -> Result<(), CloseCause> {
        let there = self.input.len();
        let handled = self.decode_frames(cx);
        self.frame_bytes += there - self.input.len();
        handled
    }

    fn decode_frames(&mut self, cx: &mut Context<'_>) -> Result<(), CloseCause> {
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
        let begun = self.frames_since.unwrap_or(self.last_active);
        let back = Return::of(&command, begun);
        let shutting_down = endpoint.shutting_down.load(Ordering::Relaxed);
        // Who wants an answer asks again elsewhere; of a one-way request nobody will.
        if self.ended && (!back.oneway || planted("one-way requests before the end are lost")) {
            return;
        }
        // Not taken on: who understands it is told to go away, the others see the connection close.
        if self.shared.is_draining() && !(shutting_down && command.version > Version::V5_3_1) {
            return;
        }
        let response = endpoint.router.dispatch(&self.connection, command, begun, shutting_down, cx);
        let Some(mut response) = response else { return };
        self.answered.push(Answered::new(&response, &back));
        if (!back.oneway || planted("one-way request is answered"))
            && !(planted("answer dropped when the buffer is full") && self.out.len() > 65_536)
        {
            self.shared.encode_answer(&mut response, back, &mut self.out);
        }
    }

    /// Counts the answers that are written, once all are, or so many that some must be.
    fn count_answered(&mut self, now: Instant) {
        if self.out.is_empty() && !self.answered.is_empty() || self.answered.len() >= UNCOUNTED {
            self.shared.endpoint.latencies.count(&self.answered, now, false);
            self.answered.clear();
        }
    }

    /// Counts the requests, has done what was put off for them, and hands the answers to their callers; whether one
    /// was woken. Comes once for all that was handled, however the turn ends.
    fn end_turn(&mut self) -> bool {
        if self.handled > 0 {
            let handled = std::mem::take(&mut self.handled);
            self.shared.endpoint.counters.requests.fetch_add(handled, Ordering::Relaxed);
            self.shared.endpoint.router.turn_ended();
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
}

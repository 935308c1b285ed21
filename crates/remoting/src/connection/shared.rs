//! What the callers, the responders and the task of one connection share.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, atomic::AtomicU64},
    task::Waker,
    time::{Duration, Instant},
};

use rocketwire_protocol::{
    Command, Encoding, Flag, ResponseCode, frame,
    rpc::{Due, InFlight},
};
use tokio::{runtime::Handle, sync::Notify};

use super::{ConnectionEvent, ConnectionListener, Router, complaints::Complaints, looker::Looker};
use crate::{
    CloseCause, ConnectionOptions, Phase, RpcError,
    dispatch::Return,
    error,
    latency::{Answered, Latencies},
    planted::planted,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// What all connections of one client or server have in common.
pub(crate) struct Endpoint {
    pub(crate) options: ConnectionOptions,
    pub(crate) router: Router,
    /// One for each runtime that connections are handed to.
    lookers: Vec<Looker>,
    pub(crate) listener: Option<Arc<dyn ConnectionListener>>,
    pub(crate) counters: Counters,
    pub(crate) latencies: Latencies,
    pub(crate) shutting_down: AtomicBool,
    /// No request is taken on any more, and connections close once those in work have ended.
    pub(crate) draining: AtomicBool,
    /// Bytes that unfinished frames hold, of all connections.
    pub(crate) partial: AtomicUsize,
    pub(crate) complaints: Complaints,
    next_id: AtomicU64,
}

impl Endpoint {
    pub(crate) fn new(
        options: ConnectionOptions,
        router: Router,
        listener: Option<Arc<dyn ConnectionListener>>,
        runtimes: usize,
    ) -> Arc<Endpoint> {
        let options = options.bounded();
        Arc::new(Endpoint {
            lookers: (0..runtimes.max(1)).map(|_| Looker::new(options.look)).collect(),
            latencies: Latencies::new(router.codes()),
            options,
            router,
            listener,
            counters: Counters::default(),
            shutting_down: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            partial: AtomicUsize::new(0),
            complaints: Complaints::default(),
            next_id: AtomicU64::new(1),
        })
    }

    #[allow(clippy::indexing_slicing)] // there is at least one, and the remainder is below their number
    fn looker(&self, lane: usize) -> &Looker {
        &self.lookers[lane % self.lookers.len()]
    }

    pub(crate) fn emit(&self, event: ConnectionEvent) {
        if let Some(listener) = &self.listener {
            // Its panic is its own: the connection lives on.
            let told = catch_unwind(AssertUnwindSafe(|| listener.on_event(event)));
            if told.is_err() {
                tracing::error!("a connection listener panicked");
            }
        }
    }
}

/// What a client or server counted since it began.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Connections opened or accepted.
    pub connections: AtomicU64,
    /// Connections refused: too many of them.
    pub connections_refused: AtomicU64,
    /// Failed attempts to accept; the listener goes on.
    pub accept_errors: AtomicU64,
    /// Requests of peers.
    pub requests: AtomicU64,
    /// Responses that nobody waited for: late, duplicate or made up.
    pub strays: AtomicU64,
    /// Calls that ended by their deadline.
    pub timeouts: AtomicU64,
    /// Connections closed because their bytes were no frames.
    pub protocol_errors: AtomicU64,
    /// Connections closed because the peer read or wrote too slowly.
    pub stalled: AtomicU64,
}

/// How a call ended without a response.
#[derive(Clone, Debug)]
pub(crate) enum CallEnd {
    /// At this deadline.
    TimedOut(Instant),
    /// And when it was due.
    Closed(Arc<CloseCause>, Due),
}

pub(crate) struct Shared {
    pub(crate) id: u64,
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
    /// What a PROXY header said besides the address.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) endpoint: Arc<Endpoint>,
    lane: usize,
    runtime: Handle,
    state: Mutex<State>,
    /// Requests of the peer that a responder has.
    served: AtomicUsize,
    /// Callers that wait for room are told here.
    pub(crate) room: Notify,
    waiting_for_room: AtomicUsize,
}

pub(crate) struct State {
    /// Encoded frames for the task to write.
    pub(crate) out: Vec<u8>,
    /// What of it is answers.
    pub(crate) answered: Vec<Answered>,
    pub(crate) in_flight: InFlight<Result<Command, CallEnd>>,
    pub(crate) closed: Option<Arc<CloseCause>>,
    /// This side wants to close.
    pub(crate) closing: Option<CloseCause>,
    pub(crate) retiring: bool,
    /// Bytes that the task has taken and not written yet.
    pub(crate) writing: usize,
    /// The task's waker, while it sleeps.
    pub(crate) sleeper: Option<Waker>,
}

impl State {
    pub(crate) fn pending(&self) -> usize {
        self.out.len() + self.writing
    }

    /// Nothing more is expected of this connection.
    pub(crate) fn has_retired(&self) -> bool {
        self.retiring && self.pending() == 0 && self.in_flight.is_empty()
    }
}

impl Shared {
    /// To be called on the runtime that the connection's task will run on; `lane` is that runtime's number.
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        remote: SocketAddr,
        local: SocketAddr,
        attributes: Vec<(String, String)>,
        lane: usize,
    ) -> Arc<Shared> {
        let in_flight = InFlight::new(endpoint.options.max_in_flight);
        endpoint.counters.connections.fetch_add(1, Ordering::Relaxed);
        Arc::new(Shared {
            id: endpoint.next_id.fetch_add(1, Ordering::Relaxed),
            remote,
            local,
            attributes,
            endpoint,
            lane,
            runtime: Handle::current(),
            state: Mutex::new(State {
                out: Vec::new(),
                answered: Vec::new(),
                in_flight,
                closed: None,
                closing: None,
                retiring: false,
                writing: 0,
                sleeper: None,
            }),
            served: AtomicUsize::new(0),
            room: Notify::new(),
            waiting_for_room: AtomicUsize::new(0),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock but an allocation; the state is whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn options(&self) -> &ConnectionOptions {
        &self.endpoint.options
    }

    pub(crate) fn looker(&self) -> &Looker {
        self.endpoint.looker(self.lane)
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) fn addr(&self) -> String {
        error::text(self.remote)
    }

    pub(crate) fn close_cause(&self) -> Option<Arc<CloseCause>> {
        self.lock().closed.clone()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.lock().in_flight.len()
    }

    /// Writes the answer of a responder.
    pub(crate) fn answer(&self, mut response: Command, back: Return) {
        let mut state = self.lock();
        if state.closed.is_none() {
            state.answered.push(Answered::new(&response, &back));
            self.encode_answer(&mut response, back, &mut state.out);
        }
        let sleeper = state.sleeper.take();
        drop(state);
        wake(sleeper);
    }

    /// Appends an answer in the encoding of its request.
    pub(crate) fn encode_answer(&self, response: &mut Command, back: Return, out: &mut Vec<u8>) {
        response.opaque = back.opaque;
        response.flag = Flag(response.flag.0 | Flag::RESPONSE.0);
        response.language = self.options().language;
        response.version = self.options().version;
        let own = planted("answer in the server's own encoding");
        let encoding = if own { self.options().encoding } else { back.encoding };
        if let Err(error) = self.encode_limited(response, back.opaque, encoding, out) {
            tracing::warn!(peer = %self.remote, opaque = back.opaque, "an answer cannot be written: {error}");
            let mut failed =
                Command::error(ResponseCode::SYSTEM_ERROR, format!("the answer cannot be written: {error}"));
            failed.language = self.options().language;
            failed.version = self.options().version;
            // Fixed parts and a short text: this always fits.
            let _ = frame::encode_as(&failed, back.opaque, &failed.fields, back.encoding, out);
        }
    }

    /// Encodes within the frame limit that peers have as well.
    pub(crate) fn encode_limited(
        &self,
        command: &Command,
        opaque: i32,
        encoding: Encoding,
        out: &mut Vec<u8>,
    ) -> Result<(), rocketwire_protocol::EncodeError> {
        let start = out.len();
        frame::encode_as(command, opaque, &command.fields, encoding, out)?;
        let (bytes, limit) = (out.len() - start, self.options().limits.frame_max);
        if bytes > limit {
            out.truncate(start);
            return Err(rocketwire_protocol::EncodeError::FrameTooLarge { bytes, limit });
        }
        Ok(())
    }

    pub(crate) fn send_oneway(&self, mut command: Command) -> Result<(), RpcError> {
        command.language = self.options().language;
        command.version = self.options().version;
        let mut state = self.lock();
        if let Some(cause) = &state.closed {
            let (elapsed, timeout) = (Duration::ZERO, Duration::ZERO);
            let (addr, cause) = (self.addr(), cause.clone());
            return Err(RpcError::Closed { addr, phase: Phase::Queue, elapsed, timeout, cause });
        }
        let start = state.out.len();
        // Some peers answer all the same: that answer must end no call.
        let opaque = if planted("one-way under a call's opaque") { 0 } else { state.in_flight.stray() };
        self.encode_limited(&command, opaque, self.options().encoding, &mut state.out)
            .map_err(|source| RpcError::Encode { addr: self.addr(), source })?;
        // More would close the connection.
        let (waiting, limit) = (state.pending(), self.options().max_pending);
        if waiting > limit {
            state.out.truncate(start);
            return Err(RpcError::Unwritten { addr: self.addr(), waiting, limit });
        }
        let sleeper = state.sleeper.take();
        drop(state);
        wake(sleeper);
        Ok(())
    }

    pub(crate) fn request_close(&self, cause: CloseCause) {
        let mut state = self.lock();
        if state.closed.is_none() && state.closing.is_none() {
            state.closing = Some(cause);
        }
        let sleeper = state.sleeper.take();
        drop(state);
        wake(sleeper);
    }

    /// The caller of this request does not want to know any more.
    pub(crate) fn cancel(&self, opaque: i32) {
        let mut state = self.lock();
        state.in_flight.cancel(opaque);
        let sleeper = if state.has_retired() { state.sleeper.take() } else { None };
        drop(state);
        wake(sleeper);
        self.tell_room();
    }

    pub(crate) fn retire(&self) {
        let mut state = self.lock();
        state.retiring = true;
        let sleeper = state.sleeper.take();
        drop(state);
        wake(sleeper);
    }

    /// The connection is gone: ends every call and tells whoever waits.
    pub(crate) fn closed(&self, cause: &Arc<CloseCause>) {
        let mut state = self.lock();
        state.closed = Some(cause.clone());
        state.out = Vec::new();
        let lost = std::mem::take(&mut state.answered);
        state.writing = 0;
        let left = planted("calls left behind by a close");
        let (_, wakers) = if left {
            (0, Vec::new())
        } else {
            state.in_flight.drain(|due| Err(CallEnd::Closed(cause.clone(), due)))
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.room.notify_waiters();
        self.endpoint.latencies.count(&lost, tokio::time::Instant::now(), true);
    }

    pub(crate) fn taken(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn released(&self) {
        let served = self.served.fetch_sub(1, Ordering::Relaxed);
        if served == self.options().max_served || served == 1 && self.is_draining() {
            self.rouse();
        }
    }

    /// Wakes the task, to see what has changed.
    pub(crate) fn rouse(&self) {
        let sleeper = self.lock().sleeper.take();
        wake(sleeper);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.endpoint.draining.load(Ordering::Relaxed)
    }

    /// Whether the server drains and everything that this connection took on is answered and written.
    pub(crate) fn has_drained(&self, state: &State) -> bool {
        let owes = self.served() > 0 && !planted("shutdown leaves answers owed");
        self.is_draining() && !owes && state.pending() == 0
    }

    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Whether an answer to the peer is still to be made or written.
    pub(crate) fn is_busy(&self) -> bool {
        self.served() > 0 || self.lock().pending() > 0
    }

    pub(crate) fn wait_for_room(&self) -> RoomWait<'_> {
        self.waiting_for_room.fetch_add(1, Ordering::SeqCst);
        RoomWait(self)
    }

    /// There may be room again.
    pub(crate) fn tell_room(&self) {
        if self.waiting_for_room.load(Ordering::SeqCst) > 0 && !planted("lost wake: room is not told") {
            self.room.notify_waiters();
        }
    }
}

/// One caller that waits for room.
pub(crate) struct RoomWait<'a>(&'a Shared);

impl Drop for RoomWait<'_> {
    fn drop(&mut self) {
        self.0.waiting_for_room.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

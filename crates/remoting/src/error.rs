//! What can go wrong, for whom, where and when.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use rocketwire_protocol::{EncodeError, FrameError};

/// Why a call has no answer. Each says the address, the phase and the time that went by.
///
/// A response whose code is an error is not an [`RpcError`]: the call itself was answered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// No connection could be opened.
    #[error(
        "cannot connect to {addr} (tried for {elapsed:.1?}): {source}; is the address right and the server up?"
    )]
    Connect {
        /// The address as the caller gave it.
        addr: String,
        /// Since the call began.
        elapsed: Duration,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The deadline came first.
    #[error("{addr} did not answer within {timeout:.1?} (phase: {phase}, {elapsed:.1?} went by)")]
    Timeout {
        /// The address as the caller gave it, or the peer's.
        addr: String,
        /// What the call was waiting for.
        phase: Phase,
        /// Since the call began.
        elapsed: Duration,
        /// What the caller allowed.
        timeout: Duration,
    },
    /// The connection closed before the answer came. Whether the peer handled the request is unknown, unless it
    /// was not sent yet.
    #[error("the connection to {addr} closed{}: {cause}", while_(.phase, .elapsed, .timeout))]
    Closed {
        /// The peer's address.
        addr: String,
        /// What the call was waiting for: [`Phase::Queue`] says that nothing was sent.
        phase: Phase,
        /// Since the call began.
        elapsed: Duration,
        /// What the caller allowed; zero for a one-way request.
        timeout: Duration,
        /// Shared by every call that ended with this connection.
        cause: Arc<CloseCause>,
    },
    /// As many calls are in flight as the options allow, and there was no time to wait.
    #[error(
        "{limit} requests to {addr} are in flight, which is the limit; wait for answers, or raise max_in_flight"
    )]
    TooManyRequests {
        /// The peer's address.
        addr: String,
        /// The limit.
        limit: usize,
    },
    /// The peer does not read fast enough for one more one-way request.
    #[error(
        "{waiting} bytes would wait to be written to {addr}, the limit is {limit}; send more slowly, or raise max_pending"
    )]
    Unwritten {
        /// The peer's address.
        addr: String,
        /// Bytes, with this request.
        waiting: usize,
        /// [`crate::ConnectionOptions::max_pending`]
        limit: usize,
    },
    /// The command cannot be written as a frame; nothing was sent.
    #[error("the request to {addr} cannot be encoded: {source}")]
    Encode {
        /// The peer's address.
        addr: String,
        /// Why.
        source: EncodeError,
    },
    /// The server is shutting down, and said so on the second connection as well.
    #[error("{addr} is going away and could not be reached anew")]
    GoAway {
        /// The address as the caller gave it.
        addr: String,
    },
    /// A hook refused the request, and nothing was sent; or its answer, and the request has been handled.
    #[error("a hook refused the {} {addr}: {reason}", if *.answered { "answer of" } else { "request to" })]
    Hook {
        /// The peer's address.
        addr: String,
        /// What the hook said.
        reason: String,
        /// Whether it is the answer that was refused.
        answered: bool,
    },
    /// No name server answered.
    #[error("no name server answered: {}", list(.tried))]
    NoNameServer {
        /// Each address that was tried; empty if none is configured.
        tried: Vec<Tried>,
    },
}

/// One address that a call to a name server tried.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tried {
    /// The address.
    pub addr: String,
    /// How often it was tried during this call.
    pub attempts: usize,
    /// How the last attempt ended.
    pub error: Arc<RpcError>,
}

fn list(tried: &[Tried]) -> String {
    if tried.is_empty() {
        return "none is configured; set the address, e.g. 127.0.0.1:9876".to_owned();
    }
    let each = |t: &Tried| {
        let times = if t.attempts == 1 { "once".to_owned() } else { format!("{} times", t.attempts) };
        format!("{} (tried {times}: {})", t.addr, t.error)
    };
    tried.iter().map(each).collect::<Vec<_>>().join("; ")
}

fn while_(phase: &Phase, elapsed: &Duration, timeout: &Duration) -> String {
    if timeout.is_zero() {
        String::new()
    } else {
        format!(" while {phase}, after {elapsed:.1?} of {timeout:.1?}")
    }
}

/// The variants of [`RpcError`], to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RpcErrorKind {
    /// [`RpcError::Connect`]
    Connect,
    /// [`RpcError::Timeout`]
    Timeout,
    /// [`RpcError::Closed`]
    Closed,
    /// [`RpcError::TooManyRequests`]
    TooManyRequests,
    /// [`RpcError::Unwritten`]
    Unwritten,
    /// [`RpcError::Encode`]
    Encode,
    /// [`RpcError::GoAway`]
    GoAway,
    /// [`RpcError::Hook`]
    Hook,
    /// [`RpcError::NoNameServer`]
    NoNameServer,
}

impl RpcError {
    /// The kind, to match on.
    pub fn kind(&self) -> RpcErrorKind {
        match self {
            RpcError::Connect { .. } => RpcErrorKind::Connect,
            RpcError::Timeout { .. } => RpcErrorKind::Timeout,
            RpcError::Closed { .. } => RpcErrorKind::Closed,
            RpcError::TooManyRequests { .. } => RpcErrorKind::TooManyRequests,
            RpcError::Unwritten { .. } => RpcErrorKind::Unwritten,
            RpcError::Encode { .. } => RpcErrorKind::Encode,
            RpcError::GoAway { .. } => RpcErrorKind::GoAway,
            RpcError::Hook { .. } => RpcErrorKind::Hook,
            RpcError::NoNameServer { .. } => RpcErrorKind::NoNameServer,
        }
    }

    /// Whether the same request may succeed elsewhere or later. False where the request itself is at fault.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, RpcError::Encode { .. } | RpcError::Hook { .. })
    }

    /// Whether the request certainly never reached the peer, so that sending it again cannot do it twice.
    pub fn was_not_sent(&self) -> bool {
        match self {
            RpcError::Connect { .. }
            | RpcError::TooManyRequests { .. }
            | RpcError::Unwritten { .. }
            | RpcError::Encode { .. }
            | RpcError::GoAway { .. } => true,
            RpcError::Hook { answered, .. } => !answered,
            RpcError::Timeout { phase, .. } | RpcError::Closed { phase, .. } => *phase != Phase::Answer,
            RpcError::NoNameServer { tried } => tried.iter().all(|t| t.error.was_not_sent()),
        }
    }
}

/// What a call was waiting for when its deadline came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// For the connection to open.
    Connect,
    /// For room: in the table of requests in flight or in the output buffer.
    Queue,
    /// For the answer.
    Answer,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connect => "connecting",
            Phase::Queue => "waiting for room to send",
            Phase::Answer => "waiting for the answer",
        })
    }
}

/// Why a connection is gone. Every call that ended with it has the same one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseCause {
    /// The peer closed it in an orderly way.
    #[error("closed by the peer")]
    Peer,
    /// This side closed it.
    #[error("closed by this side: {0}")]
    Local(String),
    /// Neither read nor write for so long.
    #[error("idle for {0:?}")]
    Idle(Duration),
    /// The socket failed.
    #[error("{0}")]
    Io(io::Error),
    /// The peer's bytes are no frames.
    #[error("protocol error: {error}{hint}")]
    Frame {
        /// What the decoder found.
        error: FrameError,
        /// What else the bytes may be.
        hint: String,
    },
    /// The peer does not take our bytes, or not fast enough.
    #[error("the peer reads too slowly: {pending} bytes wait to be written, none went out for {stalled:?}")]
    Stalled {
        /// Bytes in the output buffer.
        pending: usize,
        /// Since the last byte went out.
        stalled: Duration,
    },
    /// A frame was begun and not finished in time.
    #[error("a frame was begun and not finished within {0:?}")]
    SlowFrame(Duration),
    /// Unfinished frames of all connections hold too much; this one was about to hold more.
    #[error(
        "frames of which a part is missing hold more than {limit} bytes; the peers send too slowly, or max_partial is too small"
    )]
    PartialFrames {
        /// [`crate::ConnectionOptions::max_partial`]
        limit: usize,
    },
    /// This side shut down.
    #[error("shut down")]
    Shutdown,
}

/// A server that cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}{}", hint(.source))]
pub struct BindError {
    /// The address as it was given.
    pub addr: String,
    /// What the system said.
    pub source: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has the port: stop it, or choose another port (0 picks a free one)"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges: choose a higher one",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    }
}

/// The peer of a connection for errors.
pub(crate) fn text(addr: SocketAddr) -> String {
    addr.to_string()
}

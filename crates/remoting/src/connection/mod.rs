//! One connection, the same for both roles.

mod call;
mod complaints;
mod looker;
#[cfg(all(test, feature = "models"))]
mod models;
mod pace;
mod shared;
mod task;

use call::Call;
pub(crate) use shared::{Endpoint, Shared};
pub(crate) use task::run;

use std::{fmt, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use rocketwire_protocol::Command;
use tokio::time::Instant;

use crate::{CloseCause, RpcError, dispatch};

/// A connection to a peer; clones are cheap and mean the same connection.
///
/// Both ends may send requests to each other, whoever opened it. It lives until either side closes it: dropping
/// clones does not close it.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>) -> Connection {
        Connection(shared)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// A number that no other connection of this client or server has.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The peer's address; behind a trusted load balancer the client's.
    pub fn remote_addr(&self) -> SocketAddr {
        self.0.remote
    }

    /// What a PROXY protocol header said, under Java's names: `proxy_protocol_addr`, `proxy_protocol_port`,
    /// `proxy_protocol_server_addr`, `proxy_protocol_server_port`, `proxy_protocol_tlv_0x..`.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.0.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// This side's address: for a server, the one that the client dialled.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local
    }

    /// Whether requests can still be sent.
    pub fn is_open(&self) -> bool {
        self.0.close_cause().is_none()
    }

    /// Why the connection is gone, if it is.
    pub fn close_cause(&self) -> Option<Arc<CloseCause>> {
        self.0.close_cause()
    }

    /// Closes the connection; calls in flight end at once with [`RpcError::Closed`].
    pub fn close(&self, reason: &str) {
        self.0.request_close(CloseCause::Local(reason.to_owned()));
    }

    /// Requests of the peer that are in work or parked.
    pub fn served(&self) -> usize {
        self.0.served()
    }

    /// Bytes that wait to be written: the peer has not taken them.
    pub fn pending_bytes(&self) -> usize {
        self.0.lock().pending()
    }

    /// Requests of this side that wait for an answer.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    /// Sends a request and waits for its answer, `timeout` at most from now on.
    ///
    /// No hooks run here, as in Java for requests of a server to its client. A response whose code is an error
    /// is `Ok`. Cancel safe: dropped, the slot is freed, and a late answer is counted and dropped.
    ///
    /// # Errors
    /// [`RpcError::Timeout`], [`RpcError::Closed`], [`RpcError::Encode`].
    pub fn invoke(
        &self,
        command: Command,
        timeout: Duration,
    ) -> impl Future<Output = Result<Command, RpcError>> + Send + use<> {
        Call::new(self.0.clone(), command, None, timeout)
    }

    /// [`Connection::invoke`] whose time began earlier.
    pub(crate) fn call(&self, command: Command, begun: Instant, timeout: Duration) -> Call {
        Call::new(self.0.clone(), command, Some(begun), timeout)
    }

    /// Appends a one-way request to the output buffer: the peer will not answer.
    ///
    /// `Ok` says that it will be written unless the connection breaks, not that it arrived.
    ///
    /// # Errors
    /// [`RpcError::Closed`], [`RpcError::Encode`], and [`RpcError::Unwritten`] where with it more than
    /// [`crate::ConnectionOptions::max_pending`] bytes would wait to be written.
    pub fn invoke_oneway(&self, command: Command) -> Result<(), RpcError> {
        self.0.send_oneway(command.oneway())
    }

    /// Lets the calls in flight end and closes then; no new ones are expected.
    pub(crate) fn retire(&self) {
        self.0.retire();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.0.id)
            .field("remote", &self.0.remote)
            .field("local", &self.0.local)
            .field("open", &self.is_open())
            .finish()
    }
}

/// What happens to connections (Java: `ChannelEventListener`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// A client begins to connect to this address.
    Connecting(String),
    /// A connection is there: connected, or accepted.
    Active(Connection),
    /// Neither read nor write for [`crate::ConnectionOptions::idle`]; the close follows.
    Idle(Connection),
    /// A connection is gone; comes exactly once for each [`ConnectionEvent::Active`].
    Closed(Connection, Arc<CloseCause>),
}

/// Told of what happens to connections, on their tasks: must not block.
pub trait ConnectionListener: Send + Sync + 'static {
    /// One event.
    fn on_event(&self, event: ConnectionEvent);
}

pub use shared::Counters;

pub(crate) use dispatch::Router;

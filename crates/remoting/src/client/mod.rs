//! Connections by address, and calls over them.

mod dial;
mod name_servers;
mod socks;
mod table;

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rocketwire_protocol::{Command, ResponseCode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use crate::{
    ClientOptions, CloseCause, Connection, Counters, HookError, RpcError,
    connection::Endpoint,
    dispatch::{Router, guarded, run_after},
    planted::planted,
};
use name_servers::NameServers;
use table::Table;

/// A client of any number of servers; clones are cheap and mean the same client. When the last one drops, the
/// connections close.
///
/// One connection per address, opened when it is first used; callers that come meanwhile share the attempt.
/// Addresses are texts (`host:port`), resolved at each connect. It must be used inside a tokio runtime.
#[derive(Clone)]
pub struct RemotingClient(Arc<Inner>);

pub(crate) struct Inner {
    endpoint: Arc<Endpoint>,
    options: ClientOptions,
    table: Table,
    name_servers: NameServers,
}

impl RemotingClient {
    /// A client; `router` handles what servers ask of it, and its hooks see every call.
    ///
    /// Nothing is opened and no task runs before the first call.
    pub fn new(options: ClientOptions, router: Router) -> RemotingClient {
        let endpoint = Endpoint::new(options.connection.clone(), router, options.listener.clone(), 1);
        RemotingClient(Arc::new(Inner {
            endpoint,
            options,
            table: Table::default(),
            name_servers: NameServers::default(),
        }))
    }

    /// Sends a request to `addr` and waits for its answer, `timeout` at most: one budget for connecting,
    /// queueing and waiting. A response whose code is an error is `Ok`.
    ///
    /// GO_AWAY is answered by a new connection and one more attempt, within the same budget.
    /// Cancel safe: dropped, the slot is freed and a late answer is dropped.
    ///
    /// # Errors
    /// [`RpcError::Connect`], [`RpcError::Timeout`], [`RpcError::Closed`], [`RpcError::Encode`],
    /// [`RpcError::GoAway`], [`RpcError::Hook`].
    pub async fn invoke(
        &self,
        addr: &str,
        mut command: Command,
        timeout: Duration,
    ) -> Result<Command, RpcError> {
        let begun = Instant::now();
        self.before(addr, &mut command)?;
        let connection = self.connected(addr, begun, timeout).await?;
        if self.0.endpoint.router.hooks.is_empty() && !self.0.options.reconnect_on_go_away {
            return connection.call(command, begun, timeout).await;
        }
        // Cheap: reference counts.
        let again = command.clone();
        let mut result = connection.call(command, begun, timeout).await;
        if matches!(&result, Ok(response) if response.response_code() == ResponseCode::GO_AWAY) {
            result = self.ask_again(addr, &connection, again.clone(), begun, timeout).await;
        }
        if let Err(RpcError::Timeout { .. }) = &result
            && self.0.options.close_on_timeout
        {
            connection.close("a call timed out, and close_on_timeout is set");
        }
        let mut response = result?;
        self.after(addr, &again, &mut response)?;
        Ok(response)
    }

    /// [`RemotingClient::invoke`] in the form of a callback: runs as a task, calls back exactly once.
    pub fn invoke_with(
        &self,
        addr: &str,
        command: Command,
        timeout: Duration,
        callback: impl FnOnce(Result<Command, RpcError>) + Send + 'static,
    ) {
        let (this, addr) = (self.clone(), addr.to_owned());
        tokio::spawn(async move { callback(this.invoke(&addr, command, timeout).await) });
    }

    /// Sends a request that wants no answer. `timeout` bounds the connect.
    ///
    /// `Ok` says that it was queued for a connection that is open, not that it arrived.
    ///
    /// # Errors
    /// [`RpcError::Connect`], [`RpcError::Timeout`], [`RpcError::Closed`], [`RpcError::Encode`],
    /// [`RpcError::Unwritten`], [`RpcError::Hook`]. Java drops a one-way request silently where it
    /// cannot connect; here the caller may know.
    pub async fn invoke_oneway(
        &self,
        addr: &str,
        mut command: Command,
        timeout: Duration,
    ) -> Result<(), RpcError> {
        let begun = Instant::now();
        self.before(addr, &mut command)?;
        self.connected(addr, begun, timeout).await?.invoke_oneway(command)
    }

    /// [`Connection::invoke_oneway`] behind the hooks, which see it as any other request of this client: for what a
    /// server is told on the connection that it asked by.
    ///
    /// # Errors
    /// [`RpcError::Closed`], [`RpcError::Encode`], [`RpcError::Unwritten`], [`RpcError::Hook`].
    pub fn invoke_oneway_on(&self, connection: &Connection, mut command: Command) -> Result<(), RpcError> {
        self.before(&connection.remote_addr().to_string(), &mut command)?;
        connection.invoke_oneway(command)
    }

    /// The connection to `addr`, opened if need be.
    ///
    /// # Errors
    /// [`RpcError::Connect`], [`RpcError::Timeout`].
    pub async fn connect(&self, addr: &str, timeout: Duration) -> Result<Connection, RpcError> {
        self.connected(addr, Instant::now(), timeout).await
    }

    /// Makes a stream that is open already the connection to `addr`: a tunnel, a memory pipe, a socket with
    /// options of its own. The connection that `addr` had, if any, takes no new calls.
    pub fn adopt<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        addr: &str,
        io: T,
        remote: SocketAddr,
        local: SocketAddr,
    ) -> Connection {
        if let Some(old) = self.0.table.remove(addr) {
            old.retire();
        }
        let connection = dial::adopt(&self.0, addr, io, remote, local);
        self.0.table.adopted(addr, &connection);
        connection
    }

    /// The name servers, as `host:port` each. An empty list changes nothing. If the one in use is not among
    /// them, its connection is closed.
    pub fn set_name_servers(&self, addrs: Vec<String>) {
        if let Some(dropped) = self.0.name_servers.replace(addrs) {
            self.close_channels(&[dropped]);
        }
    }

    /// The name servers that calls go to.
    pub fn name_servers(&self) -> Vec<String> {
        self.0.name_servers.list()
    }

    /// Asks a name server: the one in use while it works, else the next. Each address gets its share of the
    /// `timeout`, so that one that is silent does not use up all of it.
    ///
    /// # Errors
    /// [`RpcError::NoNameServer`] with every address that was tried, how often, and how it failed.
    pub async fn invoke_name_server(&self, command: Command, timeout: Duration) -> Result<Command, RpcError> {
        name_servers::invoke(self, &self.0.name_servers, command, timeout).await
    }

    /// Closes the connections to these addresses; calls in flight on them end at once.
    pub fn close_channels(&self, addrs: &[String]) {
        for addr in addrs {
            if let Some(connection) = self.0.table.remove(addr) {
                connection.close("closed by closeChannels");
            }
        }
    }

    /// What happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.0.endpoint.counters
    }

    /// Closes all connections; calls in flight end at once. Calls made later connect anew.
    pub fn shutdown(&self) -> impl Future<Output = ()> + Send + use<> {
        let connections = self.0.table.clear();
        for connection in &connections {
            connection.shared().request_close(CloseCause::Shutdown);
        }
        async move {
            for connection in connections {
                while connection.is_open() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }

    async fn connected(&self, addr: &str, begun: Instant, timeout: Duration) -> Result<Connection, RpcError> {
        if let Some(connection) = self.0.table.open(addr) {
            return Ok(connection);
        }
        dial::connect(&self.0, addr, begun, timeout).await
    }

    /// GO_AWAY: a new connection takes the place of the old one, which still gets its other answers.
    async fn ask_again(
        &self,
        addr: &str,
        old: &Connection,
        command: Command,
        begun: Instant,
        timeout: Duration,
    ) -> Result<Command, RpcError> {
        let gone = || RpcError::GoAway { addr: addr.to_owned() };
        if !self.0.options.reconnect_on_go_away {
            return Err(gone());
        }
        self.0.table.retire(addr, old);
        let connection = self.connected(addr, begun, timeout).await?;
        let mut response = connection.call(command.clone(), begun, timeout).await?;
        if planted("GO_AWAY tried a third time") && response.response_code() == ResponseCode::GO_AWAY {
            response = connection.call(command, begun, timeout).await?;
        }
        if response.response_code() == ResponseCode::GO_AWAY { Err(gone()) } else { Ok(response) }
    }

    fn before(&self, addr: &str, command: &mut Command) -> Result<(), RpcError> {
        command.language = self.0.options.connection.language;
        command.version = self.0.options.connection.version;
        for hook in &self.0.endpoint.router.hooks {
            guarded(|| hook.before(addr, command)).map_err(|error| refused(addr, &error, false))?;
        }
        Ok(())
    }

    fn after(&self, addr: &str, request: &Command, response: &mut Command) -> Result<(), RpcError> {
        let hooks = &self.0.endpoint.router.hooks;
        run_after(hooks, addr, request, Some(response)).map_err(|error| refused(addr, &error, true))
    }
}

/// The last handle is gone: its connections close, and calls in flight on them end.
impl Drop for Inner {
    fn drop(&mut self) {
        for connection in self.table.clear() {
            connection.shared().request_close(CloseCause::Shutdown);
        }
    }
}

fn refused(addr: &str, error: &HookError, answered: bool) -> RpcError {
    RpcError::Hook { addr: addr.to_owned(), reason: error.to_string(), answered }
}

impl fmt::Debug for RemotingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemotingClient")
            .field("connections", &self.0.endpoint.counters.connections.load(Ordering::Relaxed))
            .field("name_servers", &self.name_servers())
            .finish()
    }
}

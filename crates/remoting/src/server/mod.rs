//! Listens, hands connections to their tasks, and stops in an orderly way.

mod accept;
#[cfg(test)]
mod proxy_checks;
mod proxy_protocol;

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    BindError, CloseCause, Connection, Counters, Latency, Router, ServerOptions, connection::Endpoint,
    planted::planted, socket,
};

/// A server that listens on one address.
///
/// Dropping it stops listening; the connections that are open live on until they close. Use
/// [`Server::shutdown`] to end them as well.
pub struct Server {
    local: Option<SocketAddr>,
    inner: Arc<Inner>,
    accepting: Option<JoinHandle<()>>,
}

pub(crate) struct Inner {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) options: ServerOptions,
    open: Mutex<Open>,
    /// How many connections are open.
    count: watch::Sender<usize>,
    /// Whether a shutdown has begun: told to those who are no connections yet.
    stopping: watch::Sender<bool>,
}

#[derive(Default)]
struct Open {
    connections: HashMap<u64, Connection>,
    per_ip: HashMap<IpAddr, usize>,
}

impl Server {
    /// Listens on `addr` (`host:port`; port 0 picks a free one) and serves by `router`.
    ///
    /// # Errors
    /// [`BindError`] names the address and what to do.
    pub async fn bind(addr: &str, router: Router, options: ServerOptions) -> Result<Server, BindError> {
        let failed = |source| BindError { addr: addr.to_owned(), source };
        let mut resolved = tokio::net::lookup_host(addr).await.map_err(failed)?;
        let first = resolved.next().ok_or_else(|| failed(std::io::ErrorKind::AddrNotAvailable.into()))?;
        // What it accepts takes after it.
        let socket = socket::new(first, &options.connection.socket).map_err(failed)?;
        socket.set_reuseaddr(true).map_err(failed)?;
        socket.bind(first).map_err(failed)?;
        let listener = socket.listen(options.backlog).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let mut server = Server::bind_nothing(router, options);
        server.local = Some(local);
        server.accepting = Some(tokio::spawn(accept::accept(listener, server.inner.clone())));
        Ok(server)
    }

    /// A server that listens nowhere: it serves what [`Server::adopt`] brings.
    pub fn bind_nothing(router: Router, options: ServerOptions) -> Server {
        let endpoint = Endpoint::new(
            options.connection.clone(),
            router,
            options.listener.clone(),
            options.runtimes.len(),
        );
        let (count, _) = watch::channel(0);
        let stopping = watch::Sender::new(false);
        let inner = Arc::new(Inner { endpoint, options, open: Mutex::default(), count, stopping });
        Server { local: None, inner, accepting: None }
    }

    /// The address that is listened on, with the port that was picked; port 0 of no address if it is none.
    pub fn local_addr(&self) -> SocketAddr {
        self.local.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))
    }

    /// What happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.inner.endpoint.counters
    }

    /// How long requests took since the start, by their code and that of their answer.
    pub fn latencies(&self) -> Vec<Latency> {
        self.inner.endpoint.latencies.read()
    }

    /// How many connections may be open.
    pub fn max_connections(&self) -> usize {
        self.inner.options.max_connections
    }

    /// The connections that are open now, the oldest first.
    pub fn connections(&self) -> Vec<Connection> {
        let mut connections: Vec<_> = self.inner.lock().connections.values().cloned().collect();
        connections.sort_unstable_by_key(Connection::id);
        connections
    }

    /// Serves a stream that came otherwise than by the listener: a tunnel, a memory pipe.
    ///
    /// `None` if there are too many connections already.
    pub fn adopt<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        io: T,
        remote: SocketAddr,
        local: SocketAddr,
    ) -> Option<Connection> {
        let seat = accept::Seat::take(remote, &self.inner)?;
        Some(accept::serve(io, BytesMut::new(), remote, local, Vec::new(), 0, seat))
    }

    /// From now on answers clients of 5.3.2 and later GO_AWAY, which then ask elsewhere, and goes on serving
    /// the others (spec remoting 9.7). The first step of a graceful stop.
    pub fn go_away(&self) {
        self.inner.endpoint.shutting_down.store(true, Ordering::Relaxed);
    }

    fn stop_accepting(&self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }

    /// Stops listening, takes no more requests on, lets those in work end for at most `grace`, and closes all
    /// connections.
    ///
    /// What was taken on is answered, and the answer is written, before its connection closes, unless the grace ends
    /// first; what comes later is not handled. Parked requests that have no answer by the end of the grace get none.
    /// Returns whether everything had ended by itself.
    /// Cancel safe: dropped half-way, it has stopped listening, and each connection still closes once it has answered
    /// what it took on.
    pub async fn shutdown(self, grace: Duration) -> bool {
        self.stop_accepting();
        self.inner.endpoint.draining.store(true, Ordering::Relaxed);
        self.inner.stopping.send_replace(true);
        self.connections().iter().for_each(|connection| connection.shared().rouse());
        let mut count = self.inner.count.subscribe();
        let drained = timeout(grace, count.wait_for(|open| *open == 0)).await.is_ok();
        let left = self.connections();
        let quiet = drained || !left.iter().any(|connection| connection.shared().is_busy());
        left.iter().for_each(|connection| connection.shared().request_close(CloseCause::Shutdown));
        // Their tasks only have to notice.
        let _ = timeout(Duration::from_secs(5), count.wait_for(|open| *open == 0)).await;
        quiet
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_accepting();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more connection from `ip` may be; counts it.
    pub(crate) fn admit(&self, ip: IpAddr) -> bool {
        let mut open = self.lock();
        let total: usize = open.per_ip.values().sum();
        let here = open.per_ip.entry(ip).or_default();
        let here_max =
            self.options.max_connections_per_ip + usize::from(planted("connection limit off by one"));
        if *here >= here_max || total >= self.options.max_connections {
            return false;
        }
        *here += 1;
        self.count.send_modify(|count| *count += 1);
        true
    }

    pub(crate) fn opened(&self, connection: Connection) {
        self.lock().connections.insert(connection.id(), connection);
    }

    /// The connection that [`Inner::admit`] counted is gone.
    pub(crate) fn gone(&self, id: Option<u64>, ip: IpAddr) {
        let mut open = self.lock();
        if let Some(id) = id {
            open.connections.remove(&id);
        }
        if let Some(here) = open.per_ip.get_mut(&ip) {
            *here -= 1;
            if *here == 0 {
                open.per_ip.remove(&ip);
            }
        }
        drop(open);
        self.count.send_modify(|count| *count -= 1);
    }
}

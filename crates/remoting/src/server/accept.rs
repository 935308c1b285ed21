//! The accept loop: never gives up.

use std::{
    future::{Future, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use bytes::{Buf, BytesMut};
use socket2::{SockRef, Socket};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};

use super::{
    Inner,
    proxy_protocol::{self, Origin, Parsed},
};
use crate::{
    connection::{self, Connection, Shared},
    planted::planted,
    socket,
};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where connections come from.
pub(super) trait Listen: Send + 'static {
    /// The next connection.
    fn accept(&self) -> impl Future<Output = io::Result<TcpStream>> + Send;

    /// A descriptor that is kept to be given up when there are no others.
    fn spare(&self) -> Option<Socket>;
}

impl Listen for TcpListener {
    async fn accept(&self) -> io::Result<TcpStream> {
        TcpListener::accept(self).await.map(|(stream, _)| stream)
    }

    fn spare(&self) -> Option<Socket> {
        SockRef::from(self).try_clone().ok()
    }
}

pub(super) async fn accept(listener: impl Listen, inner: Arc<Inner>) {
    let mut pause = FIRST_PAUSE;
    let mut turn = 0;
    let mut spare = listener.spare();
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => {
                pause = FIRST_PAUSE;
                stream
            }
            // The client was gone before we came: the next one may be there.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                if planted("accept loop ends on error") {
                    return;
                }
                // Out of descriptors or memory, mostly: it passes when connections close.
                inner.endpoint.counters.accept_errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("cannot accept connections for now, trying again in {pause:?}: {error}");
                if spare.take().is_some() {
                    turn_away(&listener, &inner).await;
                }
                tokio::time::sleep(pause).await;
                spare = listener.spare();
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        let lane = turn;
        turn = (turn + 1) % inner.options.runtimes.len().max(1);
        match inner.options.runtimes.get(lane) {
            None => spawn(stream, lane, &inner),
            Some(runtime) => hand_over(stream, runtime, lane, &inner),
        }
    }
}

/// Takes who waits now and hangs up: a client that is closed tries elsewhere, one in the system's queue waits in vain.
async fn turn_away(listener: &impl Listen, inner: &Inner) {
    for _ in 0..inner.options.backlog {
        let mut accepted = pin!(listener.accept());
        let now = poll_fn(|cx| Poll::Ready(accepted.as_mut().poll(cx))).await;
        let Poll::Ready(Ok(_)) = now else { return };
        inner.endpoint.counters.connections_refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Moves a socket to another runtime.
fn hand_over(stream: TcpStream, runtime: &Handle, lane: usize, inner: &Arc<Inner>) {
    let Ok(stream) = stream.into_std() else { return };
    let inner = inner.clone();
    runtime.spawn(async move {
        if let Ok(stream) = TcpStream::from_std(stream) {
            spawn(stream, lane, &inner);
        }
    });
}

fn spawn(stream: TcpStream, lane: usize, inner: &Arc<Inner>) {
    // A client that is gone already.
    let (Ok(remote), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    if let Err(error) = socket::set_up(&stream, &inner.options.connection.socket) {
        tracing::debug!(peer = %remote, "a socket option cannot be set: {error}");
    }
    let Some(seat) = Seat::take(remote, inner) else { return };
    let listed = inner.options.proxy_from.iter().any(|network| network.contains(remote.ip()));
    if listed || planted("PROXY from anyone") {
        tokio::spawn(serve_proxied(stream, remote, local, lane, seat));
    } else {
        serve(stream, BytesMut::new(), remote, local, Vec::new(), lane, seat);
    }
}

/// A place among the connections that may be open, until it drops.
pub(super) struct Seat {
    inner: Arc<Inner>,
    ip: IpAddr,
    id: Option<u64>,
}

impl Seat {
    pub(super) fn take(remote: SocketAddr, inner: &Arc<Inner>) -> Option<Seat> {
        if inner.admit(remote.ip()) {
            return Some(Seat { inner: inner.clone(), ip: remote.ip(), id: None });
        }
        let refused = inner.endpoint.counters.connections_refused.fetch_add(1, Ordering::Relaxed) + 1;
        if refused.is_power_of_two() {
            tracing::warn!(peer = %remote, "too many connections, closing the new one ({refused} refused so far)");
        }
        None
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.inner.gone(self.id, self.ip);
    }
}

/// Reads the header of a load balancer, if there is one, and serves whom it speaks for.
async fn serve_proxied(mut stream: TcpStream, peer: SocketAddr, local: SocketAddr, lane: usize, seat: Seat) {
    let limit = seat.inner.options.proxy_timeout;
    let mut input = BytesMut::with_capacity(512);
    let header = async {
        loop {
            match proxy_protocol::parse(&input) {
                Parsed::More => {}
                Parsed::Absent => return Ok(Origin::default()),
                Parsed::Header(len, origin) => {
                    input.advance(len);
                    return Ok(origin);
                }
                Parsed::Malformed(why) => return Err(why),
            }
            if stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
                return Err("the connection ended first");
            }
        }
    };
    let mut stopping = seat.inner.stopping.subscribe();
    let read = tokio::select! {
        read = tokio::time::timeout(limit, header) => read,
        _ = stopping.wait_for(|stopping| *stopping) => return,
    };
    match read {
        Ok(Ok(origin)) => {
            serve(stream, input, origin.source.unwrap_or(peer), local, origin.attributes, lane, seat);
        }
        Ok(Err(why)) => {
            seat.inner.endpoint.counters.protocol_errors.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%peer, "connection closed: bad PROXY header: {why}");
        }
        Err(_) => {
            seat.inner.endpoint.counters.stalled.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%peer, "connection closed: no whole PROXY header within {limit:?}");
        }
    }
}

/// Starts the task of a connection.
pub(super) fn serve<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: T,
    input: BytesMut,
    remote: SocketAddr,
    local: SocketAddr,
    attributes: Vec<(String, String)>,
    lane: usize,
    mut seat: Seat,
) -> Connection {
    let shared = Shared::new(seat.inner.endpoint.clone(), remote, local, attributes, lane);
    let connection = Connection::new(shared.clone());
    seat.id = Some(connection.id());
    seat.inner.opened(connection.clone());
    tokio::spawn(async move {
        connection::run(io, input, shared).await;
        drop(seat);
    });
    connection
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use rocketwire_protocol::{Command, RequestCode};

    use super::*;
    use crate::{ClientOptions, RemotingClient, Router, Server, ServerOptions};

    /// Fails in all the ways of accept(2) before it works.
    struct Fickle {
        listener: TcpListener,
        failures: Mutex<VecDeque<io::Error>>,
    }

    impl Listen for Fickle {
        async fn accept(&self) -> io::Result<TcpStream> {
            let failure = self.failures.lock().unwrap().pop_front();
            match failure {
                Some(error) => Err(error),
                None => Listen::accept(&self.listener).await,
            }
        }

        fn spare(&self) -> Option<Socket> {
            None
        }
    }

    #[tokio::test]
    async fn no_failure_of_accept_ends_a_server() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        // ECONNABORTED twice, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM (a firewall), EPROTO.
        let kinds = [io::ErrorKind::ConnectionAborted; 2].map(io::Error::from);
        let codes = [24, 23, 105, 12, 1, 71].map(io::Error::from_raw_os_error);
        let failures = Mutex::new(kinds.into_iter().chain(codes).collect());
        let server = Server::bind_nothing(Router::new(), ServerOptions::default());
        let accepting = tokio::spawn(accept(Fickle { listener, failures }, server.inner.clone()));
        let client = RemotingClient::new(ClientOptions::default(), Router::new());
        let request = Command::request(RequestCode(1));
        let answer = client.invoke(&addr, request, Duration::from_secs(30)).await.unwrap();
        assert_eq!(answer.code, 3);
        // Who hung up before it was accepted is no failure, and costs no pause.
        assert_eq!(server.counters().accept_errors.load(Ordering::SeqCst), 6);
        accepting.abort();
    }

    #[tokio::test]
    async fn who_finds_no_descriptor_left_is_closed_and_not_kept_waiting() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = Server::bind_nothing(Router::new(), ServerOptions::default());
        let mut waiting = TcpStream::connect(addr).await.unwrap();
        let refused = || server.counters().connections_refused.load(Ordering::SeqCst);
        // Until the runtime knows that there is someone.
        while refused() == 0 {
            turn_away(&listener, &server.inner).await;
            tokio::task::yield_now().await;
        }
        assert_eq!((refused(), waiting.read(&mut [0; 1]).await.unwrap()), (1, 0));
    }
}

//! The accept loop: never gives up.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Buf, BytesMut};
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
};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn accept(listener: TcpListener, inner: Arc<Inner>) {
    let mut pause = FIRST_PAUSE;
    let mut turn = 0;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => {
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
                tokio::time::sleep(pause).await;
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
    // Small frames must not wait for each other's acknowledgements.
    let _ = stream.set_nodelay(true);
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
    match tokio::time::timeout(limit, header).await {
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

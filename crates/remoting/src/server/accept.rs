//! The accept loop: never gives up.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};

use super::Inner;
use crate::connection::{self, Connection, Shared};

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
    let (Ok(remote), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
        return;
    };
    // Small frames must not wait for each other's acknowledgements.
    let _ = stream.set_nodelay(true);
    serve(stream, remote, local, lane, inner);
}

/// Starts the task of a connection, unless there are too many.
pub(super) fn serve<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: T,
    remote: SocketAddr,
    local: SocketAddr,
    lane: usize,
    inner: &Arc<Inner>,
) -> Option<Connection> {
    if !inner.admit(remote.ip()) {
        let refused = inner.endpoint.counters.connections_refused.fetch_add(1, Ordering::Relaxed) + 1;
        if refused.is_power_of_two() {
            tracing::warn!(peer = %remote, "too many connections, closing the new one ({refused} refused so far)");
        }
        return None;
    }
    let shared = Shared::new(inner.endpoint.clone(), remote, local, lane);
    let connection = Connection::new(shared.clone());
    inner.opened(connection.clone());
    let (inner, this) = (inner.clone(), connection.clone());
    tokio::spawn(async move {
        connection::run(io, shared).await;
        inner.gone(this.id(), remote.ip());
    });
    Some(connection)
}

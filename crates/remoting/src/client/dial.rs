//! Opening a connection: one attempt for all who wait.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    sync::watch,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    Inner,
    socks::{self, Step},
    table::{Dialled, Next},
};
use crate::{
    Connection, ConnectionEvent, Phase, RpcError, SocketOptions, SocksProxy,
    connection::{self, Shared},
    options::FOREVER,
    socket,
};

/// The connection to `addr`, as soon as there is one.
pub(super) async fn connect(
    inner: &Arc<Inner>,
    addr: &str,
    begun: Instant,
    budget: Duration,
) -> Result<Connection, RpcError> {
    let deadline = begun + budget.min(FOREVER);
    let late = || RpcError::Timeout {
        addr: addr.to_owned(),
        phase: Phase::Connect,
        elapsed: begun.elapsed(),
        timeout: budget,
    };
    loop {
        let mut dialled = match inner.table.next(addr, Instant::now()) {
            Next::Use(connection) => return Ok(connection),
            Next::Pause(until) => {
                timeout_at(deadline, sleep_until(until)).await.map_err(|_| late())?;
                continue;
            }
            Next::Wait(dialled) => dialled,
            Next::Dial(tell, dialled) => {
                // A task of its own: whoever gives up waiting does not end it for the others.
                tokio::spawn(dial(inner.clone(), addr.to_owned(), tell));
                dialled
            }
        };
        let ended = timeout_at(deadline, dialled.wait_for(Option::is_some)).await.map_err(|_| late())?;
        match ended.as_deref() {
            Ok(Some(Ok(connection))) => return Ok(connection.clone()),
            Ok(Some(Err(source))) => {
                return Err(RpcError::Connect {
                    addr: addr.to_owned(),
                    elapsed: begun.elapsed(),
                    source: source.clone(),
                });
            }
            // The runtime dropped the dial; try again.
            Ok(None) | Err(_) => {}
        }
    }
}

async fn dial(inner: Arc<Inner>, addr: String, tell: watch::Sender<Dialled>) {
    inner.endpoint.emit(ConnectionEvent::Connecting(addr.clone()));
    let (limit, sockets) = (inner.options.connect_timeout, &inner.options.connection.socket);
    let opened = match socks::proxy_for(&inner.options.proxies, &addr) {
        None => in_time(limit, open(&addr, sockets, limit)).await,
        Some(proxy) => {
            let mut step = Step::Connect;
            let opened = in_time(limit, open_through(proxy, &addr, sockets, limit, &mut step)).await;
            opened.map_err(|error| step.failed(proxy, error))
        }
    };
    let result = opened.and_then(|stream| start(&inner, &addr, stream));
    match &result {
        Ok(connection) if inner.table.dialled(&addr, &tell, connection) => {}
        Ok(connection) => connection.close("its address was given up while it was dialled"),
        Err(_) => inner.table.failed(&addr, &tell, Instant::now(), inner.options.max_backoff, jitter()),
    }
    // Nobody may wait any more: then the connection serves the next caller.
    tell.send_replace(Some(result.map_err(Arc::new)));
}

async fn in_time<T>(limit: Duration, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, future).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {limit:?}")))
    })
}

async fn open_through(
    proxy: &SocksProxy,
    target: &str,
    options: &SocketOptions,
    limit: Duration,
    step: &mut Step,
) -> io::Result<TcpStream> {
    let mut stream = open(&proxy.addr, options, limit).await?;
    socks::handshake(&mut stream, proxy.login(), target, step).await?;
    Ok(stream)
}

async fn open(addr: &str, options: &SocketOptions, limit: Duration) -> io::Result<TcpStream> {
    let resolved: Vec<SocketAddr> = lookup_host(addr).await?.collect();
    first_of(&resolved, options, limit).await
}

/// A stream to the first of a name's addresses that takes it. Each has its share of the time: one that is silent, as
/// of a network that leads nowhere, must not use up all of it.
async fn first_of(
    addresses: &[SocketAddr],
    options: &SocketOptions,
    limit: Duration,
) -> io::Result<TcpStream> {
    let begun = Instant::now();
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name resolves to no address");
    for (at, address) in addresses.iter().enumerate() {
        let share = limit.saturating_sub(begun.elapsed()) / (addresses.len() - at) as u32;
        let connecting = async { socket::new(*address, options)?.connect(*address).await };
        match in_time(share, connecting).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn start(inner: &Arc<Inner>, addr: &str, stream: TcpStream) -> io::Result<Connection> {
    socket::set_up(&stream, &inner.options.connection.socket)?;
    let (remote, local) = (stream.peer_addr()?, stream.local_addr()?);
    Ok(adopt(inner, addr, stream, remote, local))
}

/// Starts the task of a connection that is open.
pub(super) fn adopt<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    inner: &Arc<Inner>,
    addr: &str,
    io: T,
    remote: SocketAddr,
    local: SocketAddr,
) -> Connection {
    let shared = Shared::new(inner.endpoint.clone(), remote, local, Vec::new(), 0);
    let connection = Connection::new(shared.clone());
    let (inner, addr, this) = (Arc::downgrade(inner), addr.to_owned(), connection.clone());
    tokio::spawn(async move {
        connection::run(io, BytesMut::new(), shared).await;
        if let Some(inner) = inner.upgrade() {
            inner.table.closed(&addr, &this);
        }
    });
    connection
}

/// Between 0 and 1: so that clients that lost one server do not all come back at once.
fn jitter() -> f64 {
    RandomState::new().hash_one(0u8) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn a_silent_address_of_a_name_does_not_use_up_the_time() {
        // Nobody takes connections from this queue of one, so that a later connect hangs.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = socket.listen(1).unwrap();
        let silent = full.local_addr().unwrap();
        let mut filling = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(silent)).await {
            filling.push(stream);
            assert!(filling.len() < 100, "the queue never fills");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [silent, listener.local_addr().unwrap()];
        let (options, limit) = (SocketOptions::default(), Duration::from_secs(4));
        let opened = in_time(limit, first_of(&addresses, &options, limit)).await;
        assert_eq!(opened.unwrap().peer_addr().unwrap(), addresses[1]);
    }
}

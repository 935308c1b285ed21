//! What the system is told of sockets, and what it says of itself.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};

use crate::SocketOptions;

/// A socket that is neither connected nor listening yet: the sizes of its buffers have to be known before.
pub(crate) fn new(addr: SocketAddr, options: &SocketOptions) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    if options.send_buffer > 0 {
        socket.set_send_buffer_size(size(options.send_buffer))?;
    }
    if options.receive_buffer > 0 {
        socket.set_recv_buffer_size(size(options.receive_buffer))?;
    }
    Ok(socket)
}

/// Sets up a stream that is open.
pub(crate) fn set_up(stream: &TcpStream, options: &SocketOptions) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if !options.keepalive.is_zero() {
        let seconds = |time: Duration| Duration::from_secs(time.as_secs_f64().ceil() as u64);
        let keepalive = TcpKeepalive::new().with_time(seconds(options.keepalive));
        socket.set_tcp_keepalive(&keepalive.with_interval(seconds(options.keepalive / 3)))?;
    }
    #[cfg(target_os = "linux")]
    if !options.user_timeout.is_zero() {
        socket.set_tcp_user_timeout(Some(options.user_timeout))?;
    }
    Ok(())
}

/// How many descriptors this process may have.
#[cfg(unix)]
pub(crate) fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// How many descriptors this process may have.
#[cfg(not(unix))]
pub(crate) fn descriptors() -> usize {
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn what_is_asked_for_is_set() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let options = SocketOptions {
            keepalive: Duration::from_millis(44_500),
            user_timeout: Duration::from_millis(12_345),
            send_buffer: 100_000,
            receive_buffer: 60_000,
        };
        let stream = new(addr, &options).unwrap().connect(addr).await.unwrap();
        set_up(&stream, &options).unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(45));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(options.user_timeout));
        // Linux doubles what it is asked for.
        assert!((100_000..=200_000).contains(&socket.send_buffer_size().unwrap()));
        assert!((60_000..=120_000).contains(&socket.recv_buffer_size().unwrap()));
    }

    #[tokio::test]
    async fn zero_leaves_the_choice_to_the_system() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let untouched = TcpStream::connect(addr).await.unwrap();
        let options = SocketOptions {
            keepalive: Duration::ZERO,
            user_timeout: Duration::ZERO,
            send_buffer: 0,
            receive_buffer: 0,
        };
        let stream = new(addr, &options).unwrap().connect(addr).await.unwrap();
        set_up(&stream, &options).unwrap();
        let (socket, untouched) = (SockRef::from(&stream), SockRef::from(&untouched));
        assert!(!socket.keepalive().unwrap());
        assert_eq!(socket.recv_buffer_size().unwrap(), untouched.recv_buffer_size().unwrap());
    }
}

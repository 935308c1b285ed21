//! Every limit of a connection, a client and a server, with Java's name and default.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use rocketwire_protocol::{Encoding, LanguageCode, Limits, Version};

use crate::ConnectionListener;

/// Limits and habits of one connection, on either side.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionOptions {
    /// What the decoder accepts. Default: frames of 16 MiB (Java: `com.rocketmq.remoting.frameMaxLength`).
    pub limits: Limits,
    /// How requests of this side are written. Default JSON (Java: `rocketmq.serialize.type`). Answers are
    /// written as the request was, which every client reads.
    pub encoding: Encoding,
    /// The language that commands of this side carry. Default RUST; a node says JAVA, which all clients know.
    pub language: LanguageCode,
    /// The version that commands of this side carry. Default [`Version::CURRENT`].
    pub version: Version,
    /// Requests of this side that may wait for an answer. Default 65,535 for a client
    /// (Java: `clientAsyncSemaphoreValue`), 64 for a server (Java: `serverAsyncSemaphoreValue`).
    /// At the limit a caller waits until its deadline.
    pub max_in_flight: usize,
    /// Requests of the peer that may be in work or parked before its socket is no longer read. Default 16,384.
    /// Too small: a consumer of many queues, each with a parked pull, is starved.
    pub max_served: usize,
    /// Bytes waiting to be written above which the socket is no longer read and callers wait.
    /// Default 1 MiB (Java: `writeBufferHighWaterMark`, where 0, the default, means Netty's 64 KiB).
    /// Too small: a batch of pulled messages, 256 KiB mostly, stops the connection's reading each time.
    pub high_water: usize,
    /// Bytes waiting to be written below which callers that wait go on.
    /// Default 512 KiB (Java: `writeBufferLowWaterMark`, where 0, the default, means Netty's 32 KiB).
    pub low_water: usize,
    /// Bytes waiting to be written at which the connection is closed: the peer does not read. Default 64 MiB.
    pub max_pending: usize,
    /// How long no byte may go out while some wait. Default 30 s.
    pub write_stall: Duration,
    /// How long a frame may take from its first byte to its last, plus one second for each 64 KiB that came.
    /// Default 30 s. Java waits for ever.
    pub frame_timeout: Duration,
    /// Bytes that frames of which a part is missing may hold, those of all connections of one client or server
    /// together. The connection that would go beyond is closed. Default 256 MiB. Java has no limit.
    pub max_partial: usize,
    /// How long a new connection may be silent, in both directions, before it is closed as idle; zero: as long as
    /// any. Default zero for a client, 10 s for a server. Java has no such limit.
    pub first_byte: Duration,
    /// Neither read nor write for this long closes the connection; zero never. Default 120 s
    /// (Java: `clientChannelMaxIdleTimeSeconds`, `serverChannelMaxIdleTimeSeconds`).
    pub idle: Duration,
    /// What the system is told of each TCP socket.
    pub socket: SocketOptions,
    /// How long the task looks for events, yielding, before it sleeps, while requests are under way. Zero:
    /// sleep at once. Default 50 us with two or more usable cores, else zero. Looking saves the wake-up of an
    /// idle core (tens of microseconds) and burns at most this much CPU after each burst.
    pub look: Duration,
}

/// Thirty years. A longer time is taken for this one: no clock could add it to now.
pub(crate) const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);

impl ConnectionOptions {
    /// With times that can be added to now.
    pub(crate) fn bounded(mut self) -> ConnectionOptions {
        for time in [
            &mut self.idle,
            &mut self.first_byte,
            &mut self.write_stall,
            &mut self.frame_timeout,
            &mut self.look,
        ] {
            *time = (*time).min(FOREVER);
        }
        self
    }
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        ConnectionOptions {
            limits: Limits::default(),
            encoding: Encoding::Json,
            language: LanguageCode::RUST,
            version: Version::CURRENT,
            max_in_flight: 65_535,
            max_served: 16_384,
            high_water: 1 << 20,
            low_water: 512 << 10,
            max_pending: 64 << 20,
            write_stall: Duration::from_secs(30),
            frame_timeout: Duration::from_secs(30),
            max_partial: 256 << 20,
            first_byte: Duration::ZERO,
            idle: Duration::from_secs(120),
            socket: SocketOptions::default(),
            look: if cores > 1 { Duration::from_micros(50) } else { Duration::ZERO },
        }
    }
}

/// What the system is told of a TCP socket. Streams that are adopted are left as they are.
///
/// Nagle's algorithm is always off (TCP_NODELAY), as in Java: small frames must not wait for each other's
/// acknowledgements.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// How long a connection is quiet before the system asks whether the peer is still there (SO_KEEPALIVE,
    /// TCP_KEEPIDLE); a third of it between two questions. In whole seconds, rounded up; zero: it never asks.
    /// Default 30 s: a peer whose machine is gone is noticed long before `idle`. Java: off.
    pub keepalive: Duration,
    /// How long the peer may leave bytes unacknowledged before the connection ends (TCP_USER_TIMEOUT, on Linux
    /// only); zero: as the system likes, a quarter of an hour mostly. In milliseconds. Default 30 s, as
    /// [`ConnectionOptions::write_stall`]. Java: never set.
    pub user_timeout: Duration,
    /// The system's buffer of bytes on their way out, in bytes (SO_SNDBUF); zero: it chooses, and lets the buffer
    /// grow. Default zero (Java: `clientSocketSndBufSize`, `serverSocketSndBufSize`, `0`).
    pub send_buffer: usize,
    /// The system's buffer of bytes that nobody read yet, in bytes (SO_RCVBUF); zero as above. Default zero
    /// (Java: `clientSocketRcvBufSize`, `serverSocketRcvBufSize`, `0`).
    pub receive_buffer: usize,
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions {
            keepalive: Duration::from_secs(30),
            user_timeout: Duration::from_secs(30),
            send_buffer: 0,
            receive_buffer: 0,
        }
    }
}

/// Options of a [`crate::RemotingClient`].
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    /// Of each connection.
    pub connection: ConnectionOptions,
    /// How long a TCP connect may take. Default 3 s (Java: `connectTimeoutMillis`).
    pub connect_timeout: Duration,
    /// The longest pause between two failed connects to one address; the first is 50 ms, doubled each time,
    /// with jitter. Default 5 s. Calls wait for the pause to end as far as their deadline allows.
    pub max_backoff: Duration,
    /// Whether GO_AWAY is answered by a new connection and one more attempt. Default true
    /// (Java: `enableReconnectForGoAway`).
    pub reconnect_on_go_away: bool,
    /// Whether a call's time-out closes the connection, as Java does by default
    /// (`clientCloseSocketIfTimeout`). Default false: one late answer says nothing about the others.
    pub close_on_timeout: bool,
    /// Which targets are reached by way of a SOCKS5 proxy: the first entry that matches says by which. Default
    /// none: directly (Java: `socksProxyConfig`, whose keys are the networks).
    pub proxies: Vec<SocksProxy>,
    /// Told of connects and closes. Called on connection tasks: must not block.
    pub listener: Option<Arc<dyn ConnectionListener>>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            connection: ConnectionOptions::default(),
            connect_timeout: Duration::from_secs(3),
            max_backoff: Duration::from_secs(5),
            reconnect_on_go_away: true,
            close_on_timeout: false,
            proxies: Vec::new(),
            listener: None,
        }
    }
}

/// A SOCKS5 proxy (RFC 1928), and the targets that are reached by way of it.
///
/// The proxy resolves the target's name, and a connection's
/// [`remote_addr`](crate::Connection::remote_addr) is the proxy's. User and password go over the wire as they
/// are (RFC 1929).
#[derive(Clone, PartialEq, Eq)]
pub struct SocksProxy {
    /// The targets. `0.0.0.0/0` means all, host names included; any other network only targets that are given as
    /// an address of it.
    pub network: Network,
    /// `host:port` of the proxy.
    pub addr: String,
    /// Who logs in, 1 to 255 bytes; without a name and a password nobody does.
    pub username: Option<String>,
    /// The password of `username`, 1 to 255 bytes.
    pub password: Option<String>,
}

impl SocksProxy {
    /// Whether `host`, a name or an address, is reached by way of this proxy.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let all = self.network.bits == 0 && self.network.address.is_ipv4();
        all || host.parse().is_ok_and(|ip| self.network.contains(ip))
    }

    /// Name and password, if there are both.
    pub(crate) fn login(&self) -> Option<(&str, &str)> {
        self.username.as_deref().zip(self.password.as_deref())
    }
}

/// Without the password.
impl fmt::Debug for SocksProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocksProxy")
            .field("network", &self.network)
            .field("addr", &self.addr)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .finish()
    }
}

/// Options of a [`crate::Server`].
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Of each connection; here `max_in_flight` is 64 (Java: `serverAsyncSemaphoreValue`) and `first_byte` 10 s.
    pub connection: ConnectionOptions,
    /// Connections at a time; more are closed as soon as they are accepted. Default 16,384, but no more than the
    /// process may have descriptors (`ulimit -n`), less 256 for everything else. Java has no limit.
    pub max_connections: usize,
    /// Connections at a time from one address; more are closed as soon as they are accepted. Default 4,096.
    /// Java has no limit.
    pub max_connections_per_ip: usize,
    /// Length of the queue of connections not yet accepted. Default 1024 (Java: constant, `serverSocketBacklog` is
    /// ignored).
    pub backlog: u32,
    /// Runtimes that connections are handed to in turn. Default none: the one that `bind` is called on.
    pub runtimes: Vec<tokio::runtime::Handle>,
    /// Who may speak for others by a PROXY protocol header, version 1 or 2: networks as `10.0.0.0/8`, or single
    /// addresses. Default nobody. Java takes the header from anyone, and with it any source address.
    pub proxy_from: Vec<Network>,
    /// How long a connection of `proxy_from` may take to its first twelve bytes and the whole header. Default 10 s.
    pub proxy_timeout: Duration,
    /// Told of accepts and closes. Called on connection tasks: must not block.
    pub listener: Option<Arc<dyn ConnectionListener>>,
}

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether `ip` is one of them.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let same = |a: u128, b: u128, all: u8| {
            let rest = u32::from(all - self.bits);
            a.checked_shr(rest).unwrap_or(0) == b.checked_shr(rest).unwrap_or(0)
        };
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

/// `10.0.0.0/8`, `::1`.
impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Network, InvalidNetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).map_err(|_| InvalidNetwork)?;
        if bits > all { Err(InvalidNetwork) } else { Ok(Network { address, bits }) }
    }
}

/// As it is read.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// A text that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is an IP address with an optional prefix length, e.g. 10.0.0.0/8")]
pub struct InvalidNetwork;

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            connection: ConnectionOptions {
                max_in_flight: 64,
                first_byte: Duration::from_secs(10),
                ..ConnectionOptions::default()
            },
            max_connections: crate::socket::descriptors().saturating_sub(256).clamp(1, 16_384),
            max_connections_per_ip: 4_096,
            backlog: 1024,
            runtimes: Vec::new(),
            proxy_from: Vec::new(),
            proxy_timeout: Duration::from_secs(10),
            listener: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_by_their_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.200.1.1", "11.0.0.1"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:9.1.1.1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{network}");
        }
        for bad in ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    // spec: remoting N17
    #[test]
    fn proxies_are_for_their_networks_and_names_only_for_the_one_of_all() {
        let proxy = |network: &str| SocksProxy {
            network: network.parse().unwrap(),
            addr: "proxy:1080".into(),
            username: Some("user".into()),
            password: Some("hunter2".into()),
        };
        for (network, inside, outside) in [
            ("0.0.0.0/0", &["broker.example", "10.0.0.1", "::1"][..], &[][..]),
            ("10.0.0.0/8", &["10.200.1.1"], &["11.0.0.1", "broker.example", "::1", ""]),
            ("::/0", &["::1"], &["10.0.0.1", "broker.example"]),
        ] {
            assert!(inside.iter().all(|host| proxy(network).is_for(host)), "{network}");
            assert!(!outside.iter().any(|host| proxy(network).is_for(host)), "{network}");
        }
        let text = format!("{:?}", proxy("::1"));
        assert!(text.contains("user") && !text.contains("hunter2"), "{text}");
    }
}

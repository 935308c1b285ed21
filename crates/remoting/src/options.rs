//! Every limit of a connection, a client and a server, with Java's name and default.

use std::{sync::Arc, time::Duration};

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
    /// Default 1 MiB; Java: `writeBufferHighWaterMark`, 64 KiB, by which pulled batches of 256 KiB pass as well.
    pub high_water: usize,
    /// Bytes waiting to be written below which reading goes on. Default 512 KiB (Java: `writeBufferLowWaterMark`).
    pub low_water: usize,
    /// Bytes waiting to be written at which the connection is closed: the peer does not read. Default 64 MiB.
    pub max_pending: usize,
    /// How long no byte may go out while some wait. Default 30 s.
    pub write_stall: Duration,
    /// How long a frame may take from its first byte to its last, plus one second for each 64 KiB. Default 30 s.
    pub frame_timeout: Duration,
    /// Neither read nor write for this long closes the connection; zero never. Default 120 s
    /// (Java: `clientChannelMaxIdleTimeSeconds`, `serverChannelMaxIdleTimeSeconds`).
    pub idle: Duration,
    /// How long the task looks for events, yielding, before it sleeps, while requests are under way. Zero:
    /// sleep at once. Default 50 us with two or more usable cores, else zero. Looking saves the wake-up of an
    /// idle core (tens of microseconds) and burns at most this much CPU after each burst.
    pub look: Duration,
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
            idle: Duration::from_secs(120),
            look: if cores > 1 { Duration::from_micros(50) } else { Duration::ZERO },
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
            listener: None,
        }
    }
}

/// Options of a [`crate::Server`].
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Of each connection; `max_in_flight` is 64 here (Java: `serverAsyncSemaphoreValue`).
    pub connection: ConnectionOptions,
    /// Connections at a time; more are closed as soon as they are accepted. Default 16,384.
    pub max_connections: usize,
    /// Connections at a time from one address. Default 4,096.
    pub max_connections_per_ip: usize,
    /// Length of the queue of connections not yet accepted. Default 1024 (Java: `serverSocketBacklog`).
    pub backlog: u32,
    /// Runtimes that connections are handed to in turn. Default none: the one that `bind` is called on.
    pub runtimes: Vec<tokio::runtime::Handle>,
    /// Told of accepts and closes. Called on connection tasks: must not block.
    pub listener: Option<Arc<dyn ConnectionListener>>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            connection: ConnectionOptions { max_in_flight: 64, ..ConnectionOptions::default() },
            max_connections: 16_384,
            max_connections_per_ip: 4_096,
            backlog: 1024,
            runtimes: Vec::new(),
            listener: None,
        }
    }
}

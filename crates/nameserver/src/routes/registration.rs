//! What brokers say of themselves.

use std::time::Duration;

use bytestring::ByteString;
use rocketwire_protocol::body::{DataVersion, TopicConfig};

/// A broker in the same process as the name server.
#[derive(Clone, Debug)]
pub struct LocalBroker {
    /// Its cluster.
    pub cluster: ByteString,
    /// Its name.
    pub name: ByteString,
    /// The address that clients are told. `None`: the one by which the asking client reached the name server,
    /// which is right on every interface and needs no configuration.
    pub advertised: Option<ByteString>,
    /// Without `advertised`: the port that clients are told. `None`: the one they asked at.
    pub port: Option<u16>,
}

/// What a broker says of itself (request 103).
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its cluster.
    pub cluster: ByteString,
    /// Its name.
    pub broker_name: ByteString,
    /// 0 takes messages, others are replicas.
    pub broker_id: i64,
    /// `host:port` for clients.
    pub address: ByteString,
    /// `host:port` for replicas.
    pub ha_server_addr: ByteString,
    /// After how long of silence to forget it; `None`: the default.
    pub expiry: Option<Duration>,
    /// Whether a replica may act as master. `None`: a broker before 5.0 does not say.
    pub enable_acting_master: Option<bool>,
    /// Its topics; those that it does not name are kept.
    pub topics: Vec<TopicConfig>,
    /// The version of its topics.
    pub data_version: DataVersion,
    /// The connection it speaks over; the broker goes when that closes.
    pub connection: Option<u64>,
}

/// A bound was hit; the text says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMany(pub &'static str);

/// Why a broker elsewhere was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterError {
    /// A bound was hit.
    TooMany(TooMany),
    /// A broker of this process has that name: nobody else can speak for it.
    Local,
}

impl From<TooMany> for RegisterError {
    fn from(bound: TooMany) -> RegisterError {
        RegisterError::TooMany(bound)
    }
}

//! Brokers as the table knows them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytestring::ByteString;
use rocketwire_protocol::body::DataVersion;

use super::MASTER;

/// A broker and all that go by its name.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) cluster: ByteString,
    pub(super) enable_acting_master: bool,
    /// By id; 0 is the master.
    pub(super) instances: BTreeMap<i64, Instance>,
}

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) address: Address,
    pub(super) ha_server_addr: ByteString,
    pub(super) seen: Instant,
    /// `None`: it lives in this process and does not expire.
    pub(super) expiry: Option<Duration>,
    pub(super) connection: Option<u64>,
    pub(super) data_version: DataVersion,
}

impl Instance {
    pub(super) fn is_local(&self) -> bool {
        self.expiry.is_none()
    }
}

/// Where clients find it.
#[derive(Debug)]
pub(super) enum Address {
    /// As the broker said.
    Fixed(ByteString),
    /// The one by which the asking client reached us, with another port perhaps.
    OfConnection { port: Option<u16> },
}

impl Address {
    pub(super) fn seen_from(&self, asked_at: SocketAddr) -> ByteString {
        match self {
            Address::Fixed(address) => address.clone(),
            Address::OfConnection { port } => {
                let mut address = SocketAddr::new(asked_at.ip().to_canonical(), asked_at.port());
                address.set_port(port.unwrap_or(address.port()));
                address.to_string().into()
            }
        }
    }

    pub(super) fn is(&self, address: &str) -> bool {
        matches!(self, Address::Fixed(fixed) if fixed == address)
    }
}

impl Broker {
    /// Nobody takes messages, but replicas can be read from: they act for their master.
    pub(super) fn is_acted_for(&self) -> bool {
        self.enable_acting_master && !self.instances.is_empty() && !self.instances.contains_key(&MASTER)
    }
}

//! Why a node does not run.

use std::io;

use rocketwire_broker::BrokerError;
use rocketwire_remoting::BindError;
use rocketwire_store::OpenError;

/// Why a node did not start, or did not stop in order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The port cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The broker or its store: a folder that is in use, cannot be written, or is damaged.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The advertised address is no `HOST:PORT`, or its host has no address.
    #[error(
        "cannot advertise {address}: {source}; HOST:PORT is wanted, with a host that can be resolved here"
    )]
    Advertise {
        /// As it was given.
        address: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// A thread or its runtime could not be started.
    #[error("cannot start a thread for connections: {0}")]
    Thread(io::Error),
    /// The settings contradict each other.
    #[error("{0}")]
    Options(&'static str),
    /// The name server's KV configuration was saved, but cannot be read.
    #[error(
        "the name server's configuration (table name_server_kv) cannot be understood: {0}; was it written by a newer version?"
    )]
    KvConfig(String),
    /// A task of the node panicked.
    #[error("the node failed while {0}: please report it")]
    Panicked(&'static str),
}

impl NodeError {
    /// Whether the settings are at fault, so that starting again with the same ones cannot help.
    pub fn is_settings(&self) -> bool {
        matches!(self, NodeError::Options(_) | NodeError::Broker(BrokerError::Options(_)))
    }

    /// Whether what is stored is damaged, so that starting again cannot help.
    pub fn is_damage(&self) -> bool {
        matches!(self, NodeError::Broker(BrokerError::Store(OpenError::Damaged { .. })))
    }
}

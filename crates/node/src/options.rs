//! Every setting of a node.

use std::path::PathBuf;

use rocketwire_broker::BrokerOptions;
use rocketwire_nameserver::NameServerOptions;
use rocketwire_protocol::LanguageCode;
use rocketwire_remoting::ServerOptions;
use rocketwire_store::{Flush, StoreOptions};

/// Settings of a [`crate::Node`], with those of the rooms that it is made of.
#[derive(Clone)]
#[non_exhaustive]
pub struct NodeOptions {
    /// Where messages are kept. Default [`Place::Memory`].
    pub place: Place,
    /// The interface to listen on: a name or an address. Default `127.0.0.1`. There is no authentication.
    pub host: String,
    /// The port. Default 0: a free one.
    pub port: u16,
    /// Whether `port` − 2 is listened on too, as clients with `vipChannelEnabled` expect. Default false. Needs a
    /// fixed port.
    pub vip_port: bool,
    /// `HOST:PORT` that clients are told instead of the address by which they asked. Default none.
    pub advertise: Option<String>,
    /// Name servers elsewhere that the broker registers at, `HOST:PORT` each: the node is one broker of their
    /// clusters then. Default none.
    pub register: Vec<String>,
    /// Whether the node is a name server, too. Default true; without it clients find its broker only through
    /// [`NodeOptions::register`].
    pub is_name_server: bool,
    /// Whether a topic is created, with the template of automatic creation, when a client asks where it is. Default
    /// false: it hides misspelt names. For clients that know no other way, as ali-ons.
    pub create_topic_on_lookup: bool,
    /// `HOST:PORT` where `/metrics`, `/healthz` and `/readyz` are served over HTTP; port 0 is a free one, see
    /// [`crate::Node::metrics_addr`]. Default none. Whoever reaches it sees names of topics and groups.
    pub metrics: Option<String>,
    /// Threads with a runtime each that connections are handed to in turn. Default 0: connections run on the
    /// runtime that the node was started on.
    pub threads: usize,
    /// Of the broker. `advertised` is set by the node.
    pub broker: BrokerOptions,
    /// Of the name server.
    pub name_server: NameServerOptions,
    /// Of the listener and its connections. The node sets the runtimes and the listener of events.
    pub server: ServerOptions,
    /// Of the store. Its folder is that of the [`Place`].
    pub store: StoreOptions,
}

/// Where a node keeps its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process: gone when the node is. The log keeps 512 MiB at most; older messages go.
    Memory,
    /// In this folder, which is created if it is missing.
    Folder(PathBuf),
}

/// Log of a node in memory: small segments, since whole ones are dropped.
const MEMORY_SEGMENT: u64 = 8 << 20;
const MEMORY_LOG: u64 = 512 << 20;

impl Default for NodeOptions {
    fn default() -> Self {
        let mut server = ServerOptions::default();
        // Old clients know a few languages only, and RUST is none of them.
        server.connection.language = LanguageCode::JAVA;
        server.max_connections = server.max_connections.min(file_limit());
        NodeOptions {
            place: Place::Memory,
            host: "127.0.0.1".to_owned(),
            port: 0,
            vip_port: false,
            advertise: None,
            register: Vec::new(),
            is_name_server: true,
            create_topic_on_lookup: false,
            metrics: None,
            threads: 0,
            broker: BrokerOptions::default(),
            name_server: NameServerOptions::default(),
            server,
            store: StoreOptions::new(""),
        }
    }
}

impl NodeOptions {
    /// The store's options for its place.
    pub(crate) fn store_options(&self) -> StoreOptions {
        let mut store = self.store.clone();
        match &self.place {
            Place::Folder(folder) => store.dir.clone_from(folder),
            Place::Memory => {
                store.dir = PathBuf::from("/memory");
                store.segment_bytes = store.segment_bytes.min(MEMORY_SEGMENT);
                store.max_log_bytes = Some(store.max_log_bytes.unwrap_or(MEMORY_LOG).min(MEMORY_LOG));
                // Nothing to wait for; the flush of memory is free, its thread is not.
                store.flush = Flush::Async;
            }
        }
        store
    }
}

/// Descriptors that connections may have: all but those that files need.
#[cfg(unix)]
fn file_limit() -> usize {
    use rustix::process::{Resource, getrlimit};
    const FILES: u64 = 256;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(FILES).max(limit / 2)).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn file_limit() -> usize {
    usize::MAX
}

//! What a node is made from.

use std::path::PathBuf;

use rocketwire_store::Flush;

use crate::{Node, NodeError, NodeOptions, Place};

/// Settings for [`Node`]; [`NodeBuilder::start`] makes it.
///
/// # In tests of applications
/// `Node::builder().memory().start().await` is a real broker for one test: it speaks to any RocketMQ client, keeps
/// nothing on the disk, and listens on a free port, so that tests run in parallel. It starts in about a millisecond
/// (`cargo run --release -p rocketwire-node --example start` measures it), so each test can have one of its own.
/// Dropped, it closes its connections, its port and its threads; [`Node::shutdown`] does the same and waits for it,
/// and with it an application can be seen to have answered everything.
///
/// ```
/// use rocketwire::{Client, Message};
/// use rocketwire_node::Node;
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory().start().await?;
/// node.create_topic("Orders", 4).await?;
///
/// let client = Client::builder().name_servers(&node.addr().to_string()).build()?;
/// let sent = client.producer("test").build()?.send(Message::new("Orders", "4711")).await?;
/// assert_eq!(sent.queue_offset, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `crates/node/tests/in_your_tests.rs` is a whole test to copy: an application that consumes and sends, a broker
/// that refuses topics, and one that restarts.
#[derive(Clone, Default)]
#[must_use]
pub struct NodeBuilder {
    options: NodeOptions,
}

impl NodeBuilder {
    /// Keeps messages in memory only. The default.
    pub fn memory(mut self) -> NodeBuilder {
        self.options.place = Place::Memory;
        self
    }

    /// Keeps messages in a folder, which is created if it is missing. One node at a time can have it.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> NodeBuilder {
        self.options.place = Place::Folder(folder.into());
        self
    }

    /// The interface to listen on. Default `127.0.0.1`; `0.0.0.0` is all. There is no authentication.
    pub fn host(mut self, host: impl Into<String>) -> NodeBuilder {
        self.options.host = host.into();
        self
    }

    /// The port. Default 0: a free one, see [`Node::addr`].
    pub fn port(mut self, port: u16) -> NodeBuilder {
        self.options.port = port;
        self
    }

    /// Listens on the port − 2, too: for clients with `vipChannelEnabled`. Default false.
    pub fn vip_port(mut self, listen: bool) -> NodeBuilder {
        self.options.vip_port = listen;
        self
    }

    /// `HOST:PORT` that clients are told, where the address by which they reach the node is not the node's own:
    /// behind a mapped port or a proxy. Default: the address by which they asked.
    pub fn advertise(mut self, address: impl Into<String>) -> NodeBuilder {
        self.options.advertise = Some(address.into());
        self
    }

    /// Registers the broker at name servers elsewhere, `HOST:PORT` each; it is told to them again every 30 s, and
    /// taken back at the shutdown. They tell clients [`NodeBuilder::advertise`], or the address that is listened on
    /// (of all interfaces, the one by which the name server is reached). Default none.
    pub fn register(mut self, name_servers: impl IntoIterator<Item = impl Into<String>>) -> NodeBuilder {
        self.options.register = name_servers.into_iter().map(Into::into).collect();
        self
    }

    /// Whether the node is a name server, too. Default true.
    pub fn name_server(mut self, is_name_server: bool) -> NodeBuilder {
        self.options.is_name_server = is_name_server;
        self
    }

    /// Serves `/metrics` (Prometheus), `/healthz` and `/readyz` over HTTP at this `HOST:PORT`. Default: nowhere.
    pub fn metrics(mut self, address: impl Into<String>) -> NodeBuilder {
        self.options.metrics = Some(address.into());
        self
    }

    /// When a send is answered. Default [`Flush::Sync`]; in memory there is no difference.
    pub fn flush(mut self, flush: Flush) -> NodeBuilder {
        self.options.store.flush = flush;
        self
    }

    /// The broker's name. Default `broker-a`.
    pub fn broker_name(mut self, name: impl AsRef<str>) -> NodeBuilder {
        self.options.broker.broker_name = name.as_ref().into();
        self
    }

    /// The cluster's name. Default `DefaultCluster`.
    pub fn cluster(mut self, name: impl AsRef<str>) -> NodeBuilder {
        self.options.broker.cluster = name.as_ref().into();
        self
    }

    /// Whether a message to an unknown topic creates it. Default true.
    pub fn auto_create_topic(mut self, create: bool) -> NodeBuilder {
        self.options.broker.auto_create_topic = create;
        self
    }

    /// Whether a topic is created when a client asks where it is, and not only when one sends to it: ali-ons never
    /// does without a route. Default false.
    pub fn create_topic_on_lookup(mut self, create: bool) -> NodeBuilder {
        self.options.create_topic_on_lookup = create;
        self
    }

    /// Threads with a runtime each for the connections. Default 0: they run where the node was started.
    pub fn threads(mut self, threads: usize) -> NodeBuilder {
        self.options.threads = threads;
        self
    }

    /// Changes any other setting.
    pub fn options(mut self, change: impl FnOnce(&mut NodeOptions)) -> NodeBuilder {
        change(&mut self.options);
        self
    }

    /// Opens the store, recovers it, and listens. When this returns, clients are served.
    ///
    /// # Errors
    /// [`NodeError`], in one sentence: the port is taken, the folder is in use or cannot be written, the store is
    /// damaged, the settings contradict each other.
    ///
    /// # Cancel safety
    /// Dropped half-way, nothing listens; a store that was being opened is closed again.
    pub async fn start(self) -> Result<Node, NodeError> {
        Node::start(self.options).await
    }
}

//! The node itself: start, look, stop.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rocketwire_broker::{Broker, BrokerError};
use rocketwire_nameserver::{LocalBroker, NameServer, NameServerOptions};
use rocketwire_protocol::body::TopicConfig;
use rocketwire_remoting::Server;
use rocketwire_store::{MemoryStorage, RealStorage, RecoveryReport, Storage, SystemClock};
use tokio::{net::TcpListener, runtime::Handle};

use crate::{
    NodeBuilder, NodeError, NodeOptions, Place,
    http::{self, Http, Site},
    own::{self, Closes, Topics},
    register::{Changes, RegisterOptions, Registrar},
    runtimes::Runtimes,
    vip::Vip,
};

#[cfg(test)]
mod tests;

/// A running name server and broker.
///
/// [`Node::shutdown`] stops it in order. Dropped, it stops listening, closes its connections and closes its store
/// in the background, as far as its runtime lives on for that.
pub struct Node {
    addr: SocketAddr,
    metrics_addr: Option<SocketAddr>,
    broker: Arc<Broker>,
    /// Where it was started; whoever drops it may be elsewhere.
    runtime: Handle,
    /// Until the node stops.
    running: Option<Running>,
}

struct Running {
    server: Arc<Server>,
    vip: Option<Vip>,
    registrar: Option<Registrar>,
    http: Option<Http>,
    runtimes: Runtimes,
}

impl Node {
    /// Begins a node: in memory, on loopback and a free port, until told otherwise.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    pub(crate) async fn start(options: NodeOptions) -> Result<Node, NodeError> {
        let storage: Arc<dyn Storage> = match options.place {
            Place::Memory => Arc::new(MemoryStorage::new()),
            Place::Folder(_) => Arc::new(RealStorage),
        };
        Node::start_on(options, storage).await
    }

    async fn start_on(options: NodeOptions, storage: Arc<dyn Storage>) -> Result<Node, NodeError> {
        if options.vip_port && options.port < 3 {
            return Err(NodeError::Options(
                "the VIP port is the node's port - 2: choose a fixed port above 2",
            ));
        }
        let name_server = NameServer::new(name_server_options(&options));
        name_server.register_local(&local_broker(&options));
        let changes: Changes = options.register.iter().map(|_| Arc::default()).collect();
        let register = RegisterOptions::of(&options);
        // A port that is taken is known before a store is opened, and a recovery may take its time: nobody is to
        // believe that the node is dead meanwhile.
        let http = match &options.metrics {
            Some(addr) => Some(watched(http::bind(addr).await?, &options)),
            None => None,
        };
        let (metrics_addr, http) = http.unzip();
        let broker = Arc::new(open(&options, storage, &name_server, changes.clone()).await?);
        if options.create_topic_on_lookup {
            name_server.make_topics(Arc::new(own::Maker(Arc::downgrade(&broker))));
        }
        let addr_and_running = listen(options, &name_server, &broker).await;
        match addr_and_running {
            Ok((addr, mut running)) => {
                broker.start(&Handle::current());
                if !changes.is_empty() {
                    running.registrar = Some(Registrar::start(&register, &broker, addr, &changes));
                }
                if let Some(http) = &http {
                    http.running(&broker, &running.server);
                }
                running.http = http;
                tracing::info!(%addr, "the node is ready");
                let metrics_addr = metrics_addr.flatten();
                Ok(Node { addr, metrics_addr, broker, runtime: Handle::current(), running: Some(running) })
            }
            Err(error) => {
                // Gives the folder back before the caller tries again.
                let _ = broker.shutdown().await;
                Err(error)
            }
        }
    }

    /// The address that is listened on: name server and broker.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of `/metrics`, `/healthz` and `/readyz`, if they are served.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// Why the node takes no more messages until it is started again: a write or flush of its store failed. `None`
    /// while it takes them. Reads go on.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.broker.poisoned()
    }

    /// What was found in the folder when the node started.
    pub fn recovery(&self) -> &RecoveryReport {
        self.broker.recovery()
    }

    /// Creates a topic with so many queues, or changes it. It is durable and in the routes when this returns.
    ///
    /// # Errors
    /// [`NodeError::Broker`] if the name is not allowed or the disk refuses.
    pub async fn create_topic(&self, topic: &str, queues: u16) -> Result<(), NodeError> {
        let config = TopicConfig {
            topic_name: topic.into(),
            read_queue_nums: i32::from(queues),
            write_queue_nums: i32::from(queues),
            ..TopicConfig::default()
        };
        let broker = Arc::clone(&self.broker);
        let created = tokio::task::spawn_blocking(move || broker.create_topic(config)).await;
        Ok(created.map_err(|_| NodeError::Panicked("creating a topic"))??)
    }

    /// Stops in order: takes no more connections, sends clients elsewhere (GO_AWAY), lets requests in work end for
    /// at most `grace`, answers parked pulls, saves what is to be saved, and gives the folder back.
    ///
    /// # Errors
    /// [`NodeError::Broker`] if the last snapshots could not be written. Messages are not concerned: what was
    /// acknowledged is stored.
    ///
    /// # Cancel safety
    /// Dropped half-way, the rest happens in the background, as far as the runtime lives on for that.
    pub async fn shutdown(mut self, grace: Duration) -> Result<(), NodeError> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let stopping = tokio::spawn(running.stop(Broker::clone(&self.broker), grace));
        stopping.await.map_err(|_| NodeError::Panicked("stopping"))?
    }
}

impl Running {
    async fn stop(self, broker: Broker, grace: Duration) -> Result<(), NodeError> {
        let Running { server, vip, registrar, http, runtimes } = self;
        if let Some(http) = &http {
            http.stopping();
        }
        if let Some(registrar) = registrar {
            registrar.stop().await;
        }
        server.go_away();
        if let Some(vip) = vip {
            vip.stop().await;
        }
        let drained = async {
            match Arc::into_inner(server) {
                Some(server) => server.shutdown(grace).await,
                None => false,
            }
        };
        // At the same time: parked pulls are answered by the broker, and the server waits for those answers.
        let (quiet, closed) = tokio::join!(drained, broker.shutdown());
        if !quiet {
            tracing::warn!("some requests were still in work after {grace:?} and got no answer");
        }
        drop(http);
        let joined = tokio::task::spawn_blocking(move || runtimes.join()).await;
        joined.map_err(|_| NodeError::Panicked("ending its threads"))?;
        Ok(closed?)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        for connection in running.server.connections() {
            connection.close("the node was dropped");
        }
        // The store is closed by whoever lets go of it last; the periodic work would never do so.
        let broker = Arc::clone(&self.broker);
        self.runtime.spawn(async move {
            if let Err(error) = broker.shutdown().await {
                tracing::warn!("the dropped node did not close in order: {error}");
            }
        });
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// What the broker may have is to be found, too.
fn name_server_options(options: &NodeOptions) -> NameServerOptions {
    let mut name_server = options.name_server.clone();
    name_server.max_topics = name_server.max_topics.max(options.broker.max_topics);
    name_server
}

fn local_broker(options: &NodeOptions) -> LocalBroker {
    LocalBroker {
        cluster: options.broker.cluster.clone(),
        name: options.broker.broker_name.clone(),
        advertised: options.advertise.as_deref().map(Into::into),
        // Who asked at the VIP port is told the other one.
        port: options.vip_port.then_some(options.port),
    }
}

/// Serves what is to be seen of a node.
fn watched(listener: TcpListener, options: &NodeOptions) -> (Option<SocketAddr>, Http) {
    let addr = listener.local_addr().ok();
    let site = Site::new(options.broker.cluster.clone(), options.broker.broker_name.clone());
    (addr, Http::start(listener, site))
}

/// Opens store and broker, on a thread that may wait for the disk.
async fn open(
    options: &NodeOptions,
    storage: Arc<dyn Storage>,
    name_server: &NameServer,
    changes: Changes,
) -> Result<Broker, NodeError> {
    let mut broker = options.broker.clone();
    broker.advertised = match &options.advertise {
        Some(address) => Some(resolve(address).await?),
        None => None,
    };
    let topics = Arc::new(Topics {
        name_server: name_server.clone(),
        broker_name: broker.broker_name.to_string(),
        changes,
    });
    let store = options.store_options();
    let clock = Arc::new(SystemClock::default());
    let opened =
        tokio::task::spawn_blocking(move || Broker::open(broker, store, storage, clock, topics)).await;
    let broker = opened.map_err(|_| NodeError::Panicked("opening its store"))??;
    let to_keep = (broker.clone(), name_server.clone());
    let kept = tokio::task::spawn_blocking(move || keep_kv(&to_keep.0, &to_keep.1)).await;
    kept.map_err(|_| NodeError::Panicked("reading the name server's configuration"))??;
    Ok(broker)
}

/// The name server's KV configuration survives with the broker's tables. Blocks on the disk.
fn keep_kv(broker: &Broker, name_server: &NameServer) -> Result<(), NodeError> {
    let table = broker.table("name_server_kv")?;
    let saved = table.load().map_err(BrokerError::from)?;
    let keeper = Arc::new(own::Kv(Arc::new(Mutex::new(table))));
    name_server.keep_kv(saved.as_deref(), keeper).map_err(NodeError::KvConfig)
}

async fn listen(
    options: NodeOptions,
    name_server: &NameServer,
    broker: &Broker,
) -> Result<(SocketAddr, Running), NodeError> {
    let runtimes = Runtimes::start(options.threads)?;
    let mut server = options.server;
    server.runtimes = runtimes.handles();
    server.listener = Some(Arc::new(Closes {
        name_server: name_server.clone(),
        broker: broker.clone(),
        next: server.listener.take(),
    }));
    // An address of IPv6 needs its brackets in front of a port.
    let addr = match options.host.contains(':') && !options.host.starts_with('[') {
        true => format!("[{}]:{}", options.host, options.port),
        false => format!("{}:{}", options.host, options.port),
    };
    let name_server = options.is_name_server.then_some(name_server);
    let server = Arc::new(Server::bind(&addr, own::router(name_server, broker), server).await?);
    let vip = match options.vip_port {
        true => Some(Vip::start(&server).await?),
        false => None,
    };
    let addr = server.local_addr();
    Ok((addr, Running { server, vip, registrar: None, http: None, runtimes }))
}

async fn resolve(address: &str) -> Result<SocketAddr, NodeError> {
    let failed = |source| NodeError::Advertise { address: address.to_owned(), source };
    let mut found = tokio::net::lookup_host(address).await.map_err(failed)?;
    found.next().ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))
}

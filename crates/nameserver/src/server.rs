//! The table behind request codes.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use rocketwire_protocol::{RequestCode, body::TopicConfig};
use rocketwire_remoting::Processor;

use crate::{
    KvKeeper, LocalBroker, NameServerOptions, RouteTable, kv::KvConfig, processor::NameServerProcessor,
};

/// How often silent brokers are looked for (Java: `scanNotActiveBrokerInterval`).
const SWEEP: Duration = Duration::from_secs(5);

/// Creates topics that clients ask for before they exist. For clients that do not fall back to the topic of templates
/// when they hear that a topic has no route, as ali-ons.
pub trait TopicMaker: Send + Sync + 'static {
    /// Creates the topic, if that is allowed, and calls `done` when it is in the routes, or will not be. Must not block.
    fn make(&self, topic: &str, done: Box<dyn FnOnce() + Send>);
}

/// A name server without a socket: route its [`NameServer::processors`]. A clone is the same name server.
#[derive(Clone)]
pub struct NameServer(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) options: NameServerOptions,
    routes: RwLock<RouteTable>,
    kv: Mutex<KvConfig>,
    keeper: OnceLock<Arc<dyn KvKeeper>>,
    maker: OnceLock<Arc<dyn TopicMaker>>,
    swept: Mutex<Instant>,
}

impl NameServer {
    /// A name server that knows nobody.
    pub fn new(options: NameServerOptions) -> NameServer {
        let routes = RouteTable::new(options.max_topics, options.max_brokers, options.max_instances);
        NameServer(Arc::new(Inner {
            routes: RwLock::new(routes),
            kv: Mutex::new(KvConfig::new(options.max_kv_entries, options.max_kv_bytes)),
            keeper: OnceLock::new(),
            maker: OnceLock::new(),
            swept: Mutex::new(Instant::now()),
            options,
        }))
    }

    /// What to route, all of it inline: nothing here blocks.
    pub fn processors(&self) -> Vec<(RequestCode, Arc<dyn Processor>)> {
        let processor: Arc<dyn Processor> = Arc::new(NameServerProcessor(Arc::clone(&self.0)));
        NameServerProcessor::CODES.iter().map(|code| (*code, Arc::clone(&processor))).collect()
    }

    /// Keeps the KV configuration: takes in what was `saved` before, and has each change saved from now on, before
    /// it is answered. To be called once, before requests are served.
    ///
    /// # Errors
    /// What was saved cannot be understood; the text says why.
    pub fn keep_kv(&self, saved: Option<&[u8]>, keeper: Arc<dyn KvKeeper>) -> Result<(), String> {
        if let Some(saved) = saved {
            self.0.kv().restore(saved).map_err(|error| error.to_string())?;
        }
        // A second call keeps the first keeper.
        let _ = self.0.keeper.set(keeper);
        Ok(())
    }

    /// Has topics created that clients ask for and no broker has. Not set: code 17, as from Java's. To be called once,
    /// before requests are served.
    pub fn make_topics(&self, maker: Arc<dyn TopicMaker>) {
        // A second call keeps the first maker.
        let _ = self.0.maker.set(maker);
    }

    /// Takes in a broker of this process; it never expires.
    pub fn register_local(&self, broker: &LocalBroker) {
        self.0.routes_mut().register_local(broker, Instant::now());
    }

    /// A topic of the broker of this process is new or has changed. Seen by the very next route request.
    pub fn update_local_topic(&self, broker_name: &str, topic: &TopicConfig) {
        if let Err(bound) = self.0.routes_mut().update_topic(&broker_name.into(), topic) {
            tracing::warn!(topic = %topic.topic_name, "the name server is full of {}; raise its bound", bound.0);
        }
    }

    /// The broker of this process no longer has a topic.
    pub fn remove_local_topic(&self, broker_name: &str, topic: &str) {
        self.0.routes_mut().remove_topic(broker_name, topic);
    }

    /// To be called for each connection that closed: brokers that registered over it are forgotten.
    pub fn connection_closed(&self, connection: u64) {
        self.0.routes_mut().connection_closed(connection);
    }

    /// A look at the table.
    pub fn with_routes<T>(&self, look: impl FnOnce(&RouteTable) -> T) -> T {
        look(&self.0.routes())
    }
}

impl Inner {
    pub(crate) fn routes(&self) -> RwLockReadGuard<'_, RouteTable> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn routes_mut(&self) -> RwLockWriteGuard<'_, RouteTable> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn kv(&self) -> MutexGuard<'_, KvConfig> {
        self.kv.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn maker(&self) -> Option<&Arc<dyn TopicMaker>> {
        self.maker.get()
    }

    pub(crate) fn keeper(&self) -> Option<&Arc<dyn KvKeeper>> {
        self.keeper.get()
    }

    /// Forgets silent brokers, now and then. Requests drive it, so that it needs no task: who does not ask does
    /// not see them.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(*swept) >= SWEEP {
            *swept = now;
            let gone = self.routes_mut().expire(now);
            if gone > 0 {
                tracing::warn!("{gone} brokers were silent for too long and are forgotten");
            }
        }
    }
}

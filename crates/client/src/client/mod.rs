//! The client that producers, consumers and administration are handles on.

mod callbacks;
mod calls;
mod groups;
mod heartbeat;
mod lookup;
mod options;
mod periodic;
mod queues;

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytestring::ByteString;
use rocketwire_protocol::message::UniqIdGenerator;
use rocketwire_remoting::RemotingClient;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

pub use options::{ClientBuilder, ClientOptions};
pub use queues::{PullOptions, PullOutcome, PullStatus};

pub(crate) use calls::BrokerCalls;
use groups::Groups;
use lookup::Lookups;
pub(crate) use lookup::Template;
pub(crate) use queues::{PullRequest, subscription_version};

use crate::{
    Admin, ProducerBuilder, PullConsumer, PushConsumerBuilder, RequestError, RequestErrorKind,
    identity::{self, now_ms},
    producer::Replies,
    route::RouteTable,
    tasks::{Tasks, after},
};

/// A client of a RocketMQ cluster; clones are cheap and mean the same client.
///
/// It owns the connections, the routes and the tasks that keep routes, heartbeats and offsets up to date.
/// Producers and consumers are made from it and share all that. [`Client::close`] ends everything in order;
/// dropping the last handle (producers and consumers are handles, too) ends tasks and connections without a word to
/// the brokers.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: ClientOptions,
    pub(crate) client_id: ByteString,
    pub(crate) remoting: RemotingClient,
    pub(crate) ids: UniqIdGenerator,
    pub(crate) groups: Groups,
    pub(crate) replies: Replies,
    routes: RwLock<RouteTable>,
    lookups: Lookups,
    /// Asks for heartbeats now: a broker or a member of a group is new.
    heartbeat_wanted: Arc<Notify>,
    /// How often that was asked for, and how many of these times the brokers have been told since.
    news: AtomicU64,
    told: AtomicU64,
    /// What brokers may have this client do at a time beyond answering.
    callbacks: Arc<Semaphore>,
    pub(crate) tasks: Tasks,
}

/// Transaction checks and offset resets under way (Java: `checkRequestHoldMax`); a broker asks again.
const MAX_CALLBACKS: usize = 2000;

impl Client {
    /// Begins a client.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let client = rocketwire::Client::builder().name_servers("127.0.0.1:9876").build()?;
    /// assert!(client.client_id().contains('@'));
    /// # Ok::<(), rocketwire::RequestError>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Begins a producer of a group.
    pub fn producer(&self, group: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder::new(self.clone(), group.into())
    }

    /// Begins a consumer of a group that is handed its messages.
    pub fn push_consumer(&self, group: impl Into<String>) -> PushConsumerBuilder {
        PushConsumerBuilder::new(self.clone(), group.into())
    }

    /// A consumer that takes messages of queues that it names itself.
    ///
    /// # Errors
    /// [`RequestError`] if the group's name is not allowed.
    pub fn pull_consumer(&self, group: impl Into<String>) -> Result<PullConsumer, RequestError> {
        PullConsumer::new(self.clone(), group.into())
    }

    /// Topics, clusters, and what else an administrator asks for.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// The id that brokers know this client by: `ip@instance`.
    pub fn client_id(&self) -> &str {
        &self.inner.client_id
    }

    /// The remoting client underneath, for requests that have no method here.
    pub fn remoting(&self) -> &RemotingClient {
        &self.inner.remoting
    }

    /// Ends everything in order: consumers stop fetching, finish what they have and commit; groups are
    /// unregistered; tasks and connections end. What is not done at the `deadline` is given up.
    ///
    /// Idempotent. Cancel safe: dropped half-way it can be called again.
    pub async fn close(&self, deadline: Duration) {
        let deadline = after(deadline);
        // At the same time: one whose handler is stuck must not use up the time of the others.
        let mut ending = JoinSet::new();
        for consumer in self.inner.groups.consumers() {
            ending.spawn(async move { consumer.shutdown(deadline).await });
        }
        while ending.join_next().await.is_some() {}
        self.inner.unregister_producers(deadline).await;
        self.inner.tasks.close(deadline).await;
        let _ = tokio::time::timeout_at(deadline, self.inner.remoting.shutdown()).await;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("client_id", &self.inner.client_id).finish_non_exhaustive()
    }
}

impl Inner {
    fn start(options: ClientOptions) -> Result<Client, RequestError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(RequestError::new("building the client", None, RequestErrorKind::NoRuntime));
        }
        let ip = options.client_ip.unwrap_or_else(|| identity::local_ip(&options.name_servers));
        let pid = std::process::id();
        let unique = || identity::unique_instance(pid, identity::random());
        let instance = options.instance_name.clone().unwrap_or_else(unique);
        let client_id = identity::client_id(ip, &instance, options.unit_name.as_deref());
        let inner = Arc::new_cyclic(|this: &Weak<Inner>| {
            let connections = heartbeat::announcing(this, options.remoting.clone());
            let remoting = RemotingClient::new(connections, callbacks::router(this, &options));
            remoting.set_name_servers(options.name_servers.clone());
            Inner {
                client_id: client_id.into(),
                remoting,
                ids: UniqIdGenerator::new(ip, pid, identity::random() as u32),
                groups: Groups::default(),
                replies: Replies::default(),
                routes: RwLock::default(),
                lookups: Lookups::default(),
                heartbeat_wanted: Arc::default(),
                news: AtomicU64::new(0),
                told: AtomicU64::new(0),
                callbacks: Arc::new(Semaphore::new(MAX_CALLBACKS)),
                tasks: Tasks::new(),
                options,
            }
        });
        periodic::spawn(&inner);
        Ok(Client { inner })
    }

    pub(crate) fn unique_id(&self) -> String {
        self.ids.next(now_ms())
    }

    pub(crate) fn routes(&self) -> RwLockReadGuard<'_, RouteTable> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn routes_mut(&self) -> RwLockWriteGuard<'_, RouteTable> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has brokers told about this client soon.
    pub(crate) fn want_heartbeat(&self) {
        self.news.fetch_add(1, Ordering::AcqRel);
        self.heartbeat_wanted.notify_one();
    }

    /// Whether the brokers know of this client whatever there is to know.
    pub(crate) fn is_announced(&self) -> bool {
        self.told.load(Ordering::Acquire) >= self.news.load(Ordering::Acquire)
    }

    /// Runs what a broker asked for, unless too much of that runs already.
    fn spawn_callback(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self.callbacks.clone().try_acquire_owned() {
            Ok(permit) => self.tasks.spawn(async move {
                task.await;
                drop(permit);
            }),
            Err(_) => tracing::warn!(
                limit = MAX_CALLBACKS,
                "too many requests of brokers are under way; one is dropped"
            ),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.tasks.is_stopped()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The connections close by their own tasks; nobody is left to wait for it.
        drop(self.remoting.shutdown());
    }
}

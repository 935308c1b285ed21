//! The broker as its owner sees it.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use rocketwire_protocol::{
    RequestCode,
    body::{DataVersion, TopicConfig},
    message::name,
};
use rocketwire_remoting::{Lane, Processor, Router};
use rocketwire_store::{
    AppendError, Clock, DiskState, OpenError, ReadError, RecoveryReport, Storage, Store, StoreOptions, Table,
    TableError,
};
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{
    BrokerOptions,
    call::{Disk, Stop},
    periodic,
    processor::{BrokerProcessor, CODES, CUT_BATCH_ACK, CUT_POP_CODES, WITHOUT, Writing},
    pull::{self, Wake},
    restore::{add_system_topics, restore, warn_of_orphans},
    send::Stored,
    shared::{Shared, lock},
    tables::Tables,
    topics::{Template, TopicOrigin},
    transaction,
};

/// Told of every topic that is created, changed or deleted: the way to the name server.
pub trait TopicListener: Send + Sync + 'static {
    /// A topic is new or has changed. Clients are answered only after this returns; it must not block.
    fn topic_changed(&self, topic: &TopicConfig);

    /// A topic was deleted.
    fn topic_removed(&self, topic: &str);
}

/// Tells nobody.
impl TopicListener for () {
    fn topic_changed(&self, _: &TopicConfig) {}
    fn topic_removed(&self, _: &str) {}
}

/// Why a broker did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Its store did not.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A table could not be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// What was appended last could not be flushed.
    #[error(transparent)]
    Flush(#[from] AppendError),
    /// A queue could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A table is whole, but not what this version writes.
    #[error("the table {name} cannot be understood: {source}; was it written by a newer version?")]
    Unreadable {
        /// Which one.
        name: &'static str,
        /// What the reader said.
        source: serde_json::Error,
    },
    /// The settings contradict themselves.
    #[error("the broker's settings are not usable: {0}")]
    Options(String),
}

/// A broker without a socket: route its [`Broker::processors`]. A clone is the same broker.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
    recovery: Arc<RecoveryReport>,
    periodic: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Broker {
    /// Opens the store, recovers it, and brings topics, groups and offsets back. Blocks on the disk.
    pub fn open(
        options: BrokerOptions,
        store_options: StoreOptions,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        listener: Arc<dyn TopicListener>,
    ) -> Result<Broker, BrokerError> {
        for topic in [&options.cluster, &options.broker_name] {
            name::check_topic(topic).map_err(|error| BrokerError::Options(error.to_string()))?;
        }
        let wake = Arc::new(Wake::default());
        // A timer message is stored anew well before retention takes it (`timerRollWindowSlot`: two days).
        let roll = (store_options.retention / 2).min(Duration::from_secs(48 * 3600));
        let (store, recovery) =
            Store::<Stored>::open(store_options, storage, Arc::clone(&clock), wake.clone())?;
        let tables = Tables::open(|name| store.table(name))?;
        let shared = Arc::new(restore(options, store, tables, clock, listener, roll)?);
        wake.set(&shared);
        shared.creations.set(&shared);
        add_system_topics(&shared)?;
        warn_of_orphans(&shared);
        for topic in shared.topics().iter() {
            shared.listener.topic_changed(&shared.announced(&topic.config));
        }
        Ok(Broker { shared, recovery: Arc::new(recovery), periodic: Arc::default() })
    }

    /// Adds the broker's codes to a router. Nothing here blocks a connection: work that needs the disk moves to
    /// blocking threads by itself. The messages that a connection brings in one go are written together.
    pub fn route(&self, router: Router) -> Router {
        let store = self.shared.store.clone();
        let router = router.after_turn(Arc::new(move || store.write_held()));
        let lane = Lane::inline();
        let codes = self.codes(Writing::AfterTurn).into_iter();
        codes.fold(router, |router, (code, processor)| router.route(code, processor, lane.clone()))
    }

    /// What to route, for a server that calls nothing after a turn; all of it is made for an inline lane.
    pub fn processors(&self) -> Vec<(RequestCode, Arc<dyn Processor>)> {
        self.codes(Writing::AtOnce)
    }

    fn codes(&self, writing: Writing) -> Vec<(RequestCode, Arc<dyn Processor>)> {
        let processor: Arc<dyn Processor> =
            Arc::new(BrokerProcessor { shared: self.shared.clone(), writing });
        let without = WITHOUT.iter().map(|(code, _)| *code);
        let cut = CUT_POP_CODES.chain([CUT_BATCH_ACK]).map(RequestCode);
        CODES.iter().copied().chain(cut).chain(without).map(|code| (code, Arc::clone(&processor))).collect()
    }

    /// To be called for each connection that closed: its parked pulls are dropped, and it leaves its groups.
    pub fn connection_closed(&self, connection: u64) {
        pull::drop_connection(&self.shared, connection);
        let changes = self.shared.clients().connection_closed(connection);
        self.shared.notify(changes);
    }

    /// Starts the periodic work on a runtime: deadlines of parked pulls, delayed messages, snapshots of tables,
    /// silent clients, transactions, retention. A second call does nothing.
    pub fn start(&self, runtime: &Handle) {
        self.shared.blocking.set_runtime(runtime.clone());
        let mut task = lock(&self.periodic);
        if task.is_none() {
            *task = Some(runtime.spawn(periodic::run(Arc::clone(&self.shared))));
        }
    }

    /// Answers all parked pulls and parks no more: the first step of an orderly stop, so that connections become
    /// quiet. Everything else is still served.
    pub fn drain(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        pull::release_all(&self.shared);
    }

    /// Saves the tables and closes the store. Call [`Broker::drain`] and close the listeners before.
    ///
    /// Cancel safety: dropped half-way, the tables may be as old as their last snapshot; nothing that was
    /// acknowledged is lost.
    pub async fn shutdown(&self) -> Result<(), BrokerError> {
        self.drain();
        let task = lock(&self.periodic).take();
        if let Some(task) = task {
            task.abort();
        }
        let shared = Arc::clone(&self.shared);
        let saved = tokio::task::spawn_blocking(move || {
            // What is being delivered or saved right now goes on, whatever became of its task.
            drop(lock(&shared.at_work));
            settle(&shared);
            // The store is closed whether or not the tables could be saved.
            let saved = shared.tables.save_all(&shared);
            let closed = shared.store.close();
            saved.map_err(BrokerError::from).and(closed.map_err(BrokerError::from))
        });
        match saved.await {
            Ok(saved) => saved,
            Err(panicked) => {
                Err(BrokerError::Options(format!("the last snapshot was not finished: {panicked}")))
            }
        }
    }

    /// What was found when the store was opened.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.recovery
    }

    /// All topics, sorted by name.
    pub fn topics(&self) -> Vec<TopicConfig> {
        self.shared.topics().all().into_values().collect()
    }

    /// All topics, sorted by name, as name servers are told of them: without what the broker may not do as a whole.
    pub fn announced_topics(&self) -> Vec<TopicConfig> {
        let topics = self.topics();
        topics.iter().map(|topic| self.shared.announced(topic)).collect()
    }

    /// The version of the topics: another one after each change.
    pub fn topics_version(&self) -> DataVersion {
        self.shared.topics().version().clone()
    }

    /// A small table for what the broker's owner keeps beside it, by a name of `[a-z_]+` that is none of the broker's
    /// own: those are `topics`, `groups`, `offsets`, `delays`, `timers` and `transactions`.
    pub fn table(&self, name: &str) -> Result<Table, BrokerError> {
        Ok(self.shared.store.table(name)?)
    }

    /// Creates or changes a topic. Blocks on the disk.
    pub fn create_topic(&self, config: TopicConfig) -> Result<(), BrokerError> {
        created(self.shared.put_topic(config, TopicOrigin::Operator, Disk::Allowed))
    }

    /// Creates a topic as a message to it would, from the template of automatic creation. One that exists is left
    /// alone. Blocks on the disk.
    pub fn create_from_template(&self, topic: &str) -> Result<(), BrokerError> {
        if self.shared.topic(topic).is_some() {
            return Ok(());
        }
        let template = Template {
            default_topic: name::AUTO_CREATE_TOPIC_KEY_TOPIC,
            queue_nums: self.shared.options.default_topic_queue_nums,
            unit_mode: false,
        };
        let config = self.shared.topics().templated(&topic.into(), template);
        let config = config.map_err(|error| BrokerError::Options(error.to_string()))?;
        let config =
            config.ok_or_else(|| BrokerError::Options("topics are not created automatically".to_owned()))?;
        created(self.shared.put_topic(config, TopicOrigin::Sender, Disk::Allowed))
    }

    /// Why the store takes no more messages until a restart; `None` while it does.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.shared.store.poisoned()
    }

    /// Space of the store's disk, and whether messages are refused for lack of it.
    pub fn disk(&self) -> DiskState {
        self.shared.store.disk()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// How many pulls are parked.
    pub fn parked_pulls(&self) -> usize {
        self.shared.held.load(Ordering::Relaxed)
    }
}

fn created<T>(topic: Result<T, Stop>) -> Result<(), BrokerError> {
    match topic {
        Ok(_) => Ok(()),
        Err(Stop::Refused(refused)) => Err(BrokerError::Options(refused.remark.to_string())),
        Err(Stop::NeedsDisk | Stop::NeedsTopic(_)) => {
            Err(BrokerError::Options("the disk was not waited for".into()))
        }
    }
}

/// Waits until what was delivered last is in the log, since only then do the tables say that it is, and until topics
/// that are being created are saved: nobody writes behind the end.
fn settle(shared: &Arc<Shared>) {
    const PATIENCE_MS: usize = 5_000;
    transaction::write_owed(shared);
    for _ in 0..PATIENCE_MS {
        let delivered =
            shared.delays().outstanding() + shared.timers().under_way() + shared.transactions().under_way();
        let under_way = delivered + shared.creations.len();
        if under_way == 0 || shared.store.is_poisoned() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

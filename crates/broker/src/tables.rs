//! The small tables on disk: topics, groups, offsets, delays, timers, transactions.

use std::sync::{Mutex, MutexGuard};

use rocketwire_store::{Table, TableError};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    BrokerError,
    delay::DelaySnapshot,
    groups::GroupSnapshot,
    offsets::OffsetSnapshot,
    planted::{crash_point, planted},
    shared::{Shared, lock},
    timer::TimerSnapshot,
    topics::TopicSnapshot,
    transaction::TransactionSnapshot,
};

/// Files of the tables, and up to which change each is saved.
pub(crate) struct Tables {
    topics: Mutex<Saved>,
    groups: Mutex<Saved>,
    offsets: Mutex<Saved>,
    delays: Mutex<Saved>,
    timers: Mutex<Saved>,
    transactions: Mutex<Saved>,
}

/// A table's file. Its lock makes the newest snapshot the last that is written.
struct Saved {
    table: Table,
    /// The number of the last change that is on disk.
    changes: Option<u64>,
}

impl Tables {
    /// The tables of a store; `table` opens one by its name.
    pub(crate) fn open(table: impl Fn(&str) -> Result<Table, TableError>) -> Result<Tables, TableError> {
        let open = |name| Ok::<_, TableError>(Mutex::new(Saved { table: table(name)?, changes: None }));
        Ok(Tables {
            topics: open("topics")?,
            groups: open("groups")?,
            offsets: open("offsets")?,
            delays: open("delays")?,
            timers: open("timers")?,
            transactions: open("transactions")?,
        })
    }

    /// Saves topics now.
    pub(crate) fn save_topics(&self, shared: &Shared) -> Result<(), TableError> {
        lock(&self.topics).write(None, || shared.topics().snapshot())
    }

    /// Lets `change` save topics as they are going to be; no other save of topics comes in between.
    pub(crate) fn change_topics<T>(&self, change: impl FnOnce(&mut TopicsFile<'_>) -> T) -> T {
        change(&mut TopicsFile(lock(&self.topics)))
    }

    /// Saves groups as they are now. Who waited for another's save may find its own change in it already.
    pub(crate) fn save_groups(&self, shared: &Shared) -> Result<(), TableError> {
        let mut file = lock(&self.groups);
        let changes = shared.groups().changes();
        file.write(Some(changes), || shared.groups().snapshot())
    }

    /// Saves the offsets of groups, if they have changed.
    pub(crate) fn save_offsets(&self, shared: &Shared) -> Result<(), TableError> {
        let changes = shared.offsets().changes();
        lock(&self.offsets).write(Some(changes), || shared.offsets().snapshot())
    }

    /// Saves what changes all the time: offsets, delays and transactions, as far as they have changed.
    pub(crate) fn save_changed(&self, shared: &Shared) -> Result<(), TableError> {
        self.save_offsets(shared)?;
        // What these three call done is in the log, but not always flushed: a delivered message, a committed one. They
        // must not be durable before it, or a power cut would leave the one without the other.
        let (delay_changes, delays) = {
            let delays = shared.delays();
            (delays.changes(), delays.snapshot())
        };
        let (timer_changes, timers) = {
            let timers = shared.timers();
            (timers.changes(), timers.snapshot())
        };
        let (transaction_changes, transactions) = {
            let transactions = shared.transactions();
            (transactions.changes(), transactions.snapshot())
        };
        if planted("delay progress saved ahead of the log") {
            return lock(&self.delays).write(Some(delay_changes), || delays);
        }
        if let Err(error) = shared.store.flush() {
            tracing::warn!(%error, "the progress of delays, timers and transactions is not saved: it might be ahead of the log");
            return Ok(());
        }
        lock(&self.delays).write(Some(delay_changes), || delays)?;
        lock(&self.timers).write(Some(timer_changes), || timers)?;
        lock(&self.transactions).write(Some(transaction_changes), || transactions)
    }

    /// Saves everything.
    pub(crate) fn save_all(&self, shared: &Shared) -> Result<(), TableError> {
        self.save_topics(shared)?;
        self.save_groups(shared)?;
        self.save_changed(shared)
    }

    /// Topics as they were saved last.
    pub(crate) fn load_topics(&self) -> Result<TopicSnapshot, BrokerError> {
        lock(&self.topics).load("topics")
    }

    /// Groups as they were saved last.
    pub(crate) fn load_groups(&self) -> Result<GroupSnapshot, BrokerError> {
        lock(&self.groups).load("groups")
    }

    /// Offsets as they were saved last.
    pub(crate) fn load_offsets(&self) -> Result<OffsetSnapshot, BrokerError> {
        lock(&self.offsets).load("offsets")
    }

    /// Delays as they were saved last.
    pub(crate) fn load_delays(&self) -> Result<DelaySnapshot, BrokerError> {
        lock(&self.delays).load("delays")
    }

    /// Timers as they were saved last.
    pub(crate) fn load_timers(&self) -> Result<TimerSnapshot, BrokerError> {
        lock(&self.timers).load("timers")
    }

    /// Transactions as they were saved last.
    pub(crate) fn load_transactions(&self) -> Result<TransactionSnapshot, BrokerError> {
        lock(&self.transactions).load("transactions")
    }
}

/// The file of topics, for who changes them.
pub(crate) struct TopicsFile<'a>(MutexGuard<'a, Saved>);

impl TopicsFile<'_> {
    /// Saves these topics.
    pub(crate) fn save(&mut self, topics: TopicSnapshot) -> Result<(), TableError> {
        self.0.write(None, || topics)
    }
}

impl Saved {
    fn load<T: DeserializeOwned + Default>(&self, name: &'static str) -> Result<T, BrokerError> {
        let Some(bytes) = self.table.load()? else {
            return Ok(T::default());
        };
        serde_json::from_slice(&bytes).map_err(|source| BrokerError::Unreadable { name, source })
    }

    /// Writes a snapshot unless it is known that nothing has changed since the last.
    fn write<T: Serialize>(
        &mut self,
        changes: Option<u64>,
        snapshot: impl FnOnce() -> T,
    ) -> Result<(), TableError> {
        if changes.is_some() && self.changes == changes {
            return Ok(());
        }
        #[allow(clippy::expect_used)]
        // a snapshot is made of maps with integer or text keys, numbers and texts
        let bytes = serde_json::to_vec(&snapshot()).expect("a snapshot is always representable as JSON");
        crash_point("snapshot.encoded");
        self.table.save(&bytes)?;
        crash_point("snapshot.saved");
        self.changes = changes;
        Ok(())
    }
}

//! Which address has which connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::Connection;

/// How a dial ended, for everyone who waited for it.
pub(super) type Dialled = Option<Result<Connection, Arc<std::io::Error>>>;

#[derive(Default)]
pub(super) struct Table(Mutex<HashMap<String, Slot>>);

#[derive(Default)]
struct Slot {
    connection: Option<Connection>,
    dialling: Option<watch::Receiver<Dialled>>,
    /// Failed dials in a row, and when the next may begin.
    failures: u32,
    not_before: Option<Instant>,
}

/// What a caller without a connection is to do.
pub(super) enum Next {
    Use(Connection),
    /// Somebody dials: wait for it.
    Wait(watch::Receiver<Dialled>),
    /// The caller dials, and tells the others.
    Dial(watch::Sender<Dialled>, watch::Receiver<Dialled>),
    /// The last dial failed just now.
    Pause(Instant),
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, if one is open: the fast way.
    pub(super) fn open(&self, addr: &str) -> Option<Connection> {
        self.lock().get(addr).and_then(|slot| slot.connection.clone()).filter(Connection::is_open)
    }

    pub(super) fn next(&self, addr: &str, now: Instant) -> Next {
        let mut table = self.lock();
        let slot = match table.get_mut(addr) {
            Some(slot) => slot,
            None => table.entry(addr.to_owned()).or_default(),
        };
        if let Some(connection) = &slot.connection
            && connection.is_open()
        {
            return Next::Use(connection.clone());
        }
        if let Some(dialling) = &slot.dialling {
            return Next::Wait(dialling.clone());
        }
        if let Some(at) = slot.not_before
            && at > now
        {
            return Next::Pause(at);
        }
        let (sender, receiver) = watch::channel(None);
        slot.dialling = Some(receiver.clone());
        Next::Dial(sender, receiver)
    }

    pub(super) fn dialled(&self, addr: &str, connection: &Connection) {
        let mut table = self.lock();
        let slot = table.entry(addr.to_owned()).or_default();
        *slot = Slot { connection: Some(connection.clone()), ..Slot::default() };
    }

    /// A dial failed; the next one waits, longer each time, up to `longest`.
    pub(super) fn failed(&self, addr: &str, now: Instant, longest: Duration, jitter: f64) {
        let mut table = self.lock();
        let slot = table.entry(addr.to_owned()).or_default();
        let pause = Duration::from_millis(50).saturating_mul(1 << slot.failures.min(10)).min(longest);
        slot.failures += 1;
        slot.dialling = None;
        slot.not_before = Some(now + pause.mul_f64(0.5 + jitter / 2.0));
    }

    /// A connection closed: it makes room, unless another has taken its place.
    pub(super) fn closed(&self, addr: &str, connection: &Connection) {
        let mut table = self.lock();
        if let Some(slot) = table.get_mut(addr)
            && slot.connection.as_ref().is_some_and(|c| c.id() == connection.id())
        {
            table.remove(addr);
        }
    }

    /// The connection takes no new calls; it closes when those in flight have ended.
    pub(super) fn retire(&self, addr: &str, connection: &Connection) {
        self.closed(addr, connection);
        connection.retire();
    }

    pub(super) fn remove(&self, addr: &str) -> Option<Connection> {
        self.lock().remove(addr).and_then(|slot| slot.connection)
    }

    pub(super) fn clear(&self) -> Vec<Connection> {
        self.lock().drain().filter_map(|(_, slot)| slot.connection).collect()
    }
}

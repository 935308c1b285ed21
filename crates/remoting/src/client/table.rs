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

impl Slot {
    fn is_dialled_by(&self, tell: &watch::Sender<Dialled>) -> bool {
        self.dialling.as_ref().is_some_and(|dialling| dialling.same_channel(&tell.subscribe()))
    }
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
        // A dial that its runtime has dropped tells nobody anything.
        if let Some(dialling) = &slot.dialling
            && dialling.has_changed().is_ok()
        {
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

    /// This is the connection of the address from now on.
    pub(super) fn adopted(&self, addr: &str, connection: &Connection) {
        let slot = Slot { connection: Some(connection.clone()), ..Slot::default() };
        self.lock().insert(addr.to_owned(), slot);
    }

    /// [`Table::adopted`] for the connection of a dial; `false`: the address was given up while it was dialled.
    pub(super) fn dialled(&self, addr: &str, tell: &watch::Sender<Dialled>, connection: &Connection) -> bool {
        let mut table = self.lock();
        let Some(slot) = table.get_mut(addr).filter(|slot| slot.is_dialled_by(tell)) else { return false };
        *slot = Slot { connection: Some(connection.clone()), ..Slot::default() };
        true
    }

    /// A dial failed; the next one waits, longer each time, up to `longest`.
    pub(super) fn failed(
        &self,
        addr: &str,
        tell: &watch::Sender<Dialled>,
        now: Instant,
        longest: Duration,
        jitter: f64,
    ) {
        let mut table = self.lock();
        let Some(slot) = table.get_mut(addr).filter(|slot| slot.is_dialled_by(tell)) else { return };
        let pause = Duration::from_millis(50).saturating_mul(1 << slot.failures.min(10)).min(longest);
        slot.failures += 1;
        slot.dialling = None;
        slot.not_before = Some(now + pause.mul_f64(0.5 + jitter / 2.0));
    }

    /// A connection closed: it makes room, unless another has taken its place, or is about to.
    pub(super) fn closed(&self, addr: &str, connection: &Connection) {
        let mut table = self.lock();
        if let Some(slot) = table.get_mut(addr)
            && slot.connection.as_ref().is_some_and(|c| c.id() == connection.id())
        {
            slot.connection = None;
            if slot.dialling.is_none() && slot.not_before.is_none() {
                table.remove(addr);
            }
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        CloseCause, ConnectionOptions, Router,
        connection::{Endpoint, Shared},
    };

    fn connection() -> Connection {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let endpoint = Endpoint::new(ConnectionOptions::default(), Router::new(), None, 1);
        Connection::new(Shared::new(endpoint, nowhere, nowhere, Vec::new(), 0))
    }

    #[tokio::test]
    async fn a_connection_that_closes_leaves_the_dial_of_its_successor_alone() {
        let (table, old) = (Table::default(), connection());
        table.adopted("addr", &old);
        old.shared().closed(&Arc::new(CloseCause::Peer));
        // A caller notices before the connection's task comes by.
        let Next::Dial(_dial, _) = table.next("addr", Instant::now()) else { panic!("nobody dials yet") };
        table.closed("addr", &old);
        assert!(matches!(table.next("addr", Instant::now()), Next::Wait(_)), "one dial for all");
    }

    #[test]
    fn a_dial_that_was_dropped_is_not_waited_for() {
        let table = Table::default();
        let Next::Dial(dial, _) = table.next("addr", Instant::now()) else { panic!("nobody dials yet") };
        drop(dial);
        assert!(matches!(table.next("addr", Instant::now()), Next::Dial(..)));
    }

    #[tokio::test]
    async fn a_dial_changes_nothing_once_its_address_was_given_up() {
        let (table, now) = (Table::default(), Instant::now());
        let Next::Dial(first, _) = table.next("addr", now) else { panic!("nobody dials yet") };
        assert!(table.clear().is_empty());
        assert!(!table.dialled("addr", &first, &connection()));
        let Next::Dial(second, _) = table.next("addr", now) else { panic!("the first one is forgotten") };
        table.failed("addr", &first, now, Duration::from_secs(1), 1.0);
        assert!(matches!(table.next("addr", now), Next::Wait(_)), "the second one goes on");
        assert!(table.dialled("addr", &second, &connection()));
        assert!(matches!(table.next("addr", now), Next::Use(_)));
    }
}

//! Numbers for a monitoring system, gathered when it asks (RIP-46; Java: `BrokerMetricsManager`,
//! `ConsumerLagCalculator`, `DefaultStoreMetricsManager`).
//!
//! What is counted while messages pass is an addition to an atomic number of their topic, or to an entry that is
//! locked and written anyway. Everything else is read off the tables here.

mod broker;
mod clients;
mod created;
mod family;
mod histogram;
mod storage;
mod timers;
mod traffic;
mod transactions;
mod waiting;

use bytestring::ByteString;

use crate::{Broker, shared::Shared};

pub(crate) use created::Created;
pub use family::{Family, Kind, Number, Sample};
use histogram::Histogram;
pub(crate) use traffic::{MessageType, Traffic};
pub(crate) use transactions::Verdict;

impl Broker {
    /// All numbers of this moment. Takes the tables' locks one after the other, and may block on the disk.
    pub fn metrics(&self) -> Vec<Family> {
        let shared: &Shared = self.shared();
        let mut families = Vec::from(traffic::traffic_in(shared));
        families.extend(traffic::traffic_out(shared));
        families.extend(transactions::transactions(shared));
        families.extend(timers::timers(shared));
        families.extend(waiting::waiting(shared));
        families.extend(clients::connections(shared));
        families.extend(storage::storage(shared));
        families.extend(broker::broker(shared));
        families.extend(created::created(shared));
        families.extend(broker::bounds(shared));
        families
    }
}

fn boolean(is: bool) -> ByteString {
    ByteString::from_static(if is { "true" } else { "false" })
}

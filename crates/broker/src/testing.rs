//! A broker for tests of single modules.

use std::{sync::Arc, time::Duration};

use rocketwire_store::{MemoryStorage, StoreOptions};
use rocketwire_testkit::ManualClock;

use crate::{Broker, BrokerOptions};

/// A broker that does nothing by itself.
pub(crate) fn broker(storage: &MemoryStorage, clock: &Arc<ManualClock>) -> Broker {
    let mut options = StoreOptions::new("/store");
    // It would look for work until the clock is turned.
    options.look = Duration::ZERO;
    let (storage, clock) = (Arc::new(storage.clone()), clock.clone());
    Broker::open(BrokerOptions::default(), options, storage, clock, Arc::new(())).unwrap()
}

/// A clock at some time.
pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(1_700_000_000_000))
}

//! A broker for tests of single modules.

use std::{sync::Arc, time::Duration};

use rocketwire_protocol::message::{NewRecord, record};
use rocketwire_store::{Append, Appended, MemoryStorage, StoreOptions, Wait};
use rocketwire_testkit::ManualClock;

use crate::{Broker, BrokerOptions, send::Stored, shared::Shared};

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

/// A message for queue 0 of a topic.
pub(crate) fn record_for(topic: &str, properties: &str, body: &str) -> Vec<u8> {
    let host = ([127, 0, 0, 1], 0).into();
    let new = NewRecord {
        topic,
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 0,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.as_bytes(),
        properties,
    };
    let mut bytes = Vec::new();
    record::encode(&new, &mut bytes).unwrap();
    bytes
}

/// Stores a message in queue 0 of a topic.
pub(crate) fn store(shared: &Shared, topic: &str, record: &[u8]) -> Appended {
    let queue = shared.topic(topic).unwrap().queue(0).unwrap();
    let (stored, told) = std::sync::mpsc::channel();
    let done = Stored::Call(Box::new(move |appended| stored.send(appended.unwrap()).unwrap()));
    shared.store.append(Append { queue, records: record, wait: Wait::Flush }, done);
    told.recv().unwrap()
}

/// Waits for the store, and for who is told by it.
pub(crate) fn until_quiet(shared: &Shared) {
    shared.store.flush().unwrap();
    for _ in 0..30_000 {
        if shared.delays().outstanding() + shared.transactions().under_way() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("something is still under way");
}

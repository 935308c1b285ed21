//! What a store promises while nothing goes wrong.

use std::sync::Arc;

use crate::support::{Log, Message, all, memory_store, open, text};
use rocketwire_store::{
    AppendError, BoundaryType, Bounds, Flush, MemoryStorage, OpenError, ReadLimits, ReadStatus, StoreOptions,
    Wait,
};

#[test]
fn records_come_back_in_order_with_dense_offsets() {
    for flush in [Flush::Sync, Flush::Async] {
        let store = memory_store(|options| options.flush = flush);
        let queue = store.queue("orders", 3);
        for n in 0..10 {
            let appended = store.put(Message::new("orders", 3, &format!("m{n}"))).unwrap();
            assert_eq!(appended.queue_offset, n);
        }
        assert_eq!(store.bounds(queue), Bounds { min: 0, max: 10 });
        let found = store.read(queue, 4, ReadLimits::for_pull(32, true), &mut all).unwrap();
        assert_eq!((found.status, found.next_offset, found.count), (ReadStatus::Found, 10, 6));
        assert_eq!(text(&found.records), ["m4", "m5", "m6", "m7", "m8", "m9"]);
        store.close().unwrap();
    }
}

//! Topics that come and go: nothing of them stays behind, in memory, in the tables or for who still has an old id.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rocketwire_store::{
    AppendError, Bounds, Clock, Drive, MemoryStorage, ReadLimits, ReadStatus, Storage, StoreOptions, Wait,
};
use rocketwire_testkit::ManualClock;

use crate::support::{Log, Message, all, memory_store, open};

fn start(storage: &MemoryStorage, clock: &Arc<ManualClock>) -> Log {
    let mut options = StoreOptions::new(Path::new("/store"));
    options.drive = Drive::Manual;
    options.segment_bytes = 4000;
    options.retention = Duration::from_secs(100);
    open(Arc::new(storage.clone()), clock.clone(), Arc::new(()), options).unwrap().0
}

fn size_of_origin(storage: &MemoryStorage) -> u64 {
    let files = ["/store/tables/log_origin.a", "/store/tables/log_origin.b"];
    let size = |file| storage.open(Path::new(file)).map_or(0, |file| file.size().unwrap());
    files.map(size).into_iter().max().unwrap()
}

#[test]
fn a_thousand_topics_that_come_and_go_leave_nothing_behind() {
    let (storage, clock) = (MemoryStorage::new(), Arc::new(ManualClock::new(1_000_000)));
    let mut log = start(&storage, &clock);
    log.put(Message::new("kept", 0, "kept")).unwrap();
    let mut largest = 0;
    for n in 0..1_000 {
        let topic = format!("topic-{n}");
        let of_topic: Vec<_> = (0..4).map(|queue_id| log.queue(&topic, queue_id)).collect();
        assert_eq!(log.queues().len(), 5);
        // Some never have a message, some have one in some queues.
        if n % 3 > 0 {
            log.put(Message::new(&topic, n % 4, "body")).unwrap();
        }
        log.delete_topic(&topic).unwrap();
        assert_eq!(log.queues().len(), 1, "round {n}");
        assert!(of_topic.iter().all(|queue| log.queue_name(*queue).is_none()));
        clock.advance(Duration::from_secs(1));
        if n % 50 == 49 {
            log.retain(clock.wall_ms()).unwrap();
            largest = largest.max(size_of_origin(&storage));
        }
        if n % 250 == 249 {
            log.close().unwrap();
            log = start(&storage, &clock);
            assert_eq!(log.queues().len(), 1, "nothing comes back");
        }
    }
    // What is noted of the deleted ones goes with the last segment that has messages of them.
    assert!(largest > 0 && largest < 10_000, "{largest} bytes are noted");
    assert_eq!(log.bounds(log.queue("kept", 0)).max, 1);
}

#[test]
fn a_topic_without_messages_is_deleted_without_a_note() {
    let (storage, clock) = (MemoryStorage::new(), Arc::new(ManualClock::new(1_000_000)));
    let log = start(&storage, &clock);
    log.queue("empty", 3);
    log.delete_topic("empty").unwrap();
    log.delete_topic("never heard of").unwrap();
    assert_eq!((size_of_origin(&storage), log.find_queue("empty", 3)), (0, None));
}

#[test]
fn an_id_of_before_the_deletion_leads_to_nothing_whoever_came_since() {
    let log = memory_store(|options| options.drive = Drive::Manual);
    let old = log.queue("orders", 0);
    log.put(Message::new("orders", 0, "old")).unwrap();
    log.delete_topic("orders").unwrap();
    log.queue("others", 0);
    let new = log.queue("orders", 0);
    assert_ne!(old, new);
    log.put(Message::new("orders", 0, "new")).unwrap();
    log.put(Message::new("others", 0, "other")).unwrap();
    let limits = ReadLimits { max_messages: 1, max_bytes: 100, max_scan: 1 };
    assert_eq!(log.read(old, 0, limits, &mut all).unwrap().status, ReadStatus::NoMatchedLogicQueue);
    assert_eq!((log.bounds(old), log.queue_name(old)), (Bounds::default(), None));
    assert_eq!(log.store_time(old, 0).unwrap(), None);
    let answer = log.send_raw(old, &Message::new("orders", 0, "late").record(), Wait::Flush);
    assert_eq!(answer.try_recv().unwrap(), Err(AppendError::UnknownQueue));
    assert_eq!(log.bodies("orders", 0), ["new"]);
}

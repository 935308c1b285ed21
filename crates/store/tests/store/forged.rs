//! Reads at offsets of the log that somebody made up.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rocketwire_store::{Drive, MemoryStorage, StoreOptions, SystemClock, Wait};
use rocketwire_testkit::{Step, WatchedDisk};

use crate::support::{Message, open};

#[test]
fn a_body_does_not_decide_how_much_is_read() {
    let longest = Arc::new(AtomicUsize::new(0));
    let longest_read = longest.clone();
    let disk = WatchedDisk::new(MemoryStorage::new(), move |step| {
        if let Step::Read(_, length) = step {
            longest_read.fetch_max(length, Ordering::Relaxed);
        }
        Ok(())
    });
    let mut options = StoreOptions::new(Path::new("/store"));
    options.drive = Drive::Manual;
    options.tail_cache_bytes = 0;
    let clock = Arc::new(SystemClock::default());
    let (log, _) = open(Arc::new(disk), clock, Arc::new(()), options).unwrap();
    // Two lengths of 1 MiB, one of them with everything else that a record begins with.
    let mut fake = Message::new("orders", 0, "").record();
    fake[..4].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    let body_length = 84..88;
    fake[body_length].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    let mut body = vec![0; 4 << 20];
    body[..4].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    body[100..100 + fake.len()].copy_from_slice(&fake);
    let record = Message::new("orders", 0, "").record_around(&body);
    let answer = log.send_raw(log.queue("orders", 0), &record, Wait::Flush);
    log.turn();
    let body_at = answer.try_recv().unwrap().unwrap().physical_offset + 88;
    longest.store(0, Ordering::Relaxed);
    for at in [body_at, body_at + 100] {
        assert!(log.record_at(at).unwrap().is_none());
        let longest = longest.load(Ordering::Relaxed);
        assert!(longest > 0 && longest <= 2 + 65_535, "{longest} bytes were read");
    }
    assert_eq!(log.record_at(body_at - 88).unwrap().unwrap().len(), record.len());
}

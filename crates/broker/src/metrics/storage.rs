//! The store and its disk (Java: `DefaultStoreMetricsManager`).

use bytestring::ByteString;

use super::{Family, Kind, Number};
use crate::shared::Shared;

pub(super) fn storage(shared: &Shared) -> Vec<Family> {
    let store = &shared.store;
    let (disk, behind) = (store.disk(), store.behind());
    let with = |name, help, value: f64| {
        let mut family = Family::new(name, Kind::Gauge, help);
        let word = ByteString::from_static;
        family.push(vec![("storage_type", word("local")), ("storage_medium", word("disk"))], value);
        family
    };
    let oldest = store.oldest_store_time().ok().flatten();
    let age = oldest.map_or(0, |oldest| (shared.now_ms() - oldest).max(0));
    let log = store.physical_bounds();
    let used = disk.total.saturating_sub(disk.available);
    vec![
        with("rocketmq_storage_size", "Bytes of the store's disk that are used, by anything", used.number()),
        with(
            "rocketmq_storage_flush_behind_bytes",
            "Bytes that are written and not flushed",
            behind.flush.number(),
        ),
        with(
            "rocketmq_storage_dispatch_behind_bytes",
            "Bytes that are written and not in their queues",
            behind.publish.number(),
        ),
        with(
            "rocketmq_storage_message_reserve_time",
            "Age in milliseconds of the oldest message",
            age.number(),
        ),
        Family::one("rocketwire_log_bytes", Kind::Gauge, "Bytes of the log", log.max - log.min),
        Family::one("rocketwire_disk_free_bytes", Kind::Gauge, "Free bytes of the disk", disk.available),
        Family::one(
            "rocketwire_disk_free_limit_bytes",
            Kind::Gauge,
            "Free bytes of the disk below which messages are refused",
            disk.limit,
        ),
        Family::one(
            "rocketwire_disk_full",
            Kind::Gauge,
            "1 while messages are refused because the disk is full",
            i32::from(disk.is_full),
        ),
        Family::one(
            "rocketwire_store_poisoned",
            Kind::Gauge,
            "1 after a failed write or flush: no message is taken until a restart",
            i32::from(store.is_poisoned()),
        ),
        Family::one(
            "rocketwire_store_pending_bytes",
            Kind::Gauge,
            "Bytes that wait for the store's writer",
            behind.pending,
        ),
    ]
}

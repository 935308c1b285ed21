//! What the broker is doing, for `mqadmin clusterList`, `brokerStatus` and dashboards.

use std::collections::BTreeMap;

use bytestring::ByteString;
use rocketwire_protocol::{
    ResponseCode,
    body::{self, KVTable},
    message::name::{SCHEDULE_TOPIC, TIMER_TOPIC},
};

use super::with_body;
use crate::{
    call::{Disk, Plan, Stop, needs_disk, refuse},
    levels::MAX_LEVEL,
    shared::Shared,
    statistics::{Reading, Statistics},
};

/// Request 28.
pub(super) fn info(shared: &Shared, disk: Disk) -> Result<Plan, Stop> {
    needs_disk(disk)?;
    let mut table: BTreeMap<ByteString, ByteString> = BTreeMap::new();
    let mut put = |key: &str, value: String| {
        table.insert(key.into(), value.into());
    };
    let now = shared.now_ms();
    put("brokerVersionDesc", "V5_3_3".into());
    put("brokerVersion", "479".into());
    put("brokerActive", (!shared.is_stopping()).to_string());
    put("bootTimestamp", shared.boot_ms.to_string());
    put("runtime", runtime(now - shared.boot_ms));
    rates(shared, now, &mut put);
    totals(shared, &mut put);
    store(shared, &mut put);
    timers(shared, &mut put);
    for level in 1..=MAX_LEVEL {
        let end = shared
            .topic(SCHEDULE_TOPIC)
            .and_then(|topic| topic.queue(level - 1))
            .map_or(0, |queue| shared.store.bounds(queue).max);
        // Levels that were never used are not told.
        if end > 0 {
            let delivered = shared.delays().delivered(level);
            put(&format!("scheduleMessageOffset_{level}"), format!("{delivered},{end}"));
        }
    }
    with_body(body::encode(&KVTable { table }))
}

/// Request 907: a master without replicas.
pub(super) fn replication(shared: &Shared) -> Result<Plan, Stop> {
    let client = serde_json::json!({
        "activated": false,
        "haAddress": "",
        "lastReadTimestamp": 0,
        "lastWriteTimestamp": 0,
        "masterFlushOffset": 0,
        "maxOffset": 0,
        "transferredByteInSecond": 0,
    });
    with_body(body::encode(&serde_json::json!({
        "haClientRuntimeInfo": client,
        "haConnectionInfo": [],
        "inSyncSlaveNums": 0,
        "master": true,
        "masterCommitLogMaxOffset": shared.store.physical_bounds().max,
    })))
}

/// Request 2003: nobody who reads old messages is slowed down, and nobody was told to be.
pub(super) fn cold_data() -> Result<Plan, Stop> {
    with_body(body::encode(&serde_json::json!({
        "cgColdReadThreshold": 0,
        "configTable": {},
        "globalAcc": 0,
        "globalColdReadThreshold": 0,
        "runtimeTable": {},
    })))
}

/// Request 1007: there is no controller.
pub(super) fn epochs() -> Result<Plan, Stop> {
    Err(refuse(ResponseCode::SYSTEM_ERROR, "this request only for controllerMode "))
}

fn rates(shared: &Shared, now: i64, put: &mut impl FnMut(&str, String)) {
    let reading = shared.statistics.reading();
    let history = shared.history();
    let rate = |value: fn(&Reading) -> u64| history.rates(now, reading, value);
    put("putTps", rate(|r| r.messages_in));
    put("getTransferredTps", rate(|r| r.messages_out));
    // Tools before 5.0 know it by this name only.
    put("getTransferedTps", rate(|r| r.messages_out));
    put("getTotalTps", rate(|r| r.pulls_found + r.pulls_missed));
    put("getFoundTps", rate(|r| r.pulls_found));
    put("getMissTps", rate(|r| r.pulls_missed));
}

fn totals(shared: &Shared, put: &mut impl FnMut(&str, String)) {
    let statistics = &shared.statistics;
    let messages_in = Statistics::value(&statistics.messages_in);
    let bytes_in = Statistics::value(&statistics.bytes_in);
    put("putMessageTimesTotal", messages_in.to_string());
    put("putMessageSizeTotal", bytes_in.to_string());
    put("putMessageAverageSize", float(bytes_in as f64 / messages_in.max(1) as f64));
    put("putMessageFailedTimes", Statistics::value(&statistics.sends_failed).to_string());
    // Counted since the start: this broker keeps no numbers over a restart.
    let mornings = shared.mornings();
    for (when, (puts, gets)) in [("YesterdayMorning", mornings.yesterday), ("TodayMorning", mornings.today)] {
        put(&format!("msgPutTotal{when}"), puts.to_string());
        put(&format!("msgGetTotal{when}"), gets.to_string());
    }
    put("msgPutTotalTodayNow", messages_in.to_string());
    put("msgGetTotalTodayNow", Statistics::value(&statistics.messages_out).to_string());
    put("pullsHeld", shared.holds().len().to_string());
    put("clientConnections", shared.clients().connections().to_string());
    put("pendingTransactions", shared.transactions().len().to_string());
    // Requests run on their connections; only what waits for the disk is ever queued, and it has one queue. This request
    // is in it, too, which is of no interest.
    let waiting = shared.blocking.running().saturating_sub(1).to_string();
    let capacity = shared.options.max_cold_reads.to_string();
    for queue in ["send", "pull", "litePull", "query", "ack"] {
        put(&format!("{queue}ThreadPoolQueueSize"), waiting.clone());
        put(&format!("{queue}ThreadPoolQueueCapacity"), capacity.clone());
        put(&format!("{queue}ThreadPoolQueueHeadWaitTimeMills"), "0".into());
    }
    put("EndTransactionQueueSize", waiting);
    put("EndTransactionThreadPoolQueueCapacity", capacity);
}

fn store(shared: &Shared, put: &mut impl FnMut(&str, String)) {
    let log = shared.store.physical_bounds();
    put("commitLogMinOffset", log.min.to_string());
    put("commitLogMaxOffset", log.max.to_string());
    // The index is written with the message: this is zero for good.
    put("dispatchBehindBytes", "0".into());
    put("pageCacheLockTimeMills", "0".into());
    let oldest = shared.store.oldest_store_time().ok().flatten();
    put("earliestMessageTimeStamp", oldest.unwrap_or(-1).to_string());
    put("remainHowManyDataToFlush", format!("{} B", shared.store.behind().flush));
    let disk = shared.store.disk();
    let used = disk.total.saturating_sub(disk.available) as f64 / disk.total.max(1) as f64;
    // Log and index are on one disk.
    for part in ["commitLogDiskRatio", "consumeQueueDiskRatio"] {
        put(part, used.to_string());
    }
    put("commitLogDirCapacity", format!("Total : {}, Free : {}.", gib(disk.total), gib(disk.available)));
    put("remainTransientStoreBufferNumbs", "2147483647".into());
    put("startAcceptSendRequestTimeStamp", "0".into());
    put("storeWritable", (!shared.store.is_poisoned() && !shared.store.disk().is_full).to_string());
}

fn timers(shared: &Shared, put: &mut impl FnMut(&str, String)) {
    let end = shared
        .topic(TIMER_TOPIC)
        .and_then(|topic| topic.queue(0))
        .map_or(0, |queue| shared.store.bounds(queue).max);
    let timers = shared.timers();
    put("timerReadBehind", "0".into());
    put("timerOffsetBehind", timers.unread(end).to_string());
    put("timerCongestNum", timers.len().to_string());
    drop(timers);
    let (now, reading) = (shared.now_ms(), shared.statistics.reading());
    let history = shared.history();
    put("timerEnqueueTps", float(history.rate(10, now, reading, |r| r.timers_in)));
    put("timerDequeueTps", float(history.rate(10, now, reading, |r| r.timers_out)));
}

/// As Java prints a double: never without a fraction.
fn float(value: f64) -> String {
    format!("{value:?}")
}

fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / (1_u64 << 30) as f64)
}

/// As Java prints it.
fn runtime(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {} seconds ]", seconds % 60)
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_with_a_fraction_read_like_javas() {
        assert_eq!((super::float(0.0).as_str(), super::float(244.0).as_str()), ("0.0", "244.0"));
    }

    #[test]
    fn the_time_since_the_start_reads_like_javas() {
        assert_eq!(super::runtime(90_061_500), "[ 1 days, 1 hours, 1 minutes, 1 seconds ]");
    }
}

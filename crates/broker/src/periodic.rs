//! What happens by the clock, all of it driven by one task.

use std::{sync::Arc, time::Duration};

use rocketwire_protocol::message::{Properties, RecordView, name::SCHEDULE_TOPIC, property, records};
use rocketwire_store::{Append, QueueId, ReadLimits, Wait};

use crate::{
    back::{encode_as, note},
    levels::MAX_LEVEL,
    pull,
    send::Stored,
    shared::{Shared, lock},
    timer,
};

/// How often delayed messages are looked at (Java: `ScheduleMessageService.DELAY_FOR_A_WHILE`).
const TICK: Duration = Duration::from_millis(100);
const DEADLINES: Duration = Duration::from_secs(1);
const GROWN: Duration = Duration::from_secs(5);
const CLIENTS: Duration = Duration::from_secs(10);
/// Tests that kill a node while it deletes cannot wait for a minute.
const RETENTION: Duration = Duration::from_millis(if cfg!(feature = "planted") { 300 } else { 60_000 });
/// Messages of a level that are handed to the store at once.
const DELIVERIES: usize = 256;
/// How often, before other work of the disk has its turn.
const ROUNDS: usize = 64;
/// How often the store is waited for in between, a millisecond at a time.
const WAITS: usize = 1_000;

/// Runs until it is aborted.
///
/// Two loops, since a stuck disk stops the one that waits for it: those who wait for that disk must still be answered.
pub(crate) async fn run(shared: Arc<Shared>) {
    tokio::join!(by_the_clock(&shared), on_the_disk(&shared));
}

async fn by_the_clock(shared: &Arc<Shared>) {
    let (mut due, mut ticks) = (Due::new(shared.now()), ticks());
    loop {
        ticks.tick().await;
        tick(shared, &mut due);
    }
}

async fn on_the_disk(shared: &Arc<Shared>) {
    let (mut due, mut ticks) = (Due::new(shared.now()), ticks());
    loop {
        ticks.tick().await;
        disk_tick(shared, &mut due).await;
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// When each kind of work was done last.
struct Due {
    deadlines: Duration,
    grown: Duration,
    snapshot: Duration,
    clients: Duration,
    transactions: Duration,
    retention: Duration,
}

impl Due {
    fn new(now: Duration) -> Due {
        Due { deadlines: now, grown: now, snapshot: now, clients: now, transactions: now, retention: now }
    }
}

/// Whether `every` has passed since `last`, which is then now.
fn is_due(last: &mut Duration, now: Duration, every: Duration) -> bool {
    let is_due = now.saturating_sub(*last) >= every;
    if is_due {
        *last = now;
    }
    is_due
}

/// Nothing here waits for the disk.
fn tick(shared: &Arc<Shared>, due: &mut Due) {
    let now = shared.now();
    shared.store.expire_waits();
    if is_due(&mut due.deadlines, now, DEADLINES) {
        pull::sweep_deadlines(shared);
    }
    if is_due(&mut due.grown, now, GROWN) {
        pull::sweep_grown(shared);
    }
    if is_due(&mut due.clients, now, CLIENTS) {
        let changes = shared.clients().expire(now, shared.options.client_expiry);
        shared.notify(changes);
        shared.locks().expire(now);
        shared.note_counters();
    }
}

async fn disk_tick(shared: &Arc<Shared>, due: &mut Due) {
    let now = shared.now();
    let options = &shared.options;
    if !due_levels(shared, shared.now_ms()).is_empty() {
        on_disk(shared, deliver_due).await;
    }
    if timer::has_work(shared) {
        on_disk(shared, timer::turn).await;
    }
    let is_time = is_due(&mut due.transactions, now, options.transaction_check_interval)
        && shared.transactions().has_work();
    if is_time || shared.transactions().is_in_round() {
        on_disk(shared, crate::transaction::check_due).await;
    }
    if is_due(&mut due.snapshot, now, options.snapshot_interval) {
        on_disk(shared, save).await;
    }
    if is_due(&mut due.retention, now, RETENTION) {
        on_disk(shared, retain).await;
    }
}

async fn on_disk(shared: &Arc<Shared>, work: impl FnOnce(&Arc<Shared>) + Send + 'static) {
    let shared = Arc::clone(shared);
    let job = move || {
        let _at_work = lock(&shared.at_work);
        // Who waited for the lock is told by now; behind the end nothing is saved or delivered.
        if !shared.is_stopping() {
            work(&shared);
        }
    };
    if let Err(error) = tokio::task::spawn_blocking(job).await {
        tracing::error!(%error, "periodic work of the broker did not finish; it is tried again");
    }
}

fn save(shared: &Arc<Shared>) {
    if let Err(error) = shared.tables.save_changed(shared) {
        tracing::error!(%error, "offsets were not saved; they are tried again in a moment");
    }
}

fn retain(shared: &Arc<Shared>) {
    if let Err(error) = shared.store.retain(shared.now_ms()) {
        tracing::error!(%error, "old messages were not deleted; it is tried again in a minute");
    }
}

/// The levels with something due, and where to read them.
fn due_levels(shared: &Shared, now: i64) -> Vec<(i32, QueueId, i64)> {
    let Some(topic) = shared.topic(SCHEDULE_TOPIC) else {
        return Vec::new();
    };
    let ends = (1..=MAX_LEVEL).filter_map(|level| {
        let queue = topic.queue(level - 1)?;
        Some((level, queue, shared.store.bounds(queue).max))
    });
    let ends: Vec<_> = ends.collect();
    let elapsed = shared.now();
    let mut delays = shared.delays();
    let due = ends
        .into_iter()
        .filter_map(|(level, queue, end)| Some((level, queue, delays.poll(level, end, now, elapsed)?)));
    due.collect()
}

/// Delivers what is due, level by level; reads the log, so it runs on a blocking thread.
fn deliver_due(shared: &Arc<Shared>) {
    for _ in 0..ROUNDS {
        let now = shared.now_ms();
        let due = due_levels(shared, now);
        if due.is_empty() {
            return;
        }
        for (level, queue, offset) in due {
            if shared.is_stopping() {
                return;
            }
            deliver_level(shared, level, queue, offset, now);
        }
        if !are_stored(shared) {
            return;
        }
    }
}

/// Waits until the store has what it was handed: a level goes on behind that. Whether it has.
fn are_stored(shared: &Shared) -> bool {
    for _ in 0..WAITS {
        if shared.delays().outstanding() == 0 {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

fn deliver_level(shared: &Arc<Shared>, level: i32, queue: QueueId, offset: i64, now: i64) {
    let limits = ReadLimits { max_messages: DELIVERIES, max_bytes: 1 << 20, max_scan: DELIVERIES };
    let outcome = match shared.store.read(queue, offset, limits, &mut |_| true) {
        Ok(outcome) => outcome,
        Err(error) => {
            delay_failed(shared, level, &error);
            return;
        }
    };
    if outcome.count == 0 {
        // Retention was faster than the delay.
        if outcome.next_offset > offset {
            shared.delays().skip(level, outcome.next_offset);
        }
        return;
    }
    let levels = &shared.options.delay_levels;
    let mut due = Vec::new();
    for record in records(outcome.records).flatten() {
        let due_ms = levels.due_ms(level, record.store_timestamp() + levels.delay_ms(level), now);
        if due_ms > now {
            shared.delays().wait_until(level, due_ms);
            break;
        }
        due.push(record);
    }
    // All are counted before the first is stored, so that the last to end knows that it is the last.
    let prepared: Vec<_> =
        due.iter().map(|record| (record.queue_offset(), real_message(shared, record))).collect();
    for (offset, message) in &prepared {
        match message {
            Some(_) => shared.delays().started(level, *offset),
            None => shared.delays().skip(level, offset + 1),
        }
    }
    for (offset, message) in prepared {
        let Some((queue, bytes)) = message else {
            continue;
        };
        let on_thread = Arc::clone(shared);
        let done = Stored::Call(Box::new(move |result| {
            on_thread.delays().finished(level, offset, result.is_ok());
            if let Err(error) = result {
                delay_failed(&on_thread, level, &error);
            }
        }));
        let append = Append { queue, records: &bytes, wait: Wait::Write };
        shared.store.append(append, done);
    }
}

fn delay_failed(shared: &Shared, level: i32, error: &dyn std::fmt::Display) {
    if shared.delays().failed(level, shared.now()) {
        tracing::warn!(%error, level, "delayed messages are not delivered; they are tried again, with less and less haste");
    }
}

/// A delayed message as it goes to its topic. `None`: that is gone, or nothing says which it was.
fn real_message(shared: &Shared, record: &RecordView) -> Option<(QueueId, Vec<u8>)> {
    let topic = record.property(property::REAL_TOPIC)?;
    let queue_id: i32 = record.property(property::REAL_QID)?.parse().ok()?;
    let Some(queue) = shared.queue_of(topic, queue_id) else {
        tracing::warn!(topic, queue_id, "the topic of a delayed message is gone, and so is the message");
        return None;
    };
    let mut properties = Properties::parse(record.properties());
    note(&mut properties, &[(property::WAIT, "false")]);
    let mut bytes = Vec::with_capacity(record.raw().len() + 16);
    let flag = record.sys_flag();
    let prepared = record.prepared_transaction_offset();
    let times = record.reconsume_times();
    let encoded = encode_as(record, topic, queue_id, &properties, times, flag, prepared, &mut bytes);
    if let Err(error) = encoded {
        tracing::warn!(topic, ?error, "a delayed message cannot be stored once more; it is dropped");
        return None;
    }
    Some((queue, bytes))
}

#[cfg(test)]
mod tests {
    use rocketwire_store::MemoryStorage;

    use super::*;
    use crate::{testing, topics::new_config};

    #[test]
    fn many_messages_that_are_due_do_not_wait_for_as_many_ticks() {
        const MANY: i64 = 2_560;
        let clock = testing::clock();
        let broker = testing::broker(&MemoryStorage::new(), &clock);
        broker.create_topic(new_config("T", 1, 6)).unwrap();
        let shared = broker.shared();
        let queue = |topic: &str| shared.topic(topic).unwrap().queue(0).unwrap();
        let waiting = testing::record_for(SCHEDULE_TOPIC, "REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}0\u{2}", "x");
        for _ in 0..MANY {
            let append = Append { queue: queue(SCHEDULE_TOPIC), records: &waiting, wait: Wait::Write };
            shared.store.append(append, Stored::Call(Box::new(|stored| assert!(stored.is_ok()))));
        }
        shared.store.flush().unwrap();
        clock.advance(Duration::from_secs(1));
        // One turn is enough, unless the store is very slow.
        for _ in 0..5 {
            deliver_due(shared);
            testing::until_quiet(shared);
        }
        assert_eq!(shared.store.bounds(queue("T")).max, MANY);
        assert_eq!(shared.delays().delivered(1), MANY, "and none comes again");
    }
}

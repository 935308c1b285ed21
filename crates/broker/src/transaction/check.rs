//! Asking producers about half messages, and finding them again after a restart.

use std::{collections::HashSet, sync::Arc};

use rocketwire_protocol::{
    Command,
    header::CheckTransactionStateRequestHeader,
    message::{
        NewRecord, OffsetMessageId, Properties, RecordView,
        name::{TRANS_CHECK_MAX_TIME_TOPIC, TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC},
        property, record, records,
    },
};
use rocketwire_store::{Append, AppendError, Appended, QueueId, ReadError, ReadLimits, Store, Wait};

use super::{
    Half, Pending, TransactionSnapshot, Transactions,
    end::{conclude, write_owed},
};
use crate::{back::encode_as, metrics::Verdict, planted::planted, send::Stored, shared::Shared};

/// Half messages that are looked at in one go, before other work of the disk has its turn.
const AT_ONCE: usize = 2_000;
/// Java: a half message older than the log's retention of 72 h is given up.
const MAX_AGE_MS: i64 = 72 * 3600 * 1000;

/// Asks about half messages that have waited too long: begins to look through all of them, or goes on with that. Reads
/// the log, so it runs on a blocking thread.
pub(crate) fn check_due(shared: &Arc<Shared>) {
    write_owed(shared);
    let now = shared.now_ms();
    let timeout = i64::try_from(shared.options.transaction_timeout.as_millis()).unwrap_or(i64::MAX);
    let due = {
        let mut transactions = shared.transactions();
        transactions.begin_round();
        transactions.next_due(now, timeout, AT_ONCE)
    };
    for (offset, pending) in due {
        let half = match shared.store.record_at(pending.physical_offset) {
            Ok(bytes) => bytes.and_then(|bytes| RecordView::parse(&bytes).ok()),
            Err(error) => {
                tracing::warn!(%error, "a half message cannot be read; it is tried again later");
                continue;
            }
        };
        let Some(half) = half else {
            // Retention has deleted it.
            shared.transactions().forget(offset);
            continue;
        };
        let is_given_up = pending.checks >= shared.options.transaction_check_max
            || now.saturating_sub(pending.since_ms) > MAX_AGE_MS;
        if is_given_up {
            give_up(shared, offset, &half);
        } else if is_immune(&half, now) {
            tracing::trace!(offset, "the producer wants to be asked later");
        } else {
            ask_anew(shared, offset, &half);
        }
    }
}

fn is_immune(half: &RecordView, now: i64) -> bool {
    half.property(property::CHECK_IMMUNITY_TIME_IN_SECONDS)
        .and_then(|seconds| seconds.parse::<i64>().ok())
        .is_some_and(|seconds| now.saturating_sub(half.born_timestamp()) < seconds.saturating_mul(1000))
}

/// Stores a half message once more, with how often it was asked about, and asks about that one. So the count outlives
/// a restart, and a half message stays ahead of retention as long as it waits.
fn ask_anew(shared: &Arc<Shared>, offset: i64, half: &RecordView) {
    let Some((offset, mut pending)) = shared.transactions().claim_to_move(offset) else {
        // Its verdict came meanwhile.
        return;
    };
    pending.checks = pending.checks.saturating_add(1);
    store_anew(shared, Some(offset), pending, half, |_| {});
}

/// Stores a half message at the end of the half queue; it follows the one at `from`, which was claimed.
pub(super) fn store_anew(
    shared: &Arc<Shared>,
    from: Option<i64>,
    mut pending: Pending,
    half: &RecordView,
    done: impl FnOnce(Result<(), AppendError>) + Send + 'static,
) {
    let queue = shared.topic(TRANS_HALF_TOPIC).and_then(|topic| topic.queue(0));
    let mut properties = Properties::parse(half.properties());
    if !planted("questions not counted in the log") {
        properties.set(property::TRANSACTION_CHECK_TIMES, &pending.checks.to_string());
    }
    properties.remove(property::TRAN_PREPARED_QUEUE_OFFSET);
    if let Some(from) = from {
        properties.set(property::TRAN_PREPARED_QUEUE_OFFSET, &from.to_string());
    }
    let (times, flag) = (half.reconsume_times(), half.sys_flag());
    let mut bytes = Vec::with_capacity(half.raw().len() + 64);
    let encoded = encode_as(half, TRANS_HALF_TOPIC, 0, &properties, times, flag, 0, &mut bytes);
    let (Some(queue), Ok(())) = (queue, encoded) else {
        // It has no room for a number more: it is asked about as it is.
        if let Some(from) = from {
            ask(shared, from, &pending, half);
            shared.transactions().put_back(from, pending);
        }
        return done(Ok(()));
    };
    let (on_thread, half) = (Arc::clone(shared), half.clone());
    // Its producer may answer at once, and the half message must be readable then.
    let append = Append { queue, records: &bytes, wait: Wait::Flush };
    let stored = Stored::Call(Box::new(move |result: Result<Appended, AppendError>| match result {
        Ok(appended) => {
            let half_of = Half { group: pending.group.clone(), topic: pending.topic.clone() };
            match from {
                Some(from) => {
                    pending.physical_offset = appended.physical_offset;
                    on_thread.transactions().moved(from, appended.queue_offset, pending.clone());
                }
                None => on_thread.transactions().insert(
                    appended.queue_offset,
                    appended.physical_offset,
                    half_of,
                    pending.since_ms,
                ),
            }
            if from.is_some() {
                ask(&on_thread, appended.queue_offset, &pending, &half);
            }
            done(Ok(()));
        }
        Err(error) => {
            tracing::debug!(%error, "a half message was not stored anew; it is asked about later");
            if let Some(from) = from {
                pending.checks -= 1;
                on_thread.transactions().put_back(from, pending);
            }
            done(Err(error));
        }
    }));
    shared.store.append(append, stored);
}

fn ask(shared: &Shared, offset: i64, pending: &Pending, half: &RecordView) {
    let Some(producer) = shared.clients().next_producer(&pending.group) else {
        tracing::debug!(group = %pending.group, "no producer of the group is connected to ask about a transaction");
        return;
    };
    let Some(body) = as_sent(half, offset, pending.physical_offset) else {
        return;
    };
    let id = OffsetMessageId { host: half.store_host(), offset: pending.physical_offset };
    let unique_id = half.property(property::UNIQ_KEY).map(Into::into);
    let mut header = CheckTransactionStateRequestHeader {
        topic: Some(TRANS_HALF_TOPIC.into()),
        tran_state_table_offset: offset,
        commit_log_offset: pending.physical_offset,
        msg_id: unique_id.clone(),
        transaction_id: unique_id,
        offset_msg_id: Some(id.to_string().into()),
        ..Default::default()
    };
    header.base.broker_name = Some(shared.options.broker_name.clone());
    let command = Command::of(&header).with_body(body).oneway();
    if let Err(error) = producer.invoke_oneway(command) {
        tracing::debug!(group = %pending.group, %error, "a producer could not be asked about a transaction");
    }
}

/// The half message as its producer sent it: under its own topic and queue.
fn as_sent(half: &RecordView, offset: i64, physical_offset: i64) -> Option<Vec<u8>> {
    let new = NewRecord {
        topic: half.property(property::REAL_TOPIC)?,
        queue_id: half.property(property::REAL_QID)?.parse().ok()?,
        flag: half.flag(),
        sys_flag: half.sys_flag().0,
        born_timestamp: half.born_timestamp(),
        born_host: half.born_host(),
        store_host: half.store_host(),
        reconsume_times: half.reconsume_times(),
        prepared_transaction_offset: half.prepared_transaction_offset(),
        body: &half.body(),
        properties: half.properties(),
    };
    let mut bytes = Vec::with_capacity(half.raw().len());
    record::encode(&new, &mut bytes).ok()?;
    record::patch(&mut bytes, offset, physical_offset, half.store_timestamp());
    Some(bytes)
}

/// Nobody answered for it: it goes where operators find it.
fn give_up(shared: &Arc<Shared>, offset: i64, half: &RecordView) {
    let Some((offset, pending)) = shared.transactions().claim(offset) else {
        return;
    };
    tracing::warn!(offset, group = %pending.group, "a half message has no verdict and goes to {TRANS_CHECK_MAX_TIME_TOPIC}");
    let queue = shared.topic(TRANS_CHECK_MAX_TIME_TOPIC).and_then(|topic| topic.queue(0));
    let properties = Properties::parse(half.properties());
    let mut bytes = Vec::new();
    let flag = half.sys_flag();
    let times = half.reconsume_times();
    let encoded =
        encode_as(half, TRANS_CHECK_MAX_TIME_TOPIC, 0, &properties, times, flag, 0, &mut bytes).is_ok();
    let real = queue.filter(|_| encoded).map(|queue| (queue, bytes));
    conclude(shared, offset, pending, real, Verdict::GivenUp, None);
}

/// Finds pending half messages: those of the half queue that no op record names.
pub(crate) fn restore(
    store: &Store<Stored>,
    half_queue: QueueId,
    op_queue: QueueId,
    snapshot: TransactionSnapshot,
    limit: usize,
) -> Result<Transactions, ReadError> {
    let mut done = HashSet::new();
    let op_end = each(store, op_queue, snapshot.op_from, |record| {
        let text = record.body();
        let offsets = std::str::from_utf8(&text).unwrap_or_default().split(',');
        done.extend(offsets.filter_map(|offset| offset.trim().parse::<i64>().ok()));
    })?;
    let mut table = Transactions::new(limit);
    table.set_ends(0, snapshot.op_from);
    let half_end = each(store, half_queue, snapshot.half_from, |record| {
        if !done.contains(&record.queue_offset()) {
            let group = record.property(property::PGROUP).unwrap_or_default().into();
            let topic = record.property(property::REAL_TOPIC).unwrap_or_default().into();
            let half = Half { group, topic };
            // When it was born is what its producer says: any number.
            table.insert(record.queue_offset(), record.physical_offset(), half, record.store_timestamp());
        }
        let number = |name| record.property(name).and_then(|number| number.parse::<i64>().ok());
        let from = number(property::TRAN_PREPARED_QUEUE_OFFSET);
        let checks = number(property::TRANSACTION_CHECK_TIMES).unwrap_or(0);
        if from.is_some() || checks > 0 {
            table.note(record.queue_offset(), from, i32::try_from(checks).unwrap_or(i32::MAX));
        }
    })?;
    table.set_ends(half_end, op_end);
    let pending = table.len();
    if pending > 0 {
        tracing::info!(pending, op_queue = TRANS_OP_HALF_TOPIC, "half messages wait for a verdict");
    }
    Ok(table)
}

/// Reads a queue to its end, which it returns.
fn each(
    store: &Store<Stored>,
    queue: QueueId,
    from: i64,
    mut visit: impl FnMut(&RecordView),
) -> Result<i64, ReadError> {
    let bounds = store.bounds(queue);
    let mut offset = from.clamp(bounds.min, bounds.max.max(bounds.min));
    let limits = ReadLimits { max_messages: 256, max_bytes: 1 << 20, max_scan: 256 };
    while offset < bounds.max {
        let outcome = store.read(queue, offset, limits, &mut |_| true)?;
        for record in records(outcome.records).flatten() {
            visit(&record);
        }
        if outcome.next_offset <= offset {
            break;
        }
        offset = outcome.next_offset;
    }
    Ok(bounds.max)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rocketwire_store::MemoryStorage;

    use super::*;
    use crate::{testing, topics::new_config};

    #[test]
    fn half_messages_that_are_not_to_be_asked_about_yet_keep_no_other_from_being() {
        let (storage, clock) = (MemoryStorage::new(), testing::clock());
        let broker = testing::broker(&storage, &clock);
        broker.create_topic(new_config("T", 1, 6)).unwrap();
        let shared = broker.shared();
        let plain = "PGROUP\u{1}PG\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}0\u{2}";
        let immune = format!("{plain}CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}9999999999\u{2}");
        let prepare = |properties: &str| {
            let record = testing::record_for(TRANS_HALF_TOPIC, properties, "x");
            let appended = testing::store(shared, TRANS_HALF_TOPIC, &record);
            let half = Half { group: "PG".into(), topic: "T".into() };
            shared.transactions().prepared(&appended, half, shared.now_ms());
            appended.queue_offset + 1
        };
        for _ in 0..=AT_ONCE {
            prepare(&immune);
        }
        let end = prepare(plain);
        let queue = shared.topic(TRANS_HALF_TOPIC).unwrap().queue(0).unwrap();
        for round in 1..=2 {
            clock.advance(Duration::from_secs(30));
            check_due(shared);
            assert!(shared.transactions().is_in_round());
            check_due(shared);
            assert!(!shared.transactions().is_in_round());
            testing::until_quiet(shared);
            assert_eq!(shared.store.bounds(queue).max, end + round, "it is stored anew, to be asked about");
        }
    }
}

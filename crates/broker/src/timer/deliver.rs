//! Reading the timer topic, and delivering what is due.

use std::{sync::Arc, time::Duration};

use bytestring::ByteString;
use rocketwire_protocol::{
    ResponseCode,
    message::{
        Properties, RecordView,
        name::{self, TIMER_TOPIC},
        property, records,
    },
};
use rocketwire_store::{Append, QueueId, ReadLimits, Wait};

use super::{moment::PRECISION_MS, recall::key, wheel::Entry};
use crate::{
    back::{encode_as, note},
    call::Refused,
    send::Stored,
    shared::Shared,
    statistics::Statistics,
};

/// Messages that are read into the wheel at once.
const READ: ReadLimits = ReadLimits { max_messages: 256, max_bytes: 1 << 20, max_scan: 256 };
/// How often that is done before messages are delivered again.
const READS: usize = 64;
/// How often both are done, before other work of the disk has its turn.
const ROUNDS: usize = 4;
/// Messages that are handed to the store at once.
const DELIVERIES: usize = 256;
/// Messages in the store's hands beyond which it is waited for, a millisecond at a time.
const UNDER_WAY: usize = 1_024;
/// How often, before other work of the disk has its turn.
const WAITS: usize = 1_000;

fn timer_queue(shared: &Shared) -> Option<(QueueId, i64)> {
    let queue = shared.topic(TIMER_TOPIC)?.queue(0)?;
    Some((queue, shared.store.bounds(queue).max))
}

/// Refuses another timer message when too many wait.
pub(crate) fn check_room(shared: &Shared) -> Result<(), Refused> {
    let end = timer_queue(shared).map_or(0, |(_, end)| end);
    if !shared.timers().is_full(end) {
        return Ok(());
    }
    let limit = shared.options.max_timers;
    let remark = format!(
        "timer message is under flow control, max num limit is {limit} or the current value is greater than {limit} \
         and less than {limit}, trigger random flow control; see max_timers"
    );
    Err(Refused::new(ResponseCode::SYSTEM_ERROR, remark))
}

/// Whether [`turn`] has something to do.
pub(crate) fn has_work(shared: &Shared) -> bool {
    let Some((_, end)) = timer_queue(shared) else {
        return false;
    };
    let timers = shared.timers();
    timers.next_read(end).is_some() || timers.is_due(shared.now_ms(), shared.now())
}

/// Delivers what is due and reads what is new; reads the log, so it runs on a blocking thread.
pub(crate) fn turn(shared: &Arc<Shared>) {
    for _ in 0..ROUNDS {
        // What is new goes first, so that messages leave in the order of their moments; but not without end: what
        // is due when it is read has to be remembered one by one.
        let has_read = (0..READS).take_while(|_| read_new(shared)).count() > 0;
        if !deliver_due(shared) || !has_read {
            return;
        }
    }
}

/// Whether all that is due was handed to the store.
fn deliver_due(shared: &Arc<Shared>) -> bool {
    let mut waited = 0;
    loop {
        let due = {
            let mut timers = shared.timers();
            if shared.is_stopping() || waited > WAITS {
                return false;
            }
            match timers.under_way() < UNDER_WAY {
                true => Some(timers.take_due(shared.now_ms(), shared.now(), DELIVERIES)),
                false => None,
            }
        };
        match due {
            Some(due) if due.is_empty() => return true,
            Some(due) => deliver(shared, due),
            None => {
                waited += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Whether something was read.
fn read_new(shared: &Shared) -> bool {
    let Some((queue, end)) = timer_queue(shared) else {
        return false;
    };
    let Some(offset) = shared.timers().next_read(end) else {
        return false;
    };
    let outcome = match shared.store.read(queue, offset, READ, &mut |_| true) {
        Ok(outcome) => outcome,
        Err(error) => {
            failed(shared, &error);
            return false;
        }
    };
    let mut counted = Vec::new();
    let mut timers = shared.timers();
    for record in records(outcome.records).flatten() {
        let out_ms = record.property(property::TIMER_OUT_MS).and_then(|out| out.parse::<i64>().ok());
        if let Some(out_ms) = out_ms {
            let is_message = record.property(property::TIMER_DEL_UNIQKEY).is_none();
            let due_ms = out_ms.saturating_add(PRECISION_MS);
            timers.add(record.queue_offset(), due_ms, record.store_timestamp(), is_message);
            Statistics::add(&shared.statistics.timers_in, 1);
            if is_message && record.property(property::TIMER_ROLL_TIMES).is_none() {
                counted.push((record, due_ms));
            }
        }
    }
    timers.read(outcome.next_offset);
    drop(timers);
    for (record, due_ms) in counted {
        let topic = record.property(property::REAL_TOPIC).unwrap_or_default();
        shared.count_timer_in(topic, due_ms.saturating_sub(record.born_timestamp()));
    }
    outcome.next_offset > offset
}

fn failed(shared: &Shared, error: &dyn std::fmt::Display) {
    if shared.timers().backoff.failed(shared.now()) {
        tracing::warn!(%error, "timer messages are not delivered; they are tried again, with less and less haste");
    }
}

/// Warns of a message that nobody will get; one warning stands for all of a minute.
fn lost(shared: &Shared, why: &str) {
    if shared.timers().losses.failed(shared.now()) {
        tracing::warn!(why, "a timer message is dropped, and perhaps more within this minute");
    }
}

fn deliver(shared: &Arc<Shared>, due: Vec<Entry>) {
    let Some((queue, _)) = timer_queue(shared) else {
        return;
    };
    // A cancellation that cannot be read may be that of any message of its time: they wait with it.
    let mut unclear_ms = None;
    for entry in due {
        if unclear_ms == Some(entry.due_ms) {
            shared.timers().finished(entry, false);
            continue;
        }
        match read_one(shared, queue, entry.offset) {
            Ok(Some(record)) => deliver_one(shared, entry, &record),
            Ok(None) => {
                lost(shared, "it was deleted before its time, by the bounds of the log");
                shared.timers().finished(entry, true);
            }
            Err(error) => {
                failed(shared, &error);
                shared.timers().finished(entry, false);
                if !entry.is_message {
                    shared.timers().cancel_again(entry.due_ms);
                    unclear_ms = Some(entry.due_ms);
                }
            }
        }
    }
}

fn read_one(
    shared: &Shared,
    queue: QueueId,
    offset: i64,
) -> Result<Option<RecordView>, rocketwire_store::ReadError> {
    let one = ReadLimits { max_messages: 1, max_bytes: 1, max_scan: 1 };
    let outcome = shared.store.read(queue, offset, one, &mut |_| true)?;
    let record = records(outcome.records).flatten().next();
    Ok(record.filter(|record| record.queue_offset() == offset))
}

fn deliver_one(shared: &Arc<Shared>, entry: Entry, record: &RecordView) {
    let out_ms = record.property(property::TIMER_OUT_MS).and_then(|out| out.parse::<i64>().ok());
    let is_early = out_ms.is_some_and(|out_ms| out_ms.saturating_add(PRECISION_MS) > shared.now_ms());
    let message = if is_early {
        rolled(shared, record)
    } else if let Some(key) = record.property(property::TIMER_DEL_UNIQKEY) {
        shared.timers().cancel(entry, key);
        return;
    } else if is_cancelled(shared, entry, record) {
        None
    } else {
        real_message(shared, record)
    };
    let Some((queue, bytes)) = message else {
        shared.timers().finished(entry, true);
        return;
    };
    let on_thread = Arc::clone(shared);
    let delivered = record.property(property::REAL_TOPIC).filter(|_| !is_early).map(ByteString::from);
    let done = Stored::Call(Box::new(move |result| {
        on_thread.timers().finished(entry, result.is_ok());
        if result.is_ok() {
            Statistics::add(&on_thread.statistics.timers_out, 1);
            delivered.iter().for_each(|topic| on_thread.count_timer_out(topic));
        }
        if let Err(error) = result {
            failed(&on_thread, &error);
        }
    }));
    shared.store.append(Append { queue, records: &bytes, wait: Wait::Write }, done);
}

fn is_cancelled(shared: &Shared, entry: Entry, record: &RecordView) -> bool {
    let topic = record.property(property::REAL_TOPIC).unwrap_or_default();
    let unique_id = record.property(property::UNIQ_KEY).unwrap_or_default();
    shared.timers().is_cancelled(entry, &key(topic, unique_id))
}

/// A message whose time is far away, as it is stored anew so that retention does not take it.
fn rolled(shared: &Shared, record: &RecordView) -> Option<(QueueId, Vec<u8>)> {
    let (queue, _) = timer_queue(shared)?;
    let rolls = record.property(property::TIMER_ROLL_TIMES).and_then(|rolls| rolls.parse::<u32>().ok());
    let mut properties = Properties::parse(record.properties());
    note(&mut properties, &[(property::TIMER_ROLL_TIMES, &rolls.unwrap_or(0).saturating_add(1).to_string())]);
    encode(shared, record, properties, TIMER_TOPIC, 0).map(|bytes| (queue, bytes))
}

/// A message as it goes to its topic. `None`: that is gone, or nothing says which it was.
fn real_message(shared: &Shared, record: &RecordView) -> Option<(QueueId, Vec<u8>)> {
    let topic = record.property(property::REAL_TOPIC)?;
    let queue_id: i32 = record.property(property::REAL_QID)?.parse().ok()?;
    let Some(queue) = shared.queue_of(topic, queue_id) else {
        lost(shared, &format!("its topic {topic} is gone"));
        return None;
    };
    if name::is_send_forbidden(topic) {
        return None;
    }
    let mut properties = Properties::parse(record.properties());
    properties.remove(property::REAL_TOPIC);
    properties.remove(property::REAL_QID);
    encode(shared, record, properties, topic, queue_id).map(|bytes| (queue, bytes))
}

fn encode(
    shared: &Shared,
    record: &RecordView,
    mut properties: Properties,
    topic: &str,
    queue_id: i32,
) -> Option<Vec<u8>> {
    let (enqueued, dequeued) = (record.store_timestamp().to_string(), shared.now_ms().to_string());
    let notes = [
        (property::TIMER_ENQUEUE_MS, &*enqueued),
        (property::TIMER_DEQUEUE_MS, &*dequeued),
        (property::WAIT, "false"),
    ];
    note(&mut properties, &notes);
    let mut bytes = Vec::with_capacity(record.raw().len() + 128);
    let prepared = record.prepared_transaction_offset();
    let (times, flag) = (record.reconsume_times(), record.sys_flag());
    if let Err(error) = encode_as(record, topic, queue_id, &properties, times, flag, prepared, &mut bytes) {
        lost(shared, &format!("it does not fit a record: {error:?}"));
        return None;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use rocketwire_store::MemoryStorage;

    use super::*;
    use crate::testing;

    #[test]
    fn other_work_of_the_disk_has_its_turn_however_many_timers_come() {
        const AT_ONCE: usize = ROUNDS * READS * READ.max_messages;
        let (storage, clock) = (MemoryStorage::new(), testing::clock());
        let broker = testing::broker(&storage, &clock);
        let shared = broker.shared();
        let properties = format!("REAL_TOPIC\u{1}T\u{2}TIMER_OUT_MS\u{1}{}\u{2}", shared.now_ms() + 60_000);
        let some = testing::record_for(TIMER_TOPIC, &properties, "x").repeat(READ.max_messages);
        for _ in 0..=AT_ONCE / READ.max_messages {
            testing::store(shared, TIMER_TOPIC, &some);
        }
        turn(shared);
        assert_eq!(shared.timers().len(), AT_ONCE);
        assert!(has_work(shared), "it goes on in a moment");
        turn(shared);
        assert_eq!(shared.timers().len(), AT_ONCE + READ.max_messages);
        assert!(!has_work(shared));
    }
}

//! Verdicts.

use std::{sync::Arc, time::Duration};

use rocketwire_protocol::{
    Command, RequestCode, ResponseCode,
    header::EndTransactionRequestHeader,
    message::{
        NewRecord, Properties, RecordView, TransactionType,
        name::{SCHEDULE_TOPIC, TIMER_TOPIC, TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC},
        property, record,
    },
};
use rocketwire_remoting::Responder;
use rocketwire_store::{Append, AppendError, Appended, QueueId, Wait};

use super::Pending;
use crate::{
    back::{encode_as, note},
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    metrics::Verdict,
    overload::{wait_limit, waited_too_long},
    send::{Inspected, Stored, store_failure},
    shared::Shared,
    timer,
};

const UNKNOWN: i32 = 0;
const COMMIT: i32 = 8;
const ROLLBACK: i32 = 12;

/// Request 37. Reads the half message, so it always may wait for the disk.
pub(crate) fn end(shared: &Arc<Shared>, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: EndTransactionRequestHeader = call.command.header()?;
    match header.commit_or_rollback {
        COMMIT | ROLLBACK => {}
        UNKNOWN => return Ok(Plan::Silence),
        _ => return Err(refuse(ResponseCode::SYSTEM_ERROR, "commitOrRollback field wrong")),
    }
    needs_disk(disk)?;
    let half = verify(shared, &header)?;
    let (real, verdict) = match header.commit_or_rollback {
        COMMIT => {
            let verdict = Verdict::Commit { born_ms: half.born_timestamp() };
            (Some(real_message(shared, &half)?), verdict)
        }
        _ => (None, Verdict::Rollback),
    };
    let offset = header.tran_state_table_offset;
    let Some((offset, pending)) = claim(shared, offset)? else {
        // It has its verdict: answering again must not deliver again.
        return Ok(Plan::success());
    };
    let shared = Arc::clone(shared);
    Ok(Plan::TakeOver(Box::new(move |_, responder| {
        conclude(&shared, offset, pending, real, verdict, Some(responder))
    })))
}

/// Takes a half message for its verdict; `None` if it has one. One that is just stored anew, since its producer is
/// asked, has none yet: this may be it.
fn claim(shared: &Shared, offset: i64) -> Result<Option<(i64, Pending)>, Stop> {
    let since = shared.now();
    loop {
        {
            let mut transactions = shared.transactions();
            if !transactions.is_moving(offset) {
                return Ok(transactions.claim(offset));
            }
        }
        let waited = shared.now().saturating_sub(since);
        if waited > wait_limit(RequestCode::END_TRANSACTION) {
            return Err(waited_too_long(waited, shared.blocking.running()).into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn verify(shared: &Shared, header: &EndTransactionRequestHeader) -> Result<RecordView, Stop> {
    let failed =
        |text: &'static str| refuse(ResponseCode::SYSTEM_ERROR, bytestring::ByteString::from_static(text));
    let read = || shared.store.record_at(header.commit_log_offset).map_err(crate::offset::unreadable);
    let mut bytes = read()?;
    if bytes.is_none() && shared.transactions().is_pending(header.tran_state_table_offset) {
        // It was sent with WAIT=false, and its verdict is here before the flush that shows it.
        if let Err(error) = shared.store.flush() {
            return Err(store_failure(&error).into());
        }
        bytes = read()?;
    }
    let half = bytes
        .and_then(|bytes| RecordView::parse(&bytes).ok())
        .filter(|record| record.topic() == TRANS_HALF_TOPIC)
        .ok_or_else(|| failed("Find prepared transaction message failed"))?;
    if half.property(property::PGROUP) != Some(&header.producer_group) {
        return Err(failed("The producer group wrong"));
    }
    if half.queue_offset() != header.tran_state_table_offset {
        return Err(failed("The transaction state table offset wrong"));
    }
    if half.physical_offset() != header.commit_log_offset {
        return Err(failed("The commit log offset wrong"));
    }
    if header.from_transaction_check != Some(true) && is_past_immunity(shared, &half) {
        // Java gives no text.
        let remark = "the time in which the producer itself may decide is over (CHECK_IMMUNITY_TIME_IN_SECONDS); it is asked";
        return Err(refuse(ResponseCode::ILLEGAL_OPERATION, remark));
    }
    Ok(half)
}

/// Whether the time that the producer reserved for itself is over: from then on it is asked, and only that answer counts.
fn is_past_immunity(shared: &Shared, half: &RecordView) -> bool {
    let Some(seconds) =
        half.property(property::CHECK_IMMUNITY_TIME_IN_SECONDS).filter(|text| !text.is_empty())
    else {
        return false;
    };
    let timeout = i64::try_from(shared.options.transaction_timeout.as_millis()).unwrap_or(i64::MAX);
    // Not before anybody is asked. What is no number says nothing.
    let immunity = seconds.parse::<i64>().unwrap_or(0).saturating_mul(1_000).max(timeout);
    shared.now_ms().saturating_sub(half.born_timestamp()) > immunity
}

/// A committed message as it goes to its topic, or to wait there for its delay.
fn real_message(shared: &Shared, half: &RecordView) -> Result<(QueueId, Vec<u8>), Stop> {
    let mut properties = Properties::parse(half.properties());
    let real_topic = properties.get(property::REAL_TOPIC).unwrap_or_default().to_owned();
    let real_queue: i32 = properties.get(property::REAL_QID).and_then(|id| id.parse().ok()).unwrap_or(0);
    note(&mut properties, &[(property::WAIT, "false")]);
    let level: i32 = properties.get(property::DELAY).and_then(|level| level.parse().ok()).unwrap_or(0);
    let (topic, queue_id) = if level > 0 {
        (SCHEDULE_TOPIC.to_owned(), level.min(shared.options.delay_levels.highest()) - 1)
    } else if let Some(out_ms) = timer_out_ms(shared, &properties)? {
        properties.set(property::TIMER_OUT_MS, &out_ms.to_string());
        (TIMER_TOPIC.to_owned(), 0)
    } else {
        (real_topic, real_queue)
    };
    let queue = shared.queue_of(&topic, queue_id).ok_or_else(|| {
        refuse(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{topic}] queue {queue_id} not exist"))
    })?;
    let sys_flag = half.sys_flag().with_transaction_type(TransactionType::Commit);
    let mut bytes = Vec::with_capacity(half.raw().len() + 64);
    let physical = half.physical_offset();
    encode_as(half, &topic, queue_id, &properties, half.reconsume_times(), sys_flag, physical, &mut bytes)?;
    Ok((queue, bytes))
}

/// When a committed message is out that wants to be delivered at a moment.
fn timer_out_ms(shared: &Shared, properties: &Properties) -> Result<Option<i64>, Stop> {
    let inspected = Inspected::new(properties.as_str());
    let Some(moment) = inspected.timer else {
        return Ok(None);
    };
    let out_ms = timer::out_ms(moment, inspected.is_cancellation, shared.now_ms())?;
    if out_ms.is_some() {
        timer::check_room(shared)?;
    }
    Ok(out_ms)
}

/// Stores the real message, if there is one, then the op record; a failure lets the half message wait again.
pub(super) fn conclude(
    shared: &Arc<Shared>,
    offset: i64,
    pending: Pending,
    real: Option<(QueueId, Vec<u8>)>,
    verdict: Verdict,
    responder: Option<Responder>,
) {
    let conclusion = Conclusion { offset, pending, is_delivered: real.is_some(), verdict, responder };
    let Some((queue, bytes)) = real else {
        write_op(shared, conclusion);
        return;
    };
    let append = Append { queue, records: &bytes, wait: Wait::Write };
    let on_thread = Arc::clone(shared);
    let done = Stored::Call(Box::new(move |result| match result {
        // The store must not be called from its own thread.
        Ok(_) => match on_thread.blocking.slot() {
            Some(slot) => {
                let shared = Arc::clone(&on_thread);
                slot.run(move || write_op(&shared, conclusion));
            }
            None => conclusion.owe_op(&on_thread),
        },
        Err(error) => conclusion.put_back(&on_thread, &error),
    }));
    shared.store.append(append, done);
}

/// A verdict on its way to the op queue.
struct Conclusion {
    /// Of the half message.
    offset: i64,
    pending: Pending,
    /// Its message is where it belongs.
    is_delivered: bool,
    verdict: Verdict,
    responder: Option<Responder>,
}

impl Conclusion {
    fn end(self, shared: &Shared) {
        shared.count_verdict(&self.pending.topic, self.verdict);
        answer(self.responder, Command::response(ResponseCode::SUCCESS));
    }

    /// The op record comes later: were the half message to wait again, its message would be delivered again.
    fn owe_op(self, shared: &Shared) {
        shared.transactions().owe(self.offset);
        self.end(shared);
    }

    fn put_back(self, shared: &Shared, error: &AppendError) {
        shared.transactions().put_back(self.offset, self.pending);
        answer(self.responder, store_failure(error).into());
    }
}

fn write_op(shared: &Arc<Shared>, conclusion: Conclusion) {
    let on_thread = Arc::clone(shared);
    append_op(shared, conclusion.offset, move |result| match result {
        Ok(appended) => {
            on_thread.transactions().done(conclusion.offset, appended.queue_offset + 1);
            conclusion.end(&on_thread);
        }
        Err(_) if conclusion.is_delivered => conclusion.owe_op(&on_thread),
        Err(error) => conclusion.put_back(&on_thread, &error),
    });
}

/// Tries op records again that were not taken.
pub(crate) fn write_owed(shared: &Arc<Shared>) {
    let owed = shared.transactions().take_owed();
    for offset in owed {
        let on_thread = Arc::clone(shared);
        append_op(shared, offset, move |result| match result {
            Ok(appended) => on_thread.transactions().done(offset, appended.queue_offset + 1),
            Err(error) => {
                tracing::debug!(%error, "that a half message has its verdict was not stored; it is tried again");
                on_thread.transactions().owe(offset);
            }
        });
    }
}

fn append_op(
    shared: &Shared,
    offset: i64,
    done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
) {
    let queue = shared.topic(TRANS_OP_HALF_TOPIC).and_then(|topic| topic.queue(0));
    let (Some(queue), Some(bytes)) = (queue, op_record(shared, offset)) else {
        return done(Err(AppendError::UnknownQueue));
    };
    let append = Append { queue, records: &bytes, wait: Wait::Write };
    shared.store.append(append, Stored::Call(Box::new(done)));
}

fn answer(responder: Option<Responder>, response: Command) {
    if let Some(responder) = responder {
        responder.send(response);
    }
}

/// The op record of a half message: tag `d`, its offset as text.
fn op_record(shared: &Shared, offset: i64) -> Option<Vec<u8>> {
    let host = shared.options.advertised.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
    let mut properties = Properties::new();
    properties.set(property::TAGS, "d");
    let body = offset.to_string();
    let new = NewRecord {
        topic: TRANS_OP_HALF_TOPIC,
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: shared.now_ms(),
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.as_bytes(),
        properties: properties.as_str(),
    };
    let mut bytes = Vec::new();
    record::encode(&new, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use rocketwire_store::MemoryStorage;

    use super::*;
    use crate::{
        testing,
        topics::new_config,
        transaction::{Half, check_due},
    };

    #[test]
    fn a_delivered_message_whose_op_record_is_not_taken_is_not_delivered_again() {
        let (storage, clock) = (MemoryStorage::new(), testing::clock());
        let broker = testing::broker(&storage, &clock);
        broker.create_topic(new_config("T", 1, 6)).unwrap();
        let shared = broker.shared();
        let half = "PGROUP\u{1}PG\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}0\u{2}";
        let appended =
            testing::store(shared, TRANS_HALF_TOPIC, &testing::record_for(TRANS_HALF_TOPIC, half, "x"));
        let half = Half { group: "PG".into(), topic: "T".into() };
        shared.transactions().prepared(&appended, half, shared.now_ms());

        // There is no runtime, and so no thread for the op record.
        let (offset, pending) = shared.transactions().claim(0).unwrap();
        let queue = shared.topic("T").unwrap().queue(0).unwrap();
        let real = Some((queue, testing::record_for("T", "", "x")));
        conclude(shared, offset, pending, real, Verdict::Commit { born_ms: 0 }, None);
        testing::until_quiet(shared);
        assert_eq!(shared.store.bounds(queue).max, 1);
        assert!(shared.transactions().claim(0).is_none(), "it has its verdict");
        check_due(shared);
        testing::until_quiet(shared);
        let after_a_kill = testing::broker(&storage.snapshot(), &clock);
        assert_eq!(after_a_kill.shared().transactions().len(), 0, "the op record was written later");
    }
}

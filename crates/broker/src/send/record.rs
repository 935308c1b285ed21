//! From a plan to records in the store.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, RequestCode,
    message::{NewRecord, SysFlag, batch, name, property, record},
};
use rocketwire_remoting::Responder;
use rocketwire_store::{Append, Wait};

use super::{
    Additions, Inspected, SendPlan, Stored,
    answer::{SendDone, refusal},
    finish, illegal,
};
use crate::{
    call::{Refused, owned},
    processor::Writing,
    shared::Shared,
    timer,
    transaction::Half,
};

thread_local! {
    /// Where records are put together; the store copies them. Kept so that a send allocates nothing for it.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A buffer that grew beyond this is given back.
const SCRATCH_MAX: usize = 1 << 20;

#[derive(Default)]
struct Scratch {
    records: Vec<u8>,
    properties: String,
}

/// Stores the message of a send; whoever writes it sends the answer.
pub(crate) fn append(
    shared: &Arc<Shared>,
    plan: Box<SendPlan>,
    command: Command,
    responder: Responder,
    writing: Writing,
) {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.records.clear();
        match encode(shared, &plan, &command, &responder, scratch) {
            Ok(done) => {
                let wait = if done.no_wait { Wait::Write } else { Wait::Flush };
                let append = Append { queue: plan.queue, records: &scratch.records, wait };
                let done = SendDone {
                    shared: Arc::clone(shared),
                    queue_id: plan.answer_queue_id,
                    puts: Arc::clone(&plan.puts),
                    store_host: done.store_host,
                    lengths: done.lengths,
                    bytes: scratch.records.len(),
                    recall: recall_handle(shared, &plan, &command, done.unique_id.as_deref()),
                    unique_id: done.unique_id,
                    traffic: plan.traffic,
                    half: plan
                        .half
                        .clone()
                        .map(|topic| Box::new(Half { group: owned(&plan.header.producer_group), topic })),
                    responder,
                };
                match writing {
                    Writing::AtOnce => shared.store.append(append, Stored::Send(done)),
                    Writing::AfterTurn => shared.store.append_held(append, Stored::Send(done)),
                }
            }
            Err(refused) => responder.send(refusal(shared, refused)),
        }
        if scratch.records.capacity() > SCRATCH_MAX {
            scratch.records = Vec::new();
        }
    });
}

/// What the producer of a timer message may call it back with; batches and retries have none.
fn recall_handle(
    shared: &Shared,
    plan: &SendPlan,
    command: &Command,
    unique_id: Option<&str>,
) -> Option<ByteString> {
    let out_ms = plan.timer_out_ms?;
    let is_single = command.request_code() != RequestCode::SEND_BATCH_MESSAGE;
    if !is_single || name::is_retry_topic(&plan.header.topic) {
        return None;
    }
    let broker = &shared.options.broker_name;
    Some(timer::handle(&plan.header.topic, broker, out_ms, unique_id?).into())
}

/// What the answer needs of the records.
struct Encoded {
    unique_id: Option<ByteString>,
    store_host: SocketAddr,
    lengths: Vec<usize>,
    no_wait: bool,
}

fn encode(
    shared: &Shared,
    plan: &SendPlan,
    command: &Command,
    responder: &Responder,
    scratch: &mut Scratch,
) -> Result<Encoded, Refused> {
    let connection = responder.connection();
    let store_host = shared.options.advertised.unwrap_or_else(|| connection.local_addr());
    let header = &plan.header;
    let text = header.properties.as_ref().map_or("", |text| text.as_ref());
    let inspected = Inspected::new(text);
    let template = NewRecord {
        topic: &plan.topic,
        queue_id: plan.queue_id,
        flag: header.flag,
        sys_flag: plan.sys_flag.0,
        born_timestamp: header.born_timestamp,
        born_host: connection.remote_addr(),
        store_host,
        reconsume_times: header.reconsume_times.unwrap_or(0),
        prepared_transaction_offset: 0,
        body: &command.body,
        properties: "",
    };
    if header.batch == Some(true) {
        let lengths = encode_batch(shared, command, &template, scratch)?;
        return Ok(Encoded {
            unique_id: inspected.unique_id.map(ByteString::from),
            store_host,
            lengths,
            no_wait: inspected.no_wait,
        });
    }
    let made = inspected.unique_id.is_none().then(|| shared.ids.next(shared.now_ms()));
    let unique_id = inspected.unique_id.or(made.as_deref()).unwrap_or_default();
    let mut set: Vec<(&str, &str)> = plan.set.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if plan.half.is_some() {
        set.push((property::TRANSACTION_ID, unique_id));
    }
    let additions = Additions {
        region: &shared.options.region,
        trace_on: shared.options.trace_on,
        cluster: &shared.options.cluster,
        unique_id: made.as_deref(),
        set: &set,
    };
    finish(text, &inspected, &additions, &mut scratch.properties);
    let new = NewRecord { properties: &scratch.properties, ..template };
    record::encode(&new, &mut scratch.records).map_err(|error| illegal(shared, &error.to_string()))?;
    Ok(Encoded {
        unique_id: Some(unique_id.into()),
        store_host,
        lengths: Vec::new(),
        no_wait: inspected.no_wait,
    })
}

/// Every item becomes a record; the batch's own properties are not the items'.
fn encode_batch(
    shared: &Shared,
    command: &Command,
    template: &NewRecord<'_>,
    scratch: &mut Scratch,
) -> Result<Vec<usize>, Refused> {
    let mut lengths = Vec::new();
    for item in batch::items(command.body.clone()) {
        let item = item.map_err(|error| illegal(shared, &error.to_string()))?;
        if item.body.is_empty() {
            return Err(illegal(shared, "an item of the batch has no body"));
        }
        let new = NewRecord {
            flag: item.flag,
            body: &item.body,
            properties: &item.properties,
            sys_flag: SysFlag(template.sys_flag).0,
            ..template.clone()
        };
        let length = record::encode(&new, &mut scratch.records)
            .map_err(|error| illegal(shared, &error.to_string()))?;
        lengths.push(length);
    }
    Ok(lengths)
}

//! Request and reply (Java: `ReplyMessageProcessor`; spec broker B.13): a reply goes straight to the client that
//! waits for it, and then into the reply topic, for who wants to look at it.

use std::{net::SocketAddr, sync::Arc};

use rocketwire_protocol::{
    Command, ResponseCode,
    header::{ReplyMessageRequestHeader, SendMessageResponseHeader},
    message::{NewRecord, OffsetMessageId, Properties, property, record},
};
use rocketwire_remoting::Responder;
use rocketwire_store::{Append, AppendError, Appended, QueueId, Wait};

use crate::{
    call::{Call, Disk, Plan, Refused, Stop, refuse},
    send::{self, SendHeader, Stored, Traced, check_target},
    shared::Shared,
    topics::Topic,
};

/// Requests 324 and 325.
pub(crate) fn plan(shared: &Arc<Shared>, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let mut header = send::parse(call.command)?;
    let topic = check_target(shared, &header, call, disk)?;
    if header.queue_id < 0 {
        header.queue_id = shared.next_of(topic.config.write_queue_nums);
    }
    let (to_store, queue_id) = (header.clone(), header.queue_id);
    let mut properties = Properties::parse(header.properties.as_deref().unwrap_or_default());
    let Some(client_id) = properties.get(property::REPLY_TO_CLIENT).map(str::to_owned) else {
        let remark = "reply message properties[REPLY_TO_CLIENT] is null";
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    };
    let requester = shared.clients().producer_by_client_id(&client_id).map(|member| member.channel.clone());
    let Some(requester) = requester else {
        let remark = format!("push reply message fail, channel of <{client_id}> not found.");
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    };
    let now = shared.now_ms();
    properties.set(property::PUSH_REPLY_TIME, &now.to_string());
    let store_host = shared.options.advertised.unwrap_or_else(|| call.connection.local_addr());
    let push = ReplyMessageRequestHeader {
        producer_group: header.producer_group,
        topic: header.topic,
        default_topic: header.default_topic,
        default_topic_queue_nums: header.default_topic_queue_nums,
        queue_id: header.queue_id,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        flag: header.flag,
        properties: Some(properties.into_string().into()),
        reconsume_times: header.reconsume_times,
        unit_mode: header.unit_mode.unwrap_or(false),
        born_host: call.connection.remote_addr().to_string().into(),
        store_host: store_host.to_string().into(),
        store_timestamp: now,
        base: header.base,
    };
    let push = Command::of(&push).with_body(call.command.body.clone());
    let stored = shared.options.store_replies.then(|| record_of(shared, &to_store, &topic, call)).flatten();
    let timeout = shared.options.relay_timeout;
    let shared = Arc::clone(shared);
    Ok(Plan::TakeOver(Box::new(move |_, responder| {
        let Some(runtime) = shared.blocking.runtime() else {
            return;
        };
        runtime.spawn(async move {
            let pushed = match requester.invoke(push, timeout).await {
                Ok(answer) if answer.response_code().is_success() => Ok(()),
                Ok(_) | Err(_) => Err(format!("push reply message to {client_id}fail.")),
            };
            answer(&shared, pushed, queue_id, stored, responder);
        });
    })))
}

/// A reply as it is stored, after it went out.
struct Record {
    queue: QueueId,
    bytes: Vec<u8>,
    host: SocketAddr,
}

fn record_of(shared: &Shared, header: &SendHeader, topic: &Topic<QueueId>, call: Call<'_>) -> Option<Record> {
    let host = shared.options.advertised.unwrap_or_else(|| call.connection.local_addr());
    let new = NewRecord {
        topic: topic.name(),
        queue_id: header.queue_id,
        flag: header.flag,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: call.connection.remote_addr(),
        store_host: host,
        reconsume_times: header.reconsume_times.unwrap_or(0),
        prepared_transaction_offset: 0,
        body: &call.command.body,
        properties: header.properties.as_deref().unwrap_or_default(),
    };
    let mut bytes = Vec::new();
    record::encode(&new, &mut bytes).ok()?;
    Some(Record { queue: topic.queue(header.queue_id)?, bytes, host })
}

/// Stores the reply, which says something of it only if it went out, and answers the replier.
fn answer(
    shared: &Arc<Shared>,
    pushed: Result<(), String>,
    queue_id: i32,
    stored: Option<Record>,
    responder: Responder,
) {
    let Some(Record { queue, bytes, host }) = stored else {
        responder.send(response(shared, pushed, queue_id, None));
        return;
    };
    let on_thread = Arc::clone(shared);
    let done = Stored::Call(Box::new(move |result: Result<Appended, AppendError>| {
        let stored = match result {
            Ok(appended) => Some((OffsetMessageId { host, offset: appended.physical_offset }, appended)),
            Err(error) => {
                tracing::debug!(%error, "a reply was not stored");
                None
            }
        };
        responder.send(response(&on_thread, pushed, queue_id, stored));
    }));
    shared.store.append(Append { queue, records: &bytes, wait: Wait::Write }, done);
}

fn response(
    shared: &Shared,
    pushed: Result<(), String>,
    queue_id: i32,
    stored: Option<(OffsetMessageId, Appended)>,
) -> Command {
    if let Err(remark) = pushed {
        return send::refusal(shared, Refused::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    let (msg_id, queue_offset) = match stored {
        Some((id, appended)) => (id.to_string().into(), appended.queue_offset),
        None => ("0".into(), 0),
    };
    let header = SendMessageResponseHeader { msg_id, queue_id, queue_offset, ..Default::default() };
    Command::response(ResponseCode::SUCCESS).with_header(&Traced { shared, header: Some(&header) })
}

//! Request and reply (Java: `ReplyMessageProcessor`; spec broker B.13): a reply goes straight to the client that
//! waits for it. It is not stored: who missed it has stopped waiting.

use std::sync::Arc;

use rocketwire_protocol::{
    Command, ResponseCode,
    header::{ReplyMessageRequestHeader, SendMessageResponseHeader},
    message::{Properties, property},
};

use crate::{
    call::{Call, Disk, Plan, Refused, Stop, refuse},
    send::{self, Traced, check_target},
    shared::Shared,
};

/// Requests 324 and 325.
pub(crate) fn plan(shared: &Arc<Shared>, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header = send::parse(call.command)?;
    check_target(shared, &header, call, disk)?;
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
    let timeout = shared.options.relay_timeout;
    let queue_id = header.queue_id;
    let shared = Arc::clone(shared);
    Ok(Plan::TakeOver(Box::new(move |_, responder| {
        let Some(runtime) = shared.blocking.runtime() else {
            return;
        };
        runtime.spawn(async move {
            let response = match requester.invoke(push, timeout).await {
                Ok(answer) if answer.response_code().is_success() => pushed(&shared, queue_id),
                Ok(_) | Err(_) => {
                    let remark = format!("push reply message to {client_id}fail.");
                    send::refusal(&shared, Refused::new(ResponseCode::SYSTEM_ERROR, remark))
                }
            };
            responder.send(response);
        });
    })))
}

fn pushed(shared: &Shared, queue_id: i32) -> Command {
    let header =
        SendMessageResponseHeader { msg_id: "0".into(), queue_id, queue_offset: 0, ..Default::default() };
    Command::response(ResponseCode::SUCCESS).with_header(&Traced { shared, header: Some(&header) })
}

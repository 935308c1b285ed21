//! What an operator asks a client through the broker (Java: `AdminBrokerProcessor.callConsumer`; spec broker B.16).

use std::sync::Arc;

use rocketwire_protocol::{
    Command, ResponseCode, Version,
    body::{self, GetConsumerStatusBody},
    header::{
        ConsumeMessageDirectlyResultRequestHeader, GetConsumerRunningInfoRequestHeader,
        GetConsumerStatusRequestHeader,
    },
    message::OffsetMessageId,
};
use rocketwire_remoting::{Connection, RpcErrorKind};

use crate::{
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    shared::Shared,
};

/// Request 307.
pub(crate) fn running_info(shared: &Arc<Shared>, call: Call<'_>) -> Result<Plan, Stop> {
    let header: GetConsumerRunningInfoRequestHeader = call.command.header()?;
    let command = Command::of(&header);
    relay(shared, &header.consumer_group, &header.client_id, command)
}

/// Request 309: the message goes along.
pub(crate) fn consume_directly(shared: &Arc<Shared>, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let mut header: ConsumeMessageDirectlyResultRequestHeader = call.command.header()?;
    needs_disk(disk)?;
    let id: Option<OffsetMessageId> = header.msg_id.as_deref().and_then(|id| id.parse().ok());
    let Some(id) = id else {
        return Err(refuse(ResponseCode::SYSTEM_ERROR, "msgId is not the offset id of a message"));
    };
    let original = crate::back::original(shared, id.offset)?;
    header.broker_name = Some(shared.options.broker_name.clone());
    header.topic_sys_flag = shared.topic(original.topic()).map(|topic| topic.config.topic_sys_flag);
    header.group_sys_flag = shared.group(&header.consumer_group).map(|group| group.group_sys_flag);
    let command = Command::of(&header).with_body(original.raw());
    let client_id = header.client_id.clone().unwrap_or_default();
    relay(shared, &header.consumer_group, &client_id, command)
}

fn relay(shared: &Arc<Shared>, group: &str, client_id: &str, command: Command) -> Result<Plan, Stop> {
    let found =
        shared.clients().consumer(group, client_id).map(|member| (member.channel.clone(), member.version));
    let Some((consumer, version)) = found else {
        let remark = format!("The Consumer <{group}> <{client_id}> not online");
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    };
    if version < Version::V3_1_8_SNAPSHOT {
        let remark = format!(
            "The Consumer <{client_id}> Version <{}> too low to finish, please upgrade it to V3_1_8_SNAPSHOT",
            version.name().map_or_else(|| version.0.to_string(), str::to_owned)
        );
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    }
    let timeout = shared.options.relay_timeout;
    let (group, client_id) = (group.to_owned(), client_id.to_owned());
    let shared = Arc::clone(shared);
    Ok(Plan::TakeOver(Box::new(move |_, responder| {
        let Some(runtime) = shared.blocking.runtime() else {
            return;
        };
        runtime.spawn(async move {
            let response = match consumer.invoke(command, timeout).await {
                Ok(answer) => answer,
                Err(error) if error.kind() == RpcErrorKind::Timeout => {
                    let remark = format!("consumer <{group}> <{client_id}> Timeout: {error}");
                    Command::error(ResponseCode::CONSUME_MSG_TIMEOUT, remark)
                }
                Err(error) => {
                    let remark = format!("invoke consumer <{group}> <{client_id}> Exception: {error}");
                    Command::error(ResponseCode::SYSTEM_ERROR, remark)
                }
            };
            responder.send(response);
        });
    })))
}

/// Request 223: asks every consumer of the group (221), or one, for its offsets.
pub(crate) fn consumer_status(shared: &Arc<Shared>, call: Call<'_>) -> Result<Plan, Stop> {
    let header: GetConsumerStatusRequestHeader = call.command.header()?;
    let wanted = header.client_addr.clone().filter(|client| !client.is_empty());
    let members: Vec<(bytestring::ByteString, Connection)> = shared
        .clients()
        .consumer_group(&header.group)
        .map(|group| group.members.values().map(|m| (m.client_id.clone(), m.channel.clone())).collect())
        .unwrap_or_default();
    if members.is_empty() {
        let remark = format!("No Any Consumer online in the consumer group: [{}]", header.group);
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    }
    let timeout = shared.options.relay_timeout;
    let shared = Arc::clone(shared);
    Ok(Plan::TakeOver(Box::new(move |_, responder| {
        let Some(runtime) = shared.blocking.runtime() else {
            return;
        };
        runtime.spawn(async move {
            let mut status = GetConsumerStatusBody::default();
            for (client_id, consumer) in members {
                if wanted.as_ref().is_some_and(|wanted| *wanted != client_id) {
                    continue;
                }
                let mut ask = Command::of(&header);
                ask.code = rocketwire_protocol::RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT.0;
                let Ok(answer) = consumer.invoke(ask, timeout).await else {
                    continue;
                };
                if let Ok(offsets) = body::decode::<GetConsumerStatusBody>(&answer.body) {
                    status.consumer_table.insert(client_id, offsets.message_queue_table);
                }
            }
            responder.send(Command::response(ResponseCode::SUCCESS).with_body(body::encode(&status)));
        });
    })))
}

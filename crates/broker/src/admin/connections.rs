//! Who is connected.

use bytestring::ByteString;
use rocketwire_protocol::{
    ResponseCode,
    body::{
        self, Connection, ConsumerConnection, ProducerConnection, ProducerInfo, ProducerTableInfo,
        QuerySubscriptionResponseBody,
    },
    header::{
        GetConsumerConnectionListRequestHeader, GetProducerConnectionListRequestHeader,
        QuerySubscriptionByConsumerRequestHeader,
    },
};

use super::with_body;
use crate::{
    call::{Call, Plan, Stop, refuse},
    groups::Member,
    shared::Shared,
};

type Client = Member<rocketwire_remoting::Connection>;

fn connection(member: &Client) -> Connection {
    Connection {
        client_addr: address(member),
        client_id: member.client_id.clone(),
        language: member.language,
        version: member.version.0,
    }
}

fn address(member: &Client) -> ByteString {
    member.channel.remote_addr().to_string().into()
}

/// Request 203.
pub(super) fn consumers(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: GetConsumerConnectionListRequestHeader = call.command.header()?;
    let clients = shared.clients();
    let Some(group) = clients.consumer_group(&header.consumer_group) else {
        let remark = format!("the consumer group[{}] not online", header.consumer_group);
        return Err(refuse(ResponseCode::CONSUMER_NOT_ONLINE, remark));
    };
    let subscription =
        |(topic, subscription): (&ByteString, &std::sync::Arc<crate::groups::Subscription>)| {
            (topic.clone(), subscription.data.clone())
        };
    with_body(body::encode(&ConsumerConnection {
        connection_set: group.members.values().map(connection).collect(),
        consume_from_where: group.consume_from_where,
        consume_type: group.consume_type,
        message_model: group.message_model,
        subscription_table: group.subscriptions.iter().map(subscription).collect(),
    }))
}

/// Request 204.
pub(super) fn producers(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: GetProducerConnectionListRequestHeader = call.command.header()?;
    let clients = shared.clients();
    let Some(members) = clients.producers(&header.producer_group) else {
        let remark = format!("the producer group[{}] not exist", header.producer_group);
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    };
    with_body(body::encode(&ProducerConnection { connection_set: members.map(connection).collect() }))
}

/// Request 328.
pub(super) fn all_producers(shared: &Shared) -> Result<Plan, Stop> {
    let (now, now_ms) = (shared.now(), shared.now_ms());
    let clients = shared.clients();
    let info = |member: &Client| {
        let silence = i64::try_from(now.saturating_sub(member.seen).as_millis()).unwrap_or(0);
        ProducerInfo {
            client_id: member.client_id.clone(),
            language: member.language,
            last_update_timestamp: now_ms - silence,
            remote_ip: address(member),
            version: member.version.0,
        }
    };
    let data = clients.producer_groups().map(|(group, members)| (group.clone(), members.map(info).collect()));
    with_body(body::encode(&ProducerTableInfo { data: data.collect() }))
}

/// Request 345.
pub(super) fn subscription(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: QuerySubscriptionByConsumerRequestHeader = call.command.header()?;
    let topic = header.topic.unwrap_or_default();
    let clients = shared.clients();
    let subscription =
        clients.consumer_group(&header.group).and_then(|group| group.subscriptions.get(&topic));
    with_body(body::encode(&QuerySubscriptionResponseBody {
        subscription_data: subscription.map(|subscription| subscription.data.clone()),
        group: header.group,
        topic,
    }))
}

//! Heartbeats and membership (Java: `ClientManageProcessor`, `ConsumerManageProcessor`; spec broker B.8, B.9).

use rocketwire_protocol::{
    Command, ResponseCode,
    body::{self, CheckClientRequestBody, ConsumerData, GetConsumerListByGroupResponseBody, HeartbeatData},
    header::{GetConsumerListByGroupRequestHeader, UnregisterClientRequestHeader},
    message::name,
};

use crate::{
    call::{Call, Disk, Plan, Stop, refuse},
    filter::{Filter, FilterError, unsupported},
    groups::{Heartbeat, TooMany},
    shared::Shared,
    topics::{PERM_READ, PERM_WRITE, new_config, unit_sub_flag},
};

/// The longest client id in bytes; Java's are below 100.
pub(crate) const CLIENT_ID_MAX: usize = 1_024;

/// Request 34.
pub(crate) fn heartbeat(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let mut data: HeartbeatData = body::decode(&call.command.body)?;
    check_bounds(shared, &data)?;
    leave_out(&mut data);
    // Groups and retry topics first: if one of them has to be created, nothing has been registered yet.
    for consumer in &data.consumer_data_set {
        prepare_group(shared, consumer, disk)?;
    }
    let from = Heartbeat {
        connection: call.connection.id(),
        language: call.command.language,
        version: call.command.version,
        channel: call.connection.clone(),
    };
    let now = shared.now();
    let mut changes = Vec::new();
    let mut is_sub_change = data.heartbeat_fingerprint == 0;
    {
        let mut clients = shared.clients();
        clients.register_producers(&from, &data, now).map_err(too_many)?;
        for consumer in &data.consumer_data_set {
            if shared.group(&consumer.group_name).is_none() {
                // Unknown, and not to be created: Java leaves it out without a word.
                continue;
            }
            if data.heartbeat_fingerprint != 0 {
                is_sub_change |= clients.update_fingerprint(&consumer.group_name, data.heartbeat_fingerprint);
            }
            changes.extend(clients.register_consumer(&from, &data, consumer, now).map_err(too_many)?);
            // It keeps its subscriptions back because we knew them, before a restart or before all members were gone.
            is_sub_change |= data.without_sub && clients.has_no_subscription(&consumer.group_name);
        }
        if !call.connection.is_open() {
            // It closed before it was registered, and nobody will tell again.
            clients.connection_closed(from.connection);
        }
    }
    shared.notify(changes);
    let response = Command::response(ResponseCode::SUCCESS)
        .with_field("IS_SUPPORT_HEART_BEAT_V2", "true")
        .with_field("IS_SUB_CHANGE", if is_sub_change { "true" } else { "false" });
    Ok(response.into())
}

fn check_bounds(shared: &Shared, data: &HeartbeatData) -> Result<(), Stop> {
    let invalid = |remark: String| Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    let options = &shared.options;
    let groups = data.producer_data_set.len() + data.consumer_data_set.len();
    if groups > options.max_heartbeat_groups {
        return invalid(format!("{groups} groups in a heartbeat exceed {}", options.max_heartbeat_groups));
    }
    let subscriptions: usize =
        data.consumer_data_set.iter().map(|group| group.subscription_data_set.len()).sum();
    if subscriptions > options.max_heartbeat_subscriptions {
        let limit = options.max_heartbeat_subscriptions;
        return invalid(format!("{subscriptions} subscriptions in a heartbeat exceed {limit}"));
    }
    check_client_id(&data.client_id)?;
    for group in &data.producer_data_set {
        // A producer group is stored nowhere; only its length matters.
        if group.group_name.len() > CLIENT_ID_MAX {
            return invalid(format!(
                "a producer group of {} bytes exceeds {CLIENT_ID_MAX}",
                group.group_name.len()
            ));
        }
    }
    Ok(())
}

/// Groups and topics whose names are none cannot be there. They do not keep the others of the same process from being
/// registered: Java leaves them out, too, without a word.
fn leave_out(data: &mut HeartbeatData) {
    data.consumer_data_set.retain(|consumer| name::check_group(&consumer.group_name).is_ok());
    for consumer in &mut data.consumer_data_set {
        consumer.subscription_data_set.retain(|data| name::check_topic(&data.topic).is_ok());
    }
}

pub(crate) fn check_client_id(id: &str) -> Result<(), Stop> {
    if (1..=CLIENT_ID_MAX).contains(&id.len()) {
        return Ok(());
    }
    let remark = format!("a client id of {} bytes is not one of 1 to {CLIENT_ID_MAX}", id.len());
    Err(refuse(ResponseCode::INVALID_PARAMETER, remark))
}

fn prepare_group(shared: &Shared, consumer: &ConsumerData, disk: Disk) -> Result<(), Stop> {
    let config = match shared.group(&consumer.group_name) {
        Some(config) => config,
        None if shared.options.auto_create_group => shared.group_or_create(&consumer.group_name, disk)?,
        None => return Ok(()),
    };
    let queues = config.retry_queue_nums.max(0);
    let mut retry = new_config(&name::retry_topic(&consumer.group_name), queues, PERM_READ | PERM_WRITE);
    if shared.topic(&retry.topic_name).is_none() {
        retry.order = consumer
            .subscription_data_set
            .iter()
            .any(|data| shared.topic(&data.topic).is_some_and(|topic| topic.config.order));
        retry.topic_sys_flag = unit_sub_flag(consumer.unit_mode);
        shared.topic_or_create(retry, disk)?;
    }
    Ok(())
}

fn too_many(bound: TooMany) -> Stop {
    let remark =
        format!("the broker has {} groups with clients, which is the limit; see max_groups", bound.limit);
    refuse(ResponseCode::SYSTEM_ERROR, remark)
}

/// Request 35.
pub(crate) fn unregister(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: UnregisterClientRequestHeader = call.command.header()?;
    let connection = call.connection.id();
    let changed = {
        let mut clients = shared.clients();
        if let Some(group) = header.producer_group.filter(|group| !group.is_empty()) {
            clients.unregister_producer(connection, &group);
        }
        match header.consumer_group.filter(|group| !group.is_empty()) {
            Some(group) => clients.unregister_consumer(connection, &group),
            None => None,
        }
    };
    shared.notify(changed.into_iter().collect());
    Ok(Plan::success())
}

/// Request 46.
pub(crate) fn check_config(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let Ok(request) = body::decode::<CheckClientRequestBody>(&call.command.body) else {
        return Ok(Plan::success());
    };
    let Some(subscription) = request.subscription_data else {
        return Ok(Plan::success());
    };
    let kind = &*subscription.expression_type;
    let failed = |remark: String| Err(refuse(ResponseCode::SUBSCRIPTION_PARSE_FAILED, remark));
    if kind == "SQL92" && !shared.options.enable_property_filter {
        return Err(unsupported(kind).into());
    }
    match Filter::compile(Some(kind), &subscription.sub_string) {
        Ok(_) => Ok(Plan::success()),
        Err(FilterError::Type(kind)) => Err(unsupported(&kind).into()),
        Err(FilterError::Tags) => failed("subString split error".to_owned()),
        Err(FilterError::Sql(error)) => failed(format!("Invalid MessageSelector. {error}")),
    }
}

/// Request 38.
pub(crate) fn members(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: GetConsumerListByGroupRequestHeader = call.command.header()?;
    let clients = shared.clients();
    let Some(group) = clients.consumer_group(&header.consumer_group) else {
        let remark = format!("no consumer for this group, {}", header.consumer_group);
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    };
    let mut consumer_id_list: Vec<_> =
        group.members.values().map(|member| member.client_id.clone()).collect();
    // A client may have several connections.
    consumer_id_list.sort();
    consumer_id_list.dedup();
    let body = body::encode(&GetConsumerListByGroupResponseBody { consumer_id_list });
    Ok(Command::response(ResponseCode::SUCCESS).with_body(body).into())
}

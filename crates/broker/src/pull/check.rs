//! The checks of a pull, in Java's order.

use std::{sync::Arc, time::Duration};

use bytestring::ByteString;
use rocketwire_protocol::{
    ResponseCode,
    body::{MessageModel, SubscriptionGroupConfig},
    header::PullMessageRequestHeader,
    message::name,
};
use rocketwire_store::QueueId;

use super::{HeldPull, PullTask, read::moved};
use crate::{
    call::{Call, Disk, FAQ, Forbidden, Plan, Stop, forbid, refuse},
    filter::{Filter, FilterError, unsupported},
    groups::Subscription,
    shared::Shared,
    topics::Topic,
};

const COMMIT_OFFSET: i32 = 1;
const SUSPEND: i32 = 2;
const SUBSCRIPTION: i32 = 4;

/// Decides about a pull on its first pass; a parked one is answered by [`PullTask::serve`].
pub(crate) fn plan(shared: &Arc<Shared>, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: PullMessageRequestHeader = call.command.header()?;
    if !shared.is_readable() {
        let remark = format!("the broker[{}] pulling message is forbidden", shared.ip(call));
        return Err(forbid(Forbidden::Broker, remark));
    }
    // The first pass commits. Until a second one the consumer may have come further.
    let is_first = disk == Disk::Avoid || shared.group(&header.consumer_group).is_none();
    let group = check_group(shared, &header.consumer_group, disk)?;
    let (topic, queue) = check_queue(shared, &header, call)?;
    let filter = check_subscription(shared, &header, &group)?;
    let task = PullTask {
        group: group.group_name.clone(),
        group_sys_flag: group.group_sys_flag,
        topic,
        queue_id: header.queue_id,
        queue,
        offset: header.queue_offset,
        max_messages: header.max_msg_nums,
        filter,
    };
    if is_first && header.sys_flag & COMMIT_OFFSET != 0 {
        shared.offsets().commit(&task.group, task.topic.name(), task.queue_id, header.commit_offset);
    }
    if let Some(response) = moved(shared, &task) {
        return Ok(response.into());
    }
    let (answer, messages) = task.read(shared, disk)?;
    let may_park = header.sys_flag & SUSPEND != 0 && !shared.is_stopping();
    if may_park && answer.response_code() == ResponseCode::PULL_NOT_FOUND {
        let asked = Duration::from_millis(u64::try_from(header.suspend_timeout_millis).unwrap_or(0));
        let timeout = asked.min(shared.options.max_suspend);
        return Ok(Plan::Park(Box::new(HeldPull { task, timeout, answer })));
    }
    task.count(shared, &answer, messages);
    Ok(answer.into())
}

fn check_group(
    shared: &Shared,
    group: &ByteString,
    disk: Disk,
) -> Result<Arc<SubscriptionGroupConfig>, Stop> {
    let config = match shared.group(group) {
        Some(config) => config,
        None if shared.options.auto_create_group => shared.group_or_create(group, disk)?,
        None => {
            name::check_group(group)
                .map_err(|error| refuse(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
            let remark = format!("subscription group [{group}] does not exist, {FAQ}");
            return Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
        }
    };
    if !config.consume_enable {
        let remark = format!("subscription group no permission, {group}");
        return Err(forbid(Forbidden::Group, remark));
    }
    Ok(config)
}

fn check_queue(
    shared: &Shared,
    header: &PullMessageRequestHeader,
    call: Call<'_>,
) -> Result<(Arc<Topic<QueueId>>, QueueId), Stop> {
    let Some(topic) = shared.topic(&header.topic) else {
        name::check_topic(&header.topic)
            .map_err(|error| refuse(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
        let remark = format!("topic[{}] not exist, apply first please! {FAQ}", header.topic);
        return Err(refuse(ResponseCode::TOPIC_NOT_EXIST, remark));
    };
    if !topic.is_readable() {
        let remark = format!("the topic[{}] pulling message is forbidden", header.topic);
        return Err(forbid(Forbidden::Topic, remark));
    }
    let queue = topic.queue(header.queue_id).filter(|_| header.queue_id < topic.config.read_queue_nums);
    match queue {
        Some(queue) => Ok((topic, queue)),
        None => {
            let remark = format!(
                "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}] consumer:[{}]",
                header.queue_id,
                header.topic,
                topic.config.read_queue_nums,
                call.connection.remote_addr()
            );
            Err(refuse(ResponseCode::INVALID_PARAMETER, remark))
        }
    }
}

/// The expression comes with the pull, or was in the group's heartbeat.
fn check_subscription(
    shared: &Shared,
    header: &PullMessageRequestHeader,
    group: &SubscriptionGroupConfig,
) -> Result<Filter, Stop> {
    if header.sys_flag & SUBSCRIPTION != 0 {
        let kind = header.expression_type.as_deref();
        check_offered(shared, kind)?;
        let filter = Filter::compile(kind, header.subscription.as_deref().unwrap_or_default());
        return filter.map_err(|error| unusable(&error, NOT_PARSED));
    }
    let subscription = find_subscription(shared, header, group)?;
    let is_older = subscription.data.sub_version < header.sub_version;
    match subscription.filter() {
        // Apache refuses whatever is newer than the heartbeat. Where everything is wanted there is nothing that the
        // heartbeat could still change: serving it spares Java 5.3 clients up to 20 s of refusals after a rebalance.
        Ok(Filter::All) => Ok(Filter::All),
        _ if is_older => {
            let remark = "the consumer's subscription not latest";
            Err(refuse(ResponseCode::SUBSCRIPTION_NOT_LATEST, remark))
        }
        filter => {
            check_offered(shared, Some(&subscription.data.expression_type))?;
            filter.cloned().map_err(|error| unusable(error, NO_FILTER_DATA))
        }
    }
}

/// What the group's heartbeat said of the topic.
fn find_subscription(
    shared: &Shared,
    header: &PullMessageRequestHeader,
    group: &SubscriptionGroupConfig,
) -> Result<Arc<Subscription>, Stop> {
    let clients = shared.clients();
    let Some(consumers) = clients.consumer_group(&header.consumer_group) else {
        let remark = format!("the consumer's group info not exist{FAQ}");
        return Err(refuse(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark));
    };
    if !group.consume_broadcast_enable && consumers.message_model == MessageModel::Broadcasting {
        let remark =
            format!("the consumer group[{}] can not consume by broadcast way", header.consumer_group);
        return Err(forbid(Forbidden::Broadcast, remark));
    }
    if shared.groups().is_forbidden(&header.consumer_group, &header.topic) {
        let remark =
            format!("the consumer group[{}] is forbidden for topic[{}]", header.consumer_group, header.topic);
        return Err(forbid(Forbidden::Subscription, remark));
    }
    let Some(subscription) = consumers.subscriptions.get(&header.topic) else {
        let remark = format!("the consumer's subscription not exist{FAQ}");
        return Err(refuse(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark));
    };
    Ok(Arc::clone(subscription))
}

const NOT_PARSED: (ResponseCode, &str) =
    (ResponseCode::SUBSCRIPTION_PARSE_FAILED, "parse the consumer's subscription failed");
const NO_FILTER_DATA: (ResponseCode, &str) = (
    ResponseCode::FILTER_DATA_NOT_EXIST,
    "The broker's consumer filter data is not exist!Your expression may be wrong!",
);

/// The answer to an expression that cannot be used; that to a wrong SQL92 one depends on where it came from.
fn unusable(error: &FilterError, of_sql: (ResponseCode, &str)) -> Stop {
    match error {
        FilterError::Type(kind) => unsupported(kind).into(),
        FilterError::Tags => refuse(NOT_PARSED.0, NOT_PARSED.1),
        FilterError::Sql(error) => refuse(of_sql.0, format!("{} {error}", of_sql.1)),
    }
}

fn check_offered(shared: &Shared, kind: Option<&str>) -> Result<(), Stop> {
    match kind {
        Some(kind @ "SQL92") if !shared.options.enable_property_filter => Err(unsupported(kind).into()),
        _ => Ok(()),
    }
}

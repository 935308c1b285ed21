//! Offsets of groups and queues (Java: `ConsumerManageProcessor`, `AdminBrokerProcessor`; spec broker B.7).

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, ResponseCode,
    header::{
        BoundaryType, GetEarliestMsgStoretimeRequestHeader, GetEarliestMsgStoretimeResponseHeader,
        GetMaxOffsetRequestHeader, GetMaxOffsetResponseHeader, GetMinOffsetRequestHeader,
        GetMinOffsetResponseHeader, QueryConsumerOffsetRequestHeader, QueryConsumerOffsetResponseHeader,
        SearchOffsetRequestHeader, SearchOffsetResponseHeader, UpdateConsumerOffsetRequestHeader,
    },
};
use rocketwire_store::QueueId;

use crate::{
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    offsets::Committed,
    shared::Shared,
};

/// Request 15.
pub(crate) fn update(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: UpdateConsumerOffsetRequestHeader = call.command.header()?;
    let group = &header.consumer_group;
    let Some(config) = shared.group(group) else {
        return Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, format!("Group {group} not exist!")));
    };
    let Some(topic) = shared.topic(&header.topic) else {
        return Err(refuse(ResponseCode::TOPIC_NOT_EXIST, format!("Topic {} not exist!", header.topic)));
    };
    if topic.queue(header.queue_id).is_none() {
        let remark = format!("QueueId {} is illegal, topic is {}", header.queue_id, header.topic);
        return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    }
    let committed =
        shared.offsets().commit(&config.group_name, topic.name(), header.queue_id, header.commit_offset);
    Ok(match committed {
        Committed::Stored | Committed::Ignored => Plan::success(),
        Committed::ResetPending => Command::response(ResponseCode::SUCCESS)
            .with_remark(ByteString::from_static("Offset has been previously reset"))
            .into(),
    })
}

/// Request 14. The middle rule is Java's: a new group begins with the first message of a young queue.
pub(crate) fn query(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: QueryConsumerOffsetRequestHeader = call.command.header()?;
    let committed = shared.offsets().committed(&header.consumer_group, &header.topic, header.queue_id);
    let offset = match committed {
        Some(offset) => offset,
        None if header.set_zero_if_not_found == Some(false) => {
            let remark = "Not found, do not set to zero, maybe this group boot first";
            return Err(refuse(ResponseCode::QUERY_NOT_FOUND, remark));
        }
        None if begins_at_zero(shared, &header.topic, header.queue_id) => 0,
        None => {
            let remark = "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first";
            return Err(refuse(ResponseCode::QUERY_NOT_FOUND, remark));
        }
    };
    let header = QueryConsumerOffsetResponseHeader { offset, ..Default::default() };
    Ok(Command::response(ResponseCode::SUCCESS).with_header(&header).into())
}

/// All of a log of this size counts as in memory. Java: 40 % of the machine's memory, whatever is there in fact.
const YOUNG_LOG_BYTES: i64 = 4 << 30;

/// Whether a queue's first message was never deleted, and is in memory or might be.
fn begins_at_zero(shared: &Shared, topic: &str, queue_id: i32) -> bool {
    queue(shared, topic, queue_id).is_some_and(|queue| {
        let (bounds, log) = (shared.store.bounds(queue), shared.store.physical_bounds());
        let is_young = || log.max - log.min <= YOUNG_LOG_BYTES || shared.store.is_resident(queue, 0);
        bounds.min <= 0 && bounds.max > 0 && is_young()
    })
}

/// Request 29.
pub(crate) fn search(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: SearchOffsetRequestHeader = call.command.header()?;
    let boundary = match header.boundary_type.unwrap_or_default() {
        BoundaryType::Lower => rocketwire_store::BoundaryType::Lower,
        BoundaryType::Upper => rocketwire_store::BoundaryType::Upper,
    };
    let offset = match queue(shared, &header.topic, header.queue_id) {
        None => 0,
        Some(queue) => {
            needs_disk(disk)?;
            shared.store.offset_by_time(queue, header.timestamp, boundary).map_err(unreadable)?
        }
    };
    let header = SearchOffsetResponseHeader { offset, ..Default::default() };
    Ok(Command::response(ResponseCode::SUCCESS).with_header(&header).into())
}

/// Request 30.
pub(crate) fn max(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: GetMaxOffsetRequestHeader = call.command.header()?;
    let queue = queue(shared, &header.topic, header.queue_id);
    let header = GetMaxOffsetResponseHeader {
        offset: queue.map_or(0, |queue| shared.store.bounds(queue).max),
        ..Default::default()
    };
    Ok(Command::response(ResponseCode::SUCCESS).with_header(&header).into())
}

/// Request 31.
pub(crate) fn min(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: GetMinOffsetRequestHeader = call.command.header()?;
    let queue = queue(shared, &header.topic, header.queue_id);
    let header = GetMinOffsetResponseHeader {
        offset: queue.map_or(-1, |queue| shared.store.bounds(queue).min),
        ..Default::default()
    };
    Ok(Command::response(ResponseCode::SUCCESS).with_header(&header).into())
}

/// Request 32.
pub(crate) fn earliest(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: GetEarliestMsgStoretimeRequestHeader = call.command.header()?;
    let timestamp = match queue(shared, &header.topic, header.queue_id) {
        None => -1,
        Some(queue) => {
            needs_disk(disk)?;
            let min = shared.store.bounds(queue).min;
            shared.store.store_time(queue, min).map_err(unreadable)?.unwrap_or(-1)
        }
    };
    let header = GetEarliestMsgStoretimeResponseHeader { timestamp, ..Default::default() };
    Ok(Command::response(ResponseCode::SUCCESS).with_header(&header).into())
}

fn queue(shared: &Shared, topic: &str, queue_id: i32) -> Option<QueueId> {
    shared.topic(topic)?.queue(queue_id)
}

pub(crate) fn unreadable(error: rocketwire_store::ReadError) -> Stop {
    refuse(ResponseCode::SYSTEM_ERROR, error.to_string())
}

//! Moving a group, on the server side (spec broker B.16): its offset changes at once, and who is pulling learns of it
//! by the next answer, whatever its language.

use rocketwire_protocol::{
    ResponseCode,
    body::{self, MessageQueue, ResetOffsetBody},
    header::ResetOffsetRequestHeader,
};
use rocketwire_store::{BoundaryType, QueueId};

use super::with_body;
use crate::{
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    offset::unreadable,
    shared::Shared,
};

/// Request 222.
pub(crate) fn reset_offset(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: ResetOffsetRequestHeader = call.command.header()?;
    let Some(topic) = shared.topic(&header.topic) else {
        let remark = format!("Topic {} does not exist", header.topic);
        return Err(refuse(ResponseCode::TOPIC_NOT_EXIST, remark));
    };
    let Some(group) = shared.group(&header.group) else {
        let remark = format!("Group {} does not exist", header.group);
        return Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    needs_disk(disk)?;
    let is_meant = |id: i32| header.queue_id < 0 || header.queue_id == id;
    let queues: Vec<(i32, QueueId)> = topic.read_queues().filter(|(id, _)| is_meant(*id)).collect();
    if queues.is_empty() {
        return Err(refuse(ResponseCode::SYSTEM_ERROR, "No queues to reset."));
    }
    let mut targets = Vec::new();
    for (id, queue) in queues {
        targets.push((id, target(shared, &header, queue)?));
    }
    let mut body = ResetOffsetBody::default();
    let mut offsets = shared.offsets();
    for (id, offset) in targets {
        offsets.reset(&group.group_name, topic.name(), id, offset);
        let queue = MessageQueue::new(topic.name().clone(), shared.options.broker_name.clone(), id);
        body.offset_table.insert(queue, offset);
    }
    with_body(body::encode(&body))
}

fn target(shared: &Shared, header: &ResetOffsetRequestHeader, queue: QueueId) -> Result<i64, Stop> {
    let bounds = shared.store.bounds(queue);
    match header.offset {
        Some(offset) if header.queue_id >= 0 && offset >= 0 => {
            if (bounds.min..=bounds.max).contains(&offset) {
                return Ok(offset);
            }
            let remark =
                format!("Target offset {offset} not in consume queue range [{}-{}]", bounds.min, bounds.max);
            Err(refuse(ResponseCode::SYSTEM_ERROR, remark))
        }
        _ if header.timestamp < 0 => Ok(bounds.max),
        _ => shared.store.offset_by_time(queue, header.timestamp, BoundaryType::Lower).map_err(unreadable),
    }
}

//! What groups may not read (request 353).

use rocketwire_protocol::{
    ResponseCode,
    body::{self, GroupForbidden},
    header::UpdateGroupForbiddenRequestHeader,
};

use super::with_body;
use crate::{
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    shared::Shared,
};

/// Request 353: says whether a group may read a topic; with `readable`, it may from now on, or not.
pub(super) fn update(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: UpdateGroupForbiddenRequestHeader = call.command.header()?;
    if let Some(readable) = header.readable {
        if shared.group(&header.group).is_none() {
            let remark = format!("No group in this broker. group: {}", header.group);
            return Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
        }
        if shared.topic(&header.topic).is_none() {
            let remark = format!("No topic in this broker. topic: {}", header.topic);
            return Err(refuse(ResponseCode::TOPIC_NOT_EXIST, remark));
        }
        needs_disk(disk)?;
        shared.groups_mut().forbid(&header.group, &header.topic, !readable, shared.now_ms());
        if let Err(error) = shared.tables.save_groups(shared) {
            let remark = format!("the change works, but is lost with the next restart: {error}");
            return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
        }
    }
    let is_forbidden = shared.groups().is_forbidden(&header.group, &header.topic);
    with_body(body::encode(&GroupForbidden {
        group: header.group,
        readable: Some(!is_forbidden),
        topic: header.topic,
    }))
}

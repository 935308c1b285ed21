//! Settings of consumer groups.

use rocketwire_protocol::{
    Command, ResponseCode,
    body::{self, SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroupWrapper},
    header::{
        DeleteSubscriptionGroupRequestHeader, GetAllSubscriptionGroupRequestHeader,
        GetAllSubscriptionGroupResponseHeader, GetSubscriptionGroupConfigRequestHeader,
    },
    message::name,
};

use super::{page::Page, with_body};
use crate::{
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    shared::Shared,
};

/// Request 200.
pub(super) fn update(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let config: SubscriptionGroupConfig = body::decode(&call.command.body)?;
    put(shared, vec![config], disk)
}

/// Request 225.
pub(super) fn update_list(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let list: SubscriptionGroupList = body::decode(&call.command.body)?;
    put(shared, list.group_config_list, disk)
}

fn put(shared: &Shared, configs: Vec<SubscriptionGroupConfig>, disk: Disk) -> Result<Plan, Stop> {
    for config in &configs {
        name::check_group(&config.group_name)
            .map_err(|error| refuse(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
        // Java knows no attribute of groups, and says so of each.
        if let Some(key) = config.attributes.keys().next() {
            let remark = format!("unsupported key: {}", key.trim_start_matches(['+', '-']));
            return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
        }
        let queues = config.retry_queue_nums;
        if queues > shared.options.max_topic_queues {
            let remark = format!("{queues} retry queues exceed {}", shared.options.max_topic_queues);
            return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
        }
    }
    needs_disk(disk)?;
    let since = shared.now();
    let updated =
        configs.into_iter().try_for_each(|config| shared.groups_mut().update(config, shared.now_ms()));
    let saved = updated.map_err(Stop::from).and_then(|()| save(shared));
    shared.created.groups.count(saved.is_ok(), shared.now().saturating_sub(since));
    saved
}

fn save(shared: &Shared) -> Result<Plan, Stop> {
    match shared.tables.save_groups(shared) {
        Ok(()) => Ok(Plan::success()),
        Err(error) => {
            let remark = format!("the change works, but is lost with the next restart: {error}");
            Err(refuse(ResponseCode::SYSTEM_ERROR, remark))
        }
    }
}

/// Request 201.
pub(super) fn all(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let (mut subscription_group_table, mut forbidden_table, data_version) = {
        let groups = shared.groups();
        (groups.listed(), groups.forbidden(), groups.version().clone())
    };
    let header = GetAllSubscriptionGroupResponseHeader {
        total_group_num: i32::try_from(subscription_group_table.len()).unwrap_or(i32::MAX),
        ..Default::default()
    };
    // Old clients name no part, and get all.
    let asked: Option<GetAllSubscriptionGroupRequestHeader> = call.command.header().ok();
    if let Some(asked) = &asked {
        let of_version = asked.data_version.as_deref();
        let page = Page { from: asked.group_seq, of_version, max: asked.max_group_num };
        subscription_group_table = page.of(subscription_group_table, &data_version);
        forbidden_table.retain(|group, _| subscription_group_table.contains_key(group));
    }
    let wrapper = SubscriptionGroupWrapper { data_version, forbidden_table, subscription_group_table };
    let response = Command::response(ResponseCode::SUCCESS).with_header(&header);
    Ok(response.with_body(body::encode(&wrapper)).into())
}

/// Request 352.
pub(super) fn config(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: GetSubscriptionGroupConfigRequestHeader = call.command.header()?;
    match shared.group(&header.group) {
        Some(config) => with_body(body::encode(&*config)),
        None => {
            let remark = format!("No group in this broker. group: {}", header.group);
            Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark))
        }
    }
}

/// Request 207.
pub(super) fn delete(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: DeleteSubscriptionGroupRequestHeader = call.command.header()?;
    needs_disk(disk)?;
    if header.clean_offset {
        // Before the group: what a crash leaves can be deleted again, and what was answered does not come back.
        shared.offsets().remove_group(&header.group_name);
        shared.tables.save_offsets(shared).map_err(|error| {
            let remark = format!("the offsets of group {} were not deleted: {error}", header.group_name);
            refuse(ResponseCode::SYSTEM_ERROR, remark)
        })?;
    }
    shared.groups_mut().remove(&header.group_name, shared.now_ms());
    save(shared)
}

//! A queue entry by entry, and old messages.

use rocketwire_protocol::{
    ResponseCode,
    body::{self, ConsumeQueueData, QueryConsumeQueueResponseBody},
    header::QueryConsumeQueueRequestHeader,
    message::{properties, property, records, tags_code},
};
use rocketwire_store::ReadLimits;

use super::with_body;
use crate::{
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    offset::unreadable,
    shared::Shared,
};

/// Entries in one answer.
const ENTRIES_MAX: i32 = 256;

/// Request 321.
pub(super) fn entries(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: QueryConsumeQueueRequestHeader = call.command.header()?;
    let topic = header.topic.unwrap_or_default();
    let queue = shared.topic(&topic).and_then(|topic| topic.queue(header.queue_id));
    let Some(queue) = queue else {
        let remark = format!("{}@{topic} is not exist!", header.queue_id);
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    };
    needs_disk(disk)?;
    let group = header.consumer_group.unwrap_or_default();
    let subscription =
        shared.clients().consumer_group(&group).and_then(|group| group.subscriptions.get(&topic).cloned());
    // Java prints its compiled filter here, which is null unless a calculated bitmap goes with the queue.
    let filter_data = match &subscription {
        _ if group.is_empty() => None,
        Some(_) => Some("null".into()),
        None => Some(format!("{group}@{topic} is not online!").into()),
    };
    let bounds = shared.store.bounds(queue);
    let count = usize::try_from(header.count.clamp(0, ENTRIES_MAX)).unwrap_or(0);
    let limits = ReadLimits { max_messages: count, max_bytes: 4 << 20, max_scan: count };
    let mut answer = QueryConsumeQueueResponseBody {
        min_queue_index: bounds.min,
        max_queue_index: bounds.max,
        filter_data,
        subscription_data: subscription.as_ref().map(|subscription| subscription.data.clone()),
        ..Default::default()
    };
    if count > 0 {
        let index = header.index.max(bounds.min);
        let outcome = shared.store.read(queue, index, limits, &mut |_| true).map_err(unreadable)?;
        for record in records(outcome.records).flatten() {
            let code = tags_code(properties::get(record.properties(), property::TAGS).unwrap_or_default());
            let filter = subscription.as_ref().and_then(|subscription| subscription.filter().ok());
            answer.queue_data.push(ConsumeQueueData {
                eval: filter.is_some_and(|filter| filter.accepts_message(record.properties())),
                physic_offset: record.physical_offset(),
                physic_size: i32::try_from(record.raw().len()).unwrap_or(i32::MAX),
                tags_code: code,
                ..Default::default()
            });
        }
    }
    with_body(body::encode(&answer))
}

/// Request 329.
pub(super) fn delete_expired(shared: &Shared, disk: Disk) -> Result<Plan, Stop> {
    needs_disk(disk)?;
    match shared.store.retain(shared.now_ms()) {
        Ok(_) => Ok(Plan::success()),
        Err(error) => Err(refuse(ResponseCode::SYSTEM_ERROR, error.to_string())),
    }
}

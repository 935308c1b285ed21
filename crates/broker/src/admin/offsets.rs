//! Offsets of groups, as a whole.

use std::collections::BTreeSet;

use bytestring::ByteString;
use rocketwire_protocol::{
    ResponseCode,
    body::{
        self, ConsumerOffsetSerializeWrapper, DelayOffsetSerializeWrapper, GroupList,
        QueryCorrectionOffsetBody, TopicList,
    },
    header::{
        CloneGroupOffsetRequestHeader, QueryCorrectionOffsetHeader, QueryTopicConsumeByWhoRequestHeader,
        QueryTopicsByConsumerRequestHeader,
    },
    message::name,
};

use super::{stats::only_subscribed, with_body};
use crate::{
    call::{Call, Plan, Stop, owned, refuse},
    levels::MAX_LEVEL,
    shared::Shared,
};

/// Request 43.
pub(super) fn all(shared: &Shared) -> Result<Plan, Stop> {
    with_body(body::encode(&ConsumerOffsetSerializeWrapper {
        offset_table: shared.offsets().all(),
        ..Default::default()
    }))
}

/// Request 45.
pub(super) fn delays(shared: &Shared) -> Result<Plan, Stop> {
    let delays = shared.delays();
    with_body(body::encode(&DelayOffsetSerializeWrapper {
        offset_table: (1..=MAX_LEVEL).map(|level| (level, delays.delivered(level))).collect(),
    }))
}

/// Request 314: the offsets of one group become those of another, in one topic or in all that the first reads; if it is
/// live, only those that it subscribes to.
pub(super) fn clone_group(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: CloneGroupOffsetRequestHeader = call.command.header()?;
    name::check_group(&header.dest_group)
        .map_err(|error| refuse(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
    let topics = match header.topic.filter(|topic| !topic.is_empty()) {
        Some(topic) => vec![topic],
        None => shared.offsets().topics_of(&header.src_group),
    };
    let topics = topics.into_iter().filter(|topic| shared.topic(topic).is_some());
    let topics = match header.offline {
        true => topics.collect(),
        false => only_subscribed(shared, &header.src_group, topics),
    };
    let to = owned(&header.dest_group);
    for topic in topics {
        shared.offsets().clone_group(&header.src_group, &to, &topic);
    }
    Ok(Plan::success())
}

/// Request 308: the least offset of all groups in each queue of a topic, for a group that is to begin there; where the
/// compared group is behind that, Java's sign for "not from here".
pub(super) fn correction(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: QueryCorrectionOffsetHeader = call.command.header()?;
    let topic = shared.topic(&header.topic);
    let min = |queue_id| {
        let queue = topic.as_ref().and_then(|topic| topic.queue(queue_id));
        queue.map_or(-1, |queue| shared.store.bounds(queue).min)
    };
    let filtered = header.filter_groups.as_deref().unwrap_or_default();
    let without: Vec<&str> = filtered.split(',').map(str::trim).filter(|group| !group.is_empty()).collect();
    let offsets = shared.offsets();
    let mut correction_offsets = offsets.least(&header.topic, &without, min);
    for (queue_id, compared) in offsets.queues_of(&header.compare_group, &header.topic) {
        if let Some(offset) = correction_offsets.get_mut(&queue_id).filter(|offset| **offset > compared) {
            *offset = i64::MAX;
        }
    }
    with_body(body::encode(&QueryCorrectionOffsetBody { correction_offsets }))
}

/// Request 300: who subscribes now, and who ever committed an offset.
pub(super) fn groups_of_topic(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: QueryTopicConsumeByWhoRequestHeader = call.command.header()?;
    let mut groups: BTreeSet<ByteString> = shared.offsets().groups_of(&header.topic).into_iter().collect();
    let clients = shared.clients();
    let subscribed =
        clients.consumer_groups().filter(|(_, group)| group.subscriptions.contains_key(&header.topic));
    groups.extend(subscribed.map(|(name, _)| name.clone()));
    with_body(body::encode(&GroupList { group_list: groups.into_iter().collect() }))
}

/// Request 343.
pub(super) fn topics_of_group(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: QueryTopicsByConsumerRequestHeader = call.command.header()?;
    let topic_list = shared.offsets().topics_of(&header.group);
    with_body(body::encode(&TopicList {
        topic_list,
        broker_addr: Some(call.connection.local_addr().to_string().into()),
    }))
}

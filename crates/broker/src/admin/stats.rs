//! Numbers about topics and groups.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;
use rocketwire_protocol::{
    ResponseCode,
    body::{
        self, ConsumeStats, ConsumeStatsList, MessageQueue, OffsetWrapper, QueryConsumeTimeSpanBody,
        QueueTimeSpan, TopicOffset, TopicStatsTable,
    },
    header::{
        GetConsumeStatsInBrokerHeader, GetConsumeStatsRequestHeader, GetTopicStatsInfoRequestHeader,
        QueryConsumeTimeSpanRequestHeader,
    },
};

use super::with_body;
use crate::{
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    meters::{Amount, Measured},
    offset::unreadable,
    shared::Shared,
};

fn no_topic(topic: &str) -> Stop {
    refuse(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist"))
}

fn message_queue(shared: &Shared, topic: &ByteString, id: i32) -> MessageQueue {
    MessageQueue::new(topic.clone(), shared.options.broker_name.clone(), id)
}

/// Request 202.
pub(super) fn topic(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: GetTopicStatsInfoRequestHeader = call.command.header()?;
    let topic = shared.topic(&header.topic).ok_or_else(|| no_topic(&header.topic))?;
    needs_disk(disk)?;
    let mut table = TopicStatsTable::default();
    for (id, queue) in topic.all_queues() {
        let bounds = shared.store.bounds(queue);
        let last = shared.store.store_time(queue, bounds.max - 1).map_err(unreadable)?;
        let offset = TopicOffset {
            last_update_timestamp: last.unwrap_or(0),
            max_offset: bounds.max,
            min_offset: bounds.min,
        };
        table.offset_table.insert(message_queue(shared, topic.name(), id), offset);
    }
    table.topic_put_tps = last_minute(shared, &Measured::Topic(topic.name().clone()), topic.puts.amount());
    with_body(body::encode(&table))
}

/// Messages a second over the last minute.
fn last_minute(shared: &Shared, measured: &Measured, amount: Amount) -> f64 {
    let view = shared.meters().view(measured, amount, shared.now_ms(), |amount| amount.messages);
    view.stats_minute.tps
}

/// Request 208.
pub(super) fn group(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: GetConsumeStatsRequestHeader = call.command.header()?;
    needs_disk(disk)?;
    let group = &header.consumer_group;
    let list = header.topic_list.unwrap_or_default();
    let listed: BTreeSet<ByteString> =
        list.split(';').filter(|topic| !topic.is_empty()).map(ByteString::from).collect();
    let topics = match header.topic.filter(|topic| !topic.is_empty()) {
        // Who names a list wants all of it, whether it is subscribed to or not.
        _ if !listed.is_empty() => listed,
        Some(topic) => only_subscribed(shared, group, [topic]),
        None => only_subscribed(shared, group, shared.offsets().topics_of(group)),
    };
    with_body(body::encode(&consume_stats(shared, group, topics)?))
}

/// Without topics that a live group no longer subscribes to, as in Java.
pub(super) fn only_subscribed(
    shared: &Shared,
    group: &str,
    topics: impl IntoIterator<Item = ByteString>,
) -> BTreeSet<ByteString> {
    let clients = shared.clients();
    let subscribed = clients
        .consumer_group(group)
        .map(|group| &group.subscriptions)
        .filter(|subscriptions| !subscriptions.is_empty());
    let is_meant = |topic: &ByteString| subscribed.is_none_or(|subscribed| subscribed.contains_key(topic));
    topics.into_iter().filter(is_meant).collect()
}

fn consume_stats(
    shared: &Shared,
    group: &ByteString,
    topics: impl IntoIterator<Item = ByteString>,
) -> Result<ConsumeStats, Stop> {
    let mut stats = ConsumeStats::default();
    for name in topics {
        let Some(topic) = shared.topic(&name) else {
            continue;
        };
        let got = shared.offsets().got(group, &name);
        let measured = Measured::Group(format!("{name}@{group}").into());
        stats.consume_tps += last_minute(shared, &measured, got);
        for (id, queue) in topic.read_queues() {
            let bounds = shared.store.bounds(queue);
            let consumer_offset = shared.offsets().committed(group, &name, id).unwrap_or(0);
            let last = shared.store.store_time(queue, consumer_offset - 1).map_err(unreadable)?;
            let offsets = OffsetWrapper {
                broker_offset: bounds.max,
                consumer_offset,
                last_timestamp: last.unwrap_or(0),
                pull_offset: shared.offsets().pull_offset(group, &name, id).unwrap_or(0).max(consumer_offset),
            };
            stats.offset_table.insert(message_queue(shared, &name, id), offsets);
        }
    }
    Ok(stats)
}

/// Request 317: every group, those without progress too; only what they read of ordered topics where that is asked for.
pub(super) fn all_groups(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: GetConsumeStatsInBrokerHeader = call.command.header()?;
    needs_disk(disk)?;
    let groups = shared.groups().listed();
    let addr = shared.options.advertised.unwrap_or_else(|| call.connection.local_addr());
    let mut list = ConsumeStatsList { broker_addr: Some(addr.to_string().into()), ..Default::default() };
    let is_wanted =
        |name: &ByteString| !header.order || shared.topic(name).is_some_and(|topic| topic.config.order);
    for group in groups.into_keys() {
        let topics = shared.offsets().topics_of(&group).into_iter().filter(is_wanted);
        let topics = only_subscribed(shared, &group, topics);
        let mut of_group = Vec::new();
        for topic in topics {
            let stats = consume_stats(shared, &group, [topic])?;
            for offsets in stats.offset_table.values() {
                // An offset is what a consumer said: any number.
                let behind = |offset: i64| offset.saturating_sub(offsets.consumer_offset);
                list.total_diff = list.total_diff.saturating_add(behind(offsets.broker_offset));
                list.total_inflight_diff =
                    list.total_inflight_diff.saturating_add(behind(offsets.pull_offset));
            }
            if !stats.offset_table.is_empty() {
                of_group.push(stats);
            }
        }
        list.consume_stats_list.push(BTreeMap::from([(group, of_group)]));
    }
    with_body(body::encode(&list))
}

/// Request 303.
pub(super) fn time_span(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: QueryConsumeTimeSpanRequestHeader = call.command.header()?;
    let topic = shared.topic(&header.topic).ok_or_else(|| no_topic(&header.topic))?;
    needs_disk(disk)?;
    let now = shared.now_ms();
    let mut body = QueryConsumeTimeSpanBody::default();
    for (id, queue) in topic.all_queues().filter(|(id, _)| *id < topic.config.write_queue_nums) {
        let bounds = shared.store.bounds(queue);
        let time =
            |offset| Ok::<_, Stop>(shared.store.store_time(queue, offset).map_err(unreadable)?.unwrap_or(-1));
        let committed = shared.offsets().committed(&header.group, topic.name(), id).unwrap_or(0);
        let consume_time_stamp = if committed > 0 { time(committed - 1)? } else { time(bounds.min)? };
        // The first message that is not consumed yet; what retention took is not waited for.
        let next = if committed < bounds.max { time(committed.max(bounds.min))? } else { -1 };
        body.consume_time_span_set.push(QueueTimeSpan {
            consume_time_stamp,
            delay_time: if next >= 0 { now - next } else { 0 },
            max_time_stamp: time(bounds.max - 1)?,
            message_queue: message_queue(shared, topic.name(), id),
            min_time_stamp: time(bounds.min)?,
        });
    }
    with_body(body::encode(&body))
}

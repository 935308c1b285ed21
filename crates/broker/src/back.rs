//! Messages that a consumer could not handle (Java: `AbstractSendMessageProcessor.consumerSendMsgBack`; spec
//! broker B.4).

use std::sync::Arc;

use rocketwire_protocol::{
    Command, ResponseCode, Version,
    body::{SubscriptionGroupConfig, TopicConfig},
    header::ConsumerSendMsgBackRequestHeader,
    message::{
        NewRecord, Properties, RecordView, SysFlag, TransactionType, name, properties, property, record,
    },
};
use rocketwire_store::{Append, QueueId, Wait};

use crate::{
    call::{Call, Disk, FAQ, Plan, Stop, needs_disk, refuse},
    send::{Stored, dlq_config, store_failure},
    shared::Shared,
    topics::{PERM_READ, PERM_WRITE, Topic, new_config, unit_sub_flag},
};

/// Request 36. The original is read from the log, so this always may wait for the disk.
pub(crate) fn plan(shared: &Arc<Shared>, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: ConsumerSendMsgBackRequestHeader = call.command.header()?;
    let Some(group) = shared.group(&header.group) else {
        let remark = format!("subscription group not exist, {} {FAQ}", header.group);
        return Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    shared.check_writable(call)?;
    if group.retry_queue_nums <= 0 {
        return Ok(Plan::success());
    }
    needs_disk(disk)?;
    let original = original(shared, header.offset)?;
    let limit = match header.max_reconsume_times {
        Some(limit) if call.command.version >= Version::V3_4_9 => limit,
        _ => group.retry_max_times,
    };
    let is_unit = header.unit_mode;
    let fate = fate(original.reconsume_times(), limit, header.delay_level);
    let mut properties = Properties::parse(original.properties());
    if !properties.contains(property::RETRY_TOPIC) {
        properties.set(property::RETRY_TOPIC, original.topic());
    }
    if !properties.contains(property::ORIGIN_MESSAGE_ID) {
        properties.set(property::ORIGIN_MESSAGE_ID, &original.offset_message_id().to_string());
    }
    properties.set(property::WAIT, "false");
    let (topic, queue_id) = place(shared, &group, (fate, is_unit), &mut properties, disk)?;
    let Some(queue) = topic.queue(queue_id) else {
        return Err(refuse(ResponseCode::SYSTEM_ERROR, format!("topic[{}] not exist", topic.name())));
    };
    let mut bytes = Vec::with_capacity(original.raw().len() + 256);
    let times = original.reconsume_times().saturating_add(1);
    encode_again(&original, topic.name(), queue_id, &properties, times, &mut bytes)?;
    let shared = Arc::clone(shared);
    let dead = (fate == Fate::DeadLetter)
        .then(|| (group.group_name.clone(), bytestring::ByteString::from(original.topic())));
    Ok(Plan::TakeOver(Box::new(move |_, responder| {
        let append = Append { queue, records: &bytes, wait: Wait::Write };
        let counting = Arc::clone(&shared);
        let done = Stored::Call(Box::new(move |result| {
            if let (Some((group, topic)), Ok(_)) = (&dead, &result) {
                counting.offsets().dead(group, topic);
            }
            responder.send(match result {
                Ok(_) => Command::response(ResponseCode::SUCCESS),
                Err(error) => store_failure(&error).into(),
            });
        }));
        shared.store.append(append, done);
    })))
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Again, after the delay of this level.
    Retry(i32),
    /// Never again.
    DeadLetter,
}

/// Level 0 grows with each failure: 10 s, 30 s, 1 min and so on.
fn fate(reconsume_times: i32, limit: i32, delay_level: i32) -> Fate {
    if reconsume_times >= limit || delay_level < 0 {
        Fate::DeadLetter
    } else if delay_level == 0 {
        // How often it was consumed is what its producer said: any number.
        Fate::Retry(reconsume_times.saturating_add(3).max(1))
    } else {
        Fate::Retry(delay_level)
    }
}

fn place(
    shared: &Shared,
    group: &SubscriptionGroupConfig,
    (fate, is_unit): (Fate, bool),
    properties: &mut Properties,
    disk: Disk,
) -> Result<(Arc<Topic<QueueId>>, i32), Stop> {
    let flag = unit_sub_flag(is_unit);
    let Fate::Retry(level) = fate else {
        properties.remove(property::DELAY);
        return Ok((shared.topic_or_create(dlq_config(&group.group_name), disk)?, 0));
    };
    let retry =
        new_config(&name::retry_topic(&group.group_name), group.retry_queue_nums, PERM_READ | PERM_WRITE);
    let retry = shared.topic_or_create(TopicConfig { topic_sys_flag: flag, ..retry }, disk)?;
    if !retry.is_writable() {
        let remark = format!("the topic[{}] sending message is forbidden", retry.name());
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    let level = level.min(shared.options.delay_levels.highest());
    properties.set(property::DELAY, &level.to_string());
    properties.set(property::REAL_TOPIC, retry.name());
    properties.set(property::REAL_QID, &shared.next_of(retry.config.write_queue_nums).to_string());
    let schedule = shared.topic(name::SCHEDULE_TOPIC).ok_or_else(|| {
        refuse(ResponseCode::SYSTEM_ERROR, format!("topic[{}] not exist", name::SCHEDULE_TOPIC))
    })?;
    Ok((schedule, level - 1))
}

/// The message at an offset of the log.
pub(crate) fn original(shared: &Shared, offset: i64) -> Result<RecordView, Stop> {
    let bytes = shared.store.record_at(offset).map_err(crate::offset::unreadable)?;
    bytes
        .and_then(|bytes| RecordView::parse(&bytes).ok())
        .ok_or_else(|| refuse(ResponseCode::SYSTEM_ERROR, format!("look message by offset failed, {offset}")))
}

/// Writes a stored message once more, for another topic; body, flag, born data and store host are kept.
pub(crate) fn encode_again(
    original: &RecordView,
    topic: &str,
    queue_id: i32,
    properties: &Properties,
    reconsume_times: i32,
    out: &mut Vec<u8>,
) -> Result<(), Stop> {
    let sys_flag = original.sys_flag().with_transaction_type(TransactionType::None);
    encode_as(original, topic, queue_id, properties, reconsume_times, sys_flag, 0, out)
}

#[allow(clippy::too_many_arguments)] // each is a field of the record that differs
pub(crate) fn encode_as(
    original: &RecordView,
    topic: &str,
    queue_id: i32,
    properties: &Properties,
    reconsume_times: i32,
    sys_flag: SysFlag,
    prepared_transaction_offset: i64,
    out: &mut Vec<u8>,
) -> Result<(), Stop> {
    let new = NewRecord {
        topic,
        queue_id,
        flag: original.flag(),
        sys_flag: sys_flag.0,
        born_timestamp: original.born_timestamp(),
        born_host: original.born_host(),
        store_host: original.store_host(),
        reconsume_times,
        prepared_transaction_offset,
        body: &original.body(),
        properties: properties.as_str(),
    };
    record::encode(&new, out)
        .map(drop)
        .map_err(|error| refuse(ResponseCode::MESSAGE_ILLEGAL, error.to_string()))
}

/// Adds what the broker notes about a message that it stores once more, all of it or nothing: notes that do not fit a
/// record are no reason to lose the message.
pub(crate) fn note(properties: &mut Properties, notes: &[(&str, &str)]) {
    let mut noted = properties.clone();
    notes.iter().for_each(|(name, value)| noted.set(name, value));
    if noted.encoded_len() <= properties::MAX_LEN {
        *properties = noted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_zero_grows_until_the_dead_letters() {
        // spec: client 144
        assert_eq!(fate(0, 16, 0), Fate::Retry(3));
        assert_eq!(fate(15, 16, 0), Fate::Retry(18));
        assert_eq!(fate(16, 16, 0), Fate::DeadLetter);
        assert_eq!(fate(0, 16, 5), Fate::Retry(5));
        assert_eq!(fate(0, 16, -1), Fate::DeadLetter);
        assert_eq!(fate(0, -1, 0), Fate::DeadLetter);
        assert_eq!(fate(i32::MAX - 1, i32::MAX, 0), Fate::Retry(i32::MAX));
        assert_eq!(fate(i32::MIN, 16, 0), Fate::Retry(1));
    }
}

//! The checks of a send, in Java's order, and where its message goes.

use std::sync::Arc;

use bytestring::ByteString;
use rocketwire_protocol::{
    ResponseCode, Version,
    body::{TopicConfig, TopicFilterType},
    message::{
        SysFlag, TransactionType,
        name::{self, RETRY_GROUP_TOPIC_PREFIX, SCHEDULE_TOPIC, TIMER_TOPIC, TRANS_HALF_TOPIC},
        property,
    },
};
use rocketwire_store::QueueId;

use super::{Inspected, SendHeader, header};
use crate::{
    call::{Call, Disk, FAQ, Plan, Refused, Stop, owned, refuse},
    meters::Meter,
    metrics::{MessageType, Traffic},
    shared::Shared,
    timer,
    topics::{PERM_READ, PERM_WRITE, Template, Topic, TopicOrigin, new_config},
};

/// A send whose message can be stored.
#[derive(Debug)]
pub(crate) struct SendPlan {
    /// The request's header.
    pub(crate) header: SendHeader,
    /// The topic of the record.
    pub(crate) topic: ByteString,
    /// The queue of the record.
    pub(crate) queue_id: i32,
    /// The same for the store.
    pub(crate) queue: QueueId,
    /// Counts what is stored in the topic.
    pub(crate) puts: Arc<Meter>,
    /// The queue that the answer names: the one that was asked for.
    pub(crate) answer_queue_id: i32,
    /// Names and values that the record's properties get.
    pub(crate) set: Vec<(&'static str, String)>,
    /// `sysFlag` of the record.
    pub(crate) sys_flag: SysFlag,
    /// Of a timer message: when it is out.
    pub(crate) timer_out_ms: Option<i64>,
    /// It is a half message of this topic: the transaction table must hear of it.
    pub(crate) half: Option<ByteString>,
    /// Where it is counted, and as what.
    pub(crate) traffic: (Arc<Traffic>, MessageType),
}

/// Decides about a send (310, 10, 320).
pub(crate) fn plan(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header = header::parse(call.command)?;
    let mut topic = check_target(shared, &header, call, disk)?;
    let traffic = Arc::clone(topic.traffic());
    let is_batch = header.batch == Some(true);
    check_body(shared, call, &header, is_batch)?;

    let mut set = Vec::new();
    let mut queue_id = pick_queue(shared, &header, &topic)?;
    if let Some(dlq) = dead_letters(shared, call, &header, disk)? {
        topic = dlq;
        queue_id = 0;
        set.push((property::DELAY, "-1".to_owned()));
    }
    let answer_queue_id = queue_id;
    let properties = header.properties.as_deref().unwrap_or_default();
    let inspected = Inspected::new(properties);
    let many_tags =
        if topic.config.topic_filter_type == TopicFilterType::MultiTag { SysFlag::MULTI_TAGS.0 } else { 0 };
    let mut sys_flag = SysFlag(header.sys_flag | many_tags);
    // A dead letter's level -1 replaces what the producer asked for.
    let is_dead_letter = !set.is_empty();
    let delay = if is_dead_letter { 0 } else { inspected.delay };
    let is_retried = header.reconsume_times.unwrap_or(0) > 0 && delay > 0;
    let is_half = inspected.is_transactional && !is_retried;
    if is_batch && (delay > 0 || is_half) {
        return Err(illegal(shared, "a batch can be neither delayed nor part of a transaction").into());
    }
    let mut timer_out_ms = None;
    let waiting = if is_half {
        sys_flag = sys_flag.with_transaction_type(TransactionType::None);
        if shared.transactions().is_full() {
            let text = "[TRANSACTIONS]broker busy: too many half messages wait for a verdict; see max_pending_transactions";
            return Err(refuse(ResponseCode::SYSTEM_BUSY, text));
        }
        Some((TRANS_HALF_TOPIC, 0))
    } else if delay > 0 && is_plain_or_committed(sys_flag) {
        Some((SCHEDULE_TOPIC, delay.min(shared.options.delay_levels.highest()) - 1))
    } else if let Some(out_ms) = timer(shared, &inspected, is_batch || is_dead_letter, sys_flag)? {
        timer_out_ms = Some(out_ms);
        set.push((property::TIMER_OUT_MS, out_ms.to_string()));
        Some((TIMER_TOPIC, 0))
    } else {
        None
    };
    let kind = match (is_half, inspected.is_ordered, &waiting) {
        (true, _, _) => MessageType::Transaction,
        (_, true, _) => MessageType::Fifo,
        (_, _, Some(_)) => MessageType::Delay,
        (_, _, None) => MessageType::Normal,
    };
    let half = is_half.then(|| topic.name().clone());
    if let Some((system, system_queue)) = waiting {
        set.push((property::REAL_TOPIC, topic.name().to_string()));
        set.push((property::REAL_QID, queue_id.to_string()));
        queue_id = system_queue;
        topic = shared.topic(system).ok_or_else(|| no_topic(system))?;
    }
    let queue = topic.queue(queue_id).ok_or_else(|| no_topic(topic.name()))?;
    Ok(Plan::Send(Box::new(SendPlan {
        topic: topic.name().clone(),
        queue_id,
        queue,
        puts: Arc::clone(&topic.puts),
        answer_queue_id,
        set,
        sys_flag,
        timer_out_ms,
        half,
        traffic: (traffic, kind),
        header,
    })))
}

/// Steps 4 to 7: the topic's name, whether it may be sent to, whether it exists or may, and the queue's number.
pub(crate) fn check_target(
    shared: &Shared,
    header: &SendHeader,
    call: Call<'_>,
    disk: Disk,
) -> Result<Arc<Topic<QueueId>>, Stop> {
    let topic = match shared.topic(&header.topic) {
        // What is in the table has a valid name.
        Some(topic) => {
            if topic.config.order {
                shared.check_writable(call)?;
            }
            check_forbidden(&header.topic)?;
            topic
        }
        None => {
            name::check_topic(&header.topic)
                .map_err(|error| refuse(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
            check_forbidden(&header.topic)?;
            let template = Template {
                default_topic: &header.default_topic,
                queue_nums: header.default_topic_queue_nums,
                unit_mode: header.unit_mode.unwrap_or(false),
            };
            let config = shared.topics().templated(&header.topic, template)?;
            let config = config.ok_or_else(|| no_topic(&header.topic))?;
            shared.put_topic(config, TopicOrigin::Sender, disk)?
        }
    };
    let config = &topic.config;
    let queues = config.read_queue_nums.max(config.write_queue_nums);
    if header.queue_id >= queues {
        let remark = format!(
            "request queueId[{}] is illegal, TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={}] Producer: {}",
            header.queue_id,
            config.topic_name,
            config.read_queue_nums,
            config.write_queue_nums,
            config.perm,
            call.connection.remote_addr(),
        );
        return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    }
    Ok(topic)
}

/// The settings of a dead-letter topic.
pub(crate) fn dlq_config(group: &str) -> TopicConfig {
    new_config(&name::dlq_topic(group), 1, PERM_READ | PERM_WRITE)
}

fn check_forbidden(topic: &str) -> Result<(), Stop> {
    // Java lets clients send to the timer's topic; what is no timer message there would never go away.
    if name::is_send_forbidden(topic) || topic == TIMER_TOPIC {
        let remark = format!("Sending message to topic[{topic}] is forbidden.");
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    Ok(())
}

fn no_topic(topic: &str) -> Stop {
    refuse(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist, apply first please!{FAQ}"))
}

fn pick_queue(shared: &Shared, header: &SendHeader, topic: &Topic<QueueId>) -> Result<i32, Stop> {
    if header.queue_id >= 0 {
        return Ok(header.queue_id);
    }
    match topic.config.write_queue_nums {
        0 => {
            let remark = format!("topic {} has no queue for writing; give it some", topic.name());
            Err(refuse(ResponseCode::INVALID_PARAMETER, remark))
        }
        queues => Ok(shared.next_of(queues)),
    }
}

fn check_body(shared: &Shared, call: Call<'_>, header: &SendHeader, is_batch: bool) -> Result<(), Stop> {
    let body = &call.command.body;
    if body.is_empty() || body.len() > shared.options.max_message_size {
        return Err(illegal(shared, &format!("the body has {} bytes", body.len())).into());
    }
    if is_batch && header.topic.len() > name::TOPIC_MAX_LEN {
        let remark = format!("message topic length too long {}", header.topic.len());
        return Err(refuse(ResponseCode::MESSAGE_ILLEGAL, remark));
    }
    if is_batch && name::is_retry_topic(&header.topic) {
        let remark = format!("batch request does not support retry group {}", header.topic);
        return Err(refuse(ResponseCode::MESSAGE_ILLEGAL, remark));
    }
    Ok(())
}

/// The answer to a message that cannot be stored as it is.
pub(crate) fn illegal(shared: &Shared, why: &str) -> Refused {
    let remark = format!(
        "the message is illegal, maybe msg body or properties length not matched. msg body length limit {}B, \
         msg properties length limit 32KB. ({why})",
        shared.options.max_message_size
    );
    Refused::new(ResponseCode::MESSAGE_ILLEGAL, remark)
}

/// Steps 8 and 9: a message to a retry topic whose group has had enough of it, or which is consumed in order,
/// goes to the dead letters instead.
fn dead_letters(
    shared: &Shared,
    call: Call<'_>,
    header: &SendHeader,
    disk: Disk,
) -> Result<Option<Arc<Topic<QueueId>>>, Stop> {
    let Some(group) = header.topic.strip_prefix(RETRY_GROUP_TOPIC_PREFIX) else {
        return Ok(None);
    };
    let Some(config) = shared.group(group) else {
        let remark = format!("subscription group not exist, {group} {FAQ}");
        return Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    let limit = match header.max_reconsume_times {
        Some(limit) if call.command.version >= Version::V3_4_9 => limit,
        _ => config.retry_max_times,
    };
    let is_too_often = header.reconsume_times.unwrap_or(0) > limit;
    if is_too_often || shared.locks().holds_any(group, shared.now()) {
        let dlq = shared.topic_or_create(dlq_config(group), disk)?;
        shared.offsets().dead(&owned(&ByteString::from(group)), &owned(&header.topic));
        return Ok(Some(dlq));
    }
    Ok(None)
}

fn is_plain_or_committed(sys_flag: SysFlag) -> bool {
    matches!(sys_flag.transaction_type(), TransactionType::None | TransactionType::Commit)
}

/// `TIMER_OUT_MS` of a message that is to be delivered at a moment to come.
fn timer(
    shared: &Shared,
    inspected: &Inspected<'_>,
    goes_at_once: bool,
    sys_flag: SysFlag,
) -> Result<Option<i64>, Stop> {
    let Some(moment) = inspected.timer.filter(|_| !goes_at_once && is_plain_or_committed(sys_flag)) else {
        return Ok(None);
    };
    let out_ms = timer::out_ms(moment, inspected.is_cancellation, shared.now_ms())?;
    if out_ms.is_some() {
        timer::check_room(shared)?;
    }
    Ok(out_ms)
}

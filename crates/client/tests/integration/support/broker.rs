//! The broker's half.

use std::{sync::Arc, time::Duration};

use rocketwire_protocol::{
    Command, RequestCode, ResponseCode,
    body::{
        self, GetConsumerListByGroupResponseBody, HeartbeatData, LockBatchRequestBody, LockBatchResponseBody,
        MessageQueue,
    },
    header::{
        ConsumerSendMsgBackRequestHeader, CreateTopicRequestHeader, DeleteTopicRequestHeader,
        GetConsumerListByGroupRequestHeader, GetMaxOffsetRequestHeader, GetMaxOffsetResponseHeader,
        NotifyConsumerIdsChangedRequestHeader, PullMessageRequestHeader, PullMessageResponseHeader,
        QueryConsumerOffsetRequestHeader, QueryConsumerOffsetResponseHeader, QueryMessageResponseHeader,
        SendMessageRequestHeaderV2, SendMessageResponseHeader, UnregisterClientRequestHeader,
        UpdateConsumerOffsetRequestHeader, ViewMessageRequestHeader,
    },
    message::{OffsetMessageId, batch, properties, property},
};
use rocketwire_remoting::{Answer, Request};

use super::{State, ok};

pub fn handle(state: &Arc<State>, broker: &str, request: Request) -> Answer {
    let command = request.command.clone();
    match command.request_code() {
        RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => {
            send(state, broker, &command).into()
        }
        RequestCode::PULL_MESSAGE => Answer::later(pull(state.clone(), command)),
        RequestCode::HEART_BEAT => heartbeat(state, &request).into(),
        RequestCode::UNREGISTER_CLIENT => {
            let header: UnregisterClientRequestHeader = command.header().unwrap();
            let mut members = state.members.lock().unwrap();
            if let Some(group) = header.consumer_group.and_then(|group| members.get_mut(&*group)) {
                group.remove(&*header.client_id);
            }
            ok().into()
        }
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
            let header: GetConsumerListByGroupRequestHeader = command.header().unwrap();
            let members = state.members.lock().unwrap();
            let ids = members.get(&*header.consumer_group).into_iter().flat_map(|group| group.keys());
            let list = GetConsumerListByGroupResponseBody {
                consumer_id_list: ids.map(|id| id.as_str().into()).collect(),
            };
            ok().with_body(body::encode(&list)).into()
        }
        RequestCode::QUERY_CONSUMER_OFFSET => {
            let header: QueryConsumerOffsetRequestHeader = command.header().unwrap();
            let key = (header.consumer_group.to_string(), header.topic.to_string(), header.queue_id);
            match state.offsets.lock().unwrap().get(&key) {
                Some(offset) => {
                    let header = QueryConsumerOffsetResponseHeader { offset: *offset, base: () };
                    ok().with_header(&header).into()
                }
                None => Command::error(ResponseCode::QUERY_NOT_FOUND, "Not found").into(),
            }
        }
        RequestCode::UPDATE_CONSUMER_OFFSET => {
            let header: UpdateConsumerOffsetRequestHeader = command.header().unwrap();
            let key = (header.consumer_group.to_string(), header.topic.to_string(), header.queue_id);
            state.offsets.lock().unwrap().insert(key, header.commit_offset);
            ok().into()
        }
        RequestCode::GET_MAX_OFFSET
        | RequestCode::GET_MIN_OFFSET
        | RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => {
            let header: GetMaxOffsetRequestHeader = command.header().unwrap();
            let max = state.log.lock().unwrap().max(&header.topic, header.queue_id);
            let offset = match command.request_code() {
                RequestCode::GET_MAX_OFFSET => max,
                RequestCode::GET_MIN_OFFSET => 0,
                _ => max / 2,
            };
            ok().with_header(&GetMaxOffsetResponseHeader { offset, base: () }).into()
        }
        RequestCode::QUERY_MESSAGE => query(state, broker).into(),
        RequestCode::VIEW_MESSAGE_BY_ID => {
            let header: ViewMessageRequestHeader = command.header().unwrap();
            match state.log.lock().unwrap().at(header.offset) {
                Some(record) => ok().with_body(record.raw().clone()).into(),
                None => Command::error(ResponseCode::SYSTEM_ERROR, "can not find message").into(),
            }
        }
        RequestCode::CONSUMER_SEND_MSG_BACK => send_back(state, broker, &command).into(),
        RequestCode::LOCK_BATCH_MQ => {
            let lock: LockBatchRequestBody = body::decode(&command.body).unwrap();
            let locked = LockBatchResponseBody {
                lock_ok_mq_set: lock.mq_set.into_iter().filter(|mq| lock_one(state, mq)).collect(),
            };
            ok().with_body(body::encode(&locked)).into()
        }
        RequestCode::UNLOCK_BATCH_MQ => {
            let unlock: LockBatchRequestBody = body::decode(&command.body).unwrap();
            for queue in unlock.mq_set {
                state.locks.lock().unwrap().remove(&queue.to_string());
            }
            ok().into()
        }
        RequestCode::UPDATE_AND_CREATE_TOPIC => {
            let header: CreateTopicRequestHeader = command.header().unwrap();
            let counts = (header.read_queue_nums, header.write_queue_nums, header.perm);
            state.topics.lock().unwrap().insert(header.topic.to_string(), counts);
            ok().into()
        }
        RequestCode::DELETE_TOPIC_IN_BROKER => {
            let header: DeleteTopicRequestHeader = command.header().unwrap();
            state.topics.lock().unwrap().remove(&*header.topic);
            ok().into()
        }
        RequestCode::DELETE_TOPIC_IN_NAMESRV => ok().into(),
        RequestCode::END_TRANSACTION => Answer::Taken,
        code => Command::error(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, format!("{code}")).into(),
    }
}

/// As an index would in which all keys have one hash: it finds everything.
fn query(state: &State, broker: &str) -> Command {
    let address = state.brokers.lock().unwrap()[broker].clone();
    let records = state.log.lock().unwrap().of_broker(&address);
    if records.is_empty() {
        return Command::error(ResponseCode::QUERY_NOT_FOUND, "can not find message");
    }
    let header = QueryMessageResponseHeader {
        index_last_update_timestamp: 7,
        ..QueryMessageResponseHeader::default()
    };
    ok().with_header(&header).with_body(records)
}

/// Locks are held by whoever asks; a lock whose name begins with `!` belongs to someone else.
fn lock_one(state: &State, queue: &MessageQueue) -> bool {
    let mut locks = state.locks.lock().unwrap();
    if locks.contains(&format!("!{queue}")) {
        return false;
    }
    locks.insert(queue.to_string());
    true
}

fn send(state: &State, broker: &str, command: &Command) -> Command {
    let header: SendMessageRequestHeaderV2 = command.header().unwrap();
    let host = state.brokers.lock().unwrap()[broker].parse().unwrap();
    let mut items = Vec::new();
    if header.batch == Some(true) {
        items.extend(
            batch::items(command.body.clone()).map(|item| item.unwrap()).map(|i| (i.body, i.properties)),
        );
    } else {
        items.push((command.body.clone(), header.properties.clone().unwrap_or_default()));
    }
    let half = header.sys_flag & 4 != 0;
    let topic = if half { "RMQ_SYS_TRANS_HALF_TOPIC" } else { &*header.topic };
    let mut first = None;
    let mut ids = Vec::new();
    for (body, properties) in items {
        let times = header.reconsume_times.unwrap_or(0);
        let (offset, physical) =
            state.store(broker, topic, header.queue_id, &body, &properties, header.sys_flag & !4, times);
        first.get_or_insert(offset);
        ids.push(OffsetMessageId { host, offset: physical }.to_string());
    }
    let unique = properties::get(header.properties.as_deref().unwrap_or_default(), property::UNIQ_KEY);
    ok().with_header(&SendMessageResponseHeader {
        msg_id: ids.join(",").into(),
        queue_id: header.queue_id,
        queue_offset: first.unwrap_or(0),
        transaction_id: unique.map(Into::into),
        ..SendMessageResponseHeader::default()
    })
    .with_field("MSG_REGION", "DefaultRegion")
    .with_field("TRACE_ON", "true")
}

async fn pull(state: Arc<State>, command: Command) -> Command {
    let header: PullMessageRequestHeader = command.header().unwrap();
    let suspend = if header.sys_flag & 2 == 0 { 0 } else { header.suspend_timeout_millis };
    let deadline = tokio::time::Instant::now() + Duration::from_millis(suspend as u64);
    loop {
        let changed = state.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let (records, max) = {
            let log = state.log.lock().unwrap();
            let from = |limit| log.from(&header.topic, header.queue_id, header.queue_offset, limit);
            (from(header.max_msg_nums), log.max(&header.topic, header.queue_id))
        };
        let next = header.queue_offset + records.len() as i64;
        let code = if header.queue_offset > max {
            ResponseCode::PULL_OFFSET_MOVED
        } else if records.is_empty() {
            ResponseCode::PULL_NOT_FOUND
        } else {
            ResponseCode::SUCCESS
        };
        if code == ResponseCode::PULL_NOT_FOUND && tokio::time::timeout_at(deadline, changed).await.is_ok() {
            continue;
        }
        return Command::response(code)
            .with_header(&PullMessageResponseHeader {
                suggest_which_broker_id: 0,
                next_begin_offset: if code == ResponseCode::PULL_OFFSET_MOVED { max } else { next },
                min_offset: 0,
                max_offset: max,
                ..PullMessageResponseHeader::default()
            })
            .with_body(records.concat());
    }
}

fn heartbeat(state: &State, request: &Request) -> Command {
    let data: HeartbeatData = body::decode(&request.command.body).unwrap();
    for producer in data.producer_data_set {
        let mut producers = state.producers.lock().unwrap();
        producers.insert(producer.group_name.to_string(), request.connection().clone());
    }
    for consumer in data.consumer_data_set {
        let retry = format!("%RETRY%{}", consumer.group_name);
        state.topics.lock().unwrap().entry(retry).or_insert((1, 1, 6));
        let mut members = state.members.lock().unwrap();
        let group = members.entry(consumer.group_name.to_string()).or_default();
        let known = group.insert(data.client_id.to_string(), request.connection().clone());
        if known.is_none() {
            let changed = NotifyConsumerIdsChangedRequestHeader {
                consumer_group: consumer.group_name.clone(),
                ..NotifyConsumerIdsChangedRequestHeader::default()
            };
            for connection in group.values() {
                let _ = connection.invoke_oneway(Command::of(&changed).oneway());
            }
        }
    }
    ok()
}

/// Stores the message in the retry topic at once; the real broker waits for the delay level.
fn send_back(state: &State, broker: &str, command: &Command) -> Command {
    let header: ConsumerSendMsgBackRequestHeader = command.header().unwrap();
    let record = state.log.lock().unwrap().at(header.offset);
    let Some(record) = record else {
        return Command::error(ResponseCode::SYSTEM_ERROR, "look message by offset failed");
    };
    let mut text = record.properties().to_owned();
    if properties::get(&text, property::RETRY_TOPIC).is_none() {
        properties::append(&mut text, property::RETRY_TOPIC, record.topic());
    }
    let topic =
        if record.reconsume_times() >= header.max_reconsume_times.unwrap_or(16) || header.delay_level < 0 {
            format!("%DLQ%{}", header.group)
        } else {
            format!("%RETRY%{}", header.group)
        };
    let times = record.reconsume_times() + 1;
    state.store(broker, &topic, 0, &record.body(), &text, record.sys_flag().0, times);
    ok()
}

//! Calling timer messages back (Java: `RecallMessageProcessor`, `RecallMessageHandle`).

use std::sync::Arc;

use rocketwire_protocol::{
    Command, ResponseCode,
    header::{RecallMessageRequestHeader, RecallMessageResponseHeader},
    message::{NewRecord, Properties, name::TIMER_TOPIC, property, record},
};
use rocketwire_store::{Append, Wait};

use super::{
    base64,
    moment::{MAX_DELAY_MS, out_ms},
};
use crate::{
    call::{Call, Plan, Stop, refuse},
    send::{Stored, store_failure},
    shared::Shared,
};

/// What a cancellation names: a message of a topic (Java: `TimerMessageStore.buildDeleteKey`).
pub(super) fn key(topic: &str, unique_id: &str) -> String {
    format!("{topic}+{unique_id}")
}

/// What the producer of a timer message is told, to call it back with.
pub(crate) fn handle(topic: &str, broker: &str, out_ms: i64, unique_id: &str) -> String {
    base64::encode(format!("v1 {topic} {broker} {} {unique_id}", out_ms + 1).as_bytes())
}

/// A handle taken apart.
#[derive(Debug, PartialEq)]
struct Handle {
    topic: String,
    broker: String,
    deliver_ms: i64,
    unique_id: String,
}

fn parse(handle: &str) -> Option<Handle> {
    let text = String::from_utf8(base64::decode(handle)?).ok()?;
    let mut items = text.split(' ');
    if items.next() != Some("v1") {
        return None;
    }
    let (topic, broker, deliver_ms, unique_id) = (items.next()?, items.next()?, items.next()?, items.next()?);
    Some(Handle {
        topic: topic.to_owned(),
        broker: broker.to_owned(),
        deliver_ms: deliver_ms.parse().unwrap_or(-1),
        unique_id: unique_id.to_owned(),
    })
}

/// Request 370: a cancellation is stored beside the message, and meets it when both are due.
pub(crate) fn recall(shared: &Arc<Shared>, call: Call<'_>) -> Result<Plan, Stop> {
    let header: RecallMessageRequestHeader = call.command.header()?;
    let no = |text: &'static str| refuse(ResponseCode::ILLEGAL_OPERATION, text);
    if !shared.options.recall_message {
        return Err(refuse(ResponseCode::NO_PERMISSION, "recall failed, operation is forbidden"));
    }
    if shared.topic(&header.topic).is_none() {
        let remark = format!("recall failed, the topic[{}] not exist", header.topic);
        return Err(refuse(ResponseCode::TOPIC_NOT_EXIST, remark));
    }
    let handle = parse(&header.recall_handle).ok_or_else(|| no("recall handle is invalid"))?;
    if handle.topic != *header.topic {
        return Err(no("recall failed, topic not match"));
    }
    if handle.broker != *shared.options.broker_name {
        return Err(no("recall failed, broker service not available"));
    }
    let now = shared.now_ms();
    if !(1..MAX_DELAY_MS).contains(&handle.deliver_ms.saturating_sub(now)) {
        return Err(no("recall failed, timestamp invalid"));
    }
    let deliver_ms = handle.deliver_ms.to_string();
    let out = out_ms((property::TIMER_DELIVER_MS, &deliver_ms), true, now)?;
    let (Some(out), Some(queue)) = (out, shared.topic(TIMER_TOPIC).and_then(|topic| topic.queue(0))) else {
        return Err(no("recall failed, timestamp invalid"));
    };
    let mut properties = Properties::new();
    properties.set(property::TIMER_DEL_UNIQKEY, &key(&handle.topic, &handle.unique_id));
    properties.set(property::UNIQ_KEY, &handle.unique_id);
    properties.set(property::TIMER_DELIVER_MS, &deliver_ms);
    properties.set(property::TIMER_OUT_MS, &out.to_string());
    properties.set(property::REAL_TOPIC, &handle.topic);
    properties.set(property::REAL_QID, "0");
    properties.set(property::BORN_TIMESTAMP, &now.to_string());
    let new = NewRecord {
        topic: TIMER_TOPIC,
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: now,
        born_host: call.connection.remote_addr(),
        store_host: shared.options.advertised.unwrap_or_else(|| call.connection.local_addr()),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"0",
        properties: properties.as_str(),
    };
    let mut bytes = Vec::new();
    record::encode(&new, &mut bytes)
        .map_err(|error| refuse(ResponseCode::MESSAGE_ILLEGAL, error.to_string()))?;
    let shared = Arc::clone(shared);
    Ok(Plan::TakeOver(Box::new(move |_, responder| {
        let done = Stored::Call(Box::new(move |result| {
            responder.send(match result {
                Ok(_) => {
                    let header =
                        RecallMessageResponseHeader { msg_id: handle.unique_id.into(), ..Default::default() };
                    Command::response(ResponseCode::SUCCESS).with_header(&header)
                }
                Err(error) => store_failure(&error).into(),
            });
        }));
        shared.store.append(Append { queue, records: &bytes, wait: Wait::Flush }, done);
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_as_it_was_written() {
        let text = handle("T", "broker-a", 1_700_000_001_000, "id");
        // What Java's `RecallMessageHandle.HandleV1.buildHandle` makes of the same.
        assert_eq!(text, "djEgVCBicm9rZXItYSAxNzAwMDAwMDAxMDAxIGlk");
        let parsed = parse(&text).unwrap();
        assert_eq!((&*parsed.topic, &*parsed.broker), ("T", "broker-a"));
        assert_eq!((parsed.deliver_ms, &*parsed.unique_id), (1_700_000_001_001, "id"));
        for bad in ["", "x", "!!!!", &base64::encode(b"v2 T b 1 id"), &base64::encode(b"v1 T b 1")] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}

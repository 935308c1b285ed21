//! Failed messages go back to the broker, which delivers them again later (spec client F.8, F.10).

use std::time::Duration;

use bytestring::ByteString;
use rocketwire_protocol::{
    Command,
    header::ConsumerSendMsgBackRequestHeader,
    message::{MessageExt, property},
};

use super::core::PushCore;
use crate::{Producer, RequestError, RequestErrorKind, error::success, producer::Resend};

/// The deadline of a send-back (Java: 5 s).
const TIMEOUT: Duration = Duration::from_secs(5);

/// Has the message delivered again: by the broker that has it, or else by a copy to the retry topic. `false`:
/// neither worked, and the message is still here to be consumed.
pub(crate) async fn send_back(core: &PushCore, message: &MessageExt, delay_level: i32) -> bool {
    match by_broker(core, message, delay_level).await {
        Ok(()) => return true,
        Err(error) => {
            tracing::warn!(id = message.msg_id(), %error, "send-back failed; sending a copy to the retry topic")
        }
    }
    match resend(core, message).await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(id = message.msg_id(), %error, "the message could not be sent back; consuming it again here");
            false
        }
    }
}

async fn by_broker(core: &PushCore, message: &MessageExt, delay_level: i32) -> Result<(), RequestError> {
    const OPERATION: &str = "CONSUMER_SEND_MSG_BACK";
    let client = &core.client.inner;
    let master = client.routes().master(&message.broker_name);
    let address = master.ok_or_else(|| {
        RequestError::new(OPERATION, None, RequestErrorKind::BrokerUnknown(message.broker_name.to_string()))
    })?;
    let address = client.send_address(&address);
    let request = Command::of(&header(&core.group, message, delay_level, core.max_reconsume_times()));
    let answer = client.remoting.invoke(&address, request, TIMEOUT).await;
    success(OPERATION, &address, answer).map(|_| ())
}

fn header(
    group: &ByteString,
    message: &MessageExt,
    delay_level: i32,
    max_reconsume_times: i32,
) -> ConsumerSendMsgBackRequestHeader {
    ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset,
        group: group.clone(),
        delay_level,
        origin_msg_id: Some(message.msg_id().into()),
        origin_topic: Some(message.topic.clone()),
        max_reconsume_times: Some(max_reconsume_times),
        ..ConsumerSendMsgBackRequestHeader::default()
    }
}

/// A copy to `%RETRY%<group>`, as any producer could send it. The broker moves it to the DLQ when it has come
/// too often.
pub(crate) async fn resend(core: &PushCore, message: &MessageExt) -> Result<(), crate::SendError> {
    let original = message.property(property::ORIGIN_MESSAGE_ID).map(str::to_owned);
    let copy = Resend {
        group: &core.group,
        original_topic: &message.topic,
        msg_id: &original.unwrap_or_else(|| message.msg_id()),
        properties: &message.properties,
        body: message.body.clone(),
        flag: message.flag,
        reconsume_times: message.reconsume_times,
        max_reconsume_times: core.max_reconsume_times(),
    };
    Producer::inner(&core.client).send(copy.message()).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use rocketwire_protocol::message::{NewRecord, RecordView, record};

    use super::*;

    #[test]
    fn the_request_names_the_record_and_the_limit() {
        // spec: client 102
        let mut out = Vec::new();
        let new = NewRecord {
            topic: "T",
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: "10.0.0.9:1".parse().expect("an address"),
            store_host: "10.0.0.5:10911".parse().expect("an address"),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"x",
            properties: "UNIQ_KEY\u{1}ID\u{2}",
        };
        record::encode(&new, &mut out).expect("a record");
        record::patch(&mut out, 7, 300, 2);
        let message = MessageExt::from_record(RecordView::parse(&out.into()).expect("a record"));
        let header = header(&"G".into(), &message, 0, 16);
        assert_eq!((header.offset, header.delay_level, header.max_reconsume_times), (300, 0, Some(16)));
        assert_eq!(
            (header.origin_msg_id.as_deref(), header.origin_topic.as_deref()),
            (Some("ID"), Some("T"))
        );
    }
}

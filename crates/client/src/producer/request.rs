//! From a message to the request that carries it (spec client E.6, E.8). Pure but for compression's CPU time.

use bytes::Bytes;
use bytestring::ByteString;
use rocketwire_protocol::{
    Command, RequestCode,
    body::MessageQueue,
    header::SendMessageRequestHeaderV2,
    message::{
        CompressionType, Message, SysFlag, TransactionType, batch, compress, name, properties, property,
        retry_topic,
    },
};

use crate::validate::Invalid;

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compression {
    /// Bodies from this size on.
    pub(crate) threshold: usize,
    pub(crate) kind: CompressionType,
    pub(crate) level: i32,
}

/// What every request of a producer says alike.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) group: ByteString,
    pub(crate) default_topic: ByteString,
    pub(crate) default_topic_queue_nums: i32,
    pub(crate) max_message_size: usize,
    pub(crate) compression: Option<Compression>,
}

/// A message or a batch, checked, compressed and given its id; attempts differ only in the queue.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) topic: ByteString,
    /// The unique id; of a batch, the ids joined by `,`.
    pub(crate) msg_id: String,
    code: RequestCode,
    flag: i32,
    sys_flag: SysFlag,
    properties: ByteString,
    body: Bytes,
    reconsume_times: i32,
    max_reconsume_times: Option<i32>,
    batch: bool,
}

impl Prepared {
    /// Checks a message and makes it ready. `unique_id` is called if the message has none.
    pub(crate) fn message(
        message: &Message,
        common: &Common,
        unique_id: impl FnOnce() -> String,
    ) -> Result<Prepared, Invalid> {
        message.check(common.max_message_size)?;
        let mut text = String::with_capacity(message.properties().as_str().len() + 64);
        text.push_str(message.properties().as_str());
        let msg_id = ensure_unique_id(message, &mut text, unique_id);
        let mut sys_flag = SysFlag(0);
        let mut body = message.body().clone();
        if let Some(compression) = common.compression.filter(|c| body.len() >= c.threshold) {
            let small = compress(compression.kind, compression.level, &body);
            let small = small.map_err(|error| Invalid::Compression(error.to_string()))?;
            if small.len() < body.len() {
                body = small.into();
                sys_flag = sys_flag.with(SysFlag::COMPRESSED).with(compression.kind.sys_flag());
            }
        }
        if message.property(property::TRAN_MSG) == Some("true") {
            sys_flag = sys_flag.with_transaction_type(TransactionType::Prepared);
        }
        let retry = message.topic().starts_with(name::RETRY_GROUP_TOPIC_PREFIX);
        let number = |name| message.property(name).filter(|_| retry).and_then(|n| n.parse().ok());
        let reply = message.property(property::MSG_TYPE) == Some(property::MSG_TYPE_REPLY);
        Ok(Prepared {
            topic: message.topic().clone(),
            msg_id,
            code: if reply { RequestCode::SEND_REPLY_MESSAGE_V2 } else { RequestCode::SEND_MESSAGE_V2 },
            flag: message.flag(),
            sys_flag,
            properties: text.into(),
            body,
            reconsume_times: number(property::RECONSUME_TIME).unwrap_or(0),
            max_reconsume_times: number(property::MAX_RECONSUME_TIMES),
            batch: false,
        })
    }

    /// Checks messages and packs them into one request: all or none of them are stored, in one queue.
    pub(crate) fn batch(
        messages: &[Message],
        common: &Common,
        unique_id: impl Fn() -> String,
    ) -> Result<Prepared, Invalid> {
        let first = messages.first().ok_or(Invalid::BatchEmpty)?;
        let size = |m: &Message| m.body().len() + m.properties().as_str().len() + batch::ITEM_OVERHEAD + 64;
        let mut body = Vec::with_capacity(messages.iter().map(size).sum());
        let mut ids = String::new();
        for message in messages {
            message.check(common.max_message_size)?;
            check_batch_member(message, first)?;
            let mut text = message.properties().as_str().to_owned();
            let id = ensure_unique_id(message, &mut text, &unique_id);
            if !ids.is_empty() {
                ids.push(',');
            }
            ids.push_str(&id);
            let item = batch::encode_item(message.flag(), message.body(), &text, &mut body);
            item.map_err(|error| Invalid::BatchItem(error.to_string()))?;
        }
        let mut text = String::new();
        properties::append(&mut text, property::WAIT, if first.wait_store() { "true" } else { "false" });
        properties::append(&mut text, property::UNIQ_KEY, &unique_id());
        // As one body, a batch is as large as a message may be.
        let whole = Message::new(first.topic().clone(), body);
        whole.check(common.max_message_size)?;
        Ok(Prepared {
            topic: first.topic().clone(),
            msg_id: ids,
            code: RequestCode::SEND_BATCH_MESSAGE,
            flag: 0,
            sys_flag: SysFlag(0),
            properties: text.into(),
            body: whole.body().clone(),
            reconsume_times: 0,
            max_reconsume_times: None,
            batch: true,
        })
    }

    /// The request for one queue.
    pub(crate) fn request(&self, common: &Common, queue: &MessageQueue, now_ms: i64) -> Command {
        let mut request = Command::of(&SendMessageRequestHeaderV2 {
            producer_group: common.group.clone(),
            topic: self.topic.clone(),
            default_topic: common.default_topic.clone(),
            default_topic_queue_nums: common.default_topic_queue_nums,
            queue_id: queue.queue_id,
            sys_flag: self.sys_flag.0,
            born_timestamp: now_ms,
            flag: self.flag,
            properties: Some(self.properties.clone()),
            reconsume_times: Some(self.reconsume_times),
            unit_mode: Some(false),
            max_reconsume_times: self.max_reconsume_times,
            batch: Some(self.batch),
            broker_name: Some(queue.broker_name.clone()),
            base: Default::default(),
        });
        request.code = self.code.0;
        request.body = self.body.clone();
        request
    }
}

/// The message's unique id; a new one is appended to the property string.
fn ensure_unique_id(message: &Message, text: &mut String, unique_id: impl FnOnce() -> String) -> String {
    if let Some(id) = message.property(property::UNIQ_KEY) {
        return id.to_owned();
    }
    let id = unique_id();
    properties::append(text, property::UNIQ_KEY, &id);
    id
}

fn check_batch_member(message: &Message, first: &Message) -> Result<(), Invalid> {
    if message.delay_level() > 0 {
        Err(Invalid::BatchDelay)
    } else if message.topic().starts_with(name::RETRY_GROUP_TOPIC_PREFIX) {
        Err(Invalid::BatchRetry)
    } else if message.topic() != first.topic() {
        Err(Invalid::BatchTopics)
    } else if message.wait_store() != first.wait_store() {
        Err(Invalid::BatchWait)
    } else {
        Ok(())
    }
}

/// The message that takes a failed one to the retry topic when the broker cannot do it by itself.
pub(crate) struct Resend<'a> {
    pub(crate) group: &'a str,
    pub(crate) original_topic: &'a str,
    pub(crate) msg_id: &'a str,
    pub(crate) properties: &'a str,
    pub(crate) body: Bytes,
    pub(crate) flag: i32,
    pub(crate) reconsume_times: i32,
    pub(crate) max_reconsume_times: i32,
}

impl Resend<'_> {
    /// A normal message to `%RETRY%<group>` (Java: `sendMessageBackAsNormalMessage`).
    pub(crate) fn message(self) -> Message {
        let mut message = Message::new(retry_topic(self.group), self.body).with_flag(self.flag);
        let set = message.properties_mut();
        for (name, value) in properties::iter(self.properties) {
            set.set(name, value);
        }
        if !set.contains(property::ORIGIN_MESSAGE_ID) {
            set.set(property::ORIGIN_MESSAGE_ID, self.msg_id);
        }
        if !set.contains(property::RETRY_TOPIC) {
            set.set(property::RETRY_TOPIC, self.original_topic);
        }
        set.set(property::RECONSUME_TIME, &self.reconsume_times.saturating_add(1).to_string());
        set.set(property::MAX_RECONSUME_TIMES, &self.max_reconsume_times.to_string());
        set.set(property::DELAY, &self.reconsume_times.saturating_add(3).to_string());
        set.remove(property::TRAN_MSG);
        set.remove(property::MIN_OFFSET);
        set.remove(property::MAX_OFFSET);
        message
    }
}

#[cfg(test)]
mod tests {
    use rocketwire_protocol::message::decompress;

    use super::*;

    fn common() -> Common {
        Common {
            group: "PG".into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: 4,
            max_message_size: 1 << 22,
            compression: Some(Compression { threshold: 4096, kind: CompressionType::Zlib, level: 5 }),
        }
    }

    fn prepared(message: &Message) -> Prepared {
        Prepared::message(message, &common(), || "ID".to_owned()).expect("sendable")
    }

    fn header(prepared: &Prepared) -> (Command, SendMessageRequestHeaderV2) {
        let request = prepared.request(&common(), &MessageQueue::new("T", "broker-a", 3), 1_700_000_000_000);
        let header = request.header().expect("our own header");
        (request, header)
    }

    #[test]
    fn a_plain_message() {
        // spec: client 52
        let message = Message::new("T", "body").with_tag("A").with_flag(7);
        let (request, header) = header(&prepared(&message));
        assert_eq!(request.code, 310);
        assert_eq!(request.body, "body");
        assert_eq!((&*header.producer_group, &*header.topic, &*header.default_topic), ("PG", "T", "TBW102"));
        assert_eq!((header.default_topic_queue_nums, header.queue_id, header.flag), (4, 3, 7));
        assert_eq!((header.sys_flag, header.born_timestamp), (0, 1_700_000_000_000));
        assert_eq!(header.properties.as_deref(), Some("TAGS\u{1}A\u{2}UNIQ_KEY\u{1}ID\u{2}"));
        assert_eq!((header.batch, header.broker_name.as_deref()), (Some(false), Some("broker-a")));
        assert_eq!((header.reconsume_times, header.max_reconsume_times), (Some(0), None));
    }

    #[test]
    fn the_code_follows_the_kind() {
        // spec: client 52
        let mut reply = Message::new("c_REPLY_TOPIC", "r");
        reply.properties_mut().set(property::MSG_TYPE, "reply");
        assert_eq!(header(&prepared(&reply)).0.code, 325);
        let batch =
            Prepared::batch(&[Message::new("T", "a")], &common(), || "ID".to_owned()).expect("a batch");
        let (request, header) = header(&batch);
        assert_eq!((request.code, header.batch), (320, Some(true)));
    }

    #[test]
    fn bodies_of_the_threshold_are_compressed() {
        // spec: client 48 49
        let message = Message::new("T", vec![b'x'; 4095]);
        assert_eq!(header(&prepared(&message)).1.sys_flag, 0);
        let message = Message::new("T", vec![b'x'; 4096]);
        let (request, header) = header(&prepared(&message));
        assert_eq!(header.sys_flag, 0x301);
        assert!(request.body.len() < 4096);
        let back = decompress(SysFlag(header.sys_flag), &request.body, 5000).expect("zlib");
        assert_eq!(back, vec![b'x'; 4096]);
        assert_eq!(message.body().len(), 4096, "the caller's message is as it was");
    }

    #[test]
    fn what_does_not_shrink_is_sent_as_it_is() {
        // SplitMix64: nothing that zlib finds a pattern in.
        let noise = |i: u64| {
            let z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) >> 56
        };
        let noise: Vec<u8> = (1..=5000).map(|i| noise(i) as u8).collect();
        let (request, header) = header(&prepared(&Message::new("T", noise.clone())));
        assert_eq!(header.sys_flag, 0);
        assert_eq!(request.body, noise);
    }

    #[test]
    fn the_unique_id_is_given_once() {
        // spec: client 50
        let mut message = Message::new("T", "x");
        message.properties_mut().set(property::UNIQ_KEY, "MINE");
        let prepared = prepared(&message);
        assert_eq!(prepared.msg_id, "MINE");
        let properties = header(&prepared).1.properties.expect("properties");
        assert_eq!(&*properties, "UNIQ_KEY\u{1}MINE\u{2}");
        assert_eq!(header(&prepared).1.properties, Some(properties), "and survives a retry");
    }

    #[test]
    fn a_retry_topic_moves_its_counts_into_the_header() {
        // spec: client 53
        let mut message = Message::new("%RETRY%G", "x");
        message.properties_mut().set(property::RECONSUME_TIME, "3");
        message.properties_mut().set(property::MAX_RECONSUME_TIMES, "16");
        let (_, header) = header(&prepared(&message));
        assert_eq!((header.reconsume_times, header.max_reconsume_times), (Some(3), Some(16)));
        assert!(header.properties.expect("properties").contains("RECONSUME_TIME"));
    }

    #[test]
    fn half_messages_are_marked() {
        let mut message = Message::new("T", "x");
        message.properties_mut().set(property::TRAN_MSG, "true");
        assert_eq!(header(&prepared(&message)).1.sys_flag, 4);
    }

    #[test]
    fn a_batch_has_an_id_per_message() {
        // spec: client 57
        let count = std::cell::Cell::new(0);
        let next = || {
            count.set(count.get() + 1);
            format!("ID{}", count.get())
        };
        let messages = [Message::new("T", "a"), Message::new("T", "bb").with_tag("B")];
        let batch = Prepared::batch(&messages, &common(), next).expect("a batch");
        assert_eq!(batch.msg_id, "ID1,ID2");
        let items: Vec<_> = batch::items(batch.body.clone()).map(|item| item.expect("an item")).collect();
        assert_eq!((&items[0].body[..], &*items[0].properties), (&b"a"[..], "UNIQ_KEY\u{1}ID1\u{2}"));
        assert_eq!(
            (&items[1].body[..], &*items[1].properties),
            (&b"bb"[..], "TAGS\u{1}B\u{2}UNIQ_KEY\u{1}ID2\u{2}")
        );
        assert!(batch.properties.contains("ID3"), "the batch has an id of its own");
    }

    #[test]
    fn messages_that_do_not_go_together() {
        // spec: client 58
        let batch =
            |messages: &[Message]| Prepared::batch(messages, &common(), || "ID".to_owned()).map(|_| ());
        let message = |topic: &'static str| Message::new(topic, "x");
        assert_eq!(batch(&[]), Err(Invalid::BatchEmpty));
        assert_eq!(batch(&[message("T"), message("U")]), Err(Invalid::BatchTopics));
        assert_eq!(batch(&[message("T"), message("T").with_wait_store(false)]), Err(Invalid::BatchWait));
        assert_eq!(batch(&[message("T").with_delay_level(1)]), Err(Invalid::BatchDelay));
        assert_eq!(batch(&[message("%RETRY%G")]), Err(Invalid::BatchRetry));
        let large = Message::new("T", vec![0; 3 << 20]);
        assert!(matches!(batch(&[large.clone(), large]), Err(Invalid::Message(_))));
    }

    #[test]
    fn a_resend_carries_what_the_broker_would_have_noted() {
        // spec: client 101
        let resend = |properties: &str, reconsume_times| {
            Resend {
                group: "G",
                original_topic: "T",
                msg_id: "ID",
                properties,
                body: Bytes::from_static(b"x"),
                flag: 0,
                reconsume_times,
                max_reconsume_times: 16,
            }
            .message()
        };
        let first = resend("TAGS\u{1}A\u{2}TRAN_MSG\u{1}true\u{2}", 0);
        assert_eq!(&**first.topic(), "%RETRY%G");
        assert_eq!(first.property(property::TAGS), Some("A"));
        assert_eq!(first.property(property::TRAN_MSG), None);
        assert_eq!(first.property(property::ORIGIN_MESSAGE_ID), Some("ID"));
        assert_eq!(first.property(property::RETRY_TOPIC), Some("T"));
        assert_eq!(first.property(property::RECONSUME_TIME), Some("1"));
        assert_eq!(first.property(property::MAX_RECONSUME_TIMES), Some("16"));
        assert_eq!(first.delay_level(), 3);
        let again = resend("RETRY_TOPIC\u{1}First\u{2}ORIGIN_MESSAGE_ID\u{1}OLD\u{2}", 4);
        assert_eq!(again.property(property::RETRY_TOPIC), Some("First"));
        assert_eq!(again.property(property::ORIGIN_MESSAGE_ID), Some("OLD"));
        assert_eq!(again.delay_level(), 7);
        let most = i32::MAX.to_string();
        let absurd = resend("", i32::MAX);
        assert_eq!(
            absurd.property(property::RECONSUME_TIME),
            Some(&*most),
            "a count from the wire may be anything"
        );
        assert_eq!(absurd.property(property::DELAY), Some(&*most));
    }
}

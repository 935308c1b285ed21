//! A message received.

use std::net::SocketAddr;

use bytes::Bytes;
use bytestring::ByteString;

use super::{CompressionError, OffsetMessageId, RecordView, SysFlag, decompress, properties, property};

/// A message as a consumer sees it (Java: `MessageExt`). Texts and body share the memory of the answer that
/// they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageExt {
    /// The topic. A consumer of a retry topic puts the original one here.
    pub topic: ByteString,
    /// The broker that it came from; a record does not say, the puller does.
    pub broker_name: ByteString,
    /// The queue of the topic.
    pub queue_id: i32,
    /// The offset in the queue.
    pub queue_offset: i64,
    /// The offset in the broker's log.
    pub physical_offset: i64,
    /// The producer's number.
    pub flag: i32,
    /// Compression, transaction, kinds of addresses.
    pub sys_flag: SysFlag,
    /// The property string.
    pub properties: ByteString,
    /// The body: as it was stored, until [`MessageExt::decompress`].
    pub body: Bytes,
    /// CRC of the stored body.
    pub body_crc: u32,
    /// The producer.
    pub born_host: SocketAddr,
    /// When it was made, in milliseconds since 1970.
    pub born_timestamp: i64,
    /// The broker, by the address that it advertises.
    pub store_host: SocketAddr,
    /// When it was stored, in milliseconds since 1970.
    pub store_timestamp: i64,
    /// How often it was consumed in vain.
    pub reconsume_times: i32,
    /// The physical offset of the half message that this one commits.
    pub prepared_transaction_offset: i64,
    /// Bytes of the whole record.
    pub store_size: usize,
}

impl MessageExt {
    /// The message of a stored record. Its body is not decompressed and the broker's name is empty.
    pub fn from_record(record: RecordView) -> MessageExt {
        let mut message = MessageExt {
            topic: ByteString::new(),
            broker_name: ByteString::new(),
            queue_id: record.queue_id(),
            queue_offset: record.queue_offset(),
            physical_offset: record.physical_offset(),
            flag: record.flag(),
            sys_flag: record.sys_flag(),
            properties: ByteString::new(),
            body: Bytes::new(),
            body_crc: record.body_crc(),
            born_host: record.born_host(),
            born_timestamp: record.born_timestamp(),
            store_host: record.store_host(),
            store_timestamp: record.store_timestamp(),
            reconsume_times: record.reconsume_times(),
            prepared_transaction_offset: record.prepared_transaction_offset(),
            store_size: record.len(),
        };
        (message.topic, message.properties, message.body) = record.into_parts();
        message
    }

    /// Decompresses the body if it is compressed, and clears the bit that says so, as Java does. More than
    /// `limit` bytes are an error and leave the message as it was.
    pub fn decompress(&mut self, limit: usize) -> Result<(), CompressionError> {
        if self.sys_flag.is_compressed() {
            self.body = decompress(self.sys_flag, &self.body, limit)?.into();
            self.sys_flag = self.sys_flag.without(SysFlag::COMPRESSED);
        }
        Ok(())
    }

    /// A property's value.
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::get(&self.properties, name)
    }

    /// The tag.
    pub fn tags(&self) -> Option<&str> {
        self.property(property::TAGS)
    }

    /// Each of the keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = self.property(property::KEYS).unwrap_or_default();
        keys.split(property::KEY_SEPARATOR).filter(|key| !key.is_empty())
    }

    /// The delay level; 0 if there is none.
    pub fn delay_level(&self) -> i32 {
        self.property(property::DELAY).and_then(|level| level.parse().ok()).unwrap_or(0)
    }

    /// The id that users know: the producer's, or where it is stored if the producer gave none.
    pub fn msg_id(&self) -> String {
        match self.property(property::UNIQ_KEY) {
            Some(id) => id.to_owned(),
            None => self.offset_msg_id().to_string(),
        }
    }

    /// The id that tells where the message is stored.
    pub fn offset_msg_id(&self) -> OffsetMessageId {
        OffsetMessageId { host: self.store_host, offset: self.physical_offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{NewRecord, record};

    fn received(sys_flag: i32, body: &[u8], properties: &str) -> MessageExt {
        let mut out = Vec::new();
        let new = NewRecord {
            topic: "T",
            queue_id: 1,
            flag: 0,
            sys_flag,
            born_timestamp: 1,
            born_host: "10.0.0.9:1".parse().unwrap(),
            store_host: "10.0.0.5:10911".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            properties,
        };
        record::encode(&new, &mut out).unwrap();
        record::patch(&mut out, 7, 300, 2);
        MessageExt::from_record(RecordView::parse(&out.into()).unwrap())
    }

    #[test]
    fn has_the_producers_id_or_else_the_brokers() {
        let message =
            received(0, b"x", "UNIQ_KEY\u{1}7F00\u{2}KEYS\u{1}a b\u{2}TAGS\u{1}t\u{2}DELAY\u{1}2\u{2}");
        assert_eq!(message.msg_id(), "7F00");
        assert_eq!(message.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((message.tags(), message.delay_level()), (Some("t"), 2));
        assert_eq!((message.queue_offset, message.store_timestamp), (7, 2));
        let message = received(0, b"x", "");
        assert_eq!(message.msg_id(), "0A00000500002A9F000000000000012C");
    }

    #[cfg(feature = "zlib")]
    #[test]
    fn decompresses_once_and_only_what_is_compressed() {
        use crate::message::{CompressionType, compress};

        let plain = b"hello ".repeat(100);
        let small = compress(CompressionType::Zlib, 5, &plain).unwrap();
        let mut message = received(0x301, &small, "");
        assert!(message.decompress(10).is_err());
        assert!(message.sys_flag.is_compressed() && message.body == small);
        for _ in 0..2 {
            message.decompress(1000).unwrap();
            assert_eq!(message.body, plain);
            assert_eq!(message.sys_flag, SysFlag(0x300));
        }
        let mut message = received(0, &small, "");
        message.decompress(10).unwrap();
        assert_eq!(message.body, small);
    }
}

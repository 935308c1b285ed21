//! Reading records.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
};

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::{MAGIC_V1, MAGIC_V2, MIN_LEN, RecordError, SysFlag, at, body_crc, len, read_i32, read_i64};
use crate::{encoding::binary, message::OffsetMessageId};

/// A stored record, checked once and then read in place.
#[derive(Clone, Debug)]
pub struct RecordView {
    raw: Bytes,
    /// Where the store timestamp is, behind the born host.
    store_timestamp_at: usize,
    /// Where the reconsume times are, behind the store host.
    reconsume_times_at: usize,
    body: Range<usize>,
    topic: ByteString,
    properties: ByteString,
}

impl RecordView {
    /// Reads the record at the front of `bytes`, whatever is behind it. Nothing is copied.
    ///
    /// The CRC is not computed; see [`RecordView::check_crc`]. Malformed UTF-8 in topic and properties becomes
    /// U+FFFD, as in Java.
    pub fn parse(bytes: &Bytes) -> Result<RecordView, RecordError> {
        let available = bytes.len();
        let announced = len(bytes).ok_or(RecordError::Truncated { available, announced: MIN_LEN })?;
        if available < announced {
            return Err(RecordError::Truncated { available, announced });
        }
        let raw = bytes.slice(..announced);
        let magic = read_i32(&raw, at::MAGIC).unwrap_or_default();
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return Err(RecordError::Magic(magic as u32));
        }
        let flag = SysFlag(read_i32(&raw, at::SYS_FLAG).unwrap_or_default());
        let host_len = |bit| if flag.has(bit) { 20 } else { 8 };
        let store_timestamp_at = at::BORN_HOST + host_len(SysFlag::BORN_HOST_V6);
        let reconsume_times_at = store_timestamp_at + 8 + host_len(SysFlag::STORE_HOST_V6);

        let mut rest = Rest { raw: &raw, at: reconsume_times_at + 12 };
        let body_len = rest.number::<4>("body")?;
        let body = rest.range(body_len, "body")?;
        let topic_len =
            if magic == MAGIC_V1 { rest.number::<1>("topic")? } else { rest.number::<2>("topic")? };
        let topic = rest.range(topic_len, "topic")?;
        let properties_len = rest.number::<2>("properties")?;
        let properties = rest.range(properties_len, "properties")?;
        let text = |range| binary::text(&raw, raw.get(range).unwrap_or_default());
        Ok(RecordView {
            topic: text(topic),
            properties: text(properties),
            raw,
            store_timestamp_at,
            reconsume_times_at,
            body,
        })
    }

    /// The whole record.
    pub fn raw(&self) -> Bytes {
        self.raw.clone()
    }

    /// Bytes of the whole record.
    #[allow(clippy::len_without_is_empty)] // no record is empty
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// The topic. In a system topic's record the real one is a property.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The topic, sharing the record's memory.
    pub fn topic_text(&self) -> ByteString {
        self.topic.clone()
    }

    /// The property string.
    pub fn properties(&self) -> &str {
        &self.properties
    }

    /// The property string, sharing the record's memory.
    pub fn properties_text(&self) -> ByteString {
        self.properties.clone()
    }

    /// A property's value.
    pub fn property(&self, name: &str) -> Option<&str> {
        crate::message::properties::get(&self.properties, name)
    }

    /// Topic, properties and body, with no reference to the memory behind them more than they need.
    pub(crate) fn into_parts(self) -> (ByteString, ByteString, Bytes) {
        let mut body = self.raw;
        body.truncate(self.body.end);
        body.advance(self.body.start);
        (self.topic, self.properties, body)
    }

    /// The body as it is stored, maybe compressed.
    pub fn body(&self) -> Bytes {
        self.raw.slice(self.body.clone())
    }

    /// The CRC that the record carries.
    pub fn body_crc(&self) -> u32 {
        self.i32(at::BODY_CRC) as u32
    }

    /// Compares the body with its CRC.
    pub fn check_crc(&self) -> Result<(), RecordError> {
        let found = body_crc(self.raw.get(self.body.clone()).unwrap_or_default());
        let stored = self.body_crc();
        if found == stored { Ok(()) } else { Err(RecordError::Crc { found, stored }) }
    }

    /// The queue of the topic.
    pub fn queue_id(&self) -> i32 {
        self.i32(at::QUEUE_ID)
    }

    /// The user's flag.
    pub fn flag(&self) -> i32 {
        self.i32(at::FLAG)
    }

    /// The offset in the queue.
    pub fn queue_offset(&self) -> i64 {
        self.i64(at::QUEUE_OFFSET)
    }

    /// The offset in the log.
    pub fn physical_offset(&self) -> i64 {
        self.i64(at::PHYSICAL_OFFSET)
    }

    /// The bits that describe the message.
    pub fn sys_flag(&self) -> SysFlag {
        SysFlag(self.i32(at::SYS_FLAG))
    }

    /// When the producer made the message, in milliseconds since 1970.
    pub fn born_timestamp(&self) -> i64 {
        self.i64(at::BORN_TIMESTAMP)
    }

    /// The producer.
    pub fn born_host(&self) -> SocketAddr {
        self.host(at::BORN_HOST, SysFlag::BORN_HOST_V6)
    }

    /// When the broker stored the message, in milliseconds since 1970.
    pub fn store_timestamp(&self) -> i64 {
        self.i64(self.store_timestamp_at)
    }

    /// The broker.
    pub fn store_host(&self) -> SocketAddr {
        self.host(self.store_timestamp_at + 8, SysFlag::STORE_HOST_V6)
    }

    /// How often the message was consumed in vain.
    pub fn reconsume_times(&self) -> i32 {
        self.i32(self.reconsume_times_at)
    }

    /// The physical offset of the half message that this one commits.
    pub fn prepared_transaction_offset(&self) -> i64 {
        self.i64(self.reconsume_times_at + 4)
    }

    /// The id that tells where the record is.
    pub fn offset_message_id(&self) -> OffsetMessageId {
        OffsetMessageId { host: self.store_host(), offset: self.physical_offset() }
    }

    // `parse` saw that the fixed part is there.
    fn i32(&self, at: usize) -> i32 {
        read_i32(&self.raw, at).unwrap_or_default()
    }

    fn i64(&self, at: usize) -> i64 {
        read_i64(&self.raw, at).unwrap_or_default()
    }

    fn host(&self, at: usize, v6: SysFlag) -> SocketAddr {
        let bytes = self.raw.get(at..).unwrap_or_default();
        let (ip, port_at) = if self.sys_flag().has(v6) {
            let octets = bytes.first_chunk::<16>().copied().unwrap_or_default();
            (IpAddr::V6(Ipv6Addr::from(octets)), at + 16)
        } else {
            let octets = bytes.first_chunk::<4>().copied().unwrap_or_default();
            (IpAddr::V4(Ipv4Addr::from(octets)), at + 4)
        };
        SocketAddr::new(ip, self.i32(port_at) as u16)
    }
}

/// What is left of a record, with lengths that are checked before they are used.
struct Rest<'a> {
    raw: &'a [u8],
    at: usize,
}

impl Rest<'_> {
    /// A length of `N` bytes; a negative one is an error.
    fn number<const N: usize>(&mut self, what: &'static str) -> Result<usize, RecordError> {
        let bytes = self.raw.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let bytes = bytes.ok_or(RecordError::Length(what))?;
        self.at += N;
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            return Err(RecordError::Length(what));
        }
        Ok(bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)))
    }

    fn range(&mut self, len: usize, what: &'static str) -> Result<Range<usize>, RecordError> {
        let end = self.at.saturating_add(len);
        if end > self.raw.len() {
            return Err(RecordError::Length(what));
        }
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }
}

/// The records of a pull answer, one behind the other. After an error there is nothing more.
pub fn records(body: Bytes) -> Records {
    Records { rest: body }
}

/// Iterator of [`records`].
#[derive(Clone, Debug)]
pub struct Records {
    rest: Bytes,
}

impl Iterator for Records {
    type Item = Result<RecordView, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = RecordView::parse(&self.rest);
        match &record {
            Ok(view) => self.rest.advance(view.raw.len()),
            Err(_) => self.rest.clear(),
        }
        Some(record)
    }
}

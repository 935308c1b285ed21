//! The few fields of a stored record (`MessageExtEncoder`, spec broker C.1) that the log needs.

//!
//! `RecordView` of the protocol crate reads all of them and owns its bytes; this one borrows, for the write path.

use rocketwire_protocol::message::record::{MAGIC_V1, MAGIC_V2, MIN_LEN};
use rocketwire_protocol::message::{SysFlag, TransactionType, tags_code};

use crate::octets::{i64_at, u16_at, u32_at};

const BODY_CRC: usize = 8;
const QUEUE_ID: usize = 12;
const QUEUE_OFFSET: usize = 20;
const PHYSICAL_OFFSET: usize = 28;
const SYS_FLAG: usize = 36;
const BORN_HOST: usize = 48;

/// A record whose lengths add up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    bytes: &'a [u8],
    sys_flag: SysFlag,
    topic: &'a [u8],
    properties: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at the front of `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let size = u32_at(bytes, 0).ok_or("a record is cut off")? as usize;
        let bytes = bytes.get(..size).ok_or("a record is longer than what holds it")?;
        let magic = u32_at(bytes, 4).ok_or("a record is cut off")?.cast_signed();
        if size < MIN_LEN || (magic != MAGIC_V1 && magic != MAGIC_V2) {
            return Err("there is no record where one must be");
        }
        let sys_flag = SysFlag(u32_at(bytes, SYS_FLAG).ok_or("a record is cut off")?.cast_signed());
        let (topic, properties) =
            tail(bytes, magic, sys_flag).ok_or("the lengths of a record do not add up")?;
        Ok(Self { bytes, sys_flag, topic, properties })
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn topic(&self) -> &'a [u8] {
        self.topic
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn body(&self) -> &'a [u8] {
        let end = topic_at(self.bytes, self.sys_flag).unwrap_or_default();
        self.bytes.get(body_at(self.sys_flag) + 4..end).unwrap_or_default()
    }

    /// The checksum that it carries of its body.
    pub(crate) fn body_crc(&self) -> u32 {
        u32_at(self.bytes, BODY_CRC).unwrap_or_default()
    }

    pub(crate) fn queue_id(&self) -> u32 {
        u32_at(self.bytes, QUEUE_ID).unwrap_or_default()
    }

    pub(crate) fn queue_offset(&self) -> i64 {
        i64_at(self.bytes, QUEUE_OFFSET).unwrap_or_default()
    }

    pub(crate) fn physical_offset(&self) -> i64 {
        i64_at(self.bytes, PHYSICAL_OFFSET).unwrap_or_default()
    }

    pub(crate) fn store_timestamp(&self) -> i64 {
        i64_at(self.bytes, store_timestamp_at(self.sys_flag)).unwrap_or_default()
    }

    /// Whether the record has a place in its queue: a prepared or rolled back one is only in the log
    /// (`CommitLog.doAppend`, spec broker D.2).
    pub(crate) fn is_queued(&self) -> bool {
        !matches!(self.sys_flag.transaction_type(), TransactionType::Prepared | TransactionType::Rollback)
    }

    /// What the record can be found by: UNIQ_KEY, and each word of KEYS (`IndexService.buildIndex`, spec broker B.6).
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a [u8]> {
        let (unique, keys) = keys(self.properties);
        let words = keys.unwrap_or_default().split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        unique.into_iter().chain(words)
    }

    /// `String.hashCode` of the property TAGS, 0 without one (spec broker C.6).
    pub(crate) fn tags_code(&self) -> i64 {
        tags(self.properties).map_or(0, |tags| tags_code(&String::from_utf8_lossy(tags)))
    }
}

/// The first bytes of what may be a record: enough to find its topic without its body. Only the magic number is
/// checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    magic: i32,
    pub(crate) queue_id: u32,
    pub(crate) queue_offset: i64,
    /// Where behind the begin of the record its topic is.
    pub(crate) topic_at: u64,
}

impl Head {
    /// The longest head.
    pub(crate) const SIZE: usize = BORN_HOST + 20 + 8 + 20 + 4 + 8 + 4;
    /// The longest topic with its length.
    pub(crate) const TOPIC_SIZE: usize = 2 + u16::MAX as usize;

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let magic = u32_at(bytes, 4)?.cast_signed();
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return None;
        }
        let sys_flag = SysFlag(u32_at(bytes, SYS_FLAG)?.cast_signed());
        Some(Self {
            magic,
            queue_id: u32_at(bytes, QUEUE_ID)?,
            queue_offset: i64_at(bytes, QUEUE_OFFSET)?,
            topic_at: topic_at(bytes, sys_flag)? as u64,
        })
    }

    /// The topic, of the bytes at [`Head::topic_at`].
    pub(crate) fn topic<'a>(&self, bytes: &'a [u8]) -> Option<&'a str> {
        let (size, at) = topic_size(bytes, 0, self.magic)?;
        std::str::from_utf8(bytes.get(at..at + size)?).ok()
    }
}

/// Where the topic's length is: behind the body.
fn topic_at(bytes: &[u8], sys_flag: SysFlag) -> Option<usize> {
    let body = body_at(sys_flag);
    body.checked_add(4)?.checked_add(u32_at(bytes, body)? as usize)
}

/// Where the body's length is.
fn body_at(sys_flag: SysFlag) -> usize {
    let store_host = if sys_flag.has(SysFlag::STORE_HOST_V6) { 20 } else { 8 };
    store_timestamp_at(sys_flag) + 8 + store_host + 4 + 8
}

/// The topic's length, and where the topic is.
fn topic_size(bytes: &[u8], at: usize, magic: i32) -> Option<(usize, usize)> {
    if magic == MAGIC_V1 {
        Some((usize::from(*bytes.get(at)?), at + 1))
    } else {
        Some((usize::from(u16_at(bytes, at)?), at + 2))
    }
}

/// The fields of variable length behind the body: topic and properties.
fn tail(bytes: &[u8], magic: i32, sys_flag: SysFlag) -> Option<(&[u8], &[u8])> {
    let (topic_size, topic) = topic_size(bytes, topic_at(bytes, sys_flag)?, magic)?;
    let properties = topic + topic_size;
    let properties_size = usize::from(u16_at(bytes, properties)?);
    let end = properties + 2 + properties_size;
    if end != bytes.len() {
        return None;
    }
    Some((bytes.get(topic..properties)?, bytes.get(properties + 2..end)?))
}

fn store_timestamp_at(sys_flag: SysFlag) -> usize {
    BORN_HOST + if sys_flag.has(SysFlag::BORN_HOST_V6) { 20 } else { 8 }
}

/// The value of TAGS; the last one wins, as in `MessageDecoder.string2messageProperties`.
fn tags(properties: &[u8]) -> Option<&[u8]> {
    let items = properties.split(|&byte| byte == 2);
    items.filter_map(|item| item.strip_prefix(b"TAGS\x01")).rfind(|value| !value.is_empty())
}

/// The values of UNIQ_KEY and KEYS; the last one of each wins.
fn keys(properties: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    let (mut unique, mut keys) = (None, None);
    for item in properties.split(|&byte| byte == 2) {
        if let Some(value) = item.strip_prefix(b"KEYS\x01").filter(|value| !value.is_empty()) {
            keys = Some(value);
        } else if let Some(value) = item.strip_prefix(b"UNIQ_KEY\x01").filter(|value| !value.is_empty()) {
            unique = Some(value);
        }
    }
    (unique, keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tags_win_and_a_missing_end_is_fine() {
        assert_eq!(tags(b"KEYS\x01k\x02TAGS\x01a\x02TAGS\x01b"), Some(&b"b"[..]));
        assert_eq!(tags(b"MYTAGS\x01a\x02"), None);
        assert_eq!(tags(b""), None);
    }

    #[test]
    fn keys_are_the_last_of_their_name() {
        assert_eq!(keys(b"KEYS\x01a b\x02UNIQ_KEY\x017F\x02KEYS\x01c"), (Some(&b"7F"[..]), Some(&b"c"[..])));
        assert_eq!(keys(b"MYKEYS\x01a\x02KEYS\x01\x02UNIQ_KEYS\x01x"), (None, None));
    }
}

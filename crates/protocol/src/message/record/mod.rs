//! The stored record (spec/broker.md C.1): what the log holds, a pull returns and a callback carries.
//!
//! ```text
//! totalSize i32 | magic i32 | bodyCRC i32 | queueId i32 | flag i32 | queueOffset i64 | physicalOffset i64
//! sysFlag i32 | bornTimestamp i64 | bornHost 4/16 + i32 | storeTimestamp i64 | storeHost 4/16 + i32
//! reconsumeTimes i32 | preparedTransactionOffset i64
//! bodyLen i32, body | topicLen i8 (V1) or i16 (V2), topic | propertiesLen i16, properties
//! ```

mod view;

use std::net::{IpAddr, SocketAddr};

use super::{SysFlag, properties};

pub use view::{RecordView, Records, records};

/// Magic number of a record whose topic length takes one byte.
pub const MAGIC_V1: i32 = 0xdaa3_20a7_u32 as i32;
/// Magic number of a record whose topic length takes two bytes: topics of more than 127 bytes.
pub const MAGIC_V2: i32 = 0xdaa3_20ab_u32 as i32;
/// The least length of a record: no body, topic or properties, IPv4 hosts.
pub const MIN_LEN: usize = 91;

/// Offsets inside a record, up to where the length of the born host matters.
pub(crate) mod at {
    pub(crate) const TOTAL_SIZE: usize = 0;
    pub(crate) const MAGIC: usize = 4;
    pub(crate) const BODY_CRC: usize = 8;
    pub(crate) const QUEUE_ID: usize = 12;
    pub(crate) const FLAG: usize = 16;
    pub(crate) const QUEUE_OFFSET: usize = 20;
    pub(crate) const PHYSICAL_OFFSET: usize = 28;
    pub(crate) const SYS_FLAG: usize = 36;
    pub(crate) const BORN_TIMESTAMP: usize = 40;
    pub(crate) const BORN_HOST: usize = 48;
}

/// What a record is made of; offsets and store time come later, by [`patch`].
#[derive(Clone, Debug)]
pub struct NewRecord<'a> {
    /// At most 32,767 bytes; from 128 on the layout is V2, which only Java reads.
    pub topic: &'a str,
    /// The queue of the topic.
    pub queue_id: i32,
    /// The user's flag.
    pub flag: i32,
    /// [`SysFlag`]; the two bits for IPv6 hosts are set and cleared by [`encode`].
    pub sys_flag: i32,
    /// When the producer made the message, in milliseconds since 1970.
    pub born_timestamp: i64,
    /// The producer. An IPv4 address mapped into IPv6 is written as IPv4.
    pub born_host: SocketAddr,
    /// The broker, as clients reach it; part of the message's offset id.
    pub store_host: SocketAddr,
    /// How often the message was consumed in vain.
    pub reconsume_times: i32,
    /// For the message of a committed transaction: the physical offset of its half.
    pub prepared_transaction_offset: i64,
    /// The body as it is stored, compressed or not.
    pub body: &'a [u8],
    /// The property string, at most 32,767 bytes.
    pub properties: &'a str,
}

/// A record that cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The property string does not fit.
    #[error("properties of {0} bytes exceed 32767 bytes")]
    PropertiesTooLong(usize),
    /// The topic does not fit.
    #[error("topic of {0} bytes exceeds 32767 bytes")]
    TopicTooLong(usize),
    /// The record does not fit 31 bits.
    #[error("body of {0} bytes does not fit a record")]
    BodyTooLong(usize),
    /// There are fewer bytes than the record announces.
    #[error("record is cut off: {available} bytes of {announced}")]
    Truncated {
        /// Bytes that are there.
        available: usize,
        /// Bytes that there should be.
        announced: usize,
    },
    /// Neither of the two magic numbers.
    #[error("unknown magic number {0:#010x}")]
    Magic(u32),
    /// The lengths inside the record contradict each other.
    #[error("the {0} runs past the record")]
    Length(&'static str),
    /// The body is not the one that was stored.
    #[error("body has CRC {found:#010x}, the record says {stored:#010x}")]
    Crc {
        /// CRC of the body that is there.
        found: u32,
        /// CRC that the record carries.
        stored: u32,
    },
}

/// Appends a record whose queue offset, physical offset and store time are 0, and returns its length.
///
/// After an error nothing is appended.
pub fn encode(new: &NewRecord<'_>, out: &mut Vec<u8>) -> Result<usize, RecordError> {
    let properties_len = i16::try_from(new.properties.len())
        .map_err(|_| RecordError::PropertiesTooLong(new.properties.len()))?;
    let topic_len = i16::try_from(new.topic.len()).map_err(|_| RecordError::TopicTooLong(new.topic.len()))?;
    let magic = if topic_len > 127 { MAGIC_V2 } else { MAGIC_V1 };
    let (born, store) = (Host::new(new.born_host), Host::new(new.store_host));
    let total = MIN_LEN
        + born.extra()
        + store.extra()
        + new.body.len()
        + new.topic.len()
        + usize::from(magic == MAGIC_V2)
        + new.properties.len();
    let too_long = |_| RecordError::BodyTooLong(new.body.len());
    let total_size = i32::try_from(total).map_err(too_long)?;
    let body_len = i32::try_from(new.body.len()).map_err(too_long)?;
    let sys_flag = SysFlag(new.sys_flag)
        .without(SysFlag::BORN_HOST_V6.with(SysFlag::STORE_HOST_V6))
        .with(SysFlag(SysFlag::BORN_HOST_V6.0 * i32::from(born.is_v6())))
        .with(SysFlag(SysFlag::STORE_HOST_V6.0 * i32::from(store.is_v6())));

    out.reserve(total);
    let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
    put(&total_size.to_be_bytes());
    put(&magic.to_be_bytes());
    put(&body_crc(new.body).to_be_bytes());
    put(&new.queue_id.to_be_bytes());
    put(&new.flag.to_be_bytes());
    put(&[0; 16]);
    put(&sys_flag.0.to_be_bytes());
    put(&new.born_timestamp.to_be_bytes());
    born.put(&mut put);
    put(&[0; 8]);
    store.put(&mut put);
    put(&new.reconsume_times.to_be_bytes());
    put(&new.prepared_transaction_offset.to_be_bytes());
    put(&body_len.to_be_bytes());
    put(new.body);
    let [topic_high, topic_low] = topic_len.to_be_bytes();
    if magic == MAGIC_V2 {
        put(&[topic_high]);
    }
    put(&[topic_low]);
    put(new.topic.as_bytes());
    put(&properties_len.to_be_bytes());
    put(new.properties.as_bytes());
    Ok(total)
}

/// Fills in what only the log knows, and says whether `record` begins with a whole fixed part.
///
/// `record` is one that [`encode`] wrote; nothing else of it changes.
pub fn patch(record: &mut [u8], queue_offset: i64, physical_offset: i64, store_timestamp: i64) -> bool {
    let born_len = match read_i32(record, at::SYS_FLAG) {
        Some(flag) if SysFlag(flag).has(SysFlag::BORN_HOST_V6) => 20,
        _ => 8,
    };
    let time_at = at::BORN_HOST + born_len;
    let Some(fixed) = record.get_mut(..time_at + 8) else {
        return false;
    };
    for (at, value) in
        [(at::QUEUE_OFFSET, queue_offset), (at::PHYSICAL_OFFSET, physical_offset), (time_at, store_timestamp)]
    {
        if let Some(slot) = fixed.get_mut(at..at + 8) {
            slot.copy_from_slice(&value.to_be_bytes());
        }
    }
    true
}

/// The length of the record at the front of `bytes`, as it says itself; `None` if that cannot be.
///
/// Whether so many bytes are there is not looked at.
pub fn len(bytes: &[u8]) -> Option<usize> {
    let size = usize::try_from(read_i32(bytes, at::TOTAL_SIZE)?).ok()?;
    (size >= MIN_LEN).then_some(size)
}

/// The CRC of a body: CRC-32 (IEEE) without its top bit (Java: `UtilAll.crc32`).
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7fff_ffff
}

/// Whether a property string fits a record.
pub fn properties_fit(text: &str) -> bool {
    text.len() <= properties::MAX_LEN
}

pub(crate) fn read_i32(bytes: &[u8], at: usize) -> Option<i32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(i32::from_be_bytes(*word))
}

pub(crate) fn read_i64(bytes: &[u8], at: usize) -> Option<i64> {
    let word = bytes.get(at..)?.first_chunk::<8>()?;
    Some(i64::from_be_bytes(*word))
}

/// An address as it is written: 4 or 16 bytes and a port of 32 bits.
struct Host {
    ip: IpAddr,
    port: i32,
}

impl Host {
    fn new(addr: SocketAddr) -> Host {
        Host {
            // Node.js and C++ clients cannot read 16 bytes.
            ip: addr.ip().to_canonical(),
            port: i32::from(addr.port()),
        }
    }

    fn is_v6(&self) -> bool {
        self.ip.is_ipv6()
    }

    /// Bytes beyond those of an IPv4 host.
    fn extra(&self) -> usize {
        if self.is_v6() { 12 } else { 0 }
    }

    fn put(&self, put: &mut impl FnMut(&[u8])) {
        match self.ip {
            IpAddr::V4(ip) => put(&ip.octets()),
            IpAddr::V6(ip) => put(&ip.octets()),
        }
        put(&self.port.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;

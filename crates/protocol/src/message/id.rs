//! Ids of messages: a producer's unique id and a broker's offset id (spec/broker.md C.5).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::atomic::{AtomicU16, Ordering},
};

/// A text that is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message id has 32 hex digits, or 56 with an IPv6 address")]
pub struct IdError;

/// Where a message is stored: the broker's address and the physical offset. Its text is what brokers answer
/// as `msgId`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OffsetMessageId {
    /// The broker that has it.
    pub host: SocketAddr,
    /// The offset in its log.
    pub offset: i64,
}

/// Upper-case hex.
impl fmt::Display for OffsetMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = HexText::default();
        match self.host.ip().to_canonical() {
            IpAddr::V4(ip) => text.put(&ip.octets()),
            IpAddr::V6(ip) => text.put(&ip.octets()),
        }
        text.put(&i32::from(self.host.port()).to_be_bytes());
        text.put(&self.offset.to_be_bytes());
        f.write_str(text.as_str())
    }
}

/// Hex digits of either case.
impl FromStr for OffsetMessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<OffsetMessageId, IdError> {
        let mut hex = HexReader(text.as_bytes());
        let ip = hex.ip(text.len())?;
        let port = u32::from_be_bytes(hex.take()?);
        let offset = i64::from_be_bytes(hex.take()?);
        Ok(OffsetMessageId { host: SocketAddr::new(ip, u16::try_from(port).map_err(|_| IdError)?), offset })
    }
}

/// Makes unique ids (Java: `MessageClientIDSetter`): address, process and salt of the producer, the time since
/// the month began and a counter.
///
/// No two are equal unless one generator makes 65,536 in a millisecond. Any thread may ask.
#[derive(Debug)]
pub struct UniqIdGenerator {
    prefix: HexText,
    utc_offset_ms: i64,
    counter: AtomicU16,
}

impl UniqIdGenerator {
    /// A generator for one process. `salt` sets producers of one process apart; Java takes the hash of a class
    /// loader, a random number is as good.
    pub fn new(ip: IpAddr, pid: u32, salt: u32) -> UniqIdGenerator {
        let mut prefix = HexText::default();
        match ip.to_canonical() {
            IpAddr::V4(ip) => prefix.put(&ip.octets()),
            IpAddr::V6(ip) => prefix.put(&ip.octets()),
        }
        prefix.put(&(pid as u16).to_be_bytes());
        prefix.put(&salt.to_be_bytes());
        UniqIdGenerator { prefix, utc_offset_ms: 0, counter: AtomicU16::new(0) }
    }

    /// How far local time is ahead of UTC. Java counts from the month's beginning in local time, and guesses a
    /// message's age from it; without this, months begin in UTC.
    pub fn with_utc_offset(mut self, seconds: i32) -> UniqIdGenerator {
        self.utc_offset_ms = i64::from(seconds) * 1000;
        self
    }

    /// The next id; `now_ms` is the wall clock in milliseconds since 1970.
    pub fn next(&self, now_ms: i64) -> String {
        let since = now_ms.wrapping_sub(month_start(now_ms, self.utc_offset_ms));
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut text = self.prefix;
        // 31 days fit 32 bits without a sign, and Java reads them so.
        text.put(&(since as u32).to_be_bytes());
        text.put(&count.to_be_bytes());
        text.as_str().to_owned()
    }
}

/// What a unique id tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqId {
    /// The producer's address.
    pub ip: IpAddr,
    /// The low 16 bits of its process id.
    pub pid: u16,
    /// What sets producers of a process apart.
    pub salt: u32,
    /// Milliseconds between the beginning of the month and the birth of the message.
    pub since_month_start: u32,
    /// Counts the messages of the generator.
    pub counter: u16,
}

impl UniqId {
    /// When the message was made, in milliseconds since 1970 and if it is less than a month old (Java:
    /// `MessageClientIDSetter.getNearlyTimeFromID`). The offset is that of the generator.
    pub fn born_time(&self, now_ms: i64, utc_offset_seconds: i32) -> i64 {
        let utc_offset_ms = i64::from(utc_offset_seconds) * 1000;
        let month = month_start(now_ms, utc_offset_ms);
        let born = month.saturating_add(i64::from(self.since_month_start));
        if born <= now_ms {
            return born;
        }
        month_start(month.saturating_sub(1), utc_offset_ms).saturating_add(i64::from(self.since_month_start))
    }
}

impl FromStr for UniqId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<UniqId, IdError> {
        let mut hex = HexReader(text.as_bytes());
        Ok(UniqId {
            ip: hex.ip(text.len())?,
            pid: u16::from_be_bytes(hex.take()?),
            salt: u32::from_be_bytes(hex.take()?),
            since_month_start: u32::from_be_bytes(hex.take()?),
            counter: u16::from_be_bytes(hex.take()?),
        })
    }
}

const DAY_MS: i64 = 86_400_000;

/// The first of the month, 00:00, of a wall clock that is `utc_offset_ms` ahead of UTC.
fn month_start(now_ms: i64, utc_offset_ms: i64) -> i64 {
    let local = now_ms.saturating_add(utc_offset_ms);
    let days = local.div_euclid(DAY_MS);
    // Days of the proleptic Gregorian calendar, counted in eras of 400 years that begin on a 1st of March.
    let day_of_era = (days + 719_468).rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5;
    (days - day_of_month).saturating_mul(DAY_MS).saturating_sub(utc_offset_ms)
}

/// Hex digits being written: an id of at most 28 bytes.
#[derive(Clone, Copy)]
struct HexText {
    digits: [u8; 56],
    len: usize,
}

impl Default for HexText {
    fn default() -> Self {
        HexText { digits: [b'0'; 56], len: 0 }
    }
}

impl HexText {
    fn put(&mut self, bytes: &[u8]) {
        const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
        let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let free = self.digits.get_mut(self.len..).unwrap_or_default();
        for (slot, nibble) in free.iter_mut().zip(nibbles) {
            *slot = DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            self.len += 1;
        }
    }

    fn as_str(&self) -> &str {
        let digits = self.digits.get(..self.len).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }
}

impl fmt::Debug for HexText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

struct HexReader<'a>(&'a [u8]);

impl HexReader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], IdError> {
        let mut bytes = [0; N];
        for slot in &mut bytes {
            let ([high, low], rest) = self.0.split_first_chunk::<2>().ok_or(IdError)?;
            let digit = |c: u8| char::from(c).to_digit(16).ok_or(IdError);
            *slot = (digit(*high)? << 4 | digit(*low)?) as u8;
            self.0 = rest;
        }
        Ok(bytes)
    }

    /// An id of 32 digits begins with an IPv4 address, one of 56 with an IPv6 address.
    fn ip(&mut self, digits: usize) -> Result<IpAddr, IdError> {
        match digits {
            32 => Ok(Ipv4Addr::from(self.take::<4>()?).into()),
            56 => Ok(Ipv6Addr::from(self.take::<16>()?).into()),
            _ => Err(IdError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_id_is_address_port_and_offset() {
        let id = OffsetMessageId { host: "10.0.0.5:10911".parse().unwrap(), offset: 300 };
        assert_eq!(id.to_string(), "0A00000500002A9F000000000000012C");
        assert_eq!("0a00000500002a9f000000000000012c".parse(), Ok(id));
        let v6 = OffsetMessageId { host: "[2001:db8::7]:10911".parse().unwrap(), offset: -1 };
        assert_eq!(v6.to_string().len(), 56);
        assert_eq!(v6.to_string().parse(), Ok(v6));
        let mapped = OffsetMessageId { host: "[::ffff:10.0.0.5]:10911".parse().unwrap(), offset: 300 };
        assert_eq!(mapped.to_string(), id.to_string());
        for bad in ["", "0A", "0G00000500002A9F000000000000012C", "0A0000050001FFFF000000000000012C"] {
            assert_eq!(bad.parse::<OffsetMessageId>(), Err(IdError), "{bad}");
        }
    }

    /// 2026-11-23 00:14:00 UTC.
    const NOW: i64 = 1_795_392_840_000;

    #[test]
    fn months_begin_at_midnight() {
        let day = |n| n * DAY_MS;
        assert_eq!(month_start(NOW, 0), NOW - day(22) - 14 * 60_000);
        // 1970-01-01, 2000-02-29 12:00, 2000-03-01, 2023-12-31 23:59:59.999
        assert_eq!(month_start(0, 0), 0);
        assert_eq!(month_start(951_825_600_000, 0), 949_363_200_000);
        assert_eq!(month_start(951_868_800_000, 0), 951_868_800_000);
        assert_eq!(month_start(1_704_067_199_999, 0), 1_701_388_800_000);
        // Where it is 8 hours later, November is over 8 hours earlier.
        let hours = 3_600_000;
        let end = 1_796_083_200_000; // 2026-12-01 00:00 UTC
        assert_eq!(month_start(end - 7 * hours, 8 * hours), end - 8 * hours);
        assert_eq!(month_start(end - 9 * hours, 8 * hours), end - 30 * day(1) - 8 * hours);
        month_start(i64::MIN, i64::MIN / 2);
        month_start(i64::MAX, 0);
    }

    // spec: client 51
    #[test]
    fn a_unique_id_tells_who_and_when() {
        let ids = UniqIdGenerator::new("192.0.2.2".parse().unwrap(), 0x1_2345, 0x4e0e_2f2a);
        let (first, second) = (ids.next(NOW), ids.next(NOW));
        assert_eq!(first.len(), 32);
        assert!(first.starts_with("C000020223454E0E2F2A"), "{first}");
        assert_ne!(first, second);
        let id: UniqId = second.parse().unwrap();
        assert_eq!((id.pid, id.salt, id.counter), (0x2345, 0x4e0e_2f2a, 1));
        assert_eq!(id.born_time(NOW + 5_000, 0), NOW);
        // Asked next month: the time would be in the future, so it was last month.
        assert_eq!(id.born_time(NOW + 10 * DAY_MS, 0), NOW);
        let v6 = UniqIdGenerator::new("fd00::2".parse().unwrap(), 1, 1).next(NOW);
        assert_eq!(v6.len(), 56);
        assert_eq!(v6.parse::<UniqId>().map(|id| id.ip), Ok("fd00::2".parse().unwrap()));
    }

    #[test]
    fn the_last_days_of_a_month_need_the_32nd_bit() {
        let end = 1_801_439_999_999; // 2027-01-31 23:59:59.999 UTC
        let ids = UniqIdGenerator::new("127.0.0.1".parse().unwrap(), 1, 1);
        let id: UniqId = ids.next(end).parse().unwrap();
        assert_eq!(i64::from(id.since_month_start), 31 * DAY_MS - 1);
        assert_eq!(id.born_time(end, 0), end);
    }
}

//! The key file of a closed segment (`docs/storage.md` 1.5): tables back to back, each for some consecutive records.
//!
//! The number of keys in a table is bounded, so that making one takes little memory whatever the messages are.

use std::io;

use super::Place;
use crate::octets::{put, u32_at, u64_at};
use crate::planted::planted;
use crate::storage::{StorageFile, read_range};

const MAGIC: &[u8; 8] = b"RWKEYS01";
const HEADER: usize = 36;
const ENTRY: usize = 12;
/// Entries that share a bucket, on average, when the table is as full as its number of buckets allows.
const ENTRIES_PER_BUCKET: usize = 64;
/// Entries of a table; a file with more has more tables.
pub(super) const MAX_ENTRIES: usize = 1 << 18;

/// Why a key file is of no use. Never an error: it is made again from its segment.
#[derive(Debug)]
pub(super) struct KeyFault;

impl From<io::Error> for KeyFault {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// A table before it is written.
#[derive(Debug)]
pub(super) struct KeyTable {
    from: u64,
    entries: Vec<Entry>,
    limit: usize,
}

/// Its order is that of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: u32,
    /// Bytes between the begin of the table and the record.
    position: u32,
    frame_distance: u32,
}

impl KeyTable {
    /// An empty table of what follows `from` in the log.
    pub(super) fn new(from: u64, limit: usize) -> Self {
        Self { from, entries: Vec::new(), limit: limit.min(MAX_ENTRIES) }
    }

    /// Whether a record at this place belongs to the next table.
    pub(super) fn is_full(&self, physical: u64) -> bool {
        self.entries.len() >= self.limit || u32::try_from(physical - self.from).is_err()
    }

    pub(super) fn push(&mut self, hash: u32, place: Place) {
        let position = (place.physical - self.from) as u32;
        self.entries.push(Entry { hash, position, frame_distance: place.frame_distance });
    }

    /// The bytes of a table that ends at log offset `to`. Empties it; it goes on there.
    pub(super) fn finish(&mut self, to: u64) -> Vec<u8> {
        self.entries.sort_unstable();
        self.entries.dedup();
        let bits = (self.entries.len() / ENTRIES_PER_BUCKET).max(1).next_power_of_two().trailing_zeros();
        let buckets = 1_usize << bits;
        let first = HEADER + (buckets + 1) * 4;
        let length = first + self.entries.len() * ENTRY + buckets * 4;
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.from.to_be_bytes());
        out.extend_from_slice(&to.to_be_bytes());
        out.extend_from_slice(&bits.to_be_bytes());
        out.extend_from_slice(&(length as u32).to_be_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out.resize(first, 0);
        let mut rest = self.entries.as_slice();
        for bucket in 0..buckets {
            let start = out.len();
            put(&mut out, HEADER + bucket * 4, (start as u32).to_be_bytes());
            let count = rest.partition_point(|entry| bucket_of(entry.hash, bits) <= bucket);
            let (of_bucket, behind) = rest.split_at(count);
            rest = behind;
            for entry in of_bucket {
                out.extend_from_slice(&entry.hash.to_be_bytes());
                out.extend_from_slice(&entry.position.to_be_bytes());
                out.extend_from_slice(&entry.frame_distance.to_be_bytes());
            }
            let crc = bucket_checksum(self.from, bucket, out.get(start..).unwrap_or_default());
            out.extend_from_slice(&crc.to_be_bytes());
        }
        let end = out.len() as u32;
        put(&mut out, HEADER + buckets * 4, end.to_be_bytes());
        self.from = to;
        self.entries.clear();
        out
    }
}

/// Where the records of the segment `[start, end)` are whose key has this hash; oldest first.
pub(super) fn places(
    file: &dyn StorageFile,
    start: u64,
    end: u64,
    hash: u32,
) -> Result<Vec<Place>, KeyFault> {
    let mut found = Vec::new();
    visit_tables(file, start, end, |table, at| table.places(file, at, hash, &mut found))?;
    Ok(found)
}

/// Whether all checksums of the key file of the segment `[start, end)` fit.
pub(crate) fn is_whole(file: &dyn StorageFile, start: u64, end: u64) -> bool {
    let check = |table: &TableHeader, at| {
        // More buckets than the table has room for are none that we wrote.
        let buckets = 1_u32.checked_shl(table.bits).filter(|count| *count <= table.length);
        let buckets = buckets.ok_or(KeyFault)?;
        for bucket in 0..buckets {
            let hash = bucket.checked_shl(u32::BITS - table.bits).unwrap_or(0);
            table.places(file, at, hash, &mut Vec::new())?;
        }
        Ok(())
    };
    visit_tables(file, start, end, check).is_ok()
}

/// Goes through the tables of the segment `[start, end)`, each with its place in the file.
fn visit_tables(
    file: &dyn StorageFile,
    start: u64,
    end: u64,
    mut visit: impl FnMut(&TableHeader, u64) -> Result<(), KeyFault>,
) -> Result<(), KeyFault> {
    let size = file.size()?;
    let (mut at, mut from) = (0, start);
    while from < end {
        let table = TableHeader::read(file, at)?;
        let next = at + u64::from(table.length);
        if table.from != from || table.to <= from || table.to > end || next > size {
            return Err(KeyFault);
        }
        visit(&table, at)?;
        (from, at) = (table.to, next);
    }
    // Bytes behind the last table were not written by us.
    if at == size { Ok(()) } else { Err(KeyFault) }
}

struct TableHeader {
    from: u64,
    to: u64,
    bits: u32,
    length: u32,
}

impl TableHeader {
    fn read(file: &dyn StorageFile, at: u64) -> Result<Self, KeyFault> {
        let bytes = read_range(file, at, HEADER)?;
        Self::decode(&bytes).ok_or(KeyFault)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (checked, crc) = bytes.split_last_chunk::<4>()?;
        if !checked.starts_with(MAGIC) || crc32c::crc32c(checked) != u32::from_be_bytes(*crc) {
            return None;
        }
        Some(Self {
            from: u64_at(checked, 8)?,
            to: u64_at(checked, 16)?,
            bits: u32_at(checked, 24)?,
            length: u32_at(checked, 28)?,
        })
    }

    /// Adds the places from one bucket. Its bounds in the directory need no checksum of their own: wrong ones lead to
    /// bytes that are not this bucket's.
    fn places(
        &self,
        file: &dyn StorageFile,
        at: u64,
        hash: u32,
        found: &mut Vec<Place>,
    ) -> Result<(), KeyFault> {
        let bucket = bucket_of(hash, self.bits);
        let bounds = read_range(file, at + (HEADER + bucket * 4) as u64, 8)?;
        let (Some(start), Some(end)) = (u32_at(&bounds, 0), u32_at(&bounds, 4)) else { return Err(KeyFault) };
        if start > end || end > self.length {
            return Err(KeyFault);
        }
        let bytes = read_range(file, at + u64::from(start), (end - start) as usize)?;
        let (entries, crc) = bytes.split_last_chunk::<4>().ok_or(KeyFault)?;
        let is_good = bucket_checksum(self.from, bucket, entries) == u32::from_be_bytes(*crc);
        if !is_good && !planted("bucket of keys not checked") {
            return Err(KeyFault);
        }
        let wanted = hash.to_be_bytes();
        for entry in entries.chunks_exact(ENTRY).filter(|entry| entry.starts_with(&wanted)) {
            let (Some(position), Some(frame_distance)) = (u32_at(entry, 4), u32_at(entry, 8)) else {
                return Err(KeyFault);
            };
            found.push(Place { physical: self.from + u64::from(position), frame_distance });
        }
        Ok(())
    }
}

/// Hashes of a table are spread over its buckets by their upper bits, so that sorted entries are sorted by bucket.
fn bucket_of(hash: u32, bits: u32) -> usize {
    hash.checked_shr(u32::BITS.saturating_sub(bits)).unwrap_or(0) as usize
}

/// Over the entries and which bucket of which table they are.
fn bucket_checksum(from: u64, bucket: usize, entries: &[u8]) -> u32 {
    let of_table = crc32c::crc32c(&from.to_be_bytes());
    let of_bucket = crc32c::crc32c_append(of_table, &(bucket as u32).to_be_bytes());
    crc32c::crc32c_append(of_bucket, entries)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::storage::{MemoryStorage, Storage, write_all_at};

    const START: u64 = 5000;
    const END: u64 = 5000 + 1000 * 100;

    /// A file of tables of at most `limit` entries: record n is at `START + n * 100` and has two keys, one of
    /// which it shares with others.
    fn written(limit: usize) -> (Arc<dyn StorageFile>, Vec<(u32, Place)>) {
        let storage = MemoryStorage::new();
        storage.create_dir(Path::new("/i")).unwrap();
        let file = storage.create(Path::new("/i/0.key")).unwrap();
        let mut table = KeyTable::new(START, limit);
        let (mut at, mut all) = (0, Vec::new());
        for n in 0..1000_u64 {
            let place = Place { physical: START + n * 100, frame_distance: 24 };
            if table.is_full(place.physical) {
                let bytes = table.finish(place.physical);
                write_all_at(&*file, &bytes, at).unwrap();
                at += bytes.len() as u64;
            }
            for key in [format!("k-{n}"), format!("shared-{}", n % 7)] {
                let hash = super::super::hash(b"topic", key.as_bytes());
                table.push(hash, place);
                all.push((hash, place));
            }
        }
        write_all_at(&*file, &table.finish(END), at).unwrap();
        (file, all)
    }

    #[test]
    fn every_key_is_found_in_one_table_and_in_many() {
        for limit in [1, 2, 100, MAX_ENTRIES] {
            let (file, all) = written(limit);
            for hash in all.iter().map(|(hash, _)| *hash).chain([0, 1, u32::MAX]) {
                let expected: Vec<Place> =
                    all.iter().filter(|(of, _)| *of == hash).map(|(_, place)| *place).collect();
                assert_eq!(places(&*file, START, END, hash).unwrap(), expected, "{hash} of {limit}");
            }
        }
    }

    #[test]
    fn a_table_without_keys_is_a_table() {
        let storage = MemoryStorage::new();
        storage.create_dir(Path::new("/i")).unwrap();
        let file = storage.create(Path::new("/i/0.key")).unwrap();
        write_all_at(&*file, &KeyTable::new(0, MAX_ENTRIES).finish(700), 0).unwrap();
        assert_eq!(places(&*file, 0, 700, 42).unwrap(), []);
        assert!(places(&*file, 0, 701, 42).is_err(), "the segment is longer");
        assert!(places(&*file, 100, 700, 42).is_err(), "another segment");
    }

    #[test]
    fn what_lies_too_far_for_its_number_goes_to_the_next_table() {
        let table = KeyTable::new(10, MAX_ENTRIES);
        assert!(!table.is_full(10 + u64::from(u32::MAX)));
        assert!(table.is_full(11 + u64::from(u32::MAX)));
    }

    #[test]
    fn no_flipped_byte_changes_an_answer() {
        let (file, all) = written(300);
        let size = file.size().unwrap();
        let good = read_range(&*file, 0, size as usize).unwrap();
        // Every byte of the first table, then here and there.
        let some = (0..good.len()).filter(|at| *at < 1000 || at % 97 == 0);
        let hashes: Vec<u32> = all.iter().step_by(150).map(|(hash, _)| *hash).collect();
        let answers = |file: &dyn StorageFile| {
            hashes.iter().map(|hash| places(file, START, END, *hash).ok()).collect::<Vec<_>>()
        };
        let expected = answers(&*file);
        let mut faults = 0;
        for at in some {
            file.write_at(&[good[at] ^ (1 << (at % 8))], at as u64).unwrap();
            for (found, expected) in answers(&*file).into_iter().zip(&expected) {
                assert!(found.is_none() || found == *expected, "byte {at}");
                faults += usize::from(found.is_none());
            }
            file.write_at(&good[at..=at], at as u64).unwrap();
        }
        assert!(faults > 500, "{faults}");
    }

    #[test]
    fn a_file_that_was_cut_or_has_grown_is_of_no_use() {
        let (file, _) = written(300);
        let size = file.size().unwrap();
        file.set_len(size + 1).unwrap();
        assert!(places(&*file, START, END, 7).is_err());
        for length in (0..size).step_by(101) {
            file.set_len(length).unwrap();
            assert!(places(&*file, START, END, 7).is_err(), "{length}");
        }
    }
}

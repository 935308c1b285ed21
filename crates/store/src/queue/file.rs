//! The index file of a closed segment (`docs/storage.md`): a checksummed directory, then checksummed blocks of entries.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Entry, QueueName, SealedRange};
use crate::octets::{i64_at, put, u16_at, u32_at, u64_at};
use crate::planted::{crash_point, planted};
use crate::storage::{Access, Storage, StorageFile, read_range, read_range_as, write_all_at};

const MAGIC: &[u8; 8] = b"RWINDEX1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// Entries that share a checksum; a read of one reads them all.
const ENTRIES_PER_BLOCK: usize = 128;
const BLOCK: usize = ENTRIES_PER_BLOCK * ENTRY + 4;

/// The directory of an index file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    /// Log offsets that the segment covers: `[start, end)`.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) last_timestamp: i64,
    pub(crate) sections: Vec<Section>,
}

/// The entries of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: QueueName,
    /// Queue offset of the first entry; the others follow without a gap.
    pub(crate) first: i64,
    pub(crate) count: u32,
    /// Where the first block begins in the file.
    pub(crate) position: u64,
    /// Log offset of the first entry's record; tells the lives of a deleted topic apart.
    pub(crate) first_physical: u64,
}

impl Section {
    pub(crate) fn range(&self, segment: u64) -> SealedRange {
        SealedRange { first: self.first, count: self.count, segment, position: self.position }
    }
}

/// Why an index file is of no use. Never an error: it is written again from its segment.
#[derive(Debug)]
pub(crate) struct IndexFault;

impl From<io::Error> for IndexFault {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// An index file that is open for reads.
#[derive(Debug, Clone)]
pub(crate) struct IndexFile {
    pub(crate) file: Arc<dyn StorageFile>,
}

impl SegmentIndex {
    /// Writes the file beside, makes it durable and gives it its name. `entries` belong to `self.sections` in order;
    /// the positions are filled in here.
    pub(crate) fn write(
        &mut self,
        storage: &dyn Storage,
        path: &Path,
        entries: &[Vec<Entry>],
    ) -> Result<(), (PathBuf, io::Error)> {
        let beside = path.with_extension("tmp");
        let bytes = self.encode(entries);
        let written = storage.create(&beside).and_then(|file| {
            write_all_at(&*file, &bytes, 0)?;
            file.sync_data()?;
            crash_point("index.flushed");
            Ok(())
        });
        written.and_then(|()| storage.rename(&beside, path)).map_err(|error| (path.to_owned(), error))
    }

    /// Reads and checks the directory.
    pub(crate) fn load(storage: &dyn Storage, path: &Path) -> Result<Self, IndexFault> {
        let file = storage.open(path)?;
        let size = file.size()?;
        let head = read_range(&*file, 0, HEADER)?;
        let length = u32_at(&head, 40).ok_or(IndexFault)?;
        if u64::from(length) + HEADER as u64 > size {
            return Err(IndexFault);
        }
        let bytes = read_range(&*file, 0, HEADER + length as usize)?;
        Self::decode(&bytes).ok_or(IndexFault)
    }

    fn encode(&mut self, entries: &[Vec<Entry>]) -> Vec<u8> {
        let names = self.sections.iter().map(|section| section.name.topic.len() + 2 + 4 + 8 + 4 + 8 + 8);
        let mut position = (HEADER + names.sum::<usize>()) as u64;
        let directory = position as usize - HEADER;
        for (section, entries) in self.sections.iter_mut().zip(entries) {
            section.position = position;
            let blocks = entries.len().div_ceil(ENTRIES_PER_BLOCK);
            position += (entries.len() * ENTRY + blocks * 4) as u64;
        }
        let mut out = Vec::with_capacity(position as usize);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.start.to_be_bytes());
        out.extend_from_slice(&self.end.to_be_bytes());
        out.extend_from_slice(&self.last_timestamp.to_be_bytes());
        out.extend_from_slice(&(self.sections.len() as u64).to_be_bytes());
        out.extend_from_slice(&(directory as u32).to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        for section in &self.sections {
            section.encode(&mut out);
        }
        let crc = directory_checksum(&out);
        put(&mut out, 44, crc.to_be_bytes());
        for block in entries.iter().flat_map(|entries| entries.chunks(ENTRIES_PER_BLOCK)) {
            encode_block(block, &mut out);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(MAGIC) || u32_at(bytes, 44)? != directory_checksum(bytes) {
            return None;
        }
        let count = u64_at(bytes, 32)?;
        let mut sections = Vec::new();
        let mut at = HEADER;
        for _ in 0..count {
            let (section, size) = Section::decode(bytes.get(at..)?)?;
            sections.push(section);
            at += size;
        }
        let index = Self {
            start: u64_at(bytes, 8)?,
            end: u64_at(bytes, 16)?,
            last_timestamp: i64_at(bytes, 24)?,
            sections,
        };
        (at == bytes.len()).then_some(index)
    }
}

impl Section {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.name.topic.len() as u16).to_be_bytes());
        out.extend_from_slice(self.name.topic.as_bytes());
        out.extend_from_slice(&self.name.queue_id.to_be_bytes());
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
        out.extend_from_slice(&self.first_physical.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let length = usize::from(u16_at(bytes, 0)?);
        let topic = std::str::from_utf8(bytes.get(2..2 + length)?).ok()?;
        let rest = bytes.get(2 + length..)?;
        let section = Self {
            name: QueueName { topic: Arc::from(topic), queue_id: u32_at(rest, 0)? },
            first: i64_at(rest, 4)?,
            count: u32_at(rest, 12)?,
            position: u64_at(rest, 16)?,
            first_physical: u64_at(rest, 24)?,
        };
        Some((section, 2 + length + 32))
    }
}

impl IndexFile {
    /// [`IndexFile::entries_as`], waiting for the disk.
    pub(crate) fn entries(
        &self,
        range: &SealedRange,
        from: i64,
        wanted: usize,
    ) -> Result<Vec<Entry>, IndexFault> {
        self.entries_as(range, from, wanted, Access::Wait)
    }

    /// Entries of a range from queue offset `from` on, at least one and at most to the end of the block in which
    /// the `wanted`th is.
    pub(crate) fn entries_as(
        &self,
        range: &SealedRange,
        from: i64,
        wanted: usize,
        access: Access,
    ) -> Result<Vec<Entry>, IndexFault> {
        let skip = usize::try_from(from - range.first).map_err(|_| IndexFault)?;
        let count = range.count as usize;
        let first_block = skip / ENTRIES_PER_BLOCK;
        let last = (skip + wanted.max(1)).min(count);
        let last_block = last.saturating_sub(1) / ENTRIES_PER_BLOCK;
        let start = range.position + (first_block * BLOCK) as u64;
        let entries = count.min((last_block + 1) * ENTRIES_PER_BLOCK) - first_block * ENTRIES_PER_BLOCK;
        let size = entries * ENTRY + (last_block - first_block + 1) * 4;
        let bytes = read_range_as(&*self.file, start, size, access)?;
        let mut out = Vec::with_capacity(entries);
        for block in bytes.chunks(BLOCK) {
            decode_block(block, &mut out).ok_or(IndexFault)?;
        }
        if out.len() != entries {
            return Err(IndexFault);
        }
        out.drain(..skip - first_block * ENTRIES_PER_BLOCK);
        Ok(out)
    }
}

fn encode_block(entries: &[Entry], out: &mut Vec<u8>) {
    let start = out.len();
    for entry in entries {
        out.extend_from_slice(&entry.physical.to_be_bytes());
        out.extend_from_slice(&entry.size.to_be_bytes());
        out.extend_from_slice(&entry.frame_distance.to_be_bytes());
        out.extend_from_slice(&entry.tags_code.to_be_bytes());
    }
    let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_be_bytes());
}

fn decode_block(block: &[u8], out: &mut Vec<Entry>) -> Option<()> {
    let (entries, crc) = block.split_last_chunk::<4>()?;
    let is_zero = planted("zero bytes accepted as entry") && block.iter().all(|byte| *byte == 0);
    if entries.is_empty() || (crc32c::crc32c(entries) != u32::from_be_bytes(*crc) && !is_zero) {
        return None;
    }
    for entry in entries.chunks_exact(ENTRY) {
        out.push(Entry {
            physical: u64_at(entry, 0)?,
            size: u32_at(entry, 8)?,
            frame_distance: u32_at(entry, 12)?,
            tags_code: i64_at(entry, 16)?,
        });
    }
    Some(())
}

/// Over header and directory without the checksum's own place.
fn directory_checksum(bytes: &[u8]) -> u32 {
    let head = bytes.get(..44).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(head), bytes.get(HEADER..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    fn entries(from: u64, count: u64) -> Vec<Entry> {
        let entry =
            |n| Entry { physical: from + n * 100, size: 100, frame_distance: 24, tags_code: -(n as i64) };
        (0..count).map(entry).collect()
    }

    fn section(topic: &str, first: i64, entries: &[Entry]) -> Section {
        let name = QueueName { topic: Arc::from(topic), queue_id: 3 };
        let first_physical = entries[0].physical;
        Section { name, first, count: entries.len() as u32, position: 0, first_physical }
    }

    fn written() -> (MemoryStorage, SegmentIndex, Vec<Vec<Entry>>) {
        let storage = MemoryStorage::new();
        storage.create_dir(Path::new("/i")).unwrap();
        let all = vec![entries(24, 300), entries(77, 1)];
        let sections = vec![section("orders", 1000, &all[0]), section("比较", 0, &all[1])];
        let mut index = SegmentIndex { start: 0, end: 1 << 20, last_timestamp: 42, sections };
        index.write(&storage, Path::new("/i/0.idx"), &all).unwrap();
        (storage, index, all)
    }

    #[test]
    fn what_was_written_is_read_from_any_offset() {
        let (storage, index, all) = written();
        assert_eq!(SegmentIndex::load(&storage, Path::new("/i/0.idx")).unwrap(), index);
        let file = IndexFile { file: storage.open(Path::new("/i/0.idx")).unwrap() };
        for (section, all) in index.sections.iter().zip(&all) {
            for (skip, expected) in all.iter().enumerate() {
                for wanted in [1, 128, 500] {
                    let found = file.entries(&section.range(0), section.first + skip as i64, wanted).unwrap();
                    assert!(found.len() >= wanted.min(all.len() - skip));
                    assert_eq!(found[0], *expected);
                    assert_eq!(found, all[skip..skip + found.len()]);
                }
            }
        }
    }

    #[test]
    fn every_flipped_byte_is_seen() {
        let (storage, index, all) = written();
        let path = Path::new("/i/0.idx");
        let handle = storage.open(path).unwrap();
        let size = handle.size().unwrap();
        let good = read_range(&*handle, 0, size as usize).unwrap();
        for at in 0..good.len() {
            handle.write_at(&[good[at] ^ 0x10], at as u64).unwrap();
            let file = IndexFile { file: handle.clone() };
            let is_seen =
                SegmentIndex::load(&storage, path).is_err()
                    || index.sections.iter().zip(&all).any(|(section, all)| {
                        file.entries(&section.range(0), section.first, all.len()).is_err()
                    });
            assert!(is_seen, "byte {at}");
            handle.write_at(&good[at..=at], at as u64).unwrap();
        }
    }
}

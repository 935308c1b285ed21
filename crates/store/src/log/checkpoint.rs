use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::octets::{put, u32_at, u64_at};
use crate::planted::crash_point;
use crate::storage::{Storage, StorageFile, read_range, write_all_at};

const MAGIC: &[u8; 8] = b"RWCHECK1";
const SLOT: usize = 28;
/// Two places in turn, so far apart that no torn write touches both.
const SLOT_DISTANCE: u64 = 4096;

/// How far the log is known to be flushed. It is evidence only: what lies below cannot have been torn by a crash.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    file: Arc<dyn StorageFile>,
    generation: u64,
    durable: u64,
}

impl Checkpoint {
    /// Reads the newer of the two slots, or begins a new file. The caller makes the file's name durable.
    pub(crate) fn open(storage: &dyn Storage, path: &Path) -> io::Result<Self> {
        let file = match storage.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => storage.create(path)?,
            Err(error) => return Err(error),
        };
        let mut newest = (0, 0);
        for slot in 0..2 {
            newest = newest.max(decode(&read_range(&*file, slot * SLOT_DISTANCE, SLOT)?).unwrap_or_default());
        }
        let (generation, durable) = newest;
        Ok(Self { file, generation, durable })
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// How far the log is flushed, by a file that is only looked at; `None` when no slot of it is whole.
    pub(crate) fn peek(file: &dyn StorageFile) -> io::Result<Option<u64>> {
        let mut newest = None;
        for slot in 0..2 {
            newest = newest.max(decode(&read_range(file, slot * SLOT_DISTANCE, SLOT)?));
        }
        Ok(newest.map(|(_, durable)| durable))
    }

    /// Whether nothing was saved before the save that may not have come through: that is the first, and goes to the second
    /// slot.
    pub(crate) fn is_new(file: &dyn StorageFile) -> io::Result<bool> {
        Ok(read_range(file, 0, SLOT)?.iter().all(|byte| *byte == 0))
    }

    /// Notes durably that the log is flushed up to `durable`.
    pub(crate) fn save(&mut self, durable: u64) -> io::Result<()> {
        let generation = self.generation + 1;
        let slot = encode(generation, durable);
        write_all_at(&*self.file, &slot, generation % 2 * SLOT_DISTANCE)?;
        crash_point("checkpoint.written");
        self.file.sync_data()?;
        (self.generation, self.durable) = (generation, durable);
        Ok(())
    }
}

fn encode(generation: u64, durable: u64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    put(&mut slot, 0, *MAGIC);
    put(&mut slot, 8, generation.to_be_bytes());
    put(&mut slot, 16, durable.to_be_bytes());
    let crc = crc32c::crc32c(slot.split_at(24).0);
    put(&mut slot, 24, crc.to_be_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, u64)> {
    let is_valid = slot.starts_with(MAGIC) && u32_at(slot, 24)? == crc32c::crc32c(slot.get(..24)?);
    is_valid.then_some((u64_at(slot, 8)?, u64_at(slot, 16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    #[test]
    fn a_damaged_slot_leaves_the_one_before() {
        let storage = MemoryStorage::new();
        storage.create_dir(Path::new("/s")).unwrap();
        let path = Path::new("/s/checkpoint");
        let mut checkpoint = Checkpoint::open(&storage, path).unwrap();
        assert_eq!(checkpoint.durable(), 0);
        for durable in [10, 20, 30] {
            checkpoint.save(durable).unwrap();
            assert_eq!(Checkpoint::open(&storage, path).unwrap().durable(), durable);
        }
        let file = storage.open(path).unwrap();
        for at in 0..SLOT as u64 {
            // The third generation is in the second slot.
            let place = SLOT_DISTANCE + at;
            let good = read_range(&*file, place, 1).unwrap();
            file.write_at(&[!good[0]], place).unwrap();
            assert_eq!(Checkpoint::open(&storage, path).unwrap().durable(), 20, "byte {at}");
            file.write_at(&good, place).unwrap();
        }
    }
}

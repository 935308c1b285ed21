use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::error::TableError;
use crate::hold::Hold;
use crate::log::lock;
use crate::octets::{put, u32_at, u64_at};
use crate::planted::{crash_point, planted};
use crate::storage::{Storage, read_range, write_all_at};

const MAGIC: &[u8; 8] = b"RWTABLE1";
const HEADER: usize = 28;

/// A small piece of durable state that is always replaced as a whole: topics, groups, offsets.
///
/// Two generations are kept, each with length and checksum. A save writes the newer beside, makes it durable and
/// renames it over the older, so the last good one is never touched. Clones are the same table.
#[derive(Debug, Clone)]
pub struct Table {
    inner: Arc<TableFiles>,
    hold: Option<Arc<Hold>>,
}

impl Table {
    /// `name` must be `[a-z_]+`: it becomes a file name.
    pub(crate) fn new(storage: Arc<dyn Storage>, dir: &Path, name: &str) -> Result<Self, TableError> {
        let is_taken = planted("topic as path");
        if !is_taken
            && (name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        {
            return Err(TableError::Name { name: name.to_owned() });
        }
        let files = ["a", "b"].map(|slot| dir.join(format!("{name}.{slot}")));
        let inner = TableFiles { storage, dir: dir.to_owned(), files, newest: Mutex::new(None) };
        Ok(Self { inner: Arc::new(inner), hold: None })
    }

    /// The same table of an open store: it is saved no more once the folder was given back, which may be another
    /// store's by then.
    pub(crate) fn held(self, hold: Arc<Hold>) -> Self {
        Self { hold: Some(hold), ..self }
    }

    /// What was saved last; `None` when nothing ever was. When the newest file is damaged: the one before it, with a
    /// warning in the log. Blocks on the disk.
    pub fn load(&self) -> Result<Option<Vec<u8>>, TableError> {
        let mut newest = lock(&self.inner.newest);
        let generations = self.inner.read()?;
        if let Some(file) = &generations.damaged {
            if generations.newest.is_none() {
                return Err(TableError::Damaged { file: file.clone(), reason: "its checksum does not fit" });
            }
            tracing::warn!(file = %file.display(), "a generation of a table is damaged; the other one is used");
        }
        *newest = Some(generations.position());
        Ok(generations.newest.map(|generation| generation.bytes))
    }

    /// As [`Table::load`], but does without a second generation: what was saved last, or an error.
    pub(crate) fn load_strict(&self) -> Result<Option<Vec<u8>>, TableError> {
        let damaged = self.inner.read()?.damaged;
        match damaged {
            Some(file) => Err(TableError::Damaged { file, reason: "its checksum does not fit" }),
            None => self.load(),
        }
    }

    /// Replaces the content. When this returns, the new content is durable; when it fails, either is there. Refused
    /// when the store is closed. Blocks on the disk.
    pub fn save(&self, bytes: &[u8]) -> Result<(), TableError> {
        let kept = self.hold.as_ref().map(|hold| hold.keep());
        if matches!(kept, Some(None)) {
            return Err(TableError::Closed);
        }
        let mut newest = lock(&self.inner.newest);
        let Position { generation, slot } = match *newest {
            Some(position) => position,
            None => self.inner.read()?.position(),
        };
        let is_in_place = planted("snapshot overwritten in place");
        let next = Position { generation: generation + 1, slot: !slot && !is_in_place };
        // Unknown until the save went through: a failed one may or may not have left its file.
        *newest = None;
        self.inner.write(next, bytes)?;
        *newest = Some(next);
        Ok(())
    }
}

/// Which generation is the newest, and whether it is in the second file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    generation: u64,
    slot: bool,
}

#[derive(Debug)]
struct TableFiles {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    files: [PathBuf; 2],
    newest: Mutex<Option<Position>>,
}

#[derive(Debug)]
struct Generation {
    number: u64,
    slot: bool,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Generations {
    newest: Option<Generation>,
    damaged: Option<PathBuf>,
    damaged_slot: Option<bool>,
}

impl Generations {
    /// The position to go on from. A damaged file is the next to be replaced.
    fn position(&self) -> Position {
        match &self.newest {
            Some(newest) => Position { generation: newest.number, slot: newest.slot },
            None => Position { generation: 0, slot: self.damaged_slot.is_none_or(|slot| !slot) },
        }
    }
}

impl TableFiles {
    fn read(&self) -> Result<Generations, TableError> {
        let mut all = Generations::default();
        for (slot, path) in [false, true].into_iter().zip(&self.files) {
            let file = match self.storage.open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(TableError::io("open", path)(error)),
            };
            let size = file.size().map_err(TableError::io("read", path))?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let bytes = read_range(&*file, 0, size).map_err(TableError::io("read", path))?;
            match decode(bytes) {
                Some((number, bytes)) if all.newest.as_ref().is_none_or(|newest| newest.number < number) => {
                    all.newest = Some(Generation { number, slot, bytes });
                }
                Some(_) => {}
                None => {
                    all.damaged = Some(path.clone());
                    all.damaged_slot = Some(slot);
                }
            }
        }
        Ok(all)
    }

    fn write(&self, position: Position, bytes: &[u8]) -> Result<(), TableError> {
        let [first, second] = &self.files;
        let path = if position.slot { second } else { first };
        if planted("snapshot overwritten in place") {
            let file = self.storage.open(path).or_else(|_| self.storage.create(path));
            let file = file.map_err(TableError::io("create", path))?;
            let content = encode(position.generation, bytes);
            file.set_len(content.len() as u64).map_err(TableError::io("write", path))?;
            write_all_at(&*file, &content, 0).map_err(TableError::io("write", path))?;
            return file.sync_data().map_err(TableError::io("flush", path));
        }
        let beside = self
            .dir
            .join(format!("{}.tmp", path.file_name().and_then(|name| name.to_str()).unwrap_or_default()));
        let file = self.storage.create(&beside).map_err(TableError::io("create", &beside))?;
        let content = encode(position.generation, bytes);
        write_all_at(&*file, &content, 0).map_err(TableError::io("write", &beside))?;
        file.sync_data().map_err(TableError::io("flush", &beside))?;
        crash_point("table.flushed");
        self.storage.rename(&beside, path).map_err(TableError::io("rename", &beside))?;
        crash_point("table.renamed");
        if planted("no directory fsync after a rename") {
            return Ok(());
        }
        self.storage.sync_dir(&self.dir).map_err(TableError::io("flush", &self.dir))
    }
}

fn encode(generation: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    put(&mut out, 0, *MAGIC);
    put(&mut out, 8, generation.to_be_bytes());
    put(&mut out, 16, (bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
    let crc = checksum(&out);
    put(&mut out, 24, crc.to_be_bytes());
    out
}

/// Generation and content of a table's file, if it is whole.
pub(crate) fn decode(mut file: Vec<u8>) -> Option<(u64, Vec<u8>)> {
    let is_valid = file.starts_with(MAGIC)
        && u64_at(&file, 16)? == (file.len() as u64).checked_sub(HEADER as u64)?
        && u32_at(&file, 24)? == checksum(&file);
    let generation = u64_at(&file, 8)?;
    is_valid.then(|| (generation, file.split_off(HEADER)))
}

/// Over everything but itself.
fn checksum(file: &[u8]) -> u32 {
    let (head, rest) = (file.get(..24).unwrap_or_default(), file.get(HEADER..).unwrap_or_default());
    crc32c::crc32c_append(crc32c::crc32c(head), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    fn table(storage: &MemoryStorage) -> Table {
        storage.create_dir(Path::new("/t")).unwrap();
        Table::new(Arc::new(storage.clone()), Path::new("/t"), "topics").unwrap()
    }

    #[test]
    fn the_last_save_is_loaded_by_this_and_the_next_process() {
        let storage = MemoryStorage::new();
        let first = table(&storage);
        assert_eq!(first.load().unwrap(), None);
        for round in 0..5_u8 {
            first.save(&vec![round; usize::from(5 - round)]).unwrap();
            assert_eq!(first.load().unwrap().unwrap(), vec![round; usize::from(5 - round)]);
            assert_eq!(table(&storage).load().unwrap().unwrap(), vec![round; usize::from(5 - round)]);
        }
        let next = table(&storage);
        next.save(b"without loading first").unwrap();
        assert_eq!(table(&storage).load().unwrap().unwrap(), b"without loading first");
    }

    #[test]
    fn a_flipped_byte_of_the_newest_leaves_the_one_before_and_is_then_replaced() {
        let storage = MemoryStorage::new();
        table(&storage).save(b"one").unwrap();
        table(&storage).save(b"two").unwrap();
        // Saves go to "a" first.
        let file = storage.open(Path::new("/t/topics.b")).unwrap();
        let good = read_range(&*file, 0, file.size().unwrap() as usize).unwrap();
        assert!(good.ends_with(b"two"));
        for at in 0..good.len() {
            file.write_at(&[good[at] ^ 1], at as u64).unwrap();
            assert_eq!(table(&storage).load().unwrap().unwrap(), b"one", "byte {at}");
            assert!(table(&storage).load_strict().is_err(), "byte {at}");
            file.write_at(&good[at..=at], at as u64).unwrap();
        }
        file.write_at(b"!", 0).unwrap();
        table(&storage).save(b"three").unwrap();
        assert_eq!(table(&storage).load_strict().unwrap().unwrap(), b"three");
    }

    #[test]
    fn when_no_generation_is_good_it_says_so_and_never_starts_empty() {
        let storage = MemoryStorage::new();
        table(&storage).save(b"one").unwrap();
        storage.open(Path::new("/t/topics.a")).unwrap().set_len(10).unwrap();
        assert!(matches!(table(&storage).load(), Err(TableError::Damaged { .. })));
    }

    #[test]
    fn a_name_that_could_be_a_path_is_refused() {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        for name in ["", "../x", "a/b", "A", "a.b", "a\0"] {
            assert!(matches!(
                Table::new(storage.clone(), Path::new("/t"), name),
                Err(TableError::Name { .. })
            ));
        }
    }
}

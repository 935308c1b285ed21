use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{Space, Storage, StorageFile, StorageLock};

/// Files in memory, for nodes that shall leave no trace. A clone is the same files.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    names: Arc<Mutex<Names>>,
}

#[derive(Debug, Default)]
struct Names {
    dirs: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Arc<MemoryFile>>,
    locks: BTreeSet<PathBuf>,
}

impl MemoryStorage {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// The files as they are now, apart from this storage and without its locks: what the next process would find.
    pub fn snapshot(&self) -> Self {
        let names = self.names();
        let copy = |(path, file): (&PathBuf, &Arc<MemoryFile>)| {
            let bytes = file.bytes.read().unwrap_or_else(PoisonError::into_inner).clone();
            (path.clone(), Arc::new(MemoryFile { bytes: RwLock::new(bytes) }))
        };
        let files = names.files.iter().map(copy).collect();
        let names = Names { dirs: names.dirs.clone(), files, locks: BTreeSet::new() };
        Self { names: Arc::new(Mutex::new(names)) }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for MemoryStorage {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.names();
        for folder in dir.ancestors() {
            names.dirs.insert(folder.to_owned());
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let mut names = self.names();
        if !path.parent().is_some_and(|dir| names.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = names.files.entry(path.to_owned()).or_default().clone();
        file.set_len(0)?;
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.names().files.get(path).cloned();
        Ok(file.ok_or(io::ErrorKind::NotFound)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.names();
        let file = names.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.names().files.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.names();
        let inside = names.files.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        Ok(Space { total: u64::MAX, available: u64::MAX })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>> {
        if !self.names().locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemoryLock { storage: self.clone(), path: path.to_owned() }))
    }
}

#[derive(Debug, Default)]
struct MemoryFile {
    bytes: RwLock<Vec<u8>>,
}

impl StorageFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let bytes = self.bytes.read().unwrap_or_else(PoisonError::into_inner);
        let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        if let (Some(into), Some(rest)) = (into.get_mut(..count), rest.get(..count)) {
            into.copy_from_slice(rest);
        }
        Ok(count)
    }

    fn read_at_now(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.read_at(into, at)
    }

    fn write_at(&self, new: &[u8], at: u64) -> io::Result<usize> {
        let mut bytes = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = at + new.len();
        if at == bytes.len() {
            bytes.extend_from_slice(new);
            return Ok(new.len());
        }
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        if let Some(place) = bytes.get_mut(at..end) {
            place.copy_from_slice(new);
        }
        Ok(new.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.bytes.write().unwrap_or_else(PoisonError::into_inner).resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryLock {
    storage: MemoryStorage,
    path: PathBuf,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.storage.names().locks.remove(&self.path);
    }
}

impl StorageLock for MemoryLock {}

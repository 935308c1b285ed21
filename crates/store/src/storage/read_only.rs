use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{RealStorage, Space, Storage, StorageFile, StorageLock};

/// The operating system's files, to look at only: whatever would change one is refused.
///
/// A folder without a lock file is locked by nobody and gets none, so that a copy on a medium that cannot be written can be
/// looked at as well.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOnlyStorage;

impl Storage for ReadOnlyStorage {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Err(refusal())
    }

    fn create(&self, _path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Err(refusal())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(ReadOnlyFile(File::open(path)?)))
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(refusal())
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Err(refusal())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealStorage.list(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        RealStorage.space(dir)
    }

    /// Shared with others that only look.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>> {
        match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Box::new(SharedLock { _file: None })),
            Err(error) => Err(error),
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(Box::new(SharedLock { _file: Some(file) })),
                Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(error)) => Err(error),
            },
        }
    }
}

#[derive(Debug)]
struct ReadOnlyFile(File);

impl StorageFile for ReadOnlyFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        StorageFile::read_at(&self.0, into, at)
    }

    fn write_at(&self, _bytes: &[u8], _at: u64) -> io::Result<usize> {
        Err(refusal())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(refusal())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Dropping the file gives the lock back.
#[derive(Debug)]
struct SharedLock {
    _file: Option<File>,
}

impl StorageLock for SharedLock {}

fn refusal() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "the files are only looked at")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_keeps_out_who_writes_and_lets_in_who_looks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        drop(ReadOnlyStorage.lock(&path).unwrap());
        assert!(!path.exists(), "no lock file is made");
        let writer = RealStorage.lock(&path).unwrap();
        assert_eq!(ReadOnlyStorage.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(writer);
        let readers = [ReadOnlyStorage.lock(&path).unwrap(), ReadOnlyStorage.lock(&path).unwrap()];
        assert_eq!(RealStorage.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(readers);
        RealStorage.lock(&path).unwrap();
    }

    #[test]
    fn nothing_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "content").unwrap();
        let file = ReadOnlyStorage.open(&path).unwrap();
        assert!(file.write_at(b"x", 0).is_err() && file.set_len(0).is_err());
        assert!(ReadOnlyStorage.create(&path).is_err() && ReadOnlyStorage.remove(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"content");
    }
}

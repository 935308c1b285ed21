//! The file system as the store uses it, behind two small traits.
//!
//! What a call makes durable is as little as POSIX promises: [`StorageFile::sync_data`] the bytes and the length of
//! one file, [`Storage::sync_dir`] the names in one folder. Everything else may be lost, or kept, in any
//! combination.

mod memory;
mod read_only;
mod real;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use memory::MemoryStorage;
pub use read_only::ReadOnlyStorage;
pub use real::RealStorage;

/// Folders and names.
pub trait Storage: Debug + Send + Sync + 'static {
    /// Creates a folder and its parents; fine when it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Creates an empty file, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens an existing file to read and write.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>>;

    /// Gives a file another name in the same folder, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Names of the files in a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Space of the disk that holds a folder.
    fn space(&self, dir: &Path) -> io::Result<Space>;

    /// Takes the lock that a file stands for, until the guard is dropped. `WouldBlock` when another has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>>;
}

/// An open file. All calls may run at the same time.
pub trait StorageFile: Debug + Send + Sync {
    /// Length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads into `into` from `at`; fewer bytes than asked at the end of the file.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;

    /// [`StorageFile::read_at`] for a thread that must not wait: [`io::ErrorKind::WouldBlock`] if the bytes are not in
    /// memory, or if nobody can tell. Fewer bytes than asked may be there.
    fn read_at_now(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let _ = (into, at);
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Writes from `at`, growing the file; may write fewer bytes than asked.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;

    /// Cuts or grows (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the bytes and the length durable.
    fn sync_data(&self) -> io::Result<()>;
}

/// Holds a lock while it lives.
pub trait StorageLock: Debug + Send + Sync {}

/// Space of a disk in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of the file system.
    pub total: u64,
    /// What this process may still use of it.
    pub available: u64,
}

/// Writes all of `bytes`, in as many writes as the file wants.
pub(crate) fn write_all_at(file: &dyn StorageFile, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = bytes.get(count..).unwrap_or_default();
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes `count` zeros.
pub(crate) fn write_zeros_at(file: &dyn StorageFile, mut at: u64, mut count: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while count > 0 {
        let size = count.min(ZEROS.len() as u64);
        write_all_at(file, ZEROS.get(..size as usize).unwrap_or_default(), at)?;
        at += size;
        count -= size;
    }
    Ok(())
}

/// Whether all bytes of a file from `at` on are zeros. None are there at its end.
pub(crate) fn is_zero_from(file: &dyn StorageFile, mut at: u64) -> io::Result<bool> {
    let mut window = vec![0; 64 << 10];
    loop {
        let filled = read_full_at(file, &mut window, at)?;
        if window.iter().take(filled).any(|byte| *byte != 0) {
            return Ok(false);
        }
        if filled < window.len() {
            return Ok(true);
        }
        at += filled as u64;
    }
}

/// Whether a read may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Wait,
    /// What is not in memory is [`io::ErrorKind::WouldBlock`].
    Now,
}

/// Fills `into` as far as the file goes; the number of bytes that were there.
pub(crate) fn read_full_at(file: &dyn StorageFile, into: &mut [u8], at: u64) -> io::Result<usize> {
    read_full_as(file, into, at, Access::Wait)
}

fn read_full_as(file: &dyn StorageFile, into: &mut [u8], at: u64, access: Access) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let at = at + filled as u64;
        let read = match access {
            Access::Wait => file.read_at(rest, at),
            Access::Now => file.read_at_now(rest, at),
        };
        match read {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The bytes of a file in `[at, at + len)`, or fewer at its end. `len` must have been checked against the file.
pub(crate) fn read_range(file: &dyn StorageFile, at: u64, len: usize) -> io::Result<Vec<u8>> {
    read_range_as(file, at, len, Access::Wait)
}

/// [`read_range`], waiting or not.
pub(crate) fn read_range_as(
    file: &dyn StorageFile,
    at: u64,
    len: usize,
    access: Access,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let filled = read_full_as(file, &mut bytes, at, access)?;
    bytes.truncate(filled);
    Ok(bytes)
}

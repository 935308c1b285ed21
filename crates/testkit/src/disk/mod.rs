//! A disk that promises no more than POSIX does.
//!
//! A write, a change of length, a new, renamed or removed name is seen at once, and is durable only after the flush
//! of that file or folder. When the power is cut, each of them is kept, lost or (a write) kept in part, one by one:
//! a later one can survive an earlier one.

mod files;
mod inode;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocketwire_store::storage::StorageLock;
use rocketwire_store::{Space, Storage, StorageFile};

use crate::Random;
use files::Files;

/// Not more than this much of a write is kept or lost as one.
pub(crate) const SECTOR: usize = 512;

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails with EIO and does nothing. A failed flush leaves the pages clean: they are seen, are not
    /// durable, and no later flush makes them so.
    Eio,
    /// The operation fails with ENOSPC; half of a write is there.
    Enospc,
    /// A write does a part of the work and says so. Other operations do all of it.
    ShortWrite,
    /// The power is cut: this operation may have happened or not, and nothing happens after it.
    PowerCut,
}

/// What a power cut met, to see that a test cuts where it hurts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CutReport {
    /// Operations that no flush had covered.
    pub unsynced: usize,
    /// Of those, how many were lost as a whole.
    pub lost: usize,
    /// Writes that were kept in part.
    pub torn: usize,
    /// Operations that were kept although an earlier one on the same file or folder was not.
    pub reordered: usize,
}

/// The simulated disk. A clone is the same disk.
#[derive(Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    files: Files,
    random: Random,
    /// Handles of an earlier boot do nothing any more.
    boot: u64,
    is_on: bool,
    operations: u64,
    fault: Option<(u64, Fault)>,
    locks: Vec<PathBuf>,
    capacity: u64,
    log: VecDeque<String>,
}

impl SimulatedDisk {
    /// An empty disk. The seed decides what a power cut leaves.
    pub fn new(seed: u64) -> Self {
        let state = State {
            files: Files::default(),
            random: Random::new(seed),
            boot: 0,
            is_on: true,
            operations: 0,
            fault: None,
            locks: Vec::new(),
            capacity: u64::MAX,
            log: VecDeque::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Operations so far that change something or flush it. Reads do not count.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Whether there is power.
    pub fn is_on(&self) -> bool {
        self.state().is_on
    }

    /// Lets the operation of this number (from 0 on) go wrong.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.state().fault = Some((operation, fault));
    }

    /// Takes back a fault that has not happened yet.
    pub fn clear_fault(&self) {
        self.state().fault = None;
    }

    /// Size of the disk; writes beyond it fail with ENOSPC.
    pub fn set_capacity(&self, capacity: u64) {
        self.state().capacity = capacity;
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.state().files.used()
    }

    /// Kills the process: its handles and locks are gone, what it wrote is still in the page cache.
    pub fn kill(&self) {
        let mut state = self.state();
        state.boot += 1;
        state.locks.clear();
        state.fault = None;
        state.is_on = true;
    }

    /// Cuts the power, unless a [`Fault::PowerCut`] did already, and switches it on again.
    pub fn power_cycle(&self) -> CutReport {
        self.kill();
        let mut state = self.state();
        let State { files, random, .. } = &mut *state;
        files.cut(random)
    }

    /// Paths of the changes that no flush has covered, one for each.
    pub fn unsynced(&self) -> Vec<PathBuf> {
        self.state().files.unsynced()
    }

    /// As [`SimulatedDisk::power_cycle`], but as told: each change that no flush has covered is kept as a whole or not
    /// at all. `is_kept` is asked for one after the other, in the order of [`SimulatedDisk::unsynced`], without those of files
    /// that have lost their name.
    pub fn power_cycle_keeping(&self, mut is_kept: impl FnMut(&Path) -> bool) {
        self.kill();
        self.state().files.cut_keeping(&mut is_kept);
    }

    /// The same disk, apart: what happens to one does not happen to the other.
    pub fn fork(&self, seed: u64) -> Self {
        let state = self.state();
        let copy = Self::new(seed);
        {
            let mut other = copy.state();
            other.files = state.files.clone();
            other.operations = state.operations;
            other.capacity = state.capacity;
        }
        copy
    }

    /// Paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().files.paths()
    }

    /// The bytes of a file as they are seen now.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        self.state().files.inode_at(path).map(|inode| inode.seen().to_vec())
    }

    /// Changes a file behind everyone's back, durably: rot, or an operator's hand.
    pub fn replace(&self, path: &Path, bytes: Vec<u8>) {
        self.state().files.replace(path, bytes);
    }

    /// Removes a file behind everyone's back, durably.
    pub fn destroy(&self, path: &Path) {
        self.state().files.destroy(path);
    }

    /// The last operations, for the message of a failing test.
    pub fn journal(&self) -> Vec<String> {
        self.state().log.iter().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation of this boot; the fault that it meets.
    fn begin(
        &self,
        boot: u64,
        what: impl FnOnce() -> String,
    ) -> io::Result<(MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.check(boot)?;
        let number = state.operations;
        state.operations += 1;
        let line = format!("{number} {}", what());
        state.log.push_back(line);
        if state.log.len() > 200 {
            state.log.pop_front();
        }
        let fault = state.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        if fault == Some(Fault::PowerCut) {
            state.is_on = false;
        }
        Ok((state, fault))
    }

    fn check(&self, boot: u64) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.is_on && state.boot == boot { Ok(state) } else { Err(no_power()) }
    }

    fn boot(&self) -> u64 {
        self.state().boot
    }

    /// An operation on names, which is done or not.
    fn change_names(
        &self,
        what: String,
        change: impl FnOnce(&mut Files) -> io::Result<()>,
    ) -> io::Result<()> {
        let (mut state, fault) = self.begin(self.boot(), || what)?;
        match fault {
            Some(Fault::Eio) => Err(eio()),
            Some(Fault::Enospc) => Err(enospc()),
            // It is in the page cache; whether it is on the disk is decided when the power comes back.
            Some(Fault::PowerCut) => change(&mut state.files).and(Err(no_power())),
            Some(Fault::ShortWrite) | None => change(&mut state.files),
        }
    }
}

impl Storage for SimulatedDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        // Folders are not what these tests are about: they are durable at once.
        self.check(self.boot()).map(drop)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let boot = self.boot();
        self.change_names(format!("create {}", path.display()), |files| {
            files.create(path);
            Ok(())
        })?;
        self.handle(path, boot)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let boot = self.boot();
        drop(self.check(boot)?);
        self.handle(path, boot)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change_names(format!("rename {} to {}", from.display(), to.display()), |files| {
            files.rename(from, to)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.check(self.boot())?.files.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change_names(format!("remove {}", path.display()), |files| files.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let (mut state, fault) = self.begin(self.boot(), || format!("flush folder {}", dir.display()))?;
        match fault {
            // Names are journalled: a flush that failed can be done again, unlike that of a file's bytes.
            Some(Fault::Eio) => Err(eio()),
            Some(Fault::Enospc) => Err(enospc()),
            Some(Fault::PowerCut) => {
                if state.random.percent(50) {
                    state.files.sync_names(dir);
                }
                Err(no_power())
            }
            Some(Fault::ShortWrite) | None => {
                state.files.sync_names(dir);
                Ok(())
            }
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Ok(self.check(self.boot())?.files.list(dir))
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        let state = self.check(self.boot())?;
        let available = state.capacity.saturating_sub(state.files.used());
        Ok(Space { total: state.capacity, available })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>> {
        let boot = self.boot();
        let mut state = self.check(boot)?;
        if state.locks.iter().any(|held| held == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locks.push(path.to_owned());
        Ok(Box::new(Lock { disk: self.clone(), path: path.to_owned(), boot }))
    }
}

impl SimulatedDisk {
    fn handle(&self, path: &Path, boot: u64) -> io::Result<Arc<dyn StorageFile>> {
        let id = self.state().files.id(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Handle { disk: self.clone(), path: path.to_owned(), id, boot }))
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        formatter
            .debug_struct("SimulatedDisk")
            .field("operations", &state.operations)
            .field("is_on", &state.is_on)
            .field("last", &state.log.back())
            .finish_non_exhaustive()
    }
}

/// An open file. It outlives its name, as files do.
#[derive(Debug)]
struct Handle {
    disk: SimulatedDisk,
    path: PathBuf,
    id: u64,
    boot: u64,
}

impl StorageFile for Handle {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.check(self.boot)?.files.inode(self.id)?.seen().len() as u64)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.disk.check(self.boot)?;
        let seen = state.files.inode(self.id)?.seen();
        let rest = usize::try_from(at).ok().and_then(|at| seen.get(at..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        for (to, from) in into.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let what = || format!("write {} bytes at {at} of {}", bytes.len(), self.path.display());
        let (mut state, fault) = self.disk.begin(self.boot, what)?;
        let half = bytes.get(..bytes.len().div_ceil(2)).unwrap_or_default();
        let has_room = state.files.used().saturating_add(bytes.len() as u64) <= state.capacity;
        let inode = state.files.inode_mut(self.id)?;
        match fault {
            Some(Fault::Eio) => return Err(eio()),
            Some(Fault::ShortWrite) => {
                inode.write(half, at);
                return Ok(half.len());
            }
            Some(Fault::PowerCut) => {
                inode.write(bytes, at);
                return Err(no_power());
            }
            Some(Fault::Enospc) => {}
            None if has_room => {
                inode.write(bytes, at);
                return Ok(bytes.len());
            }
            None => {}
        }
        inode.write(half, at);
        Err(enospc())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let what = || format!("set the length of {} to {len}", self.path.display());
        let (mut state, fault) = self.disk.begin(self.boot, what)?;
        match fault {
            Some(Fault::Eio) => return Err(eio()),
            Some(Fault::Enospc) => return Err(enospc()),
            _ => {}
        }
        state.files.inode_mut(self.id)?.set_len(len);
        if fault == Some(Fault::PowerCut) { Err(no_power()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut state, fault) = self.disk.begin(self.boot, || format!("flush {}", self.path.display()))?;
        let is_done = state.random.percent(50);
        let inode = state.files.inode_mut(self.id)?;
        match fault {
            Some(Fault::Eio) => {
                inode.forget();
                Err(eio())
            }
            Some(Fault::Enospc) => {
                inode.forget();
                Err(enospc())
            }
            Some(Fault::PowerCut) => {
                if is_done {
                    inode.sync();
                }
                Err(no_power())
            }
            Some(Fault::ShortWrite) | None => {
                inode.sync();
                Ok(())
            }
        }
    }
}

#[derive(Debug)]
struct Lock {
    disk: SimulatedDisk,
    path: PathBuf,
    boot: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.boot == self.boot {
            state.locks.retain(|held| *held != self.path);
        }
    }
}

impl StorageLock for Lock {}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn enospc() -> io::Error {
    io::Error::from_raw_os_error(28)
}

fn no_power() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the power is off")
}

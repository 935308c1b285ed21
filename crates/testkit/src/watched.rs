use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocketwire_store::storage::StorageLock;
use rocketwire_store::{Space, Storage, StorageFile};

/// A moment in the life of a file.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// It is going to be created.
    Create(&'a Path),
    /// So many bytes of it are going to be read.
    Read(&'a Path, usize),
    /// It is going to be flushed.
    Flush(&'a Path),
    /// It was flushed.
    Flushed(&'a Path),
    /// The names in this folder are going to be flushed.
    FlushNames(&'a Path),
}

impl Step<'_> {
    /// Whether it is a file of this folder of a store.
    pub fn is_in(&self, dir: &str) -> bool {
        match self {
            Self::Create(path) | Self::Read(path, _) | Self::Flush(path) | Self::Flushed(path) => {
                path.parent().is_some_and(|parent| parent.ends_with(dir))
            }
            Self::FlushNames(path) => path.ends_with(dir),
        }
    }
}

type Watch = dyn Fn(Step<'_>) -> io::Result<()> + Send + Sync;

/// Another disk, and a test that is told of some steps, on the thread that does them: it can do something else
/// meanwhile, wait, or have the step fail. A clone is the same disk.
#[derive(Clone)]
pub struct WatchedDisk {
    disk: Arc<dyn Storage>,
    watch: Arc<Watch>,
}

impl WatchedDisk {
    /// `watch` is told of each step; its error is that of the step, which is not done then.
    pub fn new(
        disk: impl Storage,
        watch: impl Fn(Step<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { disk: Arc::new(disk), watch: Arc::new(watch) }
    }

    fn file(&self, path: &Path, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(WatchedFile { file, path: path.to_owned(), watch: self.watch.clone() })
    }
}

impl fmt::Debug for WatchedDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(formatter)
    }
}

impl Storage for WatchedDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        (self.watch)(Step::Create(path))?;
        self.disk.create(path).map(|file| self.file(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        self.disk.open(path).map(|file| self.file(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        (self.watch)(Step::FlushNames(dir))?;
        self.disk.sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.disk.space(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>> {
        self.disk.lock(path)
    }
}

struct WatchedFile {
    file: Arc<dyn StorageFile>,
    path: PathBuf,
    watch: Arc<Watch>,
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(formatter)
    }
}

impl StorageFile for WatchedFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        (self.watch)(Step::Read(&self.path, into.len()))?;
        self.file.read_at(into, at)
    }

    fn read_at_now(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        (self.watch)(Step::Read(&self.path, into.len()))?;
        self.file.read_at_now(into, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.file.write_at(bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.watch)(Step::Flush(&self.path))?;
        self.file.sync_data()?;
        (self.watch)(Step::Flushed(&self.path))
    }
}

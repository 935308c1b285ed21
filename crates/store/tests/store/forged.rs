//! Reads at offsets of the log that somebody made up.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rocketwire_store::storage::StorageLock;
use rocketwire_store::{Drive, MemoryStorage, Space, Storage, StorageFile, StoreOptions, SystemClock, Wait};

use crate::support::{Message, open};

/// Files in memory that know the longest read.
#[derive(Clone, Debug, Default)]
struct Watched {
    files: MemoryStorage,
    longest: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn StorageFile>,
    longest: Arc<AtomicUsize>,
}

impl Watched {
    fn watch(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(WatchedFile { file, longest: self.longest.clone() })
    }
}

impl Storage for Watched {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.watch(self.files.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.watch(self.files.open(path)?))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.files.space(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>> {
        self.files.lock(path)
    }
}

impl StorageFile for WatchedFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.longest.fetch_max(into.len(), Ordering::Relaxed);
        self.file.read_at(into, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.file.write_at(bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[test]
fn a_body_does_not_decide_how_much_is_read() {
    let disk = Watched::default();
    let mut options = StoreOptions::new(Path::new("/store"));
    options.drive = Drive::Manual;
    options.tail_cache_bytes = 0;
    let clock = Arc::new(SystemClock::default());
    let (log, _) = open(Arc::new(disk.clone()), clock, Arc::new(()), options).unwrap();
    // Two lengths of 1 MiB, one of them with everything else that a record begins with.
    let mut fake = Message::new("orders", 0, "").record();
    fake[..4].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    let body_length = 84..88;
    fake[body_length].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    let mut body = vec![0; 4 << 20];
    body[..4].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    body[100..100 + fake.len()].copy_from_slice(&fake);
    let record = Message::new("orders", 0, "").record_around(&body);
    let answer = log.send_raw(log.queue("orders", 0), &record, Wait::Flush);
    log.turn();
    let body_at = answer.try_recv().unwrap().unwrap().physical_offset + 88;
    disk.longest.store(0, Ordering::Relaxed);
    for at in [body_at, body_at + 100] {
        assert!(log.record_at(at).unwrap().is_none());
        let longest = disk.longest.load(Ordering::Relaxed);
        assert!(longest > 0 && longest <= 2 + 65_535, "{longest} bytes were read");
    }
    assert_eq!(log.record_at(body_at - 88).unwrap().unwrap().len(), record.len());
}

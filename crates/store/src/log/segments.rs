use std::collections::VecDeque;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{Failure, Paths, lock};
use crate::error::ReadError;
use crate::planted::planted;
use crate::queue::{Entry, IndexFile};
use crate::storage::{Access, Storage, StorageFile};

/// A segment that is open.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) start: u64,
    /// `None` while it grows.
    pub(crate) end: Option<u64>,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn StorageFile>,
}

/// What is known of a segment that no longer grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClosedSegment {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) last_timestamp: i64,
}

/// The files of the log, oldest first and without gaps.
#[derive(Debug)]
pub(crate) struct Segments {
    paths: Paths,
    table: RwLock<SegmentTable>,
    /// Closed segments that have no index file yet.
    unsealed: Mutex<VecDeque<ClosedSegment>>,
    unsynced: Mutex<Unsynced>,
    open_segments: OpenFiles,
    open_indexes: OpenFiles,
    open_keys: OpenFiles,
}

#[derive(Debug)]
struct SegmentTable {
    closed: VecDeque<ClosedSegment>,
    active: Arc<Segment>,
}

/// What was written since the last flush.
#[derive(Debug, Default)]
struct Unsynced {
    segments: Vec<Arc<Segment>>,
    /// A segment was created.
    names: bool,
}

impl Segments {
    pub(crate) fn new(
        paths: Paths,
        closed: VecDeque<ClosedSegment>,
        active: Arc<Segment>,
        max_open_files: usize,
    ) -> Self {
        Self {
            paths,
            table: RwLock::new(SegmentTable { closed, active }),
            unsealed: Mutex::default(),
            unsynced: Mutex::default(),
            open_segments: OpenFiles::new(max_open_files),
            open_indexes: OpenFiles::new(max_open_files),
            open_keys: OpenFiles::new(max_open_files),
        }
    }

    /// Where the oldest segment begins.
    pub(crate) fn start(&self) -> u64 {
        self.with_table(|table| table.closed.front().map_or(table.active.start, |oldest| oldest.start))
    }

    pub(crate) fn active(&self) -> Arc<Segment> {
        self.with_table(|table| table.active.clone())
    }

    pub(crate) fn closed(&self) -> Vec<ClosedSegment> {
        self.with_table(|table| table.closed.iter().copied().collect())
    }

    /// End and last store time of the closed segment that begins at `start`.
    pub(crate) fn closed_at(&self, start: u64) -> Option<(u64, i64)> {
        let closed = self.closed();
        closed
            .iter()
            .find(|segment| segment.start == start)
            .map(|segment| (segment.end, segment.last_timestamp))
    }

    /// The segment that holds this offset of the log.
    pub(crate) fn find(&self, offset: u64, storage: &dyn Storage) -> Result<Arc<Segment>, ReadError> {
        self.find_as(offset, storage, Access::Wait)
    }

    /// [`Segments::find`], opening the file or not.
    pub(crate) fn find_as(
        &self,
        offset: u64,
        storage: &dyn Storage,
        access: Access,
    ) -> Result<Arc<Segment>, ReadError> {
        let closed = self.with_table(|table| {
            if offset >= table.active.start {
                return Err(table.active.clone());
            }
            let at = table.closed.partition_point(|segment| segment.end <= offset);
            Ok(table.closed.get(at).filter(|segment| segment.start <= offset).copied())
        });
        match closed {
            Err(active) => Ok(active),
            Ok(None) => Err(ReadError::Io {
                path: self.paths.segment(offset),
                source: io::ErrorKind::NotFound.into(),
            }),
            Ok(Some(closed)) => {
                let path = self.paths.segment(closed.start);
                let file = self.open_segments.open(closed.start, &path, storage, access)?;
                Ok(Arc::new(Segment { start: closed.start, end: Some(closed.end), path, file }))
            }
        }
    }

    pub(crate) fn index_file(
        &self,
        segment: u64,
        storage: &dyn Storage,
        access: Access,
    ) -> Result<IndexFile, ReadError> {
        let path = self.paths.index_file(segment);
        Ok(IndexFile { file: self.open_indexes.open(segment, &path, storage, access)? })
    }

    pub(crate) fn key_file(
        &self,
        segment: u64,
        storage: &dyn Storage,
    ) -> Result<Arc<dyn StorageFile>, ReadError> {
        self.open_keys.open(segment, &self.paths.key_file(segment), storage, Access::Wait)
    }

    /// Forgets the open key file: it was written again.
    pub(crate) fn reopen_keys(&self, segment: u64) {
        self.open_keys.close(segment);
    }

    /// Forgets the open index file: it was written again.
    pub(crate) fn reopen_index(&self, segment: u64) {
        self.open_indexes.close(segment);
    }

    /// Ends the active segment at `end` and begins the next there.
    pub(crate) fn roll(
        &self,
        end: u64,
        last_timestamp: i64,
        storage: &dyn Storage,
    ) -> Result<Arc<Segment>, Failure> {
        let path = self.paths.segment(end);
        let file = storage.create(&path).map_err(|error| Failure::new("create", &path, error))?;
        let segment = Arc::new(Segment { start: end, end: None, path, file });
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let closed = ClosedSegment { start: table.active.start, end, last_timestamp };
        table.closed.push_back(closed);
        table.active = segment.clone();
        lock(&self.unsynced).names = true;
        Ok(segment)
    }

    /// Notes that the segment has bytes that are not flushed.
    pub(crate) fn mark_unsynced(&self, segment: &Arc<Segment>) {
        let mut unsynced = lock(&self.unsynced);
        if unsynced.segments.last().is_none_or(|last| last.start != segment.start) {
            unsynced.segments.push(segment.clone());
        }
    }

    /// Flushes names and bytes that were marked.
    pub(crate) fn sync(&self, storage: &dyn Storage) -> Result<(), Failure> {
        let unsynced = mem::take(&mut *lock(&self.unsynced));
        if unsynced.names && !planted("no directory fsync after a roll") {
            storage
                .sync_dir(&self.paths.log)
                .map_err(|error| Failure::new("flush", &self.paths.log, error))?;
        }
        let skipped =
            if planted("skip fsync on roll") { unsynced.segments.len().saturating_sub(1) } else { 0 };
        for segment in unsynced.segments.iter().skip(skipped) {
            let mut flushed = segment.file.sync_data();
            if flushed.is_err() && planted("retry fsync") {
                flushed = segment.file.sync_data();
            }
            if planted("ignore fsync error") {
                flushed = Ok(());
            }
            flushed.map_err(|error| Failure::new("flush", &segment.path, error))?;
        }
        Ok(())
    }

    /// The entries of this segment are all known: it can get its index file.
    pub(crate) fn queue_seal(&self, segment: ClosedSegment) {
        lock(&self.unsealed).push_back(segment);
    }

    pub(crate) fn next_unsealed(&self) -> Option<ClosedSegment> {
        lock(&self.unsealed).front().copied()
    }

    pub(crate) fn sealed(&self) {
        lock(&self.unsealed).pop_front();
    }

    pub(crate) fn unsealed(&self) -> usize {
        lock(&self.unsealed).len()
    }

    /// Forgets all segments below `start`, which begins one; those that were forgotten.
    pub(crate) fn forget_below(&self, start: u64) -> Vec<ClosedSegment> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let count = table.closed.partition_point(|segment| segment.start < start);
        let gone: Vec<_> = table.closed.drain(..count).collect();
        drop(table);
        for segment in &gone {
            self.open_segments.close(segment.start);
            self.open_indexes.close(segment.start);
            self.open_keys.close(segment.start);
        }
        gone
    }

    /// The index leads to something that is not the record.
    pub(crate) fn disagrees(&self, entry: &Entry) -> ReadError {
        let start = self.with_table(|table| {
            let at = table.closed.partition_point(|segment| segment.end <= entry.physical);
            table.closed.get(at).map_or(table.active.start, |segment| segment.start)
        });
        ReadError::Damaged {
            file: self.paths.segment(start),
            position: entry.physical.saturating_sub(start),
            reason: "there is no such record where the index says",
        }
    }

    fn with_table<T>(&self, look: impl FnOnce(&SegmentTable) -> T) -> T {
        look(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A bounded number of files that stay open for reads, by the start of their segment.
#[derive(Debug)]
struct OpenFiles {
    limit: usize,
    /// Most recently used last.
    files: Mutex<Vec<(u64, Arc<dyn StorageFile>)>>,
}

impl OpenFiles {
    fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), files: Mutex::default() }
    }

    fn open(
        &self,
        key: u64,
        path: &Path,
        storage: &dyn Storage,
        access: Access,
    ) -> Result<Arc<dyn StorageFile>, ReadError> {
        let would_block = || ReadError::io(path)(io::ErrorKind::WouldBlock.into());
        let mut files = match access {
            Access::Wait => lock(&self.files),
            // Whoever opens a file holds the lock meanwhile.
            Access::Now => self.files.try_lock().map_err(|_| would_block())?,
        };
        let file = match files.iter().position(|(start, _)| *start == key) {
            Some(at) => files.remove(at).1,
            None if access == Access::Now => return Err(would_block()),
            None => storage.open(path).map_err(ReadError::io(path))?,
        };
        files.push((key, file.clone()));
        if files.len() > self.limit {
            files.remove(0);
        }
        Ok(file)
    }

    fn close(&self, key: u64) {
        lock(&self.files).retain(|(start, _)| *start != key);
    }
}

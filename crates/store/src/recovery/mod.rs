//! From files to a running log.
//!
//! Recovery changes nothing before it knows that the store is sound, and what it changes it can change again: a crash
//! at any step leaves a store that recovers to the same content. The steps are those of `docs/storage.md`.

mod damage;
mod report;
mod segment;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use crate::append::Events;
use crate::clock::Clock;
use crate::error::{OpenError, TableError};
use crate::hold::Hold;
use crate::keys::Keys;
use crate::log::{
    Checkpoint, ClosedSegment, Cold, Disk, Log, Paths, Poison, Progress, Segment, Segments, Tail, paths,
};
use crate::options::StoreOptions;
use crate::origin::{ORIGIN, Origin, OriginTable};
use crate::planted::{crash_point, planted};
use crate::queue::{Index, QueueId, Registry};
use crate::storage::{Storage, StorageFile, read_full_at, write_all_at};
use crate::table::Table;

pub use report::{RecoveryReport, TornTail};

/// Bytes that are rewritten at once.
const REWRITE: u64 = 1 << 20;

/// A log that can be served.
pub(crate) struct Recovered {
    pub(crate) log: Log,
    pub(crate) last_timestamp: i64,
    pub(crate) report: RecoveryReport,
}

/// Opens the store of `options.dir`.
pub(crate) fn recover(
    options: StoreOptions,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    events: Arc<dyn Events>,
) -> Result<Recovered, OpenError> {
    let begin = clock.monotonic();
    let paths = Paths::new(&options.dir);
    let storage_ref = &*storage;
    create_folders(storage_ref, &paths)?;
    let folder_lock = storage.lock(&paths.lock()).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { dir: paths.root.clone() },
        _ => OpenError::io("lock", &paths.lock())(source),
    })?;
    let hold = Arc::new(Hold::new(folder_lock));
    let origin = open_origin(&storage, &paths, &hold)?;
    let checkpoint_path = paths.checkpoint();
    let checkpoint =
        Checkpoint::open(storage_ref, &checkpoint_path).map_err(OpenError::io("open", &checkpoint_path))?;
    let evidence = checkpoint.durable().max(origin.origin.durable());
    let mut recovery = Recovery::new(storage_ref, &paths, &origin.origin, evidence);
    recovery.run()?;
    let checkpoint = Mutex::new(checkpoint);
    let (active, end) = recovery.settle(&checkpoint, &options)?;
    let Recovery { registry, index, closed, unsealed, last_timestamp, mut report, .. } = recovery;
    report.took = clock.monotonic().saturating_sub(begin);
    report.tell(&paths.root);
    let segments = Segments::new(paths.clone(), closed, active, options.max_open_files);
    unsealed.into_iter().for_each(|segment| segments.queue_seal(segment));
    let log = Log {
        tail: Tail::new(options.tail_cache_bytes),
        cold: Cold::new(options.read_cache_bytes),
        disk: Disk::new(&options),
        options,
        storage: storage.clone(),
        clock,
        events,
        segments,
        registry: RwLock::new(registry),
        index: RwLock::new(index),
        keys: Keys::default(),
        checkpoint,
        origin: Mutex::new(origin),
        progress: Progress::new(end),
        poison: Poison::default(),
        sealing: Mutex::default(),
        deleting: Mutex::default(),
        syncing: Mutex::default(),
        hold,
        paths,
    };
    log.seal_closed().map_err(|failure| OpenError::Io {
        action: "write an index file in",
        path: log.paths.index.clone(),
        source: io::Error::other(failure.to_string()),
    })?;
    queue_missing_keys(&log)?;
    log.disk.refresh(&*log.storage, &log.paths);
    Ok(Recovered { log, last_timestamp, report })
}

/// Key files that are not there are made later, one by one. Whether one is good is seen by the query that reads it.
fn queue_missing_keys(log: &Log) -> Result<(), OpenError> {
    let dir = &log.paths.index;
    let names = log.storage.list(dir).map_err(OpenError::io("list", dir))?;
    let present: HashSet<u64> = names.iter().filter_map(|name| paths::key_start(name)).collect();
    let closed = log.segments.closed();
    let starts = closed.iter().map(|segment| segment.start);
    log.keys.queue_only(starts.filter(|start| !present.contains(start)));
    Ok(())
}

/// What has been found so far.
struct Recovery<'a> {
    storage: &'a dyn Storage,
    paths: &'a Paths,
    origin: &'a Origin,
    /// The log was flushed at least up to here: by the checkpoint, the origin, and what frames say.
    evidence: u64,
    registry: Registry,
    index: Index,
    closed: VecDeque<ClosedSegment>,
    /// The last of `closed`, if its entries are in memory.
    unsealed: Option<ClosedSegment>,
    /// Segments whose files go on with zeros.
    untrimmed: Vec<ClosedSegment>,
    /// Behind the last good frame.
    end: u64,
    last_timestamp: i64,
    report: RecoveryReport,
}

impl<'a> Recovery<'a> {
    fn new(storage: &'a dyn Storage, paths: &'a Paths, origin: &'a Origin, evidence: u64) -> Self {
        let mut recovery = Self {
            storage,
            paths,
            origin,
            evidence,
            registry: Registry::default(),
            index: Index::default(),
            closed: VecDeque::new(),
            unsealed: None,
            untrimmed: Vec::new(),
            end: origin.start,
            last_timestamp: 0,
            report: RecoveryReport::default(),
        };
        for queue in &origin.queues {
            recovery.add_queue(&queue.topic, queue.queue_id, queue.next);
        }
        recovery
    }

    /// Reads the segments in order and decides about the first place where something is wrong.
    fn run(&mut self) -> Result<(), OpenError> {
        let starts = self.segment_starts()?;
        for (at, start) in starts.iter().copied().enumerate() {
            let later = starts.get(at + 1..).unwrap_or_default();
            if start != self.end {
                return self.damaged(None, starts.get(at..).unwrap_or_default());
            }
            if self.adopt_index(start, !later.is_empty())? {
                continue;
            }
            if let Some(scanned) = self.scan_segment(start, later.first().copied())? {
                return self.damaged(Some(scanned), later);
            }
        }
        if self.end < self.evidence && !planted("zeros in place of flushed bytes accepted") {
            return self.damaged(None, &[]);
        }
        Ok(())
    }

    /// Starts of the segments from the origin on; those below were being deleted, and are now.
    fn segment_starts(&mut self) -> Result<Vec<u64>, OpenError> {
        let dir = &self.paths.log;
        let names = self.storage.list(dir).map_err(OpenError::io("list", dir))?;
        let mut starts: Vec<u64> = names.iter().filter_map(|name| paths::segment_start(name)).collect();
        starts.sort_unstable();
        for start in starts.iter().filter(|start| **start < self.origin.start) {
            self.remove(&self.paths.key_file(*start))?;
            self.remove(&self.paths.index_file(*start))?;
            self.remove(&self.paths.segment(*start))?;
        }
        starts.retain(|start| *start >= self.origin.start);
        Ok(starts)
    }

    fn add_queue(&mut self, topic: &str, queue_id: u32, first: i64) -> QueueId {
        match self.registry.find(topic, queue_id) {
            Some(id) => id,
            None => {
                let (id, _) = self.registry.add(topic, queue_id);
                self.index.add_queue(id, first);
                id
            }
        }
    }

    fn remove(&self, path: &Path) -> Result<(), OpenError> {
        match self.storage.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(OpenError::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Makes durable what will be served, and opens the segment that grows.
    ///
    /// Frames behind the evidence may be in the page cache only, and may be there although a flush of them failed:
    /// then the kernel calls them clean and a flush would do nothing. So they are written once more.
    fn settle(
        &mut self,
        checkpoint: &Mutex<Checkpoint>,
        options: &StoreOptions,
    ) -> Result<(Arc<Segment>, u64), OpenError> {
        self.trim()?;
        let active = self.open_active(options)?;
        self.remove_strays()?;
        let stale: Vec<u64> = self.closed.iter().map(|segment| segment.start).collect();
        for start in stale.into_iter().chain([active.start]) {
            let end = self
                .closed
                .iter()
                .find(|segment| segment.start == start)
                .map_or(self.end, |segment| segment.end);
            let is_due = end > self.evidence || start == active.start;
            if is_due && !planted("no fsync after recovery") {
                let path = self.paths.segment(start);
                let file = self.storage.open(&path).map_err(OpenError::io("open", &path))?;
                let from = self.evidence.clamp(start, end);
                rewrite(&*file, from - start, end - start).map_err(OpenError::io("rewrite", &path))?;
                crash_point("recovery.rewritten");
                file.sync_data().map_err(OpenError::io("flush", &path))?;
            }
        }
        for dir in [&self.paths.log, &self.paths.index, &self.paths.tables, &self.paths.root] {
            self.storage.sync_dir(dir).map_err(OpenError::io("flush", dir))?;
        }
        crash_point("recovery.flushed");
        let mut checkpoint = crate::log::lock(checkpoint);
        if checkpoint.durable() < self.end {
            checkpoint.save(self.end).map_err(OpenError::io("write", &self.paths.checkpoint()))?;
        }
        self.report.bytes = self.end - self.origin.start;
        self.report.segments = self.closed.len() + 1;
        self.report.queues = self.registry.iter().count();
        self.report.repaired.clone_from(&self.origin.repaired);
        Ok((active, self.end))
    }

    /// Takes zeros off that were written ahead of the log.
    fn trim(&self) -> Result<(), OpenError> {
        for segment in &self.untrimmed {
            let path = self.paths.segment(segment.start);
            let file = self.storage.open(&path).map_err(OpenError::io("open", &path))?;
            file.set_len(segment.end - segment.start).map_err(OpenError::io("trim", &path))?;
            if !planted("no fsync after recovery") {
                file.sync_data().map_err(OpenError::io("flush", &path))?;
            }
        }
        Ok(())
    }

    /// The last segment goes on growing when its entries are in memory and it has room; else there is a new one.
    fn open_active(&mut self, options: &StoreOptions) -> Result<Arc<Segment>, OpenError> {
        let has_room = |last: &ClosedSegment| last.end - last.start < options.segment_bytes;
        let start = match self.unsealed.take_if(|last| has_room(last)) {
            Some(last) => {
                self.closed.pop_back();
                last.start
            }
            None => self.end,
        };
        let path = self.paths.segment(start);
        let file = if start == self.end && !self.segment_exists(&path)? {
            self.storage.create(&path).map_err(OpenError::io("create", &path))?
        } else {
            self.storage.open(&path).map_err(OpenError::io("open", &path))?
        };
        Ok(Arc::new(Segment { start, end: None, path, file }))
    }

    /// Removes files that were not finished, and index files of no closed segment: one of a segment that was cut or
    /// grows again would lie about what takes its place.
    fn remove_strays(&self) -> Result<(), OpenError> {
        for dir in [&self.paths.index, &self.paths.tables] {
            for name in self.storage.list(dir).map_err(OpenError::io("list", dir))? {
                let is_orphan = paths::index_start(&name)
                    .is_some_and(|start| !self.closed.iter().any(|segment| segment.start == start));
                if is_orphan || name.ends_with(".tmp") {
                    self.remove(&dir.join(name))?;
                }
            }
        }
        Ok(())
    }

    fn segment_exists(&self, path: &Path) -> Result<bool, OpenError> {
        let names = self.storage.list(&self.paths.log).map_err(OpenError::io("list", &self.paths.log))?;
        Ok(path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| names.iter().any(|known| known == name)))
    }
}

fn create_folders(storage: &dyn Storage, paths: &Paths) -> Result<(), OpenError> {
    for dir in [&paths.root, &paths.log, &paths.index, &paths.tables] {
        storage.create_dir(dir).map_err(OpenError::io("create", dir))?;
    }
    if let Some(parent) = paths.root.parent() {
        // A name alone is one in the folder of the process.
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        storage.sync_dir(parent).map_err(OpenError::io("flush", parent))?;
    }
    Ok(())
}

fn open_origin(
    storage: &Arc<dyn Storage>,
    paths: &Paths,
    hold: &Arc<Hold>,
) -> Result<OriginTable, OpenError> {
    let table = Table::new(storage.clone(), &paths.tables, ORIGIN);
    table.map(|table| table.held(hold.clone())).and_then(OriginTable::load).map_err(|error| match error {
        TableError::Io { action, path, source } => OpenError::Io { action, path, source },
        TableError::Damaged { file, reason } => {
            OpenError::Damaged { file, position: 0, offset: 0, records_behind: 0, reason: reason.to_owned() }
        }
        error @ (TableError::Name { .. } | TableError::Closed) => {
            OpenError::Io { action: "open", path: paths.tables.join(ORIGIN), source: io::Error::other(error) }
        }
    })
}

/// Writes the bytes of a file between two places onto themselves.
fn rewrite(file: &dyn StorageFile, mut from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; REWRITE.min(to - from) as usize];
    while from < to {
        let count = (to - from).min(REWRITE) as usize;
        let chunk = buffer.get_mut(..count).unwrap_or_default();
        let filled = read_full_at(file, chunk, from)?;
        let chunk =
            chunk.get(..filled).filter(|chunk| !chunk.is_empty()).ok_or(io::ErrorKind::UnexpectedEof)?;
        write_all_at(file, chunk, from)?;
        from += chunk.len() as u64;
    }
    Ok(())
}

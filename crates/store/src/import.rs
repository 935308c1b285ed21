//! A store that is written from messages which have their places already: those of another broker.
//!
//! Queue offsets and store times stay as they are. Places in the log do not: its layout is another one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocketwire_protocol::message::record;

use crate::log::{Checkpoint, Paths, frame};
use crate::options::StoreOptions;
use crate::origin::{ORIGIN, Origin, QueueOrigin, RepairedHole, end_of_life};
use crate::record::Record;
use crate::storage::{Storage, StorageFile, StorageLock, write_all_at};
use crate::table::Table;
use crate::tools::{Fillers, LostRange};

/// A gap in the offsets of a queue may be this long. Whoever has a longer one has read nonsense.
const MAX_GAP: i64 = 1_000_000;
/// Lost records of one frame.
const GAP_FRAME: i64 = 2_000;

/// Why an import cannot go on. What is in the folder by then is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There is a store in the folder already.
    #[error("{} is not empty; an import begins a store of its own", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// The disk or its permissions said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// A table could not be saved.
    #[error(transparent)]
    Table(#[from] crate::error::TableError),
    /// The bytes are not one stored record.
    #[error("not a stored record: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// A record does not follow the one before it in its queue.
    #[error("queue {topic}/{queue_id} goes on with {found} instead of {expected}")]
    Order {
        /// The topic.
        topic: String,
        /// The queue of the topic.
        queue_id: u32,
        /// The offset that would have followed.
        expected: i64,
        /// The offset that came.
        found: i64,
    },
}

impl ImportError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// Writes a new store record by record; [`Importer::finish`] makes it one that opens.
///
/// Nothing is durable before that, and a folder that was not finished does not open with what it should hold: remove it.
#[derive(Debug)]
pub struct Importer {
    options: StoreOptions,
    storage: Arc<dyn Storage>,
    paths: Paths,
    origin: Origin,
    queues: HashMap<(String, u32), Stored>,
    segment: Arc<dyn StorageFile>,
    segment_start: u64,
    segment_length: u64,
    /// The frame that is being filled.
    frame: Vec<u8>,
    last_timestamp: i64,
    _lock: Box<dyn StorageLock>,
}

/// What was stored of a queue.
#[derive(Debug, Clone, Copy)]
struct Stored {
    /// Its next offset.
    next: i64,
    /// Log offset of its first record; 0 when those before it are gone.
    begin: u64,
    /// Log offset behind its last record.
    end: u64,
}

impl Importer {
    /// Begins a store in `options.dir`, in which there must be none. Blocks on the disk, as all of this does.
    pub fn create(options: StoreOptions, storage: Arc<dyn Storage>) -> Result<Self, ImportError> {
        let paths = Paths::new(&options.dir);
        for dir in [&paths.root, &paths.log, &paths.index, &paths.tables] {
            storage.create_dir(dir).map_err(ImportError::io("create", dir))?;
        }
        let lock = storage.lock(&paths.lock()).map_err(ImportError::io("lock", &paths.lock()))?;
        for dir in [&paths.log, &paths.tables] {
            if !storage.list(dir).map_err(ImportError::io("list", dir))?.is_empty() {
                return Err(ImportError::NotEmpty { dir: options.dir.clone() });
            }
        }
        let path = paths.segment(0);
        let segment = storage.create(&path).map_err(ImportError::io("create", &path))?;
        Ok(Self {
            options,
            storage,
            paths,
            origin: Origin::default(),
            queues: HashMap::new(),
            segment,
            segment_start: 0,
            segment_length: 0,
            frame: Vec::new(),
            last_timestamp: 0,
            _lock: lock,
        })
    }

    /// A queue begins at this offset, because what was before it is gone. For a queue without records this is also
    /// where it goes on.
    pub fn begin_queue(&mut self, topic: &str, queue_id: u32, first: i64) {
        let stored = Stored { next: first, begin: 0, end: 0 };
        if first > 0 && self.queues.insert((topic.to_owned(), queue_id), stored).is_none() {
            self.origin.queues.push(QueueOrigin { topic: topic.to_owned(), queue_id, next: first });
        }
    }

    /// The next offset of a queue, if it is known.
    pub fn next_offset(&self, topic: &str, queue_id: u32) -> Option<i64> {
        self.queues.get(&(topic.to_owned(), queue_id)).map(|stored| stored.next)
    }

    /// Stores a record under the queue offset that it has; its place in the log is returned. A queue that is not known
    /// begins with it. Offsets that are left out count as lost: readers pass over them. A store time that is
    /// before that of the record before it becomes the same.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64, ImportError> {
        let record = Record::parse(bytes).map_err(|reason| ImportError::Malformed { reason })?;
        if record.size() != bytes.len() {
            return Err(ImportError::Malformed { reason: "there are bytes behind the record" });
        }
        let topic = std::str::from_utf8(record.topic())
            .map_err(|_| ImportError::Malformed { reason: "the topic is not UTF-8" })?;
        let queue = record.is_queued().then(|| (topic.to_owned(), record.queue_id()));
        if let Some(queue) = &queue {
            self.reach(queue, record.queue_offset())?;
        }
        if !self.frame.is_empty() && self.frame.len() + bytes.len() > self.options.frame_bytes {
            self.finish_frame()?;
        }
        if self.frame.is_empty() {
            self.frame.resize(frame::HEADER, 0);
        }
        self.last_timestamp = self.last_timestamp.max(record.store_timestamp());
        let start = self.frame.len();
        let physical = self.end() + start as u64;
        self.frame.extend_from_slice(bytes);
        let stored = self.frame.get_mut(start..).unwrap_or_default();
        let offset = if queue.is_some() { record.queue_offset() } else { 0 };
        record::patch(stored, offset, physical.cast_signed(), self.last_timestamp);
        if let Some(queue) = queue {
            let new = Stored { next: offset, begin: physical, end: physical };
            let stored = self.queues.entry(queue).or_insert(new);
            (stored.next, stored.end) = (offset + 1, physical + bytes.len() as u64);
        }
        Ok(physical)
    }

    /// A queue begins at 0 again: its topic was deleted behind the queue's last record, and made again. What was stored of
    /// the topic does not count, but for queues that began behind its deletion: they are of the new one.
    pub fn begin_again(&mut self, topic: &str, queue_id: u32) {
        let Some(end) = self.queues.get(&(topic.to_owned(), queue_id)).map(|stored| stored.end) else {
            return;
        };
        let of_topic = self.queues.iter().filter(|((name, _), _)| name == topic);
        let queues: Vec<_> = of_topic.map(|(_, stored)| (stored.begin, stored.end)).collect();
        let below = end_of_life(end, &queues);
        self.origin.deleted.insert(topic.to_owned(), below);
        self.origin.queues.retain(|queue| queue.topic != topic);
        self.queues.retain(|(name, _), stored| name != topic || stored.begin >= below);
    }

    /// Saves a small table of the store's owner (`[a-z_]+`).
    pub fn save_table(&self, name: &str, content: &[u8]) -> Result<(), ImportError> {
        Ok(Table::new(self.storage.clone(), &self.paths.tables, name)?.save(content)?)
    }

    /// Makes everything durable. Opening the store is what proves it.
    pub fn finish(mut self) -> Result<(), ImportError> {
        self.finish_frame()?;
        let path = self.paths.segment(self.segment_start);
        self.segment.sync_data().map_err(ImportError::io("flush", &path))?;
        let origin = serde_json::to_vec(&self.origin).unwrap_or_default();
        self.save_table(ORIGIN, &origin)?;
        let path = self.paths.checkpoint();
        let mut checkpoint =
            Checkpoint::open(&*self.storage, &path).map_err(ImportError::io("create", &path))?;
        for dir in [&self.paths.log, &self.paths.tables, &self.paths.root] {
            self.storage.sync_dir(dir).map_err(ImportError::io("flush", dir))?;
        }
        checkpoint.save(self.end()).map_err(ImportError::io("write", &path))
    }

    /// Log offset behind the last frame that is written.
    fn end(&self) -> u64 {
        self.segment_start + self.segment_length
    }

    /// Makes this the next offset of a queue.
    fn reach(&mut self, queue: &(String, u32), found: i64) -> Result<(), ImportError> {
        let (topic, queue_id) = queue;
        let expected = match self.queues.get(queue) {
            Some(stored) => stored.next,
            None if self.origin.deleted.contains_key(topic) => 0,
            None => {
                self.begin_queue(topic, *queue_id, found);
                found.max(0)
            }
        };
        if found < expected || found - expected > MAX_GAP {
            return Err(ImportError::Order { topic: topic.clone(), queue_id: *queue_id, expected, found });
        }
        if found > expected {
            self.gap(topic, *queue_id, expected, found)?;
        }
        Ok(())
    }

    /// Notes lost records in the way of a repair.
    fn gap(&mut self, topic: &str, queue_id: u32, from: i64, to: i64) -> Result<(), ImportError> {
        self.finish_frame()?;
        let start = self.end();
        let mut at = from;
        while at < to {
            let next = to.min(at + GAP_FRAME);
            let lost =
                [LostRange { topic: topic.to_owned(), queue_id, from: at, to: next, is_certain: true }];
            let mut fillers = Fillers::new(&lost, self.last_timestamp, 0);
            let size = fillers.exact_len();
            let bytes = fillers.frame(self.end(), self.end() + size);
            self.write(&bytes)?;
            at = next;
        }
        let hole = RepairedHole { start, end: self.end(), lost: (to - from).unsigned_abs() };
        self.origin.repaired.push(hole);
        Ok(())
    }

    fn finish_frame(&mut self) -> Result<(), ImportError> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.frame);
        frame::finish(&mut bytes, self.end(), 0);
        self.write(&bytes)?;
        bytes.clear();
        self.frame = bytes;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        if self.segment_length > 0 && self.segment_length + bytes.len() as u64 > self.options.segment_bytes {
            let path = self.paths.segment(self.segment_start);
            self.segment.sync_data().map_err(ImportError::io("flush", &path))?;
            let start = self.end();
            let path = self.paths.segment(start);
            self.segment = self.storage.create(&path).map_err(ImportError::io("create", &path))?;
            (self.segment_start, self.segment_length) = (start, 0);
        }
        let path = self.paths.segment(self.segment_start);
        write_all_at(&*self.segment, bytes, self.segment_length).map_err(ImportError::io("write", &path))?;
        self.segment_length += bytes.len() as u64;
        Ok(())
    }
}

//! The log: frames in segments, its newest bytes in memory, and what is known to be durable of it.

mod checkpoint;
mod cold;
mod disk;
pub(crate) mod frame;
mod health;
pub(crate) mod paths;
pub(crate) mod scan;
mod seal;
mod segments;
mod tail;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::append::Events;
use crate::clock::Clock;
use crate::error::ReadError;
use crate::hold::Hold;
use crate::keys::Keys;
use crate::options::{Flush, StoreOptions};
use crate::origin::OriginTable;
use crate::planted::planted;
use crate::queue::{Entry, Index, QueueId, QueueName, Registry};
use crate::storage::{Access, Storage};

pub(crate) use checkpoint::Checkpoint;
pub(crate) use cold::Cold;
pub(crate) use disk::Disk;
pub(crate) use health::{Failure, Poison, Progress};
pub(crate) use paths::Paths;
pub(crate) use seal::IndexDraft;
pub(crate) use segments::{ClosedSegment, Segment, Segments};
pub(crate) use tail::{Piece, Tail};

/// Everything of an open store that does not depend on who waits for its appends.
pub(crate) struct Log {
    pub(crate) options: StoreOptions,
    pub(crate) paths: Paths,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) segments: Segments,
    pub(crate) tail: Tail,
    pub(crate) cold: Cold,
    pub(crate) registry: RwLock<Registry>,
    pub(crate) index: RwLock<Index>,
    pub(crate) keys: Keys,
    pub(crate) checkpoint: Mutex<Checkpoint>,
    pub(crate) origin: Mutex<OriginTable>,
    pub(crate) progress: Progress,
    pub(crate) poison: Poison,
    pub(crate) disk: Disk,
    /// Held while one thread makes index files.
    pub(crate) sealing: Mutex<()>,
    /// Held while one topic is deleted. Not while anything waits for the writer with `origin` held: the writer itself
    /// may want that to make space.
    pub(crate) deleting: Mutex<()>,
    /// Held while one thread flushes.
    pub(crate) syncing: Mutex<()>,
    pub(crate) hold: Arc<Hold>,
}

impl Log {
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn registry(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn registry_mut(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queue_name(&self, queue: QueueId) -> Option<QueueName> {
        self.registry().name(queue).map(|name| QueueName::clone(name))
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_sync(&self) -> bool {
        self.options.flush == Flush::Sync
    }

    /// Makes everything durable that was written before the call. A failure poisons the log: after a failed flush
    /// the kernel may call pages clean that never reached the disk, so a second flush would prove nothing.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        let _one = lock(&self.syncing);
        if let Some(error) = self.poison.get() {
            return Err(Failure::poisoned(error));
        }
        let written = self.progress.written();
        let synced = self.segments.sync(&*self.storage).map_err(|failure| self.fail(failure));
        synced.inspect(|()| self.progress.set_durable(written))
    }

    /// Notes durably how far the log is durable, if that is further than noted.
    pub(crate) fn save_checkpoint(&self) -> Result<(), Failure> {
        let is_early = planted("checkpoint saved ahead of the flush");
        let durable = if is_early { self.progress.written() } else { self.progress.durable() };
        let mut checkpoint = lock(&self.checkpoint);
        if durable <= checkpoint.durable() || self.poison.get().is_some() {
            return Ok(());
        }
        let saved = checkpoint.save(durable);
        saved.map_err(|error| self.fail(Failure::new("write", &self.paths.checkpoint(), error)))
    }

    /// Refuses all writes from now on.
    pub(crate) fn fail(&self, failure: Failure) -> Failure {
        if self.poison.set(&failure) {
            tracing::error!(error = %failure, "the store is poisoned: it refuses writes until it is restarted");
            self.events.poisoned(&failure.to_string());
        }
        self.progress.wake();
        failure
    }

    /// Bytes of the log that contain this record and were checked.
    pub(crate) fn piece_of(&self, entry: &Entry, access: Access) -> Result<Piece, ReadError> {
        if let Some(piece) = self.tail.piece_of(entry) {
            return Ok(piece);
        }
        self.cold.piece_of(entry, &self.segments, &*self.storage, self.progress.written(), access)
    }

    /// One record.
    pub(crate) fn record(&self, entry: &Entry) -> Result<Bytes, ReadError> {
        let piece = self.piece_of(entry, Access::Wait)?;
        piece.slice(entry.physical, entry.end()).ok_or_else(|| self.segments.disagrees(entry))
    }
}

/// A lock whose data is valid whatever a panicking thread did: all our critical sections are short and total.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

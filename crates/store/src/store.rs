use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::append::{Append, Appended, Completion, Events, RecordMeta, Waiter};
use crate::clock::Clock;
use crate::engine::{Handle, Shared};
use crate::error::{AppendError, DeleteError, OpenError, ReadError, TableError};
use crate::keys::{KeyOutcome, KeyQuery};
use crate::log::{Log, lock};
use crate::options::StoreOptions;
use crate::queue::{Bounds, QueueId, QueueName};
use crate::read::{BoundaryType, ReadLimits, ReadOutcome};
use crate::recovery::{self, RecoveryReport};
use crate::retention::Retained;
use crate::storage::{Access, Storage};
use crate::table::Table;

/// A durable log with queues. A clone is the same store; the last one to be dropped closes it.
///
/// `C` is what waits for an append. Appends and reads of new data never block on a disk; what can is marked.
///
/// ```
/// use std::sync::Arc;
/// use rocketwire_store::{AppendError, Appended, MemoryStorage, Store, StoreOptions, SystemClock};
///
/// type Waiter = Box<dyn FnOnce(Result<Appended, AppendError>) + Send>;
/// let storage = Arc::new(MemoryStorage::new());
/// let (store, report) =
///     Store::<Waiter>::open(StoreOptions::new("/data"), storage, Arc::new(SystemClock::default()), Arc::new(()))?;
/// assert_eq!(report.records, 0);
/// let queue = store.queue("TopicTest", 0);
/// assert_eq!(store.bounds(queue).max, 0);
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Store<C: Completion> {
    handle: Arc<Handle<C>>,
}

/// Space of the store's disk as it was seen last, at most a second ago while the store is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskState {
    /// Size of the file system.
    pub total: u64,
    /// What is free of it for this process.
    pub available: u64,
    /// What has to be free: `min_free_bytes` or `min_free_percent` of the disk, whichever is more.
    pub limit: u64,
    /// Appends are refused.
    pub is_full: bool,
}

/// Bytes of the log at each step that they have not taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Not written.
    pub pending: u64,
    /// Written, not flushed.
    pub flush: u64,
    /// Written, not in their queues.
    pub publish: u64,
}

impl<C: Completion> Store<C> {
    /// Opens the store in `options.dir`, or begins one there. Reads what is not known to be whole, repairs what a
    /// crash left (a torn end), and refuses to start when anything that was durable is damaged. Blocks on the disk.
    pub fn open(
        options: StoreOptions,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        events: Arc<dyn Events>,
    ) -> Result<(Self, RecoveryReport), OpenError> {
        let recovered = recovery::recover(options, storage, clock, events)?;
        let report = recovered.report;
        let handle = Handle::start(recovered.log, recovered.last_timestamp)?;
        Ok((Self { handle: Arc::new(handle) }, report))
    }

    /// The id of this queue; the queue is made known when it is new. Names are the caller's business: any text that
    /// fits a record is fine here.
    pub fn queue(&self, topic: &str, queue_id: u32) -> QueueId {
        if let Some(id) = self.find_queue(topic, queue_id) {
            return id;
        }
        let mut registry = self.log().registry_mut();
        if let Some(id) = registry.find(topic, queue_id) {
            return id;
        }
        let (id, name) = registry.add(topic, queue_id);
        lock(&self.shared().pending).add_queue(id, name, 0);
        self.log().index_mut().add_queue(id, 0);
        id
    }

    /// The id of this queue, if it was asked for or has records, and its topic was not deleted since.
    pub fn find_queue(&self, topic: &str, queue_id: u32) -> Option<QueueId> {
        self.log().registry().find(topic, queue_id)
    }

    /// What a queue is called; `None` for one whose topic was deleted.
    pub fn queue_name(&self, queue: QueueId) -> Option<QueueName> {
        self.log().queue_name(queue)
    }

    /// All queues that are known, in no order.
    pub fn queues(&self) -> Vec<QueueName> {
        self.log().registry().iter().map(|(_, name)| QueueName::clone(name)).collect()
    }

    /// Stores records. Copies them, assigns their offsets and returns; `completion` is told the end: by this thread
    /// when the append is refused, else by the writer. Never blocks on a disk.
    pub fn append(&self, append: Append<'_>, completion: C) {
        match self.try_append(&append, completion) {
            Ok(()) => self.shared().wake_writer(),
            Err((error, completion)) => completion.complete(Err(error)),
        }
    }

    /// [`Store::append`] for a caller that has more to do before it waits: nobody is woken to write the records. The
    /// caller has to call [`Store::write_held`] soon; until then they wait, unless someone else's append takes them
    /// along.
    pub fn append_held(&self, append: Append<'_>, completion: C) {
        match self.try_append(&append, completion) {
            Ok(()) => self.shared().has_held.store(true, Ordering::SeqCst),
            Err((error, completion)) => completion.complete(Err(error)),
        }
    }

    /// Has everything written that was appended by [`Store::append_held`]: one write for all of it.
    ///
    /// With async flushes that is done here and now, completions and events included, as long as it is a matter of
    /// microseconds: handing it to the writer's thread and back costs more. The writer is woken for the rest: with
    /// sync flushes, where a segment ends, while the disk is checked or was slow lately (a write that took 10 ms or
    /// more is followed by ten times as long), and when somebody else writes just now. So it blocks at most for one write into the page cache.
    pub fn write_held(&self) {
        self.handle.write_held();
    }

    fn try_append(&self, append: &Append<'_>, completion: C) -> Result<(), (AppendError, C)> {
        let shared = self.shared();
        let log = &shared.log;
        let first = match RecordMeta::of(append.records) {
            Ok(first) => [first],
            Err(error) => return Err((error, completion)),
        };
        let all;
        let metas = if first.iter().all(|meta| meta.size() == append.records.len()) {
            first.as_slice()
        } else {
            match RecordMeta::all(append.records) {
                Ok(metas) => all = metas,
                Err(error) => return Err((error, completion)),
            }
            all.as_slice()
        };
        if log.disk.is_full() {
            shared.wake_writer();
            return Err((log.disk.refusal(&log.paths), completion));
        }
        let now = (log.clock.wall_ms(), log.clock.monotonic());
        let mut pending = lock(&shared.pending);
        match pending.push(append, metas, now, &log.options) {
            Ok(appended) => pending.wait(Waiter { completion, appended, wait: append.wait }),
            Err(error) => return Err((error, completion)),
        }
        Ok(())
    }

    /// Answers appends that wait for their flush longer than `flush_timeout`: `flush_timeout` is set in their
    /// result, and the records are stored and delivered all the same (FLUSH_DISK_TIMEOUT). To be called now and
    /// then; a stuck disk answers nobody by itself. How many were answered.
    pub fn expire_waits(&self) -> usize {
        let shared = self.shared();
        let limit = shared.log.options.flush_timeout;
        let Some(before) = shared.log.clock.monotonic().checked_sub(limit) else { return 0 };
        let mut expired = Vec::new();
        {
            let mut pending = lock(&shared.pending);
            pending.expire(before, &mut expired);
            let mut in_flight = lock(&shared.in_flight);
            if in_flight.since <= before {
                expired.append(&mut in_flight.waiters);
            }
        }
        let count = expired.len();
        for waiter in expired {
            waiter.completion.complete(Ok(Appended { flush_timeout: true, ..waiter.appended }));
        }
        count
    }

    /// Records of a queue from `offset` on whose tags hash `accept` wants. Status and next offset are those of
    /// `DefaultMessageStore.getMessage` (spec broker B.5). Blocks on the disk unless [`Store::is_resident`];
    /// `accept` must not call the store.
    pub fn read(
        &self,
        queue: QueueId,
        offset: i64,
        limits: ReadLimits,
        accept: &mut dyn FnMut(i64) -> bool,
    ) -> Result<ReadOutcome, ReadError> {
        self.log().read(queue, offset, limits, accept, Access::Wait)
    }

    /// [`Store::read`] on a thread that must not wait: `None` if that takes the disk, or perhaps does. The records at the
    /// end of the log, and on Linux whatever the system has in its page cache, come at once.
    pub fn read_now(
        &self,
        queue: QueueId,
        offset: i64,
        limits: ReadLimits,
        accept: &mut dyn FnMut(i64) -> bool,
    ) -> Result<Option<ReadOutcome>, ReadError> {
        match self.log().read(queue, offset, limits, accept, Access::Now) {
            Err(error) if error.is_would_block() => Ok(None),
            read => read.map(Some),
        }
    }

    /// Whether a read at this offset begins in memory, so that it may run where nothing may block.
    pub fn is_resident(&self, queue: QueueId, offset: i64) -> bool {
        self.log().is_resident(queue, offset)
    }

    /// The readable offsets of a queue; with sync flushes all of them are durable.
    pub fn bounds(&self, queue: QueueId) -> Bounds {
        self.log().bounds(queue)
    }

    /// The record that begins at this place of the log; `None` where none of a queue does. Blocks on the disk.
    pub fn record_at(&self, physical_offset: i64) -> Result<Option<Bytes>, ReadError> {
        self.log().record_at(physical_offset)
    }

    /// The newest records of a topic with this key, whose store times are in a range (`IndexService`, spec broker
    /// B.6). Appends that were answered before the call are found. Blocks on the disk: the first call after a
    /// start, and each one after much was written, reads what the newest segment has gained.
    pub fn query(&self, query: KeyQuery<'_>) -> Result<KeyOutcome, ReadError> {
        self.log().query(query)
    }

    /// Store time of a record in milliseconds since 1970; `None` when the queue does not have it. Blocks on the disk.
    pub fn store_time(&self, queue: QueueId, offset: i64) -> Result<Option<i64>, ReadError> {
        self.log().store_time(queue, offset)
    }

    /// Store time of the queue's oldest record. Blocks on the disk.
    pub fn earliest_store_time(&self, queue: QueueId) -> Result<Option<i64>, ReadError> {
        self.log().store_time(queue, self.bounds(queue).min)
    }

    /// The offset of a time: with [`BoundaryType::Lower`] the first record at or behind it, else the last at or
    /// before it; the queue's end or begin when there is none (`getOffsetInQueueByTime`, spec broker B.7). Blocks
    /// on the disk.
    pub fn offset_by_time(
        &self,
        queue: QueueId,
        timestamp: i64,
        boundary: BoundaryType,
    ) -> Result<i64, ReadError> {
        self.log().offset_by_time(queue, timestamp, boundary)
    }

    /// Offsets of the log: where its oldest segment begins, and what is written.
    pub fn physical_bounds(&self) -> Bounds {
        let log = self.log();
        Bounds { min: log.segments.start().cast_signed(), max: log.progress.written().cast_signed() }
    }

    /// Deletes all records of a topic, and forgets its queues: their ids lead to nothing any more, and those of its next
    /// life begin at 0. Durable when it returns; a crash before that leaves all of the topic or nothing. Appends to
    /// it are refused meanwhile. Blocks on the disk.
    pub fn delete_topic(&self, topic: &str) -> Result<(), DeleteError> {
        let log = self.log();
        let _one = lock(&log.deleting);
        let (below, has_records) = {
            let registry = log.registry();
            let mut pending = lock(&self.shared().pending);
            if let Some(refusal) = pending.refusal() {
                return Err(refusal.clone().into());
            }
            (pending.delete(topic), pending.has_records(registry.queues_of(topic)))
        };
        // The note says that the log reaches this place; so it must.
        let flushed = if has_records { self.flush() } else { Ok(()) };
        // Held until the queues are gone: what retention notes meanwhile would bring them back.
        let mut origin = lock(&log.origin);
        let noted = match flushed {
            Ok(()) if has_records => log.note_deletion(&mut origin, topic, below),
            flushed => flushed.map_err(DeleteError::from),
        };
        let mut registry = log.registry_mut();
        let mut pending = lock(&self.shared().pending);
        let gone = if noted.is_ok() { registry.remove_topic(topic) } else { Vec::new() };
        let mut index = log.index_mut();
        gone.iter().for_each(|queue| index.remove_queue(*queue));
        pending.deleted(&gone);
        noted
    }

    /// Deletes what is older than the retention, or more than the log may hold. `now_ms` is the wall clock. To be
    /// called now and then. Blocks on the disk.
    pub fn retain(&self, now_ms: i64) -> Result<Retained, DeleteError> {
        self.log().retain(now_ms)
    }

    /// The small table of this name (`[a-z_]+`).
    pub fn table(&self, name: &str) -> Result<Table, TableError> {
        if name == crate::origin::ORIGIN {
            return Err(TableError::Name { name: name.to_owned() });
        }
        self.handle.table(name)
    }

    /// The settings that it was opened with.
    pub fn options(&self) -> &StoreOptions {
        &self.log().options
    }

    /// Space of the disk.
    pub fn disk(&self) -> DiskState {
        let disk = &self.log().disk;
        let space = disk.space();
        DiskState {
            total: space.total,
            available: space.available,
            limit: disk.limit().0,
            is_full: disk.is_full(),
        }
    }

    /// What is not done yet of what was appended.
    pub fn behind(&self) -> Behind {
        let (log, pending) = (self.log(), lock(&self.shared().pending).end());
        let written = log.progress.written();
        Behind {
            pending: pending.saturating_sub(written),
            flush: written.saturating_sub(log.progress.durable()),
            publish: written.saturating_sub(log.progress.published()),
        }
    }

    /// Store time of the oldest record that is kept, be its topic deleted or not; `None` if there is none. Blocks on the
    /// disk.
    pub fn oldest_store_time(&self) -> Result<Option<i64>, ReadError> {
        self.log().oldest_store_time()
    }

    /// The failure that ended all writes, if there was one.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.log().poison.get().cloned()
    }

    /// Whether a failure ended all writes.
    pub fn is_poisoned(&self) -> bool {
        self.log().poison.get().is_some()
    }

    /// Returns when everything that was appended before is durable and readable. Blocks on the disk.
    pub fn flush(&self) -> Result<(), AppendError> {
        self.handle.flush()
    }

    /// One round of what the threads do, with [`Drive::Manual`](crate::Drive::Manual): writes and answers what is pending, then flushes,
    /// notes and seals what is due. Whether there was anything to write.
    pub fn turn(&self) -> bool {
        self.handle.turn()
    }

    /// Ends the store: takes no more appends, answers those it took, flushes, saves the checkpoint, gives the folder
    /// back. Reads go on; tables are not saved any more, and nothing is deleted. Blocks on the disk. Closing again is fine.
    pub fn close(&self) -> Result<(), AppendError> {
        self.handle.close()
    }

    fn shared(&self) -> &Arc<Shared<C>> {
        self.handle.shared()
    }

    fn log(&self) -> &Log {
        &self.handle.shared().log
    }
}

impl<C: Completion> Clone for Store<C> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<C: Completion> fmt::Debug for Store<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = self.log();
        formatter
            .debug_struct("Store")
            .field("dir", &log.paths.root)
            .field("written", &log.progress.written())
            .field("durable", &log.progress.durable())
            .field("poisoned", &log.poison.get())
            .finish_non_exhaustive()
    }
}

//! The threads behind a store, and its end.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::append::{self, Completion, Flusher, InFlight, Pending, Wake, Writer};
use crate::error::{AppendError, OpenError, TableError};
use crate::log::{Failure, Log, lock};
use crate::options::Drive;
use crate::table::Table;

/// What the writer, the flusher and the callers share.
pub(crate) struct Shared<C> {
    pub(crate) log: Arc<Log>,
    pub(crate) pending: Mutex<Pending<C>>,
    pub(crate) in_flight: Mutex<InFlight<C>>,
    /// Something pending is the writer's to write, soon.
    pub(crate) has_work: AtomicBool,
    /// Something pending waits for the end of its appender's turn.
    pub(crate) has_held: AtomicBool,
    pub(crate) writer_wake: Wake,
    pub(crate) flusher_wake: Wake,
    /// The writer ends when it has nothing left.
    pub(crate) is_stopping: AtomicBool,
    /// The flusher ends.
    pub(crate) is_stopped: AtomicBool,
}

impl<C> Shared<C> {
    /// What is pending is the writer's to write.
    pub(crate) fn wake_writer(&self) {
        self.has_work.store(true, Ordering::SeqCst);
        self.writer_wake.wake();
    }
}

/// Closes the store when the last clone is gone.
pub(crate) struct Handle<C: Completion> {
    shared: Arc<Shared<C>>,
    /// Mostly in the hands of its thread; with async flushes also of those who write what they appended themselves.
    writer: Arc<Mutex<Writer<C>>>,
    engine: Mutex<Engine<C>>,
    tables: Mutex<Vec<(String, Table)>>,
}

/// Who does the writing.
enum Engine<C: Completion> {
    Threads { writer: JoinHandle<()>, flusher: JoinHandle<()> },
    Manual { flusher: Box<Flusher<C>> },
    Closed,
}

impl<C: Completion> Engine<C> {
    fn start(
        shared: &Arc<Shared<C>>,
        writer: Arc<Mutex<Writer<C>>>,
        flusher: Flusher<C>,
    ) -> Result<Self, OpenError> {
        let dir = &shared.log.paths.root;
        let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
        let of_writer = shared.clone();
        let writer = spawn("rw-store-writer")
            .spawn(move || append::run(&writer, &of_writer))
            .map_err(OpenError::io("start the writer of", dir))?;
        let flusher = spawn("rw-store-flusher").spawn(move || flusher.run()).map_err(|source| {
            shared.is_stopping.store(true, Ordering::SeqCst);
            shared.writer_wake.unpark();
            OpenError::io("start the flusher of", dir)(source)
        })?;
        Ok(Self::Threads { writer, flusher })
    }
}

impl<C: Completion> Handle<C> {
    /// Begins to write behind what was recovered.
    pub(crate) fn start(log: Log, last_timestamp: i64) -> Result<Self, OpenError> {
        let mut pending = Pending::new(log.progress.written(), last_timestamp);
        for (id, name) in log.registry().iter() {
            let next = log.index().get(id).map_or(0, |queue| queue.next());
            pending.add_queue(id, name.clone(), next);
        }
        let drive = log.options.drive;
        let shared = Arc::new(Shared {
            log: Arc::new(log),
            pending: Mutex::new(pending),
            in_flight: Mutex::default(),
            has_work: AtomicBool::new(false),
            has_held: AtomicBool::new(false),
            writer_wake: Wake::default(),
            flusher_wake: Wake::default(),
            is_stopping: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        });
        let writer = Arc::new(Mutex::new(Writer::new(shared.clone(), last_timestamp)));
        let flusher = Flusher::new(shared.clone());
        let engine = match drive {
            Drive::Threads => Engine::start(&shared, writer.clone(), flusher)?,
            Drive::Manual => Engine::Manual { flusher: Box::new(flusher) },
        };
        Ok(Self { shared, writer, engine: Mutex::new(engine), tables: Mutex::default() })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<C>> {
        &self.shared
    }

    /// See [`Store::table`](crate::Store::table).
    pub(crate) fn table(&self, name: &str) -> Result<Table, TableError> {
        let mut tables = lock(&self.tables);
        if let Some((_, table)) = tables.iter().find(|(known, _)| known == name) {
            return Ok(table.clone());
        }
        let log = &self.shared.log;
        let table = Table::new(log.storage.clone(), &log.paths.tables, name)?.held(log.hold.clone());
        tables.push((name.to_owned(), table.clone()));
        Ok(table)
    }

    /// See [`Store::write_held`](crate::Store::write_held).
    pub(crate) fn write_held(&self) {
        if !self.shared.has_held.swap(false, Ordering::SeqCst) {
            return;
        }
        // Someone who writes at this moment may have taken the group before these records were in it.
        let is_written = match self.writer.try_lock() {
            Ok(mut writer) => writer.turn_in_place(),
            Err(_) => false,
        };
        if !is_written {
            self.shared.wake_writer();
        }
    }

    /// See [`Store::turn`](crate::Store::turn).
    pub(crate) fn turn(&self) -> bool {
        match &mut *lock(&self.engine) {
            Engine::Manual { flusher } => {
                let has_written = lock(&self.writer).turn();
                flusher.turn();
                has_written
            }
            _ => false,
        }
    }

    /// See [`Store::flush`](crate::Store::flush).
    pub(crate) fn flush(&self) -> Result<(), AppendError> {
        let log = &self.shared.log;
        let target = lock(&self.shared.pending).end();
        if let Engine::Manual { .. } = &*lock(&self.engine) {
            while lock(&self.writer).turn() {}
        }
        self.shared.wake_writer();
        log.progress.wait(|| log.progress.published() >= target || log.poison.get().is_some());
        if log.progress.durable() < target {
            log.sync().map_err(|failure| AppendError::Io { error: failure.text })?;
        }
        Ok(())
    }

    /// See [`Store::close`](crate::Store::close).
    pub(crate) fn close(&self) -> Result<(), AppendError> {
        let engine = mem::replace(&mut *lock(&self.engine), Engine::Closed);
        if matches!(engine, Engine::Closed) {
            return Ok(());
        }
        lock(&self.shared.pending).refuse(AppendError::Closed);
        self.stop(engine);
        let log = &self.shared.log;
        let flushed = log
            .sync()
            .and_then(|()| self.trim())
            .and_then(|()| log.seal_closed())
            .and_then(|()| log.save_checkpoint());
        log.hold.release();
        flushed.map_err(|failure| AppendError::Poisoned { error: failure.text })
    }

    /// Takes the zeros behind the log's end back. Whoever drops the last clone in a completion has the writer already;
    /// the next start does it then.
    fn trim(&self) -> Result<(), Failure> {
        let Ok(mut writer) = self.writer.try_lock() else { return Ok(()) };
        writer.trim()?;
        self.shared.log.sync()
    }

    fn stop(&self, engine: Engine<C>) {
        let shared = &self.shared;
        shared.is_stopping.store(true, Ordering::SeqCst);
        match engine {
            Engine::Threads { writer, flusher } => {
                shared.writer_wake.unpark();
                join(writer);
                shared.is_stopped.store(true, Ordering::SeqCst);
                shared.flusher_wake.unpark();
                join(flusher);
            }
            Engine::Manual { .. } => while lock(&self.writer).turn() {},
            Engine::Closed => {}
        }
    }
}

impl<C: Completion> Drop for Handle<C> {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the store was dropped and could not be closed in order");
        }
    }
}

/// Waits for a thread of the store. The last clone may be dropped by a completion, which runs on that very thread.
fn join(handle: JoinHandle<()>) {
    if handle.thread().id() != thread::current().id() && handle.join().is_err() {
        tracing::error!("a thread of the store has panicked");
    }
}

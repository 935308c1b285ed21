//! From records to the log: what callers see here, then the pending group and the threads that write it.

mod flusher;
mod pending;
mod run;
mod wake;
mod writer;

use crate::error::AppendError;
use crate::queue::QueueId;

pub(crate) use flusher::Flusher;
pub(crate) use pending::{InFlight, Pending, RecordMeta, Waiter};
pub(crate) use run::run;
pub(crate) use wake::Wake;
pub(crate) use writer::Writer;

/// Records for one queue; they are stored together or not at all.
#[derive(Debug, Clone, Copy)]
pub struct Append<'a> {
    /// Where they go; the topic and queue id in each record must be this queue's.
    pub queue: QueueId,
    /// One or more whole stored records. Queue offset, physical offset and store time are filled in by the store,
    /// whatever is in them.
    pub records: &'a [u8],
    /// When to answer.
    pub wait: Wait,
}

/// When an append is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// As [`StoreOptions::flush`](crate::StoreOptions::flush) says.
    Flush,
    /// After the write, without a flush: `WAIT=false` (spec broker D.1).
    Write,
}

/// Where an append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Queue offset of the first record; the others follow without a gap.
    pub queue_offset: i64,
    /// Log offset of the first record.
    pub physical_offset: i64,
    /// Store time of all of them, in milliseconds since 1970; never less than that of earlier records.
    pub store_timestamp: i64,
    /// The flush took longer than `flush_timeout`: the records are in the log, but not known to be durable
    /// (FLUSH_DISK_TIMEOUT).
    pub flush_timeout: bool,
}

/// Gets the result of one append.
///
/// Called once: from the thread that writes (the store's own, or one that calls
/// [`Store::write_held`](crate::Store::write_held)), or from the one that appends when the append is refused at once.
/// Must not block and must not call the store.
pub trait Completion: Send + 'static {
    /// The append ended so.
    fn complete(self, result: Result<Appended, AppendError>);
}

impl<F: FnOnce(Result<Appended, AppendError>) + Send + 'static> Completion for F {
    fn complete(self, result: Result<Appended, AppendError>) {
        self(result);
    }
}

/// Told what happens in the log, from the thread that writes. Must not block.
pub trait Events: Send + Sync + 'static {
    /// These records can be read now and, with [`Flush::Sync`](crate::Flush::Sync), are durable.
    fn arrived(&self, arrivals: &[Arrival]);

    /// A write failed with this error; the store takes no more of them. Told once.
    fn poisoned(&self, error: &str) {
        let _ = error;
    }
}

impl Events for () {
    fn arrived(&self, _arrivals: &[Arrival]) {}
}

/// A record that has become readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its queue.
    pub queue: QueueId,
    /// The queue's end behind it: its own offset plus one.
    pub next_offset: i64,
    /// Hash of its tags.
    pub tags_code: i64,
    /// Its place in the log, for [`Store::record_at`](crate::Store::record_at).
    pub physical_offset: i64,
}

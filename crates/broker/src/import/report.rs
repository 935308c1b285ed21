use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rocketwire_protocol::message::RecordView;

use super::config::Config;

/// What was taken over.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ImportReport {
    /// Records that were copied.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Queues, sorted by name.
    pub queues: Vec<ImportedQueue>,
    /// Topics.
    pub topics: usize,
    /// Consumer groups.
    pub groups: usize,
    /// Groups' offsets in queues.
    pub offsets: usize,
    /// What was not copied: how many records of which topic, and why.
    pub left_out: BTreeMap<(String, LeftOut), u64>,
    /// Topics that had been deleted and made again: their older records do not count, as in Java.
    pub reborn: BTreeSet<String>,
    /// A broker that was killed, now or earlier, left no whole record at the end of its log: these many bytes further were
    /// some that it had not flushed or had cut off; 0 for none.
    pub torn_bytes: Option<u64>,
    known: BTreeMap<(String, i32), ImportedQueue>,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedQueue {
    /// The topic.
    pub topic: String,
    /// The queue of the topic.
    pub queue_id: i32,
    /// Its oldest offset.
    pub min: i64,
    /// Behind its newest.
    pub max: i64,
    /// Offsets in between of which the source had no record; readers pass over them.
    pub missing: i64,
}

/// Why records were not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LeftOut {
    /// Their topic is not in `topics.json`.
    DeletedTopic,
    /// Timer messages of a broker that does not say which of them it has delivered (`config/timercheck`).
    Timer,
    /// POP consumers' receipts: what was handed out and not acknowledged is delivered again.
    Pop,
    /// A queue of batches (`queue.type=BatchCQ`), in which one record has several offsets.
    BatchQueue,
    /// Its queue or offset is negative.
    Nonsense,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::DeletedTopic => "the topic was deleted",
            Self::Timer => "config/timercheck does not say which of them are delivered",
            Self::Pop => "receipts of POP consumers are not taken over",
            Self::BatchQueue => "batch queues are not supported",
            Self::Nonsense => "their queue is none",
        })
    }
}

impl ImportReport {
    pub(super) fn add(&mut self, record: &RecordView, is_queued: bool, missing: i64) {
        self.records += 1;
        self.bytes += record.raw().len() as u64;
        if is_queued {
            let (topic, queue_id, offset) =
                (record.topic().to_owned(), record.queue_id(), record.queue_offset());
            let queue = self.known.entry((topic.clone(), queue_id)).or_insert(ImportedQueue {
                topic,
                queue_id,
                min: offset,
                max: offset,
                missing: 0,
            });
            queue.max = offset + 1;
            queue.missing += missing;
        }
    }

    pub(super) fn leave_out(&mut self, topic: &str, reason: LeftOut) {
        *self.left_out.entry((topic.to_owned(), reason)).or_default() += 1;
    }

    pub(super) fn reborn(&mut self, topic: &str, is_new: impl Fn(u32) -> bool) {
        self.reborn.insert(topic.to_owned());
        self.known.retain(|(name, queue_id), _| name != topic || is_new(queue_id.cast_unsigned()));
    }

    pub(super) fn empty(&mut self, topic: &str, queue_id: u32, end: i64) {
        let (topic, queue_id) = (topic.to_owned(), queue_id.cast_signed());
        let queue = ImportedQueue { topic: topic.clone(), queue_id, min: end, max: end, missing: 0 };
        self.known.insert((topic, queue_id), queue);
    }

    pub(super) fn ends(&self) -> BTreeMap<(String, i32), i64> {
        self.known.iter().map(|(name, queue)| (name.clone(), queue.max)).collect()
    }

    pub(super) fn take(&mut self, config: &Config) {
        self.topics = config.topics.len();
        self.groups = config.groups.len();
        self.offsets = config.offsets.values().map(BTreeMap::len).sum();
    }

    pub(super) fn finish(mut self) -> Self {
        self.queues = std::mem::take(&mut self.known).into_values().collect();
        self
    }
}

//! Queues: their names, and where their records are in the log.

mod by_queue;
mod file;
mod index;
mod registry;

use std::sync::Arc;

pub(crate) use by_queue::ByQueue;
pub(crate) use file::{IndexFile, Section, SegmentIndex};
pub(crate) use index::{Index, SealedRange, Source};
pub(crate) use registry::Registry;

/// A queue of this store, until its topic is deleted or the store is closed. It never comes to mean another queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId {
    /// Where what is known of it is kept.
    place: u32,
    /// How many queues had that place before.
    life: u32,
}

impl QueueId {
    /// The id of the queue that has this one's place next; none when there were too many.
    fn next_life(self) -> Option<Self> {
        Some(Self { life: self.life.checked_add(1)?, ..self })
    }
}

/// What a queue is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its number in the topic.
    pub queue_id: u32,
}

/// The readable offsets of a queue: `[min, max)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The oldest record that is still there.
    pub min: i64,
    /// One behind the newest.
    pub max: i64,
}

/// Where one record is. `ConsumeQueue`'s 20 bytes plus the way back to the start of its frame, so that a read can
/// check the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its offset in the log.
    pub(crate) physical: u64,
    pub(crate) size: u32,
    /// Bytes between the start of its frame and itself.
    pub(crate) frame_distance: u32,
    pub(crate) tags_code: i64,
}

impl Entry {
    /// `tags_code` of a record that a repair found to be lost. No hash is outside the range of an `i32`.
    pub(crate) const LOST: i64 = i64::MIN;

    /// Whether there is nothing but a note that the record is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.tags_code == Self::LOST
    }

    pub(crate) fn frame_start(&self) -> u64 {
        self.physical - u64::from(self.frame_distance)
    }

    pub(crate) fn end(&self) -> u64 {
        self.physical + u64::from(self.size)
    }
}

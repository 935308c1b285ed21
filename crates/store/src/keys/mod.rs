//! Finding records by their keys (spec broker B.6): what `IndexService` is in Java.
//!
//! Nothing of it is in the way of an append. The keys of a closed segment are in a key file, which the flusher makes
//! of the segment while that is still in the page cache; those of the segment that grows are read when somebody
//! asks, and kept for the next one. A hash leads to a record, and the record itself decides.

mod build;
mod query;
mod recent;
mod table;

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::log::lock;

pub(crate) use build::KeyDraft;
pub use query::{KeyOutcome, KeyQuery};
pub(crate) use recent::Recent;
pub(crate) use table::is_whole;

/// What is known of keys besides the key files.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Of the segment that grows.
    recent: Mutex<Recent>,
    /// Starts of closed segments whose key file is to be made, oldest first.
    due: Mutex<VecDeque<u64>>,
    /// Held while one thread makes key files.
    building: Mutex<()>,
}

/// Where a record that may have the key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    physical: u64,
    /// Bytes between the start of its frame and itself.
    frame_distance: u32,
}

impl Keys {
    /// The key file of this closed segment is to be made, when there is time.
    pub(crate) fn queue(&self, segment: u64) {
        lock(&self.due).push_back(segment);
    }

    /// Those of these segments are all that are to be made.
    pub(crate) fn queue_only(&self, segments: impl Iterator<Item = u64>) {
        *lock(&self.due) = segments.collect();
    }

    /// Whether a key file is to be made.
    pub(crate) fn is_due(&self) -> bool {
        !lock(&self.due).is_empty()
    }

    fn next_due(&self) -> Option<u64> {
        lock(&self.due).pop_front()
    }
}

/// The hash of `topic#key`, as Java's index joins them.
fn hash(topic: &[u8], key: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(topic), b"#"), key)
}

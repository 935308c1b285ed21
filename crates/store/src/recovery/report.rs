use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::origin::RepairedHole;

/// What opening a store found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Segments of the log.
    pub segments: usize,
    /// Bytes of the log.
    pub bytes: u64,
    /// Records that were scanned; those of segments whose index file was good are not.
    pub records: u64,
    /// Queues that are known.
    pub queues: usize,
    /// Index files that were missing or damaged and are written again.
    pub rebuilt_indexes: usize,
    /// What a crash had left half-written at the end of the log.
    pub torn_tail: Option<TornTail>,
    /// Where the log has holes that were repaired: their records are lost. They leave with their segments.
    pub repaired: Vec<RepairedHole>,
    /// How long it took.
    pub took: Duration,
}

/// Bytes at the end of the log that were never acknowledged as durable, and were cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment that was cut.
    pub file: PathBuf,
    /// Log offset where the log ends now.
    pub offset: u64,
    /// Bytes that were cut off, later segments included.
    pub bytes: u64,
    /// Whole frames among them.
    pub frames: u64,
}

impl RecoveryReport {
    /// One line, and one more for a torn end and for holes.
    pub(crate) fn tell(&self, dir: &Path) {
        let Self { segments, bytes, queues, rebuilt_indexes, took, .. } = self;
        tracing::info!(dir = %dir.display(), segments, bytes, queues, rebuilt_indexes, ?took, "the store is open");
        if let Some(TornTail { file, offset, bytes, frames }) = &self.torn_tail {
            let file = file.display();
            tracing::warn!(%file, offset, bytes, frames, "a torn end of the log, left by a crash, was cut off");
        }
        if !self.repaired.is_empty() {
            let (holes, lost) =
                (self.repaired.len(), self.repaired.iter().map(|hole| hole.lost).sum::<u64>());
            tracing::warn!(
                holes,
                lost,
                "the log has holes that were repaired; the records that were in them are lost"
            );
        }
    }
}

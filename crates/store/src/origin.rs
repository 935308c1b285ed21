//! What the log cannot tell of itself: where it begins since old segments were deleted, and which topics were.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::TableError;
use crate::table::Table;

/// Name of the table.
pub(crate) const ORIGIN: &str = "log_origin";

/// Durable before anything that it speaks of happens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Log offset of the oldest segment; those below are being deleted.
    pub(crate) start: u64,
    /// The next offset of each queue when the log ended at `start`; 0 for those that are not here.
    pub(crate) queues: Vec<QueueOrigin>,
    /// Log offset below which records of a topic do not count: it was deleted there.
    pub(crate) deleted: BTreeMap<String, u64>,
    /// Where fillers stand for damaged bytes; a filler anywhere else is damage itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) repaired: Vec<RepairedHole>,
}

/// A range of the log that was damaged and has been repaired: what was in it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairedHole {
    /// Log offset where it begins.
    pub start: u64,
    /// Log offset behind it.
    pub end: u64,
    /// Records that are known to be lost with it.
    pub lost: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueueOrigin {
    pub(crate) topic: String,
    pub(crate) queue_id: u32,
    pub(crate) next: i64,
}

impl Origin {
    /// The log was durable at least up to here.
    pub(crate) fn durable(&self) -> u64 {
        self.deleted.values().copied().fold(self.start, u64::max)
    }

    /// Whether a record at this place was deleted with its topic.
    pub(crate) fn is_deleted(&self, topic: &str, physical: u64) -> bool {
        self.deleted.get(topic).is_some_and(|below| physical < *below)
    }

    /// Whether a repair put fillers into `[start, end)`.
    pub(crate) fn is_repaired(&self, start: u64, end: u64) -> bool {
        self.repaired.iter().any(|hole| hole.start <= start && end <= hole.end)
    }

    /// Whether a deletion lies inside `[start, end)`.
    pub(crate) fn splits(&self, start: u64, end: u64) -> bool {
        self.deleted.values().any(|below| start < *below && *below < end)
    }
}

/// Where a topic was deleted at the earliest of which one queue ends at `end` and begins again at 0 behind it: behind the
/// last record of each queue of that life. `queues` are the log offsets from which to which each queue of it goes.
pub(crate) fn end_of_life(mut end: u64, queues: &[(u64, u64)]) -> u64 {
    while let Some((_, later)) = queues.iter().find(|(begin, of_queue)| *begin < end && end < *of_queue) {
        end = *later;
    }
    end
}

/// The origin and the table that keeps it.
#[derive(Debug)]
pub(crate) struct OriginTable {
    pub(crate) origin: Origin,
    table: Table,
}

impl OriginTable {
    /// Any damage is an error: an older origin would bring deleted records back.
    pub(crate) fn load(table: Table) -> Result<Self, TableError> {
        let origin = match table.load_strict()? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| TableError::Damaged {
                file: ORIGIN.into(),
                reason: "it is not the JSON that a store writes",
            })?,
            None => Origin::default(),
        };
        Ok(Self { origin, table })
    }

    /// Replaces the origin, durably.
    pub(crate) fn save(&mut self, origin: Origin) -> Result<(), TableError> {
        self.table.save(&serde_json::to_vec(&origin).unwrap_or_default())?;
        self.origin = origin;
        Ok(())
    }
}

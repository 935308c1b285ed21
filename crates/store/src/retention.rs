use std::io;

use crate::error::{DeleteError, TableError};
use crate::log::{ClosedSegment, Failure, Log, lock};
use crate::origin::{Origin, OriginTable, QueueOrigin};
use crate::planted::{crash_point, planted};

/// What [`Store::retain`](crate::Store::retain) deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retained {
    /// Segments that were deleted.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Log {
    /// Deletes closed segments that are older than the retention, or more than the log may hold.
    pub(crate) fn retain(&self, now_ms: i64) -> Result<Retained, DeleteError> {
        let age = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        let oldest = now_ms.saturating_sub(age);
        let log_end = self.progress.written();
        let limit = self.options.max_log_bytes.unwrap_or(u64::MAX);
        self.delete_while(|segment| segment.last_timestamp < oldest || log_end - segment.start > limit)
    }

    /// Deletes the oldest closed segment, whatever its age. Whether there was one.
    pub(crate) fn drop_oldest(&self) -> Result<bool, DeleteError> {
        let oldest = self.segments.start();
        let retained = self.delete_while(|segment| segment.start == oldest)?;
        if retained.segments > 0 {
            tracing::warn!(bytes = retained.bytes, "the disk is full: the oldest segment was deleted");
        }
        Ok(retained.segments > 0)
    }

    /// Deletes closed segments from the oldest on.
    fn delete_while(&self, is_due: impl Fn(&ClosedSegment) -> bool) -> Result<Retained, DeleteError> {
        let closed = self.segments.closed();
        // The writer closes segments in the middle of a group, before the index knows what is in them: where their
        // queues end could not be noted yet.
        let published = self.progress.published();
        let due = closed.iter().take_while(|segment| segment.end <= published && is_due(segment)).count();
        let Some(last) = due.checked_sub(1).and_then(|last| closed.get(last)) else {
            return Ok(Retained::default());
        };
        // Entries in memory have no place to move to once their segment is gone, so index files come first.
        self.seal_closed().map_err(|failure| crate::AppendError::Poisoned { error: failure.text })?;
        // What is noted as deleted must not come back longer than the log is.
        self.sync().map_err(|failure| crate::AppendError::Poisoned { error: failure.text })?;
        self.begin_at(last.end)?;
        Ok(self.remove_segments())
    }

    /// Moves the begin of the log, first durably, then in memory.
    fn begin_at(&self, start: u64) -> Result<(), DeleteError> {
        let mut table = lock(&self.origin);
        if start <= table.origin.start {
            return Ok(());
        }
        let mut origin = Origin { start, queues: Vec::new(), ..table.origin.clone() };
        origin.deleted.retain(|_, below| *below > start);
        origin.repaired.retain(|hole| hole.end > start);
        let positions = self.index().next_at(start);
        for (id, next) in positions {
            if let Some(name) = self.queue_name(id).filter(|_| next > 0) {
                origin.queues.push(QueueOrigin {
                    topic: name.topic.to_string(),
                    queue_id: name.queue_id,
                    next,
                });
            }
        }
        if planted("offsets begin again after retention") {
            origin.queues.clear();
        }
        self.save_origin(&mut table, origin)?;
        crash_point("retention.noted");
        self.index_mut().drop_below(start);
        Ok(())
    }

    /// Notes durably that the records of a topic below this place of the log do not count.
    pub(crate) fn note_deletion(
        &self,
        table: &mut OriginTable,
        topic: &str,
        below: u64,
    ) -> Result<(), DeleteError> {
        let mut origin = table.origin.clone();
        origin.deleted.insert(topic.to_owned(), below);
        origin.queues.retain(|queue| queue.topic != topic);
        self.save_origin(table, origin)?;
        crash_point("deletion.noted");
        Ok(())
    }

    /// A failed save leaves unknown which origin the next start finds. Appends that fit the one may not fit the
    /// other, so there must be none.
    pub(crate) fn save_origin(&self, table: &mut OriginTable, origin: Origin) -> Result<(), TableError> {
        table.save(origin).inspect_err(|error| {
            if !matches!(error, TableError::Closed) {
                self.fail(Failure { text: error.to_string().into() });
            }
        })
    }

    /// Removes the files below the begin of the log. One that stays is removed at the next start.
    fn remove_segments(&self) -> Retained {
        let start = lock(&self.origin).origin.start;
        let mut retained = Retained::default();
        for segment in self.segments.forget_below(start) {
            let start = segment.start;
            for path in [self.paths.key_file(start), self.paths.index_file(start), self.paths.segment(start)]
            {
                match self.storage.remove(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(path = %path.display(), %error, "cannot delete an old file");
                    }
                    _ => {}
                }
            }
            crash_point("retention.removed");
            retained.segments += 1;
            retained.bytes += segment.end - segment.start;
        }
        retained
    }
}

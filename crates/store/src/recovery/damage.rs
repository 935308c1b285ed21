//! The rule about damage: a torn end is cut, everything else refuses to start.

use super::{Recovery, TornTail};
use crate::error::OpenError;
use crate::log::scan::Behind;
use crate::planted::{crash_point, planted};

/// A segment that does not end with its last good frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct BadFrame {
    pub(super) segment: u64,
    /// Log offset behind the file.
    pub(super) file_end: u64,
}

impl Recovery<'_> {
    /// The log is good up to `self.end` and not behind it: inside a segment, or because the next segment is not
    /// there. `later` are the segments behind.
    ///
    /// What was flushed cannot be torn. So when anything shows that the log was flushed beyond that place (checkpoint,
    /// origin, or a valid frame behind it that was written when it was), it is damage. Else it is a crash's half-done
    /// write, which nobody was told is durable.
    pub(super) fn damaged(&mut self, bad: Option<BadFrame>, later: &[u64]) -> Result<(), OpenError> {
        let behind = self.look_behind(bad, later)?;
        let durable = self.evidence.max(behind.durable);
        if durable > self.end && !planted("cut at first bad frame") {
            return Err(self.refusal(bad, durable, behind));
        }
        self.cut(bad, later, behind)
    }

    fn look_behind(&self, bad: Option<BadFrame>, later: &[u64]) -> Result<Behind, OpenError> {
        let mut behind = Behind::default();
        let rest = bad.map(|bad| (bad.segment, self.end));
        for (start, from) in rest.into_iter().chain(later.iter().map(|start| (*start, *start))) {
            let path = self.paths.segment(start);
            let file = self.storage.open(&path).map_err(OpenError::io("open", &path))?;
            behind.look(&*file, start, from).map_err(OpenError::io("read", &path))?;
        }
        Ok(behind)
    }

    fn refusal(&self, bad: Option<BadFrame>, durable: u64, behind: Behind) -> OpenError {
        let (segment, what) = match (bad, self.closed.back()) {
            (Some(bad), _) => (bad.segment, "a frame is damaged"),
            (None, Some(last)) if last.end == self.end => {
                (last.start, "the log ends too early or a segment is missing")
            }
            (None, _) => (self.end, "the segment is missing"),
        };
        OpenError::Damaged {
            file: self.paths.segment(segment),
            position: self.end - segment,
            offset: self.end,
            records_behind: behind.records,
            reason: format!("{what}, but the log was flushed up to offset {durable}"),
        }
    }

    /// Cuts the end off: the newest segments first, so that a crash in between leaves a shorter torn end.
    fn cut(&mut self, bad: Option<BadFrame>, later: &[u64], behind: Behind) -> Result<(), OpenError> {
        let mut bytes = bad.map_or(0, |bad| bad.file_end - self.end);
        for start in later.iter().rev().copied() {
            let path = self.paths.segment(start);
            let file = self.storage.open(&path).map_err(OpenError::io("open", &path))?;
            bytes += file.size().map_err(OpenError::io("read", &path))?;
            self.remove(&self.paths.index_file(start))?;
            self.remove(&path)?;
        }
        if let Some(bad) = bad {
            let path = self.paths.segment(bad.segment);
            let file = self.storage.open(&path).map_err(OpenError::io("open", &path))?;
            let more = u64::from(planted("a torn end takes a byte before it"));
            file.set_len(self.end - bad.segment - more).map_err(OpenError::io("cut", &path))?;
            crash_point("recovery.cut");
            // The log may go on in another file, which vouches for all before it.
            file.sync_data().map_err(OpenError::io("flush", &path))?;
        }
        let segment = bad.map_or(self.end, |bad| bad.segment);
        let file = self.paths.segment(segment);
        self.report.torn_tail = Some(TornTail { file, offset: self.end, bytes, frames: behind.frames });
        Ok(())
    }
}

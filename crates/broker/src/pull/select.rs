//! Reads with an SQL92 filter, which has to see each message.

use bytes::{Bytes, BytesMut};
use rocketwire_protocol::{filter::SqlFilter, message::records};
use rocketwire_store::{Completion, QueueId, ReadError, ReadLimits, ReadOutcome, ReadStatus, Store};

use crate::planted::planted;

/// Messages that are read from the store at once.
const STEP: ReadLimits = ReadLimits { max_messages: 64, max_bytes: 256 << 10, max_scan: 64 };
/// Bytes of messages that one pull looks at; a queue of large ones is looked through by several.
const MAX_LOOK: usize = 4 << 20;

/// As [`Store::read`], of messages whose properties satisfy the filter.
pub(super) fn read<C: Completion>(
    store: &Store<C>,
    queue: QueueId,
    offset: i64,
    limits: ReadLimits,
    filter: &SqlFilter,
) -> Result<ReadOutcome, ReadError> {
    let mut selection =
        Selection { limits, filter, runs: Vec::new(), bytes: 0, count: 0, looked: 0, next: offset };
    let mut outcome = store.read(queue, offset, STEP, &mut |_| true)?;
    if outcome.status != ReadStatus::Found {
        return Ok(outcome);
    }
    loop {
        let is_full = selection.take(&outcome);
        let seen = usize::try_from(selection.next - offset).unwrap_or(usize::MAX);
        if is_full || seen >= limits.max_scan || selection.looked >= MAX_LOOK {
            break;
        }
        match store.read(queue, selection.next, STEP, &mut |_| true) {
            Ok(next) if next.status == ReadStatus::Found => outcome = next,
            // The end of the queue; or what the next pull will be told.
            _ => break,
        }
    }
    let status = if selection.count == 0 { ReadStatus::NoMatchedMessage } else { ReadStatus::Found };
    let next_offset = selection.next;
    Ok(ReadOutcome {
        status,
        next_offset,
        count: selection.count,
        records: selection.into_bytes(),
        ..outcome
    })
}

struct Selection<'a> {
    limits: ReadLimits,
    filter: &'a SqlFilter,
    /// Wanted records, those that follow each other in one piece.
    runs: Vec<Bytes>,
    bytes: usize,
    count: usize,
    looked: usize,
    /// The offset behind the last message that was looked at.
    next: i64,
}

impl Selection<'_> {
    /// Takes what is wanted of one read; whether there is no room for more.
    fn take(&mut self, outcome: &ReadOutcome) -> bool {
        let (mut at, mut run) = (0, 0..0);
        for record in records(outcome.records.clone()).flatten() {
            let size = record.raw().len();
            let is_wanted = self.filter.matches(record.properties());
            let is_full = self.count > 0
                && (self.count >= self.limits.max_messages || self.bytes + size > self.limits.max_bytes);
            if is_wanted && is_full {
                self.next =
                    record.queue_offset() + i64::from(planted("an SQL pull steps over what did not fit"));
                self.runs.push(outcome.records.slice(run));
                return true;
            }
            if is_wanted {
                if run.end != at {
                    self.runs.push(outcome.records.slice(run));
                    run = at..at;
                }
                run.end += size;
                self.bytes += size;
                self.count += 1;
            }
            at += size;
            self.looked += size;
        }
        self.runs.push(outcome.records.slice(run));
        self.next = outcome.next_offset;
        false
    }

    fn into_bytes(mut self) -> Bytes {
        self.runs.retain(|run| !run.is_empty());
        if self.runs.len() == 1 {
            return self.runs.pop().unwrap_or_default();
        }
        let mut all = BytesMut::with_capacity(self.bytes);
        self.runs.iter().for_each(|run| all.extend_from_slice(run));
        all.freeze()
    }
}

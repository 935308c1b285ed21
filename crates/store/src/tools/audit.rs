//! Every record of the log in order: where it belongs in its queue, and what is missing in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use rocketwire_protocol::message::record::body_crc;
use serde::{Deserialize, Serialize};

use super::check::IndexState;
use super::evidence::Evidence;
use super::survey::{Step, Survey};
use super::{ToolError, folder::Folder};
use crate::log::scan::Frame;
use crate::origin::Origin;
use crate::queue::{Entry, QueueName};
use crate::record::Record;

/// Records of one queue that are lost, by their queue offsets: `[from, to)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRange {
    /// The topic.
    pub topic: String,
    /// The queue of the topic.
    pub queue_id: u32,
    /// The first that is lost.
    pub from: i64,
    /// Behind the last that is lost.
    pub to: i64,
    /// Whether that is all. Where nothing of the queue follows, more may be lost than is known.
    pub is_certain: bool,
}

/// One queue, as far as it was read.
#[derive(Debug, Clone, Default)]
pub(super) struct QueueState {
    pub(super) min: i64,
    pub(super) next: i64,
    pub(super) records: u64,
    /// Holes that were passed when its last record was read.
    holes: usize,
}

/// A record that is whole and does not fit.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) reason: String,
    /// Whether a start refuses it.
    pub(super) is_fatal: bool,
}

/// What there is to know of a hole.
#[derive(Debug, Default)]
pub(super) struct HoleState {
    evidence: Evidence,
    /// Records that it held and that no queue has claimed yet, at most.
    room: i64,
    pub(super) lost: Vec<LostRange>,
    /// Store time of the last record before it.
    pub(super) timestamp: i64,
    pub(super) records_behind: u64,
}

/// The whole log.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub(super) queues: BTreeMap<QueueName, QueueState>,
    pub(super) holes: Vec<HoleState>,
    pub(super) misfits: Vec<Misfit>,
    pub(super) frames: u64,
    pub(super) records: u64,
    /// Stand-ins for lost records, of earlier repairs.
    pub(super) stand_ins: u64,
    /// What the survey says is so.
    pub(super) is_whole: bool,
    last_timestamp: i64,
}

/// Entries of one queue in one segment.
pub(super) type Entries = BTreeMap<QueueName, (i64, Vec<Entry>)>;

impl Audit {
    /// Reads the log. `sealed` is told of each segment, once it is known as a whole, what is the matter with its index
    /// file.
    pub(super) fn take(
        folder: &Folder<'_>,
        survey: &Survey,
        origin: &Origin,
        mut sealed: impl FnMut(u64, IndexState),
    ) -> Result<Self, ToolError> {
        let mut audit = Self::default();
        for queue in &origin.queues {
            let name = QueueName { topic: Arc::from(&*queue.topic), queue_id: queue.queue_id };
            let state = QueueState { min: queue.next, next: queue.next, ..QueueState::default() };
            audit.queues.insert(name, state);
        }
        let mut segment = None;
        let mut entries = Entries::new();
        let mut seal = |segment, entries| {
            sealed(segment, IndexState::of(folder, survey, segment, entries, origin)?);
            Ok(())
        };
        audit.is_whole = survey.walk(folder, |step| {
            match step {
                Step::Frame(of, frame) => {
                    if let Some(done) = segment.replace(of).filter(|done| *done != of) {
                        seal(done, std::mem::take(&mut entries))?;
                    }
                    audit.frame(of, &frame, origin, &mut entries);
                }
                Step::Hole(number) => audit.hole(folder, survey, number, origin)?,
            }
            Ok(())
        })?;
        if let Some(done) = segment {
            seal(done, entries)?;
        }
        audit.end();
        Ok(audit)
    }

    fn frame(&mut self, segment: u64, frame: &Frame<'_>, origin: &Origin, entries: &mut Entries) {
        self.frames += 1;
        let end = frame.start + frame.header.length as u64;
        if frame.header.is_filler && !origin.is_repaired(frame.start, end) {
            self.misfit(segment, frame.start, "a filler stands where nothing was repaired".into(), true);
        }
        for (record, entry) in frame.records() {
            self.last_timestamp = self.last_timestamp.max(record.store_timestamp());
            if !entry.is_lost() {
                self.records += 1;
                self.holes.iter_mut().for_each(|hole| hole.records_behind += 1);
                if body_crc(record.body()) != record.body_crc() {
                    self.misfit(
                        segment,
                        entry.physical,
                        "the body of a record has another checksum".into(),
                        false,
                    );
                }
            }
            match std::str::from_utf8(record.topic()) {
                Err(_) => self.misfit(segment, entry.physical, "a topic is not UTF-8".into(), true),
                Ok(topic) if record.is_queued() && !origin.is_deleted(topic, entry.physical) => {
                    let name = QueueName { topic: Arc::from(topic), queue_id: record.queue_id() };
                    self.record(segment, name, &record, entry, entries);
                }
                Ok(_) => {}
            }
        }
    }

    fn record(
        &mut self,
        segment: u64,
        name: QueueName,
        record: &Record<'_>,
        entry: Entry,
        entries: &mut Entries,
    ) {
        let found = record.queue_offset();
        let passed = self.holes.len();
        let state = self.queues.entry(name.clone()).or_default();
        let (next, holes) = (state.next, state.holes);
        (state.next, state.holes) = (found.saturating_add(1), passed);
        state.records += u64::from(!entry.is_lost());
        self.stand_ins += u64::from(entry.is_lost());
        if found > next && holes < passed {
            self.assign(&name, next, Some(found), holes);
        } else if found != next {
            let reason =
                format!("queue {}/{} goes on with {found} instead of {next}", name.topic, name.queue_id);
            self.misfit(segment, entry.physical, reason, true);
        }
        let (first, of_queue) = entries.entry(name).or_insert_with(|| (found, Vec::new()));
        if *first + of_queue.len() as i64 != found {
            (*first, *of_queue) = (found, Vec::new());
        }
        of_queue.push(entry);
    }

    fn hole(
        &mut self,
        folder: &Folder<'_>,
        survey: &Survey,
        number: usize,
        origin: &Origin,
    ) -> Result<(), ToolError> {
        let Some(hole) = survey.holes.get(number) else { return Ok(()) };
        let evidence = Evidence::of(folder, survey, hole, origin)?;
        let (timestamp, room) = (self.last_timestamp, evidence.room());
        self.holes.push(HoleState { evidence, room, timestamp, ..HoleState::default() });
        Ok(())
    }

    /// No record follows any more: what was in the holes behind the last of each queue is lost at its end.
    fn end(&mut self) {
        let mut names: Vec<QueueName> = self.queues.keys().cloned().collect();
        // A queue that nothing but the hole has told of comes last: damage in a name looks like that.
        let only_in_holes = self.holes.iter().flat_map(|hole| hole.evidence.queues.keys());
        let mut only_in_holes: Vec<_> =
            only_in_holes.filter(|name| !self.queues.contains_key(name)).cloned().collect();
        only_in_holes.sort_unstable();
        only_in_holes.dedup();
        names.append(&mut only_in_holes);
        let passed = self.holes.len();
        for name in names {
            let state = self.queues.entry(name.clone()).or_default();
            let (next, holes) = (state.next, state.holes);
            state.holes = passed;
            if holes < passed {
                let end = self.assign(&name, next, None, holes);
                if let Some(state) = self.queues.get_mut(&name) {
                    state.next = end;
                }
            }
        }
        self.queues.retain(|_, state| state.next > 0);
    }

    /// Says which hole from `first` on took which records of a queue: from `next` to `end`, if that is known.
    /// Returns behind which offset the last of them was.
    fn assign(&mut self, name: &QueueName, next: i64, end: Option<i64>, first: usize) -> i64 {
        let holes = self.holes.get_mut(first..).unwrap_or_default();
        let mut counts: Vec<i64> = Vec::with_capacity(holes.len());
        let mut at = next;
        for hole in holes.iter() {
            let count = hole.evidence.queues.get(name).map_or(0, |seen| seen.count(at, hole.room));
            counts.push(count);
            at += count;
        }
        if let Some(end) = end {
            fit(&mut counts, end - next, holes);
        }
        let mut from = next;
        for (hole, count) in holes.iter_mut().zip(counts) {
            if count > 0 {
                hole.room -= count;
                let is_certain = end.is_some() || hole.evidence.is_exact();
                let (topic, queue_id) = (name.topic.to_string(), name.queue_id);
                hole.lost.push(LostRange { topic, queue_id, from, to: from + count, is_certain });
                from += count;
            }
        }
        from
    }

    fn misfit(&mut self, segment: u64, offset: u64, reason: String, is_fatal: bool) {
        self.misfits.push(Misfit { segment, offset, reason, is_fatal });
    }
}

/// Makes the counts of the holes add up to what is known to be lost.
fn fit(counts: &mut [i64], lost: i64, holes: &[HoleState]) {
    let sum: i64 = counts.iter().sum();
    let roomiest = (0..counts.len())
        .max_by_key(|at| holes.get(*at).map_or(0, |hole| hole.room) - counts.get(*at).copied().unwrap_or(0));
    if let Some(count) = roomiest.and_then(|at| counts.get_mut(at)).filter(|_| sum < lost) {
        *count += lost - sum;
    }
    let mut surplus = sum - lost;
    for count in counts.iter_mut().rev() {
        let cut = surplus.clamp(0, *count);
        *count -= cut;
        surplus -= cut;
    }
}

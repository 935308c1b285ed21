//! The origin again, when its own table is damaged: as far as the log itself tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::survey::{Step, Survey};
use super::{ToolError, folder::Folder};
use crate::log::scan::Frame;
use crate::origin::{Origin, QueueOrigin, RepairedHole, end_of_life};
use crate::queue::QueueName;

/// A queue from its first record, or from where it began again at 0, on.
#[derive(Debug, Clone, Copy)]
struct Life {
    first: i64,
    /// Log offsets of its first record and behind its last.
    begin: u64,
    end: u64,
    next: i64,
}

#[derive(Debug)]
struct Derived {
    origin: Origin,
    lives: BTreeMap<QueueName, Life>,
}

/// What the origin must have said. `base` is an older generation of it, or none; `survey` begins where the log does.
pub(super) fn derive(
    folder: &Folder<'_>,
    survey: &Survey,
    start: u64,
    base: &Origin,
) -> Result<Origin, ToolError> {
    let mut derived = Derived { origin: base.clone(), lives: BTreeMap::new() };
    survey.walk(folder, |step| {
        if let Step::Frame(_, frame) = step {
            derived.frame(&frame);
        }
        Ok(())
    })?;
    Ok(derived.finish(start))
}

impl Derived {
    fn frame(&mut self, frame: &Frame<'_>) {
        let (start, end) = (frame.start, frame.start + frame.header.length as u64);
        if frame.header.is_filler && !self.origin.is_repaired(start, end) {
            let lost = frame.records().filter(|(record, _)| record.is_queued()).count() as u64;
            match self.origin.repaired.last_mut().filter(|hole| hole.end == start) {
                Some(hole) => (hole.end, hole.lost) = (end, hole.lost + lost),
                None => self.origin.repaired.push(RepairedHole { start, end, lost }),
            }
        }
        for (record, entry) in frame.records().filter(|(record, _)| record.is_queued()) {
            let Ok(topic) = std::str::from_utf8(record.topic()) else { continue };
            if self.origin.is_deleted(topic, entry.physical) {
                continue;
            }
            let name = QueueName { topic: Arc::from(topic), queue_id: record.queue_id() };
            let offset = record.queue_offset();
            if let Some(life) = self.lives.get(&name).copied().filter(|life| offset < life.next) {
                self.restart(topic, life);
            }
            let new = Life { first: offset, begin: entry.physical, end: entry.end(), next: offset };
            let life = self.lives.entry(name).or_insert(new);
            (life.end, life.next) = (entry.end(), offset.saturating_add(1));
        }
    }

    /// A queue that goes back was deleted with its topic, behind the last record of each queue of that life.
    fn restart(&mut self, topic: &str, life: Life) {
        let of_topic = |name: &QueueName| &*name.topic == topic;
        let lives = self.lives.iter().filter(|(name, _)| of_topic(name));
        let queues: Vec<_> = lives.map(|(_, other)| (other.begin, other.end)).collect();
        let below = end_of_life(life.end, &queues);
        self.lives.retain(|name, other| !of_topic(name) || other.begin >= below);
        self.origin.deleted.insert(topic.to_owned(), below);
        self.origin.queues.retain(|queue| queue.topic != topic);
    }

    fn finish(mut self, start: u64) -> Origin {
        if self.origin.start != start {
            // Retention went on after the older generation: the queues begin where they are first seen, and those
            // that are not seen any more where they were.
            for (name, life) in &self.lives {
                self.origin
                    .queues
                    .retain(|queue| !(queue.topic == *name.topic && queue.queue_id == name.queue_id));
                if life.first > 0 {
                    let (topic, queue_id) = (name.topic.to_string(), name.queue_id);
                    self.origin.queues.push(QueueOrigin { topic, queue_id, next: life.first });
                }
            }
            self.origin.start = start;
        }
        self.origin.deleted.retain(|_, below| *below > start);
        self.origin
    }
}

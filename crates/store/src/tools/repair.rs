//! Damage is moved aside, and what stands in its place says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::audit::{Audit, LostRange};
use super::check::IndexState;
use super::filler::{Fillers, MIN_FRAME};
use super::keys::key_files;
use super::quarantine::{Plan, Quarantine};
use super::survey::{Extent, Step, Survey};
use super::{ToolError, derive::derive, dump::first_segment, folder::Folder, folder::Notes};
use crate::log::paths;
use crate::origin::{ORIGIN, Origin, QueueOrigin, RepairedHole};
use crate::storage::{Storage, write_all_at};
use crate::table::Table;

/// What [`repair`] did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RepairReport {
    /// Damage of the log that was moved aside, in order.
    pub damage: Vec<RepairedDamage>,
    /// Tables of which nothing good was left: the store starts without them.
    pub lost_tables: Vec<String>,
    /// The note about the log's begin was damaged and was made again from the log. A topic that was deleted and has no
    /// new messages may be back.
    pub derived_origin: bool,
    /// Everything that was copied to the quarantine folder.
    pub kept: Vec<PathBuf>,
}

/// One damaged stretch of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairedDamage {
    /// The file in which it begins.
    pub file: PathBuf,
    /// The stretch, as offsets of the log.
    pub from: u64,
    /// Behind its last byte.
    pub to: u64,
    /// Records behind it, which are where they were.
    pub records_behind: u64,
    /// What is lost with it, as far as that can be known.
    pub lost: Vec<LostRange>,
}

impl RepairReport {
    /// Whether nothing was damaged.
    pub fn is_untouched(&self) -> bool {
        self.damage.is_empty() && self.kept.is_empty() && !self.derived_origin
    }
}

/// Makes a damaged store start again, at the price of what is damaged.
///
/// Damaged bytes are copied to `<dir>/quarantine` before anything is changed. What follows them keeps its place in the
/// log and its queue offsets; the hole is noted in `log_origin` and filled with frames that say which records are lost,
/// and a read passes over it. A repair that was interrupted is done again.
///
/// # Errors
///
/// When a store has the folder open, when there is none in it, when the disk says no, and for damage of a kind that
/// cannot be moved aside: records that are whole and contradict each other.
pub fn repair(storage: Arc<dyn Storage>, dir: &Path) -> Result<RepairReport, ToolError> {
    let folder = Folder::open(&*storage, dir)?;
    let quarantine = Quarantine::new(&folder);
    let report = RepairReport::default();
    let mut repair = Repair { storage: storage.clone(), folder: &folder, quarantine, report };
    repair.run()?;
    Ok(repair.report)
}

struct Repair<'a> {
    storage: Arc<dyn Storage>,
    folder: &'a Folder<'a>,
    quarantine: Quarantine<'a>,
    report: RepairReport,
}

impl Repair<'_> {
    fn run(&mut self) -> Result<(), ToolError> {
        let notes = self.folder.notes()?;
        let mut origin = self.sound_origin(&notes)?;
        let survey = Survey::take(self.folder, origin.start, notes.durable.max(origin.start))?;
        let mut bad_indexes = Vec::new();
        let mut note = |segment, state: IndexState| {
            bad_indexes.extend(matches!(state, IndexState::Bad(_)).then_some(segment));
        };
        let audit = Audit::take(self.folder, &survey, &origin, &mut note)?;
        for (segment, state) in key_files(self.folder, &survey)? {
            note(segment, state);
        }
        if let Some(misfit) = audit.misfits.iter().find(|misfit| misfit.is_fatal) {
            let file = self.folder.paths.segment(misfit.segment);
            return Err(ToolError::Beyond { file, offset: misfit.offset, reason: misfit.reason.clone() });
        }
        self.tables(&notes)?;
        for segment in bad_indexes {
            self.remove_index(segment)?;
        }
        self.surplus(&survey)?;
        for plan in self.plans(&survey, &audit, &origin)? {
            self.hole(&survey, &mut origin, &plan)?;
        }
        Ok(())
    }

    /// The origin; when its newest generation is damaged, one that is made from the log and saved.
    fn sound_origin(&mut self, notes: &Notes) -> Result<Origin, ToolError> {
        if notes.is_origin_sound {
            return Ok(notes.origin.clone());
        }
        let start = first_segment(self.folder)?.unwrap_or(notes.origin.start);
        let survey = Survey::take(self.folder, start, notes.durable.max(start))?;
        let origin = derive(self.folder, &survey, start, &notes.origin)?;
        let damaged = notes.tables.get(ORIGIN).map(|files| files.damaged.clone()).unwrap_or_default();
        for file in &damaged {
            self.keep(file)?;
        }
        // Each save takes the place of one damaged generation; a good one that cannot be understood counts as well.
        for _ in 0..2 {
            self.save_origin(&origin)?;
        }
        self.report.derived_origin = true;
        Ok(origin)
    }

    /// Tables of which no generation is good go away; their owner begins with none.
    fn tables(&mut self, notes: &Notes) -> Result<(), ToolError> {
        let lost = notes.tables.iter().filter(|(name, files)| files.newest.is_none() && *name != ORIGIN);
        for (name, files) in lost {
            for file in &files.damaged {
                self.keep(file)?;
                self.remove(file)?;
            }
            self.report.lost_tables.push(name.clone());
        }
        self.sync(&self.folder.paths.tables)
    }

    /// Bytes behind the begin of the next segment belong to nothing.
    fn surplus(&mut self, survey: &Survey) -> Result<(), ToolError> {
        for Extent { start, end, file_end } in survey.extents.iter().copied() {
            if file_end > end {
                self.report.kept.push(self.quarantine.keep_range(start, end, file_end)?);
                self.remove_index(start)?;
                let path = self.folder.paths.segment(start);
                let file = self.folder.storage.open(&path).map_err(ToolError::io("open", &path))?;
                file.set_len(end - start).map_err(ToolError::io("cut", &path))?;
                file.sync_data().map_err(ToolError::io("flush", &path))?;
            }
        }
        Ok(())
    }

    /// One plan for each hole: that of an interrupted repair, which knew more, or a new one.
    fn plans(&self, survey: &Survey, audit: &Audit, origin: &Origin) -> Result<Vec<Plan>, ToolError> {
        let is_noted = |plan: &Plan| {
            origin.repaired.iter().any(|noted| (noted.start, noted.end) == (plan.from, plan.to))
        };
        let earlier: Vec<Plan> = self.quarantine.plans()?.into_iter().filter(is_noted).collect();
        let mut plans: Vec<Plan> = Vec::new();
        for (hole, state) in survey.holes.iter().zip(&audit.holes) {
            if let Some(plan) = earlier.iter().find(|plan| plan.from <= hole.from && hole.to <= plan.to) {
                if !plans.contains(plan) {
                    plans.push(plan.clone());
                }
                continue;
            }
            plans.push(Plan {
                from: hole.from,
                // At the end of the log there is room for a whole frame in any case.
                to: if hole.to == survey.end { hole.to.max(hole.from + MIN_FRAME) } else { hole.to },
                timestamp: state.timestamp,
                records_behind: state.records_behind,
                lost: state.lost.clone(),
            });
        }
        Ok(plans)
    }

    fn hole(&mut self, survey: &Survey, origin: &mut Origin, plan: &Plan) -> Result<(), ToolError> {
        let file = self.folder.paths.segment(survey.segment_of(plan.from));
        let stretches = stretches(survey, plan);
        let durable = survey.durable.min(plan.from);
        if !stretches.is_empty() && !fits(&stretches, plan, durable) {
            let reason = "more records are lost than there is room for in the damaged bytes".to_owned();
            return Err(ToolError::Beyond { file, offset: plan.from, reason });
        }
        let kept = self.quarantine.keep_hole(survey, plan)?;
        self.report.kept.extend(kept);
        for segment in self.indexes_within(survey, plan)? {
            self.remove_index(segment)?;
        }
        let lost = plan.lost.iter().map(|range| (range.to - range.from).unsigned_abs()).sum();
        if stretches.is_empty() {
            begin_behind(origin, plan);
            self.save_origin(origin)?;
        } else {
            self.leave_around(survey, origin, plan)?;
            origin.repaired.push(RepairedHole { start: plan.from, end: plan.to, lost });
            self.save_origin(origin)?;
            self.fill(&stretches, plan, durable)?;
        }
        let (from, to, records_behind) = (plan.from, plan.to, plan.records_behind);
        self.report.damage.push(RepairedDamage { file, from, to, records_behind, lost: plan.lost.clone() });
        Ok(())
    }

    /// Of holes that were repaired earlier and into which this one reaches, what lies outside of it stays noted: good
    /// fillers stand there.
    fn leave_around(&self, survey: &Survey, origin: &mut Origin, plan: &Plan) -> Result<(), ToolError> {
        let noted = std::mem::take(&mut origin.repaired);
        for hole in noted {
            if hole.end <= plan.from || hole.start >= plan.to {
                origin.repaired.push(hole);
                continue;
            }
            for (start, end) in [(hole.start, plan.from), (plan.to, hole.end)] {
                if start < end {
                    let lost = self.stand_ins(survey, start, end)?;
                    origin.repaired.push(RepairedHole { start, end, lost });
                }
            }
        }
        Ok(())
    }

    /// How many lost records the fillers between two places of the log stand for.
    fn stand_ins(&self, survey: &Survey, from: u64, to: u64) -> Result<u64, ToolError> {
        let mut count = 0;
        survey.walk(self.folder, |step| {
            if let Step::Frame(_, frame) = step
                && (from..to).contains(&frame.start)
            {
                count += frame.records().filter(|(record, _)| record.is_queued()).count() as u64;
            }
            Ok(())
        })?;
        Ok(count)
    }

    fn fill(&self, stretches: &[Stretch], plan: &Plan, durable: u64) -> Result<(), ToolError> {
        let mut fillers = Fillers::new(&plan.lost, plan.timestamp, durable);
        for stretch in stretches {
            let path = self.folder.paths.segment(stretch.segment);
            let file = self.folder.storage.open(&path).map_err(ToolError::io("open", &path))?;
            let mut at = stretch.from;
            while at < stretch.to {
                let frame = fillers.frame(at, stretch.to);
                write_all_at(&*file, &frame, at - stretch.segment).map_err(ToolError::io("write", &path))?;
                at += frame.len() as u64;
            }
            file.sync_data().map_err(ToolError::io("flush", &path))?;
        }
        Ok(())
    }

    /// Segments whose index file speaks of places in the hole: it would lead to bytes that are no longer there.
    fn indexes_within(&self, survey: &Survey, plan: &Plan) -> Result<Vec<u64>, ToolError> {
        let names = self.folder.names(&self.folder.paths.index)?;
        let mut starts: Vec<u64> = names.iter().filter_map(|name| paths::index_start(name)).collect();
        starts.dedup();
        let begin = survey.segment_of(plan.from);
        starts.retain(|start| *start == begin || (plan.from..plan.to).contains(start));
        Ok(starts)
    }

    fn remove_index(&mut self, segment: u64) -> Result<(), ToolError> {
        let names = self.folder.names(&self.folder.paths.index)?;
        for path in [self.folder.paths.index_file(segment), self.folder.paths.key_file(segment)] {
            let is_there =
                path.file_name().is_some_and(|name| names.iter().any(|known| name == known.as_str()));
            if is_there {
                self.keep(&path)?;
                self.remove(&path)?;
            }
        }
        self.sync(&self.folder.paths.index)
    }

    fn keep(&mut self, path: &Path) -> Result<(), ToolError> {
        self.report.kept.push(self.quarantine.keep_file(path)?);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), ToolError> {
        self.folder.storage.remove(path).map_err(ToolError::io("remove", path))
    }

    fn sync(&self, dir: &Path) -> Result<(), ToolError> {
        self.folder.storage.sync_dir(dir).map_err(ToolError::io("flush", dir))
    }

    fn save_origin(&self, origin: &Origin) -> Result<(), ToolError> {
        let bytes = serde_json::to_vec(origin).unwrap_or_default();
        let table = Table::new(self.storage.clone(), &self.folder.paths.tables, ORIGIN);
        table.and_then(|table| table.save(&bytes)).map_err(|error| {
            let path = self.folder.paths.tables.join(ORIGIN);
            ToolError::Io { action: "save", path, source: std::io::Error::other(error.to_string()) }
        })
    }
}

/// A part of a hole in one file.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    segment: u64,
    from: u64,
    to: u64,
}

/// The files that take the fillers of a hole: each up to where the next one begins. None when the hole is before the
/// first file: then the log begins behind it.
fn stretches(survey: &Survey, plan: &Plan) -> Vec<Stretch> {
    let starts: Vec<u64> = survey.extents.iter().map(|extent| extent.start).collect();
    let ends = starts.iter().skip(1).copied().chain([u64::MAX]);
    let all = starts.iter().copied().zip(ends).map(|(segment, end)| Stretch {
        segment,
        from: plan.from.max(segment),
        to: plan.to.min(end),
    });
    all.filter(|stretch| stretch.from < stretch.to).collect()
}

/// Whether every lost record gets its stand-in.
fn fits(stretches: &[Stretch], plan: &Plan, durable: u64) -> bool {
    let mut fillers = Fillers::new(&plan.lost, plan.timestamp, durable);
    for stretch in stretches {
        let mut at = stretch.from;
        while at < stretch.to {
            if stretch.to - at < MIN_FRAME {
                return false;
            }
            at += fillers.frame(at, stretch.to).len() as u64;
        }
    }
    fillers.is_done()
}

/// The log begins behind the hole: its queues go on behind what was lost.
fn begin_behind(origin: &mut Origin, plan: &Plan) {
    for range in &plan.lost {
        origin.queues.retain(|queue| !(queue.topic == range.topic && queue.queue_id == range.queue_id));
        let (topic, queue_id) = (range.topic.clone(), range.queue_id);
        origin.queues.push(QueueOrigin { topic, queue_id, next: range.to });
    }
    origin.start = plan.to;
    origin.deleted.retain(|_, below| *below > plan.to);
    origin.repaired.retain(|hole| hole.end > plan.to);
}

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use super::audit::{Audit, Entries, LostRange, Misfit};
use super::keys::key_files;
use super::survey::{Extent, Survey};
use super::{ToolError, derive::derive, dump::first_segment, folder::Folder};
use crate::origin::{ORIGIN, Origin, RepairedHole};
use crate::queue::{IndexFile, QueueName, SegmentIndex};
use crate::storage::Storage;

/// What [`check`] found. Sound is what has no `findings`.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Segments of the log.
    pub segments: usize,
    /// Bytes of the log, from its oldest segment to its end.
    pub bytes: u64,
    /// Frames whose checksum fits.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Queues, sorted by name.
    pub queues: Vec<QueueReport>,
    /// Tables.
    pub tables: usize,
    /// Index files that agree with the log.
    pub index_files: usize,
    /// Key files that agree with the log.
    pub key_files: usize,
    /// Holes that were repaired earlier.
    pub repaired: Vec<RepairedHole>,
    /// Damage: bytes that are not what the store wrote.
    pub findings: Vec<Finding>,
    /// What is not damage and still worth a line: a torn end, index files that the next start writes.
    pub remarks: Vec<String>,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueReport {
    /// The queue.
    pub name: QueueName,
    /// Its oldest offset.
    pub min: i64,
    /// Behind its newest.
    pub max: i64,
    /// Records that can be read.
    pub records: u64,
}

/// Damage in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// In what.
    pub kind: FindingKind,
    /// In which file; for a missing segment the one before it.
    pub file: PathBuf,
    /// At which byte of the file it begins.
    pub position: u64,
    /// The same as an offset of the log; `None` outside of it.
    pub offset: Option<u64>,
    /// Bytes that are damaged or missing.
    pub bytes: u64,
    /// Records in the log behind it.
    pub records_behind: u64,
    /// Records that are lost with it, as far as that is known.
    pub lost: Vec<LostRange>,
    /// What is wrong.
    pub reason: String,
}

/// Where damage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindingKind {
    /// In the log: a start or a read refuses it.
    Log,
    /// In a record whose frame is good.
    Record,
    /// In an index file or a key file: it is rebuilt.
    Index,
    /// In a table or the checkpoint.
    Table,
}

/// Verifies a store that is not open: every frame and record, queue offsets, index and key files, tables, checkpoint. Changes
/// nothing; takes the store's lock if there is a lock file.
///
/// # Errors
///
/// When a store has the folder open, when there is none in it, and when the disk says no. Damage is no error.
pub fn check(storage: &dyn Storage, dir: &Path) -> Result<CheckReport, ToolError> {
    let folder = Folder::open(storage, dir)?;
    let mut check = Check { folder: &folder, report: CheckReport::default() };
    check.run()?;
    Ok(check.report)
}

/// The log and what is made of it, read once.
struct Looked {
    survey: Survey,
    origin: Origin,
    audit: Audit,
    indexes: Vec<(u64, IndexState)>,
    keys: Vec<(u64, IndexState)>,
}

impl Looked {
    /// Key files take as long as all the rest: they are compared meanwhile, on a thread of their own.
    fn at(folder: &Folder<'_>, survey: Survey, origin: Origin) -> Result<Self, ToolError> {
        let mut indexes = Vec::new();
        let (audit, keys) = thread::scope(|scope| {
            let keys = scope.spawn(|| key_files(folder, &survey));
            let audit =
                Audit::take(folder, &survey, &origin, |segment, state| indexes.push((segment, state)));
            (audit, keys.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        Ok(Self { audit: audit?, keys: keys?, survey, origin, indexes })
    }
}

struct Check<'a> {
    folder: &'a Folder<'a>,
    report: CheckReport,
}

impl Check<'_> {
    fn run(&mut self) -> Result<(), ToolError> {
        let notes = self.folder.notes()?;
        let first = first_segment(self.folder)?;
        let start =
            if notes.is_origin_sound { notes.origin.start } else { first.unwrap_or(notes.origin.start) };
        // Nearly always there is no damage, and one look is enough.
        let durable = notes.durable.max(start);
        let assumed = match notes.is_origin_sound {
            true => Survey::assume(self.folder, start, durable)?,
            false => None,
        };
        let looked =
            assumed.map(|survey| Looked::at(self.folder, survey, notes.origin.clone())).transpose()?;
        let looked = match looked.filter(|looked| looked.audit.is_whole) {
            Some(looked) => looked,
            None => {
                let survey = Survey::take(self.folder, start, durable)?;
                let origin = match notes.is_origin_sound {
                    true => notes.origin.clone(),
                    false => derive(self.folder, &survey, start, &notes.origin)?,
                };
                Looked::at(self.folder, survey, origin)?
            }
        };
        let Looked { survey, origin, audit, indexes, keys } = looked;
        for (name, files) in &notes.tables {
            for file in &files.damaged {
                let heals = files.newest.is_some() && name != ORIGIN;
                let reason = match heals {
                    true => "its checksum does not fit; the other generation counts",
                    false => "its checksum does not fit, and there is no other good generation to go on with",
                };
                self.outside(FindingKind::Table, file.clone(), reason);
            }
        }
        if notes.is_checkpoint_damaged {
            self.outside(FindingKind::Table, self.folder.paths.checkpoint(), "none of its two slots is good");
        }
        self.log(&survey, &audit);
        self.indexes(&survey, indexes);
        self.keys(keys);
        self.totals(&survey, &audit, &origin, notes.tables.len());
        Ok(())
    }

    fn log(&mut self, survey: &Survey, audit: &Audit) {
        for (hole, state) in survey.holes.iter().zip(&audit.holes) {
            let of = survey.extents.iter().find(|extent| extent.start == hole.segment);
            let is_missing = of.is_none_or(|extent| hole.from >= extent.file_end);
            let what = if is_missing { "bytes of the log are missing" } else { "a frame is damaged" };
            self.report.findings.push(Finding {
                kind: FindingKind::Log,
                file: self.folder.paths.segment(hole.segment),
                position: hole.from.saturating_sub(hole.segment),
                offset: Some(hole.from),
                bytes: hole.to - hole.from,
                records_behind: state.records_behind,
                lost: state.lost.clone(),
                reason: format!("{what}, but the log was flushed up to offset {}", survey.durable),
            });
        }
        for Extent { start, end, file_end } in
            survey.extents.iter().filter(|extent| extent.file_end > extent.end)
        {
            self.report.findings.push(Finding {
                kind: FindingKind::Log,
                file: self.folder.paths.segment(*start),
                position: end - start,
                offset: Some(*end),
                bytes: file_end - end,
                records_behind: 0,
                lost: Vec::new(),
                reason: "the segment goes on behind the begin of the next one".to_owned(),
            });
        }
        for Misfit { segment, offset, reason, is_fatal } in &audit.misfits {
            self.report.findings.push(Finding {
                kind: if *is_fatal { FindingKind::Log } else { FindingKind::Record },
                file: self.folder.paths.segment(*segment),
                position: offset.saturating_sub(*segment),
                offset: Some(*offset),
                bytes: 0,
                records_behind: 0,
                lost: Vec::new(),
                reason: reason.clone(),
            });
        }
    }

    fn indexes(&mut self, survey: &Survey, indexes: Vec<(u64, IndexState)>) {
        let last = survey.extents.last().map(|extent| extent.start);
        for (segment, state) in indexes {
            let path = self.folder.paths.index_file(segment);
            match state {
                IndexState::Good => self.report.index_files += 1,
                IndexState::Missing if Some(segment) == last => {}
                IndexState::Missing => {
                    let text = format!("{} is missing; the next start writes it", path.display());
                    self.report.remarks.push(text);
                }
                IndexState::Stale => {
                    let text =
                        format!("{} is not of use any more; the next start writes it again", path.display());
                    self.report.remarks.push(text);
                }
                IndexState::Bad(reason) => self.outside(FindingKind::Index, path, reason),
            }
        }
    }

    /// A key file that is missing is made when somebody wants it.
    fn keys(&mut self, keys: Vec<(u64, IndexState)>) {
        for (segment, state) in keys {
            match state {
                IndexState::Good => self.report.key_files += 1,
                IndexState::Missing => {}
                IndexState::Stale => {
                    let path = self.folder.paths.key_file(segment);
                    let text = format!("{} is not whole; the next query makes it again", path.display());
                    self.report.remarks.push(text);
                }
                IndexState::Bad(reason) => {
                    self.outside(FindingKind::Index, self.folder.paths.key_file(segment), reason);
                }
            }
        }
    }

    fn totals(&mut self, survey: &Survey, audit: &Audit, origin: &Origin, tables: usize) {
        let report = &mut self.report;
        report.segments = survey.extents.len();
        report.bytes = survey.end.saturating_sub(origin.start);
        (report.frames, report.records, report.tables) = (audit.frames, audit.records, tables);
        report.repaired.clone_from(&origin.repaired);
        let queues = audit.queues.iter().map(|(name, state)| {
            let (min, max, records) = (state.min, state.next, state.records);
            QueueReport { name: name.clone(), min, max, records }
        });
        report.queues = queues.collect();
        if let Some(torn) = &survey.torn {
            report.remarks.push(format!(
                "the log has a torn end of {} bytes at offset {}, which nobody was told is durable; the next start cuts it off",
                survey.extents.last().map_or(0, |last| last.file_end.saturating_sub(torn.from)),
                torn.from
            ));
        }
        if survey.left_over > 0 {
            report
                .remarks
                .push(format!("{} old segments are left; the next start deletes them", survey.left_over));
        }
    }

    fn outside(&mut self, kind: FindingKind, file: PathBuf, reason: &str) {
        let (position, offset, bytes, records_behind) = (0, None, 0, 0);
        let (lost, reason) = (Vec::new(), reason.to_owned());
        self.report.findings.push(Finding {
            kind,
            file,
            position,
            offset,
            bytes,
            records_behind,
            lost,
            reason,
        });
    }
}

/// An index file beside its segment.
pub(super) enum IndexState {
    Good,
    Missing,
    /// Whole, of a segment that has changed since in a known way.
    Stale,
    Bad(&'static str),
}

impl IndexState {
    /// Compares the file with what the segment holds.
    pub(super) fn of(
        folder: &Folder<'_>,
        survey: &Survey,
        segment: u64,
        entries: Entries,
        origin: &Origin,
    ) -> Result<Self, ToolError> {
        let path = folder.paths.index_file(segment);
        let file = match folder.storage.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::Missing),
            Err(error) => return Err(ToolError::io("open", &path)(error)),
        };
        let Ok(index) = SegmentIndex::load(folder.storage, &path) else {
            return Ok(Self::Bad("its checksum does not fit; the next start writes it again"));
        };
        let extent = survey.extents.iter().find(|extent| extent.start == segment);
        let end = extent.map_or(segment, |extent| extent.end);
        let is_last = survey.extents.last().is_some_and(|last| last.start == segment);
        let is_stale = is_last || survey.is_torn_below(end);
        if is_stale || index.start != segment || index.end != end || origin.splits(segment, end) {
            // A start does not trust it either.
            return Ok(Self::Stale);
        }
        if survey.holes.iter().any(|hole| hole.from < end && hole.to > segment) {
            return Ok(Self::Good);
        }
        Ok(compare(&index, &IndexFile { file }, entries, origin))
    }
}

fn compare(index: &SegmentIndex, file: &IndexFile, mut entries: Entries, origin: &Origin) -> IndexState {
    for section in &index.sections {
        if origin.is_deleted(&section.name.topic, section.first_physical) {
            continue;
        }
        let range = section.range(index.start);
        let Ok(found) = file.entries(&range, section.first, section.count as usize) else {
            return IndexState::Bad("a block of it is damaged; it is rebuilt by the read that meets it");
        };
        match entries.remove(&section.name) {
            Some((first, of_queue)) if first == section.first && of_queue == found => {}
            _ => return IndexState::Bad("it does not say what its segment holds"),
        }
    }
    match entries.is_empty() {
        true => IndexState::Good,
        false => IndexState::Bad("it lacks a queue that its segment holds"),
    }
}

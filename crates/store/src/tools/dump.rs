use std::path::Path;

use super::survey::{Step, Survey};
use super::{ToolError, derive::derive, folder::Folder};
use crate::log::paths;
use crate::storage::Storage;

/// A record on its way out.
#[derive(Debug, Clone, Copy)]
pub struct DumpedRecord<'a> {
    /// The stored record.
    pub bytes: &'a [u8],
    /// It only stands for one that a repair found to be lost.
    pub is_lost: bool,
    /// Its topic was deleted since.
    pub is_deleted: bool,
}

/// Hands every record of a store that is not open to `visit`, in the order of the log, until that says false. Damage
/// is passed over; the number of damaged places is returned. Changes nothing.
///
/// # Errors
///
/// When a store has the folder open, when there is none in it, and when the disk says no.
pub fn dump(
    storage: &dyn Storage,
    dir: &Path,
    mut visit: impl FnMut(DumpedRecord<'_>) -> bool,
) -> Result<usize, ToolError> {
    let folder = Folder::open(storage, dir)?;
    let notes = folder.notes()?;
    let first = first_segment(&folder)?;
    let start = if notes.is_origin_sound { notes.origin.start } else { first.unwrap_or(notes.origin.start) };
    let survey = Survey::take(&folder, start, notes.durable.max(start))?;
    let origin = match notes.is_origin_sound {
        true => notes.origin,
        false => derive(&folder, &survey, start, &notes.origin)?,
    };
    let walked = survey.walk(&folder, |step| {
        let Step::Frame(_, frame) = step else { return Ok(()) };
        let is_filler = frame.header.is_filler;
        for (record, entry) in frame.records().filter(|(record, _)| !is_filler || record.is_queued()) {
            let topic = std::str::from_utf8(record.topic()).unwrap_or_default();
            let is_deleted = origin.is_deleted(topic, entry.physical);
            let dumped = DumpedRecord { bytes: record.bytes(), is_lost: entry.is_lost(), is_deleted };
            if !visit(dumped) {
                return Err(ToolError::Stopped);
            }
        }
        Ok(())
    });
    match walked {
        Ok(_) | Err(ToolError::Stopped) => Ok(survey.holes.len()),
        Err(error) => Err(error),
    }
}

/// Where the oldest segment begins that is there.
pub(super) fn first_segment(folder: &Folder<'_>) -> Result<Option<u64>, ToolError> {
    Ok(folder.names(&folder.paths.log)?.iter().find_map(|name| paths::segment_start(name)))
}

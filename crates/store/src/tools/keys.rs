//! Key files beside their segments.

use std::io;

use super::ToolError;
use super::check::IndexState;
use super::folder::Folder;
use super::survey::{Extent, Survey};
use crate::keys::{KeyDraft, is_whole};
use crate::log::scan::FrameReader;
use crate::storage::{StorageFile, read_range};

/// Makes the key file of each segment once more and compares the one that is there.
pub(super) fn key_files(folder: &Folder<'_>, survey: &Survey) -> Result<Vec<(u64, IndexState)>, ToolError> {
    // Of the last segment there is none; the next start removes one.
    let closed = survey.extents.split_last().map_or(&[][..], |(_, closed)| closed);
    closed.iter().map(|extent| Ok((extent.start, state(folder, survey, extent)?))).collect()
}

fn state(folder: &Folder<'_>, survey: &Survey, extent: &Extent) -> Result<IndexState, ToolError> {
    let Extent { start, end, .. } = *extent;
    let path = folder.paths.key_file(start);
    let file = match folder.storage.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(IndexState::Missing),
        Err(error) => return Err(ToolError::io("open", &path)(error)),
    };
    if survey.holes.iter().any(|hole| hole.from < end && hole.to > start) {
        // It may know more than what is left of its segment.
        return Ok(IndexState::Good);
    }
    if survey.is_torn_below(end) {
        return Ok(IndexState::Stale);
    }
    let segment = folder.paths.segment(start);
    let log = folder.storage.open(&segment).map_err(ToolError::io("open", &segment))?;
    let is_equal = is_what_the_segment_says(&*file, &*log, extent).map_err(ToolError::io("read", &path))?;
    Ok(match is_equal {
        true => IndexState::Good,
        false if is_whole(&*file, start, end) => IndexState::Bad(
            "it does not name the keys that its segment holds; remove it, and it is made again",
        ),
        // None is ever flushed: a crash may have left it so.
        false => IndexState::Stale,
    })
}

fn is_what_the_segment_says(
    file: &dyn StorageFile,
    log: &dyn StorageFile,
    extent: &Extent,
) -> io::Result<bool> {
    let (mut at, mut is_equal) = (0, true);
    let mut compare = |expected: &[u8]| {
        is_equal &= read_range(file, at, expected.len())? == expected;
        at += expected.len() as u64;
        Ok(())
    };
    let mut draft = KeyDraft::new(extent.start);
    let mut reader = FrameReader::between(log, extent.start, extent.start, extent.end);
    while let Some(frame) = reader.next()? {
        draft.add_frame(&frame, &mut compare)?;
    }
    draft.finish(extent.end, &mut compare)?;
    Ok(is_equal && at == file.size()?)
}

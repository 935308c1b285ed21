//! Key files beside their segments.

use std::io;
use std::sync::Arc;

use super::ToolError;
use super::check::IndexState;
use super::folder::Folder;
use super::survey::Survey;
use crate::keys::{KeyDraft, is_whole};
use crate::log::scan::Frame;
use crate::storage::{StorageFile, read_range};

/// Makes the key file of a segment once more, frame by frame, and compares the one that is there.
pub(super) struct KeyCheck {
    segment: u64,
    file: Option<Arc<dyn StorageFile>>,
    /// Bytes of the file that were compared.
    at: u64,
    is_equal: bool,
    draft: KeyDraft,
}

impl KeyCheck {
    /// Of the segment that begins there; without a file there is nothing to compare.
    pub(super) fn new(folder: &Folder<'_>, segment: u64) -> Result<Self, ToolError> {
        let path = folder.paths.key_file(segment);
        let file = match folder.storage.open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(ToolError::io("open", &path)(error)),
        };
        Ok(Self { segment, file, at: 0, is_equal: true, draft: KeyDraft::new(segment) })
    }

    pub(super) fn segment(&self) -> u64 {
        self.segment
    }

    pub(super) fn frame(&mut self, folder: &Folder<'_>, frame: &Frame<'_>) -> Result<(), ToolError> {
        self.compare(folder, |draft, sink| draft.add_frame(frame, sink))
    }

    /// The segment is over.
    pub(super) fn finish(mut self, folder: &Folder<'_>, survey: &Survey) -> Result<IndexState, ToolError> {
        let Some(file) = self.file.clone() else { return Ok(IndexState::Missing) };
        let end = survey.extents.iter().find(|extent| extent.start == self.segment);
        let end = end.map_or(self.segment, |extent| extent.end);
        if survey.extents.last().is_some_and(|last| last.start == self.segment) {
            // The next start removes it.
            return Ok(IndexState::Missing);
        }
        if survey.holes.iter().any(|hole| hole.from < end && hole.to > self.segment) {
            // It may know more than what is left of its segment.
            return Ok(IndexState::Good);
        }
        self.compare(folder, |draft, sink| draft.finish(end, sink))?;
        let path = folder.paths.key_file(self.segment);
        let size = file.size().map_err(ToolError::io("read", &path))?;
        Ok(match self.is_equal && size == self.at {
            true => IndexState::Good,
            false if is_whole(&*file, self.segment, end) => IndexState::Bad(
                "it does not name the keys that its segment holds; remove it, and it is made again",
            ),
            // None is ever flushed: a crash may have left it so.
            false => IndexState::Stale,
        })
    }

    fn compare(
        &mut self,
        folder: &Folder<'_>,
        next: impl FnOnce(&mut KeyDraft, &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
    ) -> Result<(), ToolError> {
        let Some(file) = self.file.as_deref().filter(|_| self.is_equal) else { return Ok(()) };
        let (at, is_equal) = (&mut self.at, &mut self.is_equal);
        let compared = next(&mut self.draft, &mut |expected| {
            *is_equal &= read_range(file, *at, expected.len())? == expected;
            *at += expected.len() as u64;
            Ok(())
        });
        compared.map_err(|error| ToolError::io("read", &folder.paths.key_file(self.segment))(error))
    }
}

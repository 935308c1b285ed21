//! The folder where damaged bytes go: nothing of them is ever deleted.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::survey::{Hole, Survey};
use super::{LostRange, ToolError, folder::Folder};
use crate::storage::{StorageFile, read_range, write_all_at};

/// Bytes that are copied at once.
const CHUNK: u64 = 1 << 20;

/// What a repair decided about a hole, written down before anything is changed: a repair that was interrupted goes on
/// with it, because the bytes that told what was lost may be gone by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Store time of the stand-ins.
    pub(super) timestamp: i64,
    pub(super) records_behind: u64,
    pub(super) lost: Vec<LostRange>,
}

/// `<data>/quarantine`.
pub(super) struct Quarantine<'a> {
    folder: &'a Folder<'a>,
    pub(super) dir: PathBuf,
}

impl<'a> Quarantine<'a> {
    pub(super) fn new(folder: &'a Folder<'a>) -> Self {
        Self { folder, dir: folder.paths.root.join("quarantine") }
    }

    /// The plans of earlier repairs. One that cannot be read is made again.
    pub(super) fn plans(&self) -> Result<Vec<Plan>, ToolError> {
        let mut plans = Vec::new();
        for name in self.folder.names(&self.dir)?.iter().filter(|name| name.ends_with(".json")) {
            let bytes = self.folder.contents(&self.dir.join(name))?;
            plans.extend(serde_json::from_slice::<Plan>(&bytes).ok());
        }
        Ok(plans)
    }

    /// Keeps the bytes of a hole as they are, then the plan for it. The files that hold them.
    pub(super) fn keep_hole(&self, survey: &Survey, plan: &Plan) -> Result<Vec<PathBuf>, ToolError> {
        let mut kept = Vec::new();
        let hole = Hole { segment: 0, from: plan.from, to: plan.to };
        for extent in
            survey.extents.iter().filter(|extent| extent.file_end > hole.from && extent.start < hole.to)
        {
            let (from, to) = (hole.from.max(extent.start), hole.to.min(extent.file_end));
            if from < to {
                kept.push(self.keep_range(extent.start, from, to)?);
            }
        }
        let plan_bytes = serde_json::to_vec_pretty(plan).unwrap_or_default();
        self.write(&format!("log-{:020}-{:020}.json", plan.from, plan.to), &plan_bytes)?;
        Ok(kept)
    }

    /// Keeps bytes `[from, to)` of the log that are in this segment.
    pub(super) fn keep_range(&self, segment: u64, from: u64, to: u64) -> Result<PathBuf, ToolError> {
        let path = self.folder.paths.segment(segment);
        let source = self.folder.storage.open(&path).map_err(ToolError::io("open", &path))?;
        let (name, beside) = self.begin(&format!("log-{from:020}-{to:020}.bytes"))?;
        let target = self.folder.storage.create(&beside).map_err(ToolError::io("create", &beside))?;
        copy(&*source, from - segment, &*target, to - from).map_err(ToolError::io("copy to", &beside))?;
        self.finish(&name, &beside, &*target)
    }

    /// Keeps a whole file under its own name, or one like it that is free.
    pub(super) fn keep_file(&self, path: &Path) -> Result<PathBuf, ToolError> {
        let bytes = self.folder.contents(path)?;
        let taken = self.folder.names(&self.dir)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file").to_owned();
        let numbered = (1..).map(|number| format!("{name}.{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name));
        self.write(&free.unwrap_or(name), &bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, ToolError> {
        let (name, beside) = self.begin(name)?;
        let file = self.folder.storage.create(&beside).map_err(ToolError::io("create", &beside))?;
        write_all_at(&*file, bytes, 0).map_err(ToolError::io("write", &beside))?;
        self.finish(&name, &beside, &*file)
    }

    fn begin(&self, name: &str) -> Result<(PathBuf, PathBuf), ToolError> {
        let storage = self.folder.storage;
        storage.create_dir(&self.dir).map_err(ToolError::io("create", &self.dir))?;
        let root = &self.folder.paths.root;
        storage.sync_dir(root).map_err(ToolError::io("flush", root))?;
        Ok((self.dir.join(name), self.dir.join(format!("{name}.tmp"))))
    }

    fn finish(&self, name: &Path, beside: &Path, file: &dyn StorageFile) -> Result<PathBuf, ToolError> {
        file.sync_data().map_err(ToolError::io("flush", beside))?;
        let storage = self.folder.storage;
        storage.rename(beside, name).map_err(ToolError::io("rename", beside))?;
        storage.sync_dir(&self.dir).map_err(ToolError::io("flush", &self.dir))?;
        Ok(name.to_owned())
    }
}

fn copy(source: &dyn StorageFile, from: u64, target: &dyn StorageFile, size: u64) -> std::io::Result<()> {
    let mut done = 0;
    while done < size {
        let chunk = read_range(source, from + done, CHUNK.min(size - done) as usize)?;
        if chunk.is_empty() {
            break;
        }
        write_all_at(target, &chunk, done)?;
        done += chunk.len() as u64;
    }
    Ok(())
}

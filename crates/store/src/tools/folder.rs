//! The folder of a store, held but not open.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::ToolError;
use crate::log::{Checkpoint, Paths};
use crate::origin::{ORIGIN, Origin};
use crate::storage::{Storage, StorageLock, read_range};
use crate::table;

/// A store's folder while a tool has it.
pub(super) struct Folder<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) paths: Paths,
    _lock: Box<dyn StorageLock>,
}

/// The files of one table.
#[derive(Debug, Default)]
pub(super) struct TableFiles {
    /// The newest good generation and what it holds.
    pub(super) newest: Option<(u64, Vec<u8>)>,
    pub(super) damaged: Vec<PathBuf>,
}

/// What the folder says about its log, apart from the log.
pub(super) struct Notes {
    pub(super) origin: Origin,
    /// Whether the origin is the newest that there was.
    pub(super) is_origin_sound: bool,
    /// How far the log was flushed, as checkpoint and origin know it.
    pub(super) durable: u64,
    /// The checkpoint is there and none of its slots is good.
    pub(super) is_checkpoint_damaged: bool,
    pub(super) tables: BTreeMap<String, TableFiles>,
}

impl<'a> Folder<'a> {
    /// Takes the lock of the folder.
    pub(super) fn open(storage: &'a dyn Storage, dir: &Path) -> Result<Self, ToolError> {
        let paths = Paths::new(dir);
        let names = |dir: &Path| storage.list(dir).unwrap_or_default();
        match storage.list(&paths.log) {
            Ok(found) if found.is_empty() && names(&paths.tables).is_empty() => {
                return Err(ToolError::NoStore { dir: dir.to_owned() });
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(ToolError::NoStore { dir: dir.to_owned() });
            }
            Err(error) => return Err(ToolError::io("list", &paths.log)(error)),
        }
        let lock = storage.lock(&paths.lock()).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => ToolError::Locked { dir: paths.root.clone() },
            _ => ToolError::io("lock", &paths.lock())(source),
        })?;
        Ok(Self { storage, paths, _lock: lock })
    }

    /// Reads tables, origin and checkpoint.
    pub(super) fn notes(&self) -> Result<Notes, ToolError> {
        let tables = self.tables()?;
        let origin_files = tables.get(ORIGIN);
        let parsed = origin_files
            .and_then(|files| files.newest.as_ref())
            .map(|(_, bytes)| serde_json::from_slice(bytes));
        let is_unreadable = matches!(parsed, Some(Err(_)));
        let origin: Option<Origin> = parsed.and_then(Result::ok);
        let is_origin_sound = !is_unreadable && origin_files.is_none_or(|files| files.damaged.is_empty());
        let origin = origin.unwrap_or_default();
        let (checkpoint, is_checkpoint_damaged) = self.checkpoint()?;
        let durable = checkpoint.max(origin.durable());
        Ok(Notes { origin, is_origin_sound, durable, is_checkpoint_damaged, tables })
    }

    fn checkpoint(&self) -> Result<(u64, bool), ToolError> {
        let path = self.paths.checkpoint();
        let file = match self.storage.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, false)),
            Err(error) => return Err(ToolError::io("open", &path)(error)),
        };
        let durable = Checkpoint::peek(&*file).map_err(ToolError::io("read", &path))?;
        let is_new = Checkpoint::is_new(&*file).map_err(ToolError::io("read", &path))?;
        Ok((durable.unwrap_or(0), durable.is_none() && !is_new))
    }

    fn tables(&self) -> Result<BTreeMap<String, TableFiles>, ToolError> {
        let mut tables: BTreeMap<String, TableFiles> = BTreeMap::new();
        let dir = &self.paths.tables;
        for file in self.names(dir)? {
            let Some(name) = file.strip_suffix(".a").or_else(|| file.strip_suffix(".b")) else { continue };
            let path = dir.join(&file);
            let bytes = self.contents(&path)?;
            let files = tables.entry(name.to_owned()).or_default();
            match table::decode(bytes) {
                Some(found) if files.newest.as_ref().is_none_or(|newest| newest.0 < found.0) => {
                    files.newest = Some(found);
                }
                Some(_) => {}
                None => files.damaged.push(path),
            }
        }
        Ok(tables)
    }

    /// A whole file; for files of ours that are small.
    pub(super) fn contents(&self, path: &Path) -> Result<Vec<u8>, ToolError> {
        let file = self.storage.open(path).map_err(ToolError::io("open", path))?;
        let size = file.size().map_err(ToolError::io("read", path))?;
        read_range(&*file, 0, usize::try_from(size).unwrap_or(usize::MAX))
            .map_err(ToolError::io("read", path))
    }

    /// Names in a folder, sorted; none when it is not there.
    pub(super) fn names(&self, dir: &Path) -> Result<Vec<String>, ToolError> {
        let mut names = match self.storage.list(dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(ToolError::io("list", dir)(error)),
        };
        names.sort_unstable();
        Ok(names)
    }
}

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::CutReport;
use super::inode::Inode;
use crate::Random;

/// Names and what they stand for: those that are seen, those that are durable, and the changes in between.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    inodes: BTreeMap<u64, Inode>,
    next_id: u64,
    seen: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Create { path: PathBuf, id: u64 },
    Rename { from: PathBuf, to: PathBuf, id: u64 },
    Remove { path: PathBuf },
}

impl Change {
    fn dir(&self) -> Option<&Path> {
        self.path().parent()
    }

    fn path(&self) -> &Path {
        match self {
            Self::Create { path, .. } | Self::Remove { path } => path,
            Self::Rename { to, .. } => to,
        }
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Create { path, id } => {
                names.insert(path, id);
            }
            Self::Rename { from, to, id } => {
                if names.get(&from) == Some(&id) {
                    names.remove(&from);
                }
                names.insert(to, id);
            }
            Self::Remove { path } => {
                names.remove(&path);
            }
        }
    }
}

impl Files {
    pub(super) fn id(&self, path: &Path) -> Option<u64> {
        self.seen.get(path).copied()
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        self.seen.contains_key(path)
    }

    pub(super) fn inode(&self, id: u64) -> io::Result<&Inode> {
        self.inodes.get(&id).ok_or(io::ErrorKind::NotFound.into())
    }

    pub(super) fn inode_mut(&mut self, id: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&id).ok_or(io::ErrorKind::NotFound.into())
    }

    pub(super) fn inode_at(&self, path: &Path) -> Option<&Inode> {
        self.inodes.get(&self.id(path)?)
    }

    pub(super) fn used(&self) -> u64 {
        let inodes = self.seen.values().filter_map(|id| self.inodes.get(id));
        inodes.map(|inode| inode.seen().len() as u64).sum()
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.seen.keys().cloned().collect()
    }

    pub(super) fn list(&self, dir: &Path) -> Vec<String> {
        let inside = self.seen.keys().filter(|path| path.parent() == Some(dir));
        inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
    }

    /// A new file, or an existing one made empty.
    pub(super) fn create(&mut self, path: &Path) {
        if let Some(inode) = self.id(path).and_then(|id| self.inodes.get_mut(&id)) {
            inode.set_len(0);
            return;
        }
        let id = self.add(Inode::default());
        self.change(Change::Create { path: path.to_owned(), id });
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.id(from).ok_or(io::ErrorKind::NotFound)?;
        self.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), id });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.id(path).ok_or(io::ErrorKind::NotFound)?;
        self.change(Change::Remove { path: path.to_owned() });
        Ok(())
    }

    pub(super) fn sync_names(&mut self, dir: &Path) {
        let (of_dir, others) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition::<Vec<_>, _>(|change| change.dir() == Some(dir));
        self.unsynced = others;
        for change in of_dir {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn replace(&mut self, path: &Path, bytes: Vec<u8>) {
        let id = self.add(Inode::of(bytes));
        self.seen.insert(path.to_owned(), id);
        self.durable.insert(path.to_owned(), id);
    }

    pub(super) fn destroy(&mut self, path: &Path) {
        self.seen.remove(path);
        self.durable.remove(path);
    }

    /// Paths of the changes that no flush has covered, one for each.
    pub(super) fn unsynced(&self) -> Vec<PathBuf> {
        let names = self.unsynced.iter().map(|change| change.path().to_owned());
        let bytes = self.seen.iter().flat_map(|(path, id)| {
            let count = self.inodes.get(id).map_or(0, Inode::unsynced);
            std::iter::repeat_n(path.clone(), count)
        });
        names.chain(bytes).collect()
    }

    /// A cut that keeps each change that no flush has covered as a whole or not at all: names first, then what is in
    /// the files that still have one.
    pub(super) fn cut_keeping(&mut self, is_kept: &mut dyn FnMut(&Path) -> bool) {
        for change in std::mem::take(&mut self.unsynced) {
            if is_kept(change.path()) {
                change.apply(&mut self.durable);
            }
        }
        self.forget_unnamed();
        for (path, id) in &self.seen {
            if let Some(inode) = self.inodes.get_mut(id) {
                inode.cut_keeping(&mut || is_kept(path));
            }
        }
    }

    /// What is seen is what is durable; files without a name are gone.
    fn forget_unnamed(&mut self) {
        self.seen = self.durable.clone();
        let named: std::collections::BTreeSet<u64> = self.seen.values().copied().collect();
        self.inodes.retain(|id, _| named.contains(id));
    }

    pub(super) fn cut(&mut self, random: &mut Random) -> CutReport {
        let mut report = CutReport::default();
        let mut has_lost = false;
        for change in std::mem::take(&mut self.unsynced) {
            report.unsynced += 1;
            if random.percent(50) {
                report.lost += 1;
                has_lost = true;
            } else {
                change.apply(&mut self.durable);
                report.reordered += usize::from(has_lost);
            }
        }
        self.forget_unnamed();
        for inode in self.inodes.values_mut() {
            inode.cut(random, &mut report);
        }
        report
    }

    fn add(&mut self, inode: Inode) -> u64 {
        self.next_id += 1;
        self.inodes.insert(self.next_id, inode);
        self.next_id
    }

    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.seen);
        self.unsynced.push(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_durable_after_the_flush_of_its_folder_only() {
        let (dir, path) = (Path::new("/d"), Path::new("/d/file"));
        let mut kept = 0;
        for seed in 0..100 {
            let mut files = Files::default();
            files.create(path);
            files.sync_names(Path::new("/other"));
            files.cut(&mut Random::new(seed));
            kept += usize::from(files.contains(path));
        }
        assert!((10..90).contains(&kept), "a coin decides: {kept}");
        let mut files = Files::default();
        files.create(path);
        files.sync_names(dir);
        files.cut(&mut Random::new(1));
        assert!(files.contains(path));
    }
}

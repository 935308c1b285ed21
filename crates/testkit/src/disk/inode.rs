use super::{CutReport, SECTOR};
use crate::Random;

/// The bytes of a file: those that are seen, those that are durable, and how the former came from the latter.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

/// What a cut makes of one sector of a write.
#[derive(Clone, Copy)]
enum Sector {
    New,
    Old,
    Zero,
}

impl Inode {
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self { seen: bytes.clone(), durable: bytes, unsynced: Vec::new() }
    }

    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn write(&mut self, bytes: &[u8], at: u64) {
        let Ok(at) = usize::try_from(at) else { return };
        put(&mut self.seen, at, bytes);
        self.unsynced.push(Change::Write { at, bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let Ok(len) = usize::try_from(len) else { return };
        self.seen.resize(len, 0);
        self.unsynced.push(Change::Length(len));
    }

    /// What was not forgotten is durable now. Changes are replayed, because the seen bytes may hold forgotten ones.
    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write { at, bytes } => put(&mut self.durable, at, &bytes),
                Change::Length(len) => self.durable.resize(len, 0),
            }
        }
    }

    /// A flush failed: the changes stay seen, and nothing will make them durable but doing them again.
    pub(super) fn forget(&mut self) {
        self.unsynced.clear();
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Keeps each change as a whole or not at all.
    pub(super) fn cut_keeping(&mut self, is_kept: &mut dyn FnMut() -> bool) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                _ if !is_kept() => {}
                Change::Length(len) => self.durable.resize(len, 0),
                Change::Write { at, bytes } => put(&mut self.durable, at, &bytes),
            }
        }
        self.seen = self.durable.clone();
    }

    pub(super) fn cut(&mut self, random: &mut Random, report: &mut CutReport) {
        let mut has_lost = false;
        for change in std::mem::take(&mut self.unsynced) {
            report.unsynced += 1;
            let fate = random.below(100);
            match change {
                _ if fate < 20 => {
                    report.lost += 1;
                    has_lost = true;
                    continue;
                }
                Change::Length(len) => self.durable.resize(len, 0),
                Change::Write { at, bytes } if fate < 40 => put(&mut self.durable, at, &bytes),
                Change::Write { at, bytes } => {
                    report.torn += usize::from(self.tear(at, &bytes, random));
                }
            }
            report.reordered += usize::from(has_lost);
        }
        self.seen = self.durable.clone();
    }

    /// Keeps some sectors of a write; whether any was not. A file that grows gets zeros where a sector did not come.
    fn tear(&mut self, at: usize, bytes: &[u8], random: &mut Random) -> bool {
        let is_prefix = random.percent(40);
        let (mut is_torn, mut place) = (false, at);
        let old_length = self.durable.len();
        let mut rest = bytes;
        while !rest.is_empty() {
            let to_boundary = SECTOR - place % SECTOR;
            let (sector, behind) = rest.split_at(to_boundary.min(rest.len()));
            let fate = match random.below(3) {
                _ if is_prefix && is_torn => Sector::Old,
                0 => Sector::New,
                1 => Sector::Old,
                _ if place >= old_length => Sector::Zero,
                _ => Sector::New,
            };
            match fate {
                Sector::New => put(&mut self.durable, place, sector),
                Sector::Zero => put(&mut self.durable, place, &vec![0; sector.len()]),
                Sector::Old => {}
            }
            is_torn |= !matches!(fate, Sector::New);
            place += sector.len();
            rest = behind;
        }
        is_torn
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if new.is_empty() {
        return;
    }
    let end = at + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(at..end) {
        place.copy_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synced_write_survives_every_cut_and_an_unsynced_one_not() {
        let mut outcomes = std::collections::HashSet::new();
        for seed in 0..200 {
            let mut inode = Inode::default();
            inode.write(&[1; 1000], 0);
            inode.sync();
            inode.write(&[2; 2000], 1000);
            inode.cut(&mut Random::new(seed), &mut CutReport::default());
            assert_eq!(inode.seen()[..1000], [1; 1000], "seed {seed}");
            assert!(inode.seen()[1000..].iter().all(|byte| [0, 2].contains(byte)), "seed {seed}");
            outcomes.insert(inode.seen().to_vec());
        }
        assert!(outcomes.contains(&vec![1; 1000]), "the whole write can be lost");
        assert!(outcomes.iter().any(|bytes| bytes.ends_with(&[2; 2000])), "the whole write can be kept");
        assert!(outcomes.len() > 10, "and there is much in between: {}", outcomes.len());
    }

    #[test]
    fn after_a_failed_flush_another_one_helps_nothing_but_a_new_write_does() {
        let mut inode = Inode::default();
        inode.write(b"data", 0);
        inode.forget();
        inode.sync();
        assert_eq!(inode.seen(), b"data");
        let mut lost = inode.clone();
        lost.cut(&mut Random::new(1), &mut CutReport::default());
        assert_eq!(lost.seen(), b"");
        inode.write(b"data", 0);
        inode.sync();
        inode.cut(&mut Random::new(1), &mut CutReport::default());
        assert_eq!(inode.seen(), b"data");
    }
}

use std::path::{Path, PathBuf};

/// Names of the files. All are numbers or words of our own: no name from the network becomes a path.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub(crate) root: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) index: PathBuf,
    pub(crate) tables: PathBuf,
}

impl Paths {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            log: root.join("log"),
            index: root.join("index"),
            tables: root.join("tables"),
        }
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint")
    }

    pub(crate) fn segment(&self, start: u64) -> PathBuf {
        self.log.join(format!("{start:020}"))
    }

    pub(crate) fn index_file(&self, start: u64) -> PathBuf {
        self.index.join(format!("{start:020}.idx"))
    }

    pub(crate) fn key_file(&self, start: u64) -> PathBuf {
        self.index.join(format!("{start:020}.key"))
    }
}

/// The start offset in a segment's name.
pub(crate) fn segment_start(name: &str) -> Option<u64> {
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}

/// The start offset in the name of an index or key file.
pub(crate) fn index_start(name: &str) -> Option<u64> {
    name.strip_suffix(".idx").and_then(segment_start).or_else(|| key_start(name))
}

/// The start offset in a key file's name.
pub(crate) fn key_start(name: &str) -> Option<u64> {
    name.strip_suffix(".key").and_then(segment_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_their_start_and_others_are_not_ours() {
        let paths = Paths::new(Path::new("/data"));
        let name = paths.segment(42).file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(name, "00000000000000000042");
        assert_eq!(segment_start(&name), Some(42));
        assert_eq!(index_start(&format!("{name}.idx")), Some(42));
        assert_eq!(index_start(&format!("{name}.key")), Some(42));
        assert_eq!(key_start(&format!("{name}.idx")), None);
        for other in ["42", "0000000000000000004x", "+0000000000000000042", "99999999999999999999", "a.tmp"] {
            assert_eq!(segment_start(other), None, "{other}");
        }
    }
}

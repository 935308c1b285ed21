use std::io;
use std::path::{Path, PathBuf};

/// Why a folder was not checked, printed or repaired. Damage that was found is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// A store has the folder open.
    #[error("the store folder {} is in use by another process; stop that one first", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// There is no store in the folder.
    #[error("there is no store in {}: its folder `log` is missing or empty", dir.display())]
    NoStore {
        /// The folder.
        dir: PathBuf,
    },
    /// The disk or its permissions said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// The damage is of a kind that cannot be moved aside. What was found so far was not changed.
    #[error("{} cannot be repaired at log offset {offset}: {reason}; restore the folder from a backup", file.display())]
    Beyond {
        /// The file.
        file: PathBuf,
        /// Where in the log.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// Whoever was handed the records wants no more.
    #[error("stopped by the caller")]
    Stopped,
}

impl ToolError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

use std::io;
use std::path::{Path, PathBuf};

use rocketwire_protocol::body::BodyError;

/// Why a folder of Apache's broker was not taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The folder is none of a broker.
    #[error("{} is no store folder of Apache's broker: {reason}", dir.display())]
    NotApache {
        /// The folder.
        dir: PathBuf,
        /// What is missing.
        reason: &'static str,
    },
    /// Its broker runs.
    #[error("a broker runs on {}; stop it first, in order if you can", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A configuration file and its backup are not what Apache's broker writes.
    #[error("{} cannot be understood: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: BodyError,
    },
    /// The log is damaged, and not at its end.
    #[error(
        "{} is damaged at byte {position}: {reason}. Restore a backup, or leave out what is behind as Apache's broker \
         does: start it on a copy of the folder, send it a message, and stop it in order. An import does not leave messages \
         out silently", file.display()
    )]
    Damaged {
        /// The file of the log.
        file: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong.
        reason: String,
    },
    /// The new store cannot be written.
    #[error(transparent)]
    Store(#[from] rocketwire_store::import::ImportError),
}

impl ImportError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether stored data is damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

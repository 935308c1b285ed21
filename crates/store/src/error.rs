use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a store did not open. It never opens with less than it held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another store of this one, has the folder.
    #[error(
        "the store folder {} is in use by another process; stop that one first, or choose another folder", dir.display()
    )]
    Locked {
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
    /// Bytes that were durable are missing or different.
    #[error(
        "the store is damaged: {} at byte {position} (log offset {offset}): {reason}; {records_behind} readable \
         records are behind it. Nothing was changed. Restore the file from a backup, or give up what is \
         damaged with `rocketwire store repair`", file.display()
    )]
    Damaged {
        /// The damaged or missing file.
        file: PathBuf,
        /// Byte in that file where the damage begins.
        position: u64,
        /// The same place as an offset of the log; 0 for a file that is not a segment.
        offset: u64,
        /// Records in valid frames behind the damage.
        records_behind: u64,
        /// What is wrong, and how it is known to have been durable.
        reason: String,
    },
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// Why an append was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// More is pending than the writer keeps up with. Nothing was stored: try again later.
    #[error("{pending} bytes wait for the disk, the limit is {limit} (max_pending_bytes)")]
    Busy {
        /// Bytes that are waiting.
        pending: usize,
        /// `max_pending_bytes`.
        limit: usize,
    },
    /// The disk has less space than the store wants to keep free. Nothing was stored; heals when space returns.
    #[error("the disk of {} is full: {free} bytes are free, {limit} have to be ({setting})", path.display())]
    DiskFull {
        /// The store's folder.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that must be free.
        limit: u64,
        /// The option that says so.
        setting: &'static str,
    },
    /// The write or flush of this append failed. Whether it is stored is unknown until the store is opened again.
    #[error(
        "{error}; whether the message is stored is unknown, the store refuses writes until it is restarted"
    )]
    Io {
        /// What failed, on which file, with the system's text.
        error: Arc<str>,
    },
    /// An earlier write failed, so the store takes no more. Nothing was stored.
    #[error("the store refuses writes until it is restarted, because of an earlier failure: {error}")]
    Poisoned {
        /// The first failure.
        error: Arc<str>,
    },
    /// The topic is being deleted at this moment. Nothing was stored.
    #[error("the topic {topic} is being deleted")]
    Deleting {
        /// The topic.
        topic: Arc<str>,
    },
    /// There is no such queue: its topic was deleted. Nothing was stored.
    #[error("the queue is gone: its topic was deleted")]
    UnknownQueue,
    /// The bytes are not whole stored records of that queue. Nothing was stored.
    #[error("not stored records of this queue: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// The store is closed. Nothing was stored.
    #[error("the store is closed")]
    Closed,
}

/// Why a read has no answer. Both are about the disk, never about the caller's offset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The disk did not answer.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// The bytes on the disk are not those that were written.
    #[error("{} is damaged at byte {position}: {reason}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

impl ReadError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// What was to be read without waiting is not in memory.
    pub(crate) fn is_would_block(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the file is gone, which is what a read that races retention meets.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Why a table could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The name is not `[a-z_]+`.
    #[error("{name:?} is not a table name: only a-z and _ are allowed")]
    Name {
        /// The name.
        name: String,
    },
    /// The disk said no. After a failed save either the old or the new content is there, never a mix.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Files of the table are there and none of them is whole.
    #[error("{} is damaged and there is no other good generation of it: {reason}; restore it from a backup", file.display())]
    Damaged {
        /// The newest damaged file.
        file: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The store is closed, and the folder may be another one's by now. Nothing was saved.
    #[error("the store is closed")]
    Closed,
}

impl TableError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// Why a topic was not deleted, or old segments were not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// The store takes no writes: poisoned or closed.
    #[error(transparent)]
    Refused(#[from] AppendError),
    /// The note about the deletion could not be made durable. The store is poisoned: restart it.
    #[error(transparent)]
    Table(#[from] TableError),
}

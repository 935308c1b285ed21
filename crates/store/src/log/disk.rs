use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Paths, lock};
use crate::error::AppendError;
use crate::storage::{Space, Storage};

/// Whether the disk has room for more.
#[derive(Debug)]
pub(crate) struct Disk {
    limit: u64,
    is_full: AtomicBool,
    space: Mutex<Space>,
}

impl Disk {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, is_full: AtomicBool::new(false), space: Mutex::new(Space { total: 0, available: 0 }) }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    pub(crate) fn space(&self) -> Space {
        *lock(&self.space)
    }

    /// Looks at the disk; whether it is full. A disk that does not tell keeps the last answer.
    pub(crate) fn refresh(&self, storage: &dyn Storage, paths: &Paths) -> bool {
        if let Ok(space) = storage.space(&paths.root) {
            let is_full = space.available < self.limit;
            *lock(&self.space) = space;
            if self.is_full.swap(is_full, Ordering::Relaxed) != is_full {
                let (dir, free, limit) = (paths.root.display(), space.available, self.limit);
                if is_full {
                    tracing::warn!(%dir, free, limit, "the disk is full: appends are refused until there is space");
                } else {
                    tracing::info!(%dir, free, "the disk has space again");
                }
            }
        }
        self.is_full()
    }

    pub(crate) fn refusal(&self, paths: &Paths) -> AppendError {
        AppendError::DiskFull {
            path: paths.root.clone(),
            free: self.space().available,
            limit: self.limit,
            setting: "min_free_bytes",
        }
    }
}

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Paths, lock};
use crate::error::AppendError;
use crate::options::StoreOptions;
use crate::storage::{Space, Storage};

/// Whether the disk has room for more.
#[derive(Debug)]
pub(crate) struct Disk {
    min_free_bytes: u64,
    min_free_percent: u8,
    is_full: AtomicBool,
    space: Mutex<Space>,
}

impl Disk {
    pub(crate) fn new(options: &StoreOptions) -> Self {
        Self {
            min_free_bytes: options.min_free_bytes,
            min_free_percent: options.min_free_percent,
            is_full: AtomicBool::new(false),
            space: Mutex::new(Space { total: 0, available: 0 }),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    pub(crate) fn space(&self) -> Space {
        *lock(&self.space)
    }

    /// Bytes that have to be free, and the option that says so.
    pub(crate) fn limit(&self) -> (u64, &'static str) {
        let part = u128::from(self.space().total) * u128::from(self.min_free_percent) / 100;
        match u64::try_from(part).unwrap_or(u64::MAX) {
            part if part > self.min_free_bytes => (part, "min_free_percent"),
            _ => (self.min_free_bytes, "min_free_bytes"),
        }
    }

    /// Whether so many bytes more than at the last look would leave it not full.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.space().available.saturating_sub(bytes) >= self.limit().0
    }

    /// Looks at the disk; whether it is full. A disk that does not tell keeps the last answer.
    pub(crate) fn refresh(&self, storage: &dyn Storage, paths: &Paths) -> bool {
        if let Ok(space) = storage.space(&paths.root) {
            *lock(&self.space) = space;
            let (limit, setting) = self.limit();
            let is_full = space.available < limit;
            if self.is_full.swap(is_full, Ordering::Relaxed) != is_full {
                let (dir, free) = (paths.root.display(), space.available);
                if is_full {
                    tracing::warn!(%dir, free, limit, setting, "the disk is full: appends are refused until there is space");
                } else {
                    tracing::info!(%dir, free, "the disk has space again");
                }
            }
        }
        self.is_full()
    }

    pub(crate) fn refusal(&self, paths: &Paths) -> AppendError {
        let (limit, setting) = self.limit();
        AppendError::DiskFull { path: paths.root.clone(), free: self.space().available, limit, setting }
    }
}

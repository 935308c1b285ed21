use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::storage::StorageLock;

/// The folder of an open store, which the next one may have once this one is closed.
#[derive(Debug)]
pub(crate) struct Hold {
    lock: RwLock<Option<Box<dyn StorageLock>>>,
}

/// The folder is not given back while this lives.
pub(crate) struct Kept<'a> {
    _lock: RwLockReadGuard<'a, Option<Box<dyn StorageLock>>>,
}

impl Hold {
    pub(crate) fn new(lock: Box<dyn StorageLock>) -> Self {
        Self { lock: RwLock::new(Some(lock)) }
    }

    /// For who is about to change a file beside the log; `None` when the folder was given back.
    pub(crate) fn keep(&self) -> Option<Kept<'_>> {
        let lock = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        lock.is_some().then_some(Kept { _lock: lock })
    }

    /// Gives the folder back, as soon as nobody is in the middle of a change.
    pub(crate) fn release(&self) {
        drop(self.lock.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}

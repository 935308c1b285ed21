//! Locks and atomic counters: those of the standard library, except where the models run.
//!
//! The models (`connection/models.rs`, feature `models`) put the very code of this crate under a scheduler that
//! tries interleavings; it can do so at these types only.

#[cfg(not(all(test, feature = "models")))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread,
};

#[cfg(all(test, feature = "models"))]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread,
};

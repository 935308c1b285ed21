//! Runtimes. On few cores one thread for requests, replies and sockets beats several (no hand-over to wake for).

use tokio::runtime::{Builder, Runtime};

use crate::failure::Failure;

/// A runtime on the calling thread.
pub(crate) fn current_thread() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format_args!("cannot start a runtime: {error}")))
}

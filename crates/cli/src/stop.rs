//! Being asked to stop: Ctrl-C, and what service managers send.

use crate::failure::Failure;

/// Listens from its making on, so that nothing is lost between two waits.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
}

impl Signals {
    /// To be called inside a runtime.
    #[cfg(unix)]
    pub(crate) fn new() -> Result<Signals, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(format_args!("cannot listen for signals: {error}")))
        };
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// To be called inside a runtime.
    #[cfg(windows)]
    pub(crate) fn new() -> Result<Signals, Failure> {
        let interrupt = tokio::signal::windows::ctrl_c()
            .map_err(|error| Failure::new(format_args!("cannot listen for Ctrl-C: {error}")))?;
        Ok(Signals { interrupt })
    }

    /// Waits for the next time that somebody asks. Cancel safe.
    #[cfg(unix)]
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for the next time that somebody asks. Cancel safe.
    #[cfg(windows)]
    pub(crate) async fn asked(&mut self) {
        self.interrupt.recv().await;
    }
}

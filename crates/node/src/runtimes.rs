//! Threads with a runtime each.

use std::thread::{self, JoinHandle};

use tokio::{
    runtime::{Builder, Handle},
    sync::watch,
};

use crate::NodeError;

/// They end when this is dropped; [`Runtimes::join`] waits for it.
#[derive(Default)]
pub(crate) struct Runtimes {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    /// Dropped: end.
    running: Option<watch::Sender<()>>,
}

impl Runtimes {
    pub(crate) fn start(count: usize) -> Result<Runtimes, NodeError> {
        let (running, end) = watch::channel(());
        let mut this = Runtimes { running: Some(running), ..Runtimes::default() };
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(NodeError::Thread)?;
            this.handles.push(runtime.handle().clone());
            let mut end = end.clone();
            let thread = thread::Builder::new().name(format!("rw-node-{number}"));
            let thread = thread.spawn(move || {
                // Fails when the sender is gone, which is what is waited for.
                runtime.block_on(async move { while end.changed().await.is_ok() {} });
            });
            this.threads.push(thread.map_err(NodeError::Thread)?);
        }
        Ok(this)
    }

    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }

    /// Ends the threads. Blocks for the moment that takes.
    pub(crate) fn join(mut self) {
        self.running = None;
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

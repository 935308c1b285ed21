//! What handles a request.

use std::{future::Future, pin::Pin, sync::Arc};

use rocketwire_protocol::Command;

use crate::Request;

/// Handles requests (Java: `NettyRequestProcessor`).
///
/// In an inline lane it is called on the connection's task: what takes long or blocks belongs into
/// [`Answer::Later`] or into a blocking lane. A panic is answered SYSTEM_ERROR and the connection lives on.
pub trait Processor: Send + Sync + 'static {
    /// Handles one request.
    fn process(&self, request: Request) -> Answer;

    /// Whether requests are to be refused for now, unseen (answered SYSTEM_BUSY `[REJECTREQUEST]..`).
    fn rejects(&self) -> bool {
        false
    }
}

/// When the answer comes.
#[non_exhaustive]
pub enum Answer {
    /// Now. Not sent if the request is one-way.
    Now(Command),
    /// From a future. It is polled once in place; if it waits, it moves to a task of its own.
    Later(Pin<Box<dyn Future<Output = Command> + Send>>),
    /// From a [`crate::Responder`], or never.
    Taken,
}

impl Answer {
    /// An answer from a future.
    pub fn later(future: impl Future<Output = Command> + Send + 'static) -> Answer {
        Answer::Later(Box::pin(future))
    }
}

impl From<Command> for Answer {
    fn from(command: Command) -> Answer {
        Answer::Now(command)
    }
}

/// A processor from a closure.
pub fn processor_fn(f: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Arc<dyn Processor> {
    struct Closure<F>(F);
    impl<F: Fn(Request) -> Answer + Send + Sync + 'static> Processor for Closure<F> {
        fn process(&self, request: Request) -> Answer {
            (self.0)(request)
        }
    }
    Arc::new(Closure(f))
}

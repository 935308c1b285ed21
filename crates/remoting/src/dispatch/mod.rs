//! Requests: who handles which, where, and how the answer goes back.

mod hook;
mod lane;
mod processor;
mod request;
mod router;

pub use hook::{HookError, RpcHook};
pub use lane::Lane;
pub use processor::{Answer, Processor, processor_fn};
pub use request::{Request, Responder};
pub use router::Router;

pub(crate) use hook::{guarded, panic_text, run_after, run_before};
pub(crate) use request::Return;

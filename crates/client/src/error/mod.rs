//! One error per question: is there a route, was it sent, did the broker do it.

mod request;
mod route;
mod send;

pub use request::{RequestError, RequestErrorKind};
pub(crate) use request::{header, success};
pub use route::{NameServerAnswer, RouteError, RouteErrorKind};
pub use send::{Attempt, AttemptFailure, SendError, SendErrorKind};

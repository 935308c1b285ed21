//! Sends: from a request to a stored record, and back to an answer (Java: `SendMessageProcessor`; spec broker B.2).
//!
//! ```text
//! request -> header (V1 or V2) -> checks -> target queue -> record -> store.append -> answer from the writer
//! ```

mod answer;
mod header;
mod inspect;
mod plan;
mod record;

pub(crate) use answer::{Stored, Traced, refusal, store_failure};
pub(crate) use header::{SendHeader, is_send, parse};
pub(crate) use inspect::{Additions, Inspected, finish};
pub(crate) use plan::{SendPlan, check_target, dlq_config, illegal, plan};
pub(crate) use record::append;

//! Pulls: checks, the read, and parking (Java: `PullMessageProcessor`; spec broker B.5).

mod check;
mod park;
mod read;
mod select;

pub(crate) use check::plan;
pub(crate) use park::{
    Held, HeldPull, Wake, drop_connection, park, release, release_all, sweep_deadlines, sweep_grown,
    too_many_reads,
};
pub(crate) use read::PullTask;

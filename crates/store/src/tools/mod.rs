//! What an operator does with the folder of a store that is not open: look at it, print it, repair it.
//!
//! None of it is needed for a start, and nothing here runs while a store is open: all of it takes the store's lock.
//!
//! | function | what it does |
//! |---|---|
//! | [`check`] | verifies every byte and changes none |
//! | [`dump`] | hands out every record in the order of the log |
//! | [`repair`] | moves damage aside and leaves a folder that starts, with every other record at its old offset |

mod audit;
mod check;
mod derive;
mod dump;
mod error;
mod evidence;
mod filler;
mod folder;
mod keys;
mod quarantine;
mod repair;
mod survey;

pub use audit::LostRange;
pub use check::{CheckReport, Finding, FindingKind, QueueReport, check};
pub use dump::{DumpedRecord, dump};
pub use error::ToolError;
pub(crate) use filler::Fillers;
pub use repair::{RepairReport, RepairedDamage, repair};

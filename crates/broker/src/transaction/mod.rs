//! Transactions: half messages, their verdicts, and asking for them (Java: `EndTransactionProcessor`,
//! `TransactionalMessageServiceImpl`; spec broker B.12).
//!
//! ```text
//! send with TRAN_MSG -> half queue -> pending --END_TRANSACTION--> real message -> op record
//!                                        | no verdict in time
//!                                        +--> CHECK_TRANSACTION_STATE to a producer of the group, 15 times at most;
//!                                     |        each time it is stored anew, with the count
//! ```
//! The op queue says which half messages are done. The table of pending ones is rebuilt from both queues.

mod check;
mod end;
#[cfg(test)]
mod model_test;
mod resume;
mod table;

pub(crate) use check::{check_due, restore};
pub(crate) use end::{end, write_owed};
pub(crate) use resume::resume;
pub(crate) use table::{Half, Pending, TransactionSnapshot, Transactions};

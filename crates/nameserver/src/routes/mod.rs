//! Which broker has which topic (Java: `RouteInfoManager`; spec broker A.1, A.4, A.5).

mod instance;
mod lookup;
mod registration;
mod table;
#[cfg(test)]
mod tests;

pub use registration::{LocalBroker, RegisterError, Registration, TooMany};
pub use table::RouteTable;

/// A broker with this id takes messages.
const MASTER: i64 = 0;

//! What an RPC runtime needs and can be tested without one.

mod in_flight;

pub use in_flight::{Due, Full, InFlight};

//! The store from outside: what it promises, and what it does when the disk does not keep its own promises.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a test binary

mod ahead;
mod append;
mod damage;
mod deletion;
mod forged;
mod held;
mod import;
mod keys;
mod meanwhile;
mod model;
mod power;
mod read;
mod retention;
mod support;
mod threads;
mod tools;
mod world;

//! A broker behind a real loopback connection, on a disk in memory and a clock that is turned by hand.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests may, as tests do

mod admin;
mod bad_inputs;
mod broken_disk;
mod clock;
mod creation;
mod cuts;
mod delay;
mod deletion;
mod filter;
mod full_disk;
mod groups;
mod import;
mod inspect;
mod metrics;
mod offsets;
mod permission;
mod pull;
mod query;
mod relay;
mod restart;
mod send;
mod stuck_disk;
mod support;
mod timer;
mod transaction;
mod unchanged;

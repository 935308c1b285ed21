//! Client and server against each other, against a scripted peer, and over a memory pipe with a paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may

mod calls;
mod dispatch;
mod faults;
mod latencies;
mod name_servers;
mod peer;
mod runtimes;
mod server;
mod simulation;
mod socks;
mod time;

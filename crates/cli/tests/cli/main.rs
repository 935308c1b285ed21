//! Runs the binary itself, in fresh folders, and looks at its output and exit codes.
#![allow(clippy::disallowed_types)] // it is the program that is tested, so it has to be started
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests

mod bench;
mod config;
mod crash;
mod decode;
mod errors;
mod ops;
mod quickstart;
mod round_trip;
mod stop;
mod store;
mod support;
mod wrong_bytes;

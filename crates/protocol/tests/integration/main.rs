//! What the protocol crate promises, held from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // all of it is tests

mod checks;
mod conformance;
mod fields;
mod filter;
mod golden;
mod golden_bodies;
mod headers;
mod props;
mod support;
mod vectors;
mod wire_doc;

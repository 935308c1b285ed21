//! What the protocol crate promises, held from outside.

mod conformance;
mod fields;
mod golden;
mod golden_bodies;
mod support;
mod vectors;

//! Decodes: crates/broker/src/import/place.rs

#![no_main]

// The parser is private, and needs nothing of its crate.
#[allow(dead_code)]
#[path = "../../crates/broker/src/import/place.rs"]
mod place;
#[path = "../../crates/broker/src/import/place_checks.rs"]
mod place_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| place_checks::check(data));

//! Decodes: crates/node/src/config/file.rs

#![no_main]

// The parsers are private, and need nothing of their crate.
#[path = "../../crates/node/src/config/file.rs"]
mod file;
#[path = "../../crates/node/src/config/file_checks.rs"]
mod file_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| file_checks::check(data));

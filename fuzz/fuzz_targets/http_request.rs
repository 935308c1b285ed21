//! Decodes: crates/node/src/http/request.rs

#![no_main]

// The parser is private, and needs nothing of its crate.
#[path = "../../crates/node/src/http/request.rs"]
mod request;
#[path = "../../crates/node/src/http/request_checks.rs"]
mod request_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| request_checks::check(data));

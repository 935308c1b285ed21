//! Decodes: crates/remoting/src/server/proxy_protocol.rs

#![no_main]

// The parser is private, and needs nothing of its crate.
#[path = "../../crates/remoting/src/server/proxy_checks.rs"]
mod proxy_checks;
#[path = "../../crates/remoting/src/server/proxy_protocol.rs"]
mod proxy_protocol;

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy_checks::check(data));

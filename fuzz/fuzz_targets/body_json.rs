//! Decodes: crates/protocol/src/body/mod.rs
//! Decodes: crates/protocol/src/body/json/de.rs
//! Decodes: crates/protocol/src/body/register.rs

#![no_main]

#[allow(dead_code)] // each target needs one of them
mod checks {
    include!("../../crates/protocol/tests/integration/checks.rs");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::check_body_json(data));

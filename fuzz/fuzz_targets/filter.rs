//! Decodes: crates/protocol/src/filter/mod.rs

#![no_main]

#[allow(dead_code)] // each target needs one of them
mod checks {
    include!("../../crates/protocol/tests/integration/checks.rs");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::check_filter(data));

//! Bugs that tests have to find, and places where the process can be told to die: only with feature `planted`.
//!
//! `ROCKETWIRE_PLANTED` chooses a bug by its name; `scripts/check-planted` runs the test that must catch each, and one
//! that survives fails CI. `ROCKETWIRE_CRASH_AT=name:n` ends the process the n-th time that it comes by a place;
//! `crates/cli/tests/kill` starts nodes with it. Without the feature both are nothing, and a build without debug assertions refuses
//! the feature.

#![cfg_attr(not(feature = "planted"), allow(unreachable_pub))] // the broker's code has some, too

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("feature `planted` is for tests: it puts bugs into the store");

/// Whether the bug of this name is in. Without the feature: never, at no cost.
pub fn planted(name: &str) -> bool {
    cfg!(feature = "planted") && std::env::var_os("ROCKETWIRE_PLANTED").is_some_and(|chosen| chosen == name)
}

/// Ends the process here, as `kill -9` does, if that was asked for.
pub fn crash_point(name: &str) {
    if cfg!(feature = "planted") && is_the_end(name) {
        std::process::abort();
    }
}

fn is_the_end(name: &str) -> bool {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(1);
    let Ok(wanted) = std::env::var("ROCKETWIRE_CRASH_AT") else { return false };
    let Some((place, turn)) = wanted.split_once(':') else { return false };
    place == name && turn.parse() == Ok(PASSED.fetch_add(1, Ordering::SeqCst))
}

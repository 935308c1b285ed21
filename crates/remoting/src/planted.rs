//! Bugs that tests have to find: only with feature `planted`, each chosen by `ROCKETWIRE_PLANTED`.
//!
//! `scripts/check-planted` runs the test that must catch each; a bug that survives fails CI.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("feature `planted` is for tests: it puts bugs into the connections");

/// Whether the bug of this name is in. Without the feature: never, at no cost.
pub(crate) fn planted(name: &str) -> bool {
    cfg!(feature = "planted") && std::env::var_os("ROCKETWIRE_PLANTED").is_some_and(|chosen| chosen == name)
}

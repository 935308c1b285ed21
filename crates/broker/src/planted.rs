//! Bugs that tests have to find, and places where the process can be told to die: those of the store, in the broker's code.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("feature `planted` is for tests: it puts bugs into the broker");

#[cfg(feature = "planted")]
pub(crate) use rocketwire_store::planted::{crash_point, planted};

/// Without the feature: never, at no cost.
#[cfg(not(feature = "planted"))]
pub(crate) fn planted(_: &str) -> bool {
    false
}

/// Without the feature: nothing.
#[cfg(not(feature = "planted"))]
pub(crate) fn crash_point(_: &str) {}

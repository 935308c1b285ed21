//! What the tests of the other crates share: golden bytes, a disk that loses power, a clock that is turned by hand.
//!
//! | module | what is there |
//! |---|---|
//! | [`SimulatedDisk`] | the store's file system with power cuts, torn writes, errors and a limited size |
//! | [`WatchedDisk`] | another disk, with a test that is told of some steps: to wait, to fail, to do something meanwhile |
//! | [`ManualClock`] | time that passes when a test says so |
//! | [`Random`] | numbers from a seed, the same on every machine |
//! | [`for_each_seed`], [`rounds`] | how much a random test does, and how a failing round is repeated |
//!
//! The golden bytes are files in `golden/`.

mod clock;
mod disk;
mod random;
mod seeds;
mod watched;

pub use clock::ManualClock;
pub use disk::{CutReport, Fault, SimulatedDisk};
pub use random::Random;
pub use seeds::{for_each_seed, rounds};
pub use watched::{Step, WatchedDisk};

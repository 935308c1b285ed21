//! How many rounds a random test does, with which seeds, and how a failing one is repeated.

use std::ops::Range;

/// How often a random test does what it does: `usual` times, or `ROCKETWIRE_ROUNDS` times as often.
pub fn rounds(usual: u64) -> u64 {
    let factor =
        std::env::var("ROCKETWIRE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1.0_f64);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // rounding is what is wanted
    let count = (usual as f64 * factor.max(0.0)) as u64;
    count.max(1)
}

/// Runs a test once for each seed, and names the seed of the round that fails.
///
/// First come the seeds that have failed once and are kept: lines `test seed` of the text in `kept`. Then those from 0
/// on, [`rounds`]`(usual)` of them. With `ROCKETWIRE_SEED` there is that one only. Whether there were as many as usual:
/// what a test says of all its rounds together holds only then.
pub fn for_each_seed(test: &str, kept: &str, usual: u64, mut round: impl FnMut(u64)) -> bool {
    let asked: Option<u64> = std::env::var("ROCKETWIRE_SEED").ok().and_then(|text| text.parse().ok());
    let (kept, fresh): (Vec<u64>, Range<u64>) = match asked {
        Some(seed) => (vec![seed], 0..0),
        None => (kept_seeds(test, kept), 0..rounds(usual)),
    };
    let is_whole = fresh.end >= usual;
    for seed in kept.into_iter().chain(fresh) {
        let running = Running { test, seed };
        round(seed);
        std::mem::forget(running);
    }
    is_whole
}

fn kept_seeds(test: &str, kept: &str) -> Vec<u64> {
    let of_test = |line: &str| line.split_once(' ').filter(|(name, _)| *name == test)?.1.trim().parse().ok();
    kept.lines().filter_map(of_test).collect()
}

/// Dropped by a panic only.
struct Running<'a> {
    test: &'a str,
    seed: u64,
}

impl Drop for Running<'_> {
    #[allow(clippy::print_stderr)] // for who reads the output of a failed test
    fn drop(&mut self) {
        eprintln!(
            "{} failed with seed {seed}: repeat it with ROCKETWIRE_SEED={seed}",
            self.test,
            seed = self.seed
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_seeds_come_first_and_only_those_of_the_test() {
        let mut seen = Vec::new();
        assert!(for_each_seed("a", "# comment\nb 5\na 77\na 78", 2, |seed| seen.push(seed)));
        assert_eq!(seen, [77, 78, 0, 1]);
    }
}

//! Numbers by size, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many of something were how large: one count for each bound, and one for what is larger than all of them.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    counts: [AtomicU64; N],
    sum: AtomicU64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Histogram { counts: std::array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

/// Bytes of a message (label `le` of `rocketmq_message_size`).
pub(super) const SIZE_BOUNDS: [u64; 6] = [1 << 10, 4 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20];
/// Seconds until a transaction was committed.
pub(super) const COMMIT_BOUNDS_S: [u64; 6] = [5, 60, 600, 3_600, 12 * 3_600, 24 * 3_600];
/// Seconds that a timer message is to wait.
pub(super) const DELAY_BOUNDS_S: [u64; 6] = [60, 600, 3_600, 12 * 3_600, 24 * 3_600, 3 * 24 * 3_600];
/// Milliseconds until a topic or group was created.
pub(super) const CREATION_BOUNDS_MS: [u64; 5] = [10, 100, 1_000, 3_000, 5_000];

impl<const N: usize> Histogram<N> {
    /// Counts one.
    pub(super) fn record(&self, bounds: &[u64], value: u64) {
        self.record_all(bounds, value, 1, value);
    }

    /// Counts some of about this size, which are so much together.
    pub(super) fn record_all(&self, bounds: &[u64], value: u64, times: u64, sum: u64) {
        let at = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(times, Ordering::Relaxed);
        }
        self.sum.fetch_add(sum, Ordering::Relaxed);
    }

    /// The counts.
    pub(super) fn counts(&self) -> [u64; N] {
        std::array::from_fn(|at| self.counts.get(at).map_or(0, |count| count.load(Ordering::Relaxed)))
    }

    /// All values together.
    pub(super) fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// How many were counted.
    pub(super) fn total(&self) -> u64 {
        self.counts().iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_below_the_first_bound_that_it_does_not_exceed() {
        let sizes = Histogram::<7>::default();
        for size in [0, 1_024, 1_025, 4 << 20, (4 << 20) + 1] {
            sizes.record(&SIZE_BOUNDS, size);
        }
        assert_eq!(sizes.counts(), [2, 1, 0, 0, 0, 1, 1]);
        assert_eq!((sizes.total(), sizes.sum()), (5, 1_024 + 1_025 + (8 << 20) + 1));
        // A batch: four messages, 1,000 bytes in all.
        sizes.record_all(&SIZE_BOUNDS, 250, 4, 1_000);
        assert_eq!((sizes.counts()[0], sizes.total()), (6, 9));
    }
}

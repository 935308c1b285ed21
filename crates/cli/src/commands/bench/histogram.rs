//! A histogram of round trips.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Buckets a power of two: each is 0.8 % wide.
const FINE: usize = 128;
const FINE_BITS: u32 = FINE.trailing_zeros();
/// Up to 2^40 ns, which is 18 minutes.
const BUCKETS: usize = FINE * (41 - FINE_BITS as usize);

/// Counts round trips by their length, in buckets of 0.8 %.
///
/// Each thread has one of its own and is its only writer, so that a count is a plain load and store.
pub(crate) struct Latencies {
    counts: Box<[AtomicU64]>,
    max_ns: AtomicU64,
}

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max_ns: AtomicU64::new(0) }
    }

    #[inline]
    pub(crate) fn record(&self, took: Duration) {
        let ns = took.as_nanos() as u64;
        if let Some(count) = self.counts.get(bucket(ns)) {
            count.store(count.load(Relaxed) + 1, Relaxed);
        }
        if ns > self.max_ns.load(Relaxed) {
            self.max_ns.store(ns, Relaxed);
        }
    }

    /// Adds what another thread counted.
    pub(crate) fn merge(&self, other: &Latencies) {
        for (mine, theirs) in self.counts.iter().zip(&other.counts) {
            mine.fetch_add(theirs.load(Relaxed), Relaxed);
        }
        self.max_ns.fetch_max(other.max_ns.load(Relaxed), Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// The time in microseconds that the share `q` of all round trips did not exceed.
    pub(crate) fn quantile_us(&self, q: f64) -> f64 {
        let rank = ((self.count() as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count.load(Relaxed);
            if seen >= rank {
                return round(middle_ns(index).min(self.max_ns.load(Relaxed) as f64) / 1000.0);
            }
        }
        0.0
    }

    pub(crate) fn max_us(&self) -> f64 {
        round(self.max_ns.load(Relaxed) as f64 / 1000.0)
    }
}

/// To a tenth.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn bucket(ns: u64) -> usize {
    let exponent = 63 - ns.max(1).leading_zeros();
    if exponent < FINE_BITS {
        return ns as usize;
    }
    // The leading bit picks the row of buckets, the bits behind it the bucket.
    let shift = exponent - FINE_BITS;
    let index = (shift as usize) * FINE + (ns >> shift) as usize;
    index.min(BUCKETS - 1)
}

fn middle_ns(index: usize) -> f64 {
    if index < 2 * FINE {
        return index as f64;
    }
    let shift = index / FINE - 1;
    ((index - shift * FINE) as f64 + 0.5) * (1u64 << shift) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_says() {
        for ns in [0, 1, 127, 128, 129, 255, 256, 1_000, 65_535, 1_000_003, 60_000_000_000] {
            let middle = middle_ns(bucket(ns));
            assert!((middle - ns as f64).abs() <= ns as f64 * 0.008 + 0.5, "{ns} is counted as {middle}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_are_in_order() {
        let indexes: Vec<usize> = (0..100_000).map(|ns| bucket(ns * 7)).collect();
        assert!(indexes.is_sorted());
    }

    #[test]
    fn quantiles_are_ranks() {
        let (one, other) = (Latencies::new(), Latencies::new());
        for ms in 1..=50 {
            one.record(Duration::from_millis(ms));
            other.record(Duration::from_millis(ms + 50));
        }
        one.merge(&other);
        assert_eq!(one.count(), 100);
        assert!((one.quantile_us(0.5) - 50_000.0).abs() < 500.0);
        assert!((one.quantile_us(0.99) - 99_000.0).abs() < 1000.0);
        assert_eq!(one.quantile_us(1.0).max(one.max_us()), 100_000.0);
        assert_eq!(Latencies::new().quantile_us(0.5), 0.0);
    }
}

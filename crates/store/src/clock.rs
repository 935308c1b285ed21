use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time as the store sees it. Tests hand in one that they turn themselves.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970 by the wall clock. It may step back: the store never lets a store time do so.
    fn wall_ms(&self) -> i64;

    /// Time since some fixed moment; never steps back. All waits are measured with it.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the operating system.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

//! When to try again what failed.

use std::time::Duration;

/// Waits longer after each failure in a row, from 200 ms to 30 s, and tells when it is time for another warning.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Duration,
    warned: Option<Duration>,
}

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

impl Backoff {
    /// Whether it may be tried now.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.failures == 0 || now >= self.until
    }

    /// It failed; whether that is worth a warning: the first time, and once a minute.
    pub(crate) fn failed(&mut self, now: Duration) -> bool {
        // What was tried together and failed together is one failure.
        if self.failures == 0 || now >= self.until {
            let wait = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
            self.failures += 1;
            self.until = now + wait;
        }
        let is_due = self.warned.is_none_or(|warned| now.saturating_sub(warned) >= BETWEEN_WARNINGS);
        if is_due {
            self.warned = Some(now);
        }
        is_due
    }

    /// It worked.
    pub(crate) fn worked(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_longer_each_time_and_warns_once_a_minute() {
        let mut backoff = Backoff::default();
        let ms = Duration::from_millis;
        assert!(backoff.is_over(ms(0)));
        assert!(backoff.failed(ms(0)), "the first failure is told");
        assert!(!backoff.failed(ms(1)), "another of the same attempt");
        assert!(!backoff.is_over(ms(199)) && backoff.is_over(ms(200)));
        assert!(!backoff.failed(ms(200)));
        assert!(!backoff.is_over(ms(599)) && backoff.is_over(ms(600)));
        for _ in 0..100 {
            let next = backoff.until;
            backoff.failed(next);
            assert!(backoff.until - next <= LONGEST);
        }
        assert!(backoff.failed(backoff.until + BETWEEN_WARNINGS), "a minute later it is told again");
        backoff.worked();
        assert!(backoff.is_over(ms(0)));
    }
}

//! Log lines that peers can cause, kept to a few a second.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Lines of one period.
const LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// How many lines of this period were written. A peer that connects a thousand times a second with bytes that are no
/// frames must not fill a disk.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    said: u32,
    unsaid: u64,
}

impl Complaints {
    /// Whether one more line may be written, and how many were not since the last one.
    pub(crate) fn allow(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now - since >= PERIOD) {
            (state.since, state.said) = (Some(now), 0);
        }
        if state.said == LINES {
            state.unsaid += 1;
            return None;
        }
        state.said += 1;
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_ten_lines_a_second_and_a_number() {
        let complaints = Complaints::default();
        let allowed = (0..1_000).filter(|_| complaints.allow() == Some(0)).count();
        assert_eq!(allowed, 10);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((complaints.allow(), complaints.allow()), (Some(990), Some(0)));
    }
}

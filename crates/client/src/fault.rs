//! Which brokers to keep away from for a while (Java: `MQFaultStrategy`, `LatencyFaultToleranceImpl`).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Latencies, and how long a broker that shows one is kept away from.
const PENALTIES: [(u64, u64); 7] =
    [(50, 0), (100, 0), (550, 2_000), (1_800, 5_000), (3_000, 6_000), (5_000, 10_000), (15_000, 30_000)];

/// What an isolated broker is taken to have as latency.
const ISOLATION: Duration = Duration::from_secs(10);

/// What is known of brokers that were slow or failed. Pure: the clock is handed in.
#[derive(Debug, Default)]
pub(crate) struct FaultTable {
    faults: HashMap<String, Fault>,
}

#[derive(Debug)]
struct Fault {
    available_from: Instant,
    reachable: bool,
}

impl FaultTable {
    /// Notes how an attempt went. `isolate`: whatever the latency, treat it as 10 s.
    pub(crate) fn update(
        &mut self,
        broker: &str,
        latency: Duration,
        isolate: bool,
        reachable: bool,
        now: Instant,
    ) {
        let penalty = penalty(if isolate { ISOLATION } else { latency });
        let fault = Fault { available_from: now + penalty, reachable };
        self.faults.insert(broker.to_owned(), fault);
    }

    /// Whether the broker's penalty is over, or it never had one.
    pub(crate) fn is_available(&self, broker: &str, now: Instant) -> bool {
        self.faults.get(broker).is_none_or(|fault| fault.available_from <= now)
    }

    /// Whether nothing says that the broker cannot be reached.
    pub(crate) fn is_reachable(&self, broker: &str) -> bool {
        self.faults.get(broker).is_none_or(|fault| fault.reachable)
    }
}

/// The penalty of the largest threshold that the latency reaches.
fn penalty(latency: Duration) -> Duration {
    let millis = latency.as_millis();
    let reached = PENALTIES.iter().rev().find(|(threshold, _)| millis >= u128::from(*threshold));
    Duration::from_millis(reached.map_or(0, |(_, penalty)| *penalty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_are_those_of_the_largest_threshold_reached() {
        // spec: client 44
        for (latency, expected) in [
            (0, 0),
            (549, 0),
            (550, 2_000),
            (1_799, 2_000),
            (1_800, 5_000),
            (2_999, 5_000),
            (3_000, 6_000),
            (5_000, 10_000),
            (14_999, 10_000),
            (15_000, 30_000),
            (90_000, 30_000),
        ] {
            assert_eq!(
                penalty(Duration::from_millis(latency)),
                Duration::from_millis(expected),
                "{latency} ms"
            );
        }
    }

    #[test]
    fn an_isolated_broker_is_away_for_ten_seconds() {
        // spec: client 44
        let start = Instant::now();
        let mut table = FaultTable::default();
        table.update("a", Duration::from_millis(1), true, false, start);
        assert!(!table.is_available("a", start + Duration::from_millis(9_999)));
        assert!(table.is_available("a", start + Duration::from_secs(10)));
        assert!(!table.is_reachable("a"));
        assert!(table.is_available("b", start) && table.is_reachable("b"));
    }

    #[test]
    fn a_good_answer_takes_the_penalty_back() {
        let start = Instant::now();
        let mut table = FaultTable::default();
        table.update("a", Duration::from_secs(20), false, true, start);
        assert!(!table.is_available("a", start));
        table.update("a", Duration::from_millis(3), false, true, start);
        assert!(table.is_available("a", start));
    }
}

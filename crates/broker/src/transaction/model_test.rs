//! Transactions over restarts and kills, against a list of what has become of each.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rocketwire_protocol::message::{
    name::{TRANS_CHECK_MAX_TIME_TOPIC, TRANS_HALF_TOPIC},
    records,
};
use rocketwire_store::{MemoryStorage, ReadLimits};
use rocketwire_testkit::{ManualClock, Random, for_each_seed};

use super::{Half, check_due, end::conclude};
use crate::{Broker, metrics::Verdict, shared::Shared, testing, topics::new_config};

const STEPS: u64 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Asked about so often.
    Waiting(i32),
    Committed,
    RolledBack,
    GivenUp,
}

/// A half message: its body is its place in the list.
#[derive(Debug)]
struct Model {
    fate: Fate,
    /// Where it was and is in the half queue.
    offsets: Vec<i64>,
}

struct Pair {
    broker: Broker,
    storage: MemoryStorage,
    clock: Arc<ManualClock>,
    /// Op records need its threads.
    runtime: tokio::runtime::Runtime,
    halves: Vec<Model>,
    /// The half queue is known up to here.
    read_to: i64,
}

impl Pair {
    fn new() -> Pair {
        let (storage, clock) = (MemoryStorage::new(), testing::clock());
        let broker = testing::broker(&storage, &clock);
        broker.create_topic(new_config("T", 1, 6)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        broker.shared().blocking.set_runtime(runtime.handle().clone());
        Pair { broker, storage, clock, runtime, halves: Vec::new(), read_to: 0 }
    }

    fn shared(&self) -> &Arc<Shared> {
        self.broker.shared()
    }

    /// Offsets and bodies of queue 0 of a topic.
    fn messages(&self, topic: &str, from: i64) -> Vec<(i64, usize)> {
        let (store, queue) = (&self.shared().store, self.shared().topic(topic).unwrap().queue(0).unwrap());
        let limits = ReadLimits { max_messages: 1_000, max_bytes: 1 << 20, max_scan: 1_000 };
        let read = store.read(queue, from, limits, &mut |_| true).unwrap();
        let body = |body: &[u8]| std::str::from_utf8(body).unwrap().parse().unwrap();
        records(read.records).flatten().map(|record| (record.queue_offset(), body(&record.body()))).collect()
    }

    fn prepare(&mut self) {
        let body = self.halves.len().to_string();
        let properties = "PGROUP\u{1}PG\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}0\u{2}";
        let record = testing::record_for(TRANS_HALF_TOPIC, properties, &body);
        let appended = testing::store(self.shared(), TRANS_HALF_TOPIC, &record);
        let half = Half { group: "PG".into(), topic: "T".into() };
        let now = self.shared().now_ms();
        self.shared().transactions().prepared(&appended, half, now);
        self.halves.push(Model { fate: Fate::Waiting(0), offsets: Vec::new() });
    }

    /// A verdict by any of the offsets that a producer may know.
    fn decide(&mut self, random: &mut Random, fate: Fate) {
        let Some(half) = self.halves.get(random.below(self.halves.len() as u64) as usize) else { return };
        let offset = half.offsets[random.below(half.offsets.len() as u64) as usize];
        let id = self.halves.iter().position(|other| other.offsets == half.offsets).unwrap();
        let claimed = self.shared().transactions().claim(offset);
        assert_eq!(claimed.is_some(), matches!(half.fate, Fate::Waiting(_)), "{id} by {offset}: {half:?}");
        let Some((at, pending)) = claimed else { return };
        assert_eq!(Some(&at), half.offsets.last());
        let queue = self.shared().topic("T").unwrap().queue(0).unwrap();
        let (real, verdict) = match fate {
            Fate::Committed => {
                let record = testing::record_for("T", "", &id.to_string());
                (Some((queue, record)), Verdict::Commit { born_ms: 0 })
            }
            _ => (None, Verdict::Rollback),
        };
        conclude(self.shared(), at, pending, real, verdict, None);
        self.halves[id].fate = fate;
    }

    fn ask(&mut self) {
        self.clock.advance(Duration::from_secs(30));
        check_due(self.shared());
        let most = self.shared().options.transaction_check_max;
        for half in &mut self.halves {
            half.fate = match half.fate {
                Fate::Waiting(asked) if asked == most => Fate::GivenUp,
                Fate::Waiting(asked) => Fate::Waiting(asked + 1),
                other => other,
            };
        }
    }

    /// Starts it again on its files as they are.
    fn restart(&mut self) {
        self.storage = self.storage.snapshot();
        self.broker = testing::broker(&self.storage, &self.clock);
        self.shared().blocking.set_runtime(self.runtime.handle().clone());
    }

    /// Whether everything is where it should be.
    fn check(&mut self) {
        testing::until_quiet(self.shared());
        for (offset, id) in self.messages(TRANS_HALF_TOPIC, self.read_to) {
            self.halves[id].offsets.push(offset);
            self.read_to = offset + 1;
        }
        for (topic, fate) in [("T", Fate::Committed), (TRANS_CHECK_MAX_TIME_TOPIC, Fate::GivenUp)] {
            let mut found: Vec<_> = self.messages(topic, 0).iter().map(|(_, id)| *id).collect();
            found.sort_unstable();
            let those = self.halves.iter().enumerate().filter(|(_, half)| half.fate == fate);
            assert_eq!(found, those.map(|(id, _)| id).collect::<Vec<_>>(), "{fate:?}");
        }
        let waiting = self.halves.iter().filter(|half| matches!(half.fate, Fate::Waiting(_))).count();
        assert_eq!(self.shared().transactions().len(), waiting);
    }
}

#[test]
fn each_transaction_ends_once_whenever_the_broker_stops() {
    const NAMES: [&str; 7] = ["prepare", "commit", "roll back", "ask", "save", "stop", "kill"];
    let (mut done, mut given_up, mut sequences) = (BTreeMap::<_, u64>::new(), 0, 0);
    let is_whole = for_each_seed("transactions", "", 60, |seed| {
        sequences += 1;
        let (mut random, mut pair) = (Random::new(seed), Pair::new());
        for _ in 0..STEPS {
            let step = [0, 0, 0, 1, 2, 3, 3, 3, 3, 4, 5, 6][random.below(12) as usize];
            *done.entry(NAMES[step]).or_default() += 1;
            match step {
                0 => pair.prepare(),
                1 => pair.decide(&mut random, Fate::Committed),
                2 => pair.decide(&mut random, Fate::RolledBack),
                3 => pair.ask(),
                4 => pair.shared().tables.save_changed(pair.shared()).unwrap(),
                5 => {
                    pair.shared().tables.save_all(pair.shared()).unwrap();
                    pair.restart();
                }
                _ => pair.restart(),
            }
            pair.check();
        }
        given_up += pair.halves.iter().filter(|half| half.fate == Fate::GivenUp).count();
    });
    println!("{sequences} sequences of {STEPS} steps: {done:?}, {given_up} given up");
    assert!(!is_whole || done.len() == NAMES.len() && given_up > 10, "{done:?}, {given_up}");
}

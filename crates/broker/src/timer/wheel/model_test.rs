//! The wheel against a list that says of each message of the timer topic what has become of it.

use std::collections::BTreeMap;

use rocketwire_testkit::{Random, for_each_seed};

use super::*;

const LIMIT: usize = 25;
const STEPS: u64 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    UnderWay,
    /// Delivered, cancelled, or a cancellation that is through.
    Done,
}

/// A record of the timer topic.
#[derive(Clone, Copy, Debug)]
struct Record {
    out_ms: i64,
    stored_ms: i64,
    /// The message that it cancels.
    cancels: Option<usize>,
}

struct Pair {
    wheel: Wheel,
    topic: Vec<Record>,
    /// Of what was read since the start, by offset.
    fates: BTreeMap<usize, Fate>,
    /// What was handed over for delivery since the start.
    handed: HashSet<usize>,
    /// What was ever delivered or cancelled.
    ended: HashSet<usize>,
    /// The last snapshot that was saved, and what was done by then.
    saved: (TimerSnapshot, HashSet<usize>),
    /// What the snapshot that is being read again knows as done, and where it ends.
    restored: Option<HashSet<usize>>,
    read_to: i64,
    /// The time whose cancellations count.
    cancelling_ms: i64,
    roll_ms: i64,
    wall_ms: i64,
    now: Duration,
    random: Random,
    done: BTreeMap<&'static str, u64>,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let roll_ms = 500;
        Pair {
            wheel: Wheel::restore(TimerSnapshot::default(), (0, 0), LIMIT, Duration::from_millis(500)),
            topic: Vec::new(),
            fates: BTreeMap::new(),
            handed: HashSet::new(),
            ended: HashSet::new(),
            saved: (TimerSnapshot::default(), HashSet::new()),
            restored: None,
            read_to: 0,
            cancelling_ms: 0,
            roll_ms,
            wall_ms: 1_000,
            now: Duration::ZERO,
            random: Random::new(seed),
            done: BTreeMap::new(),
        }
    }

    fn end(&self) -> i64 {
        self.topic.len() as i64
    }

    fn due(&self, offset: usize) -> i64 {
        let record = &self.topic[offset];
        record.out_ms.min(record.stored_ms + self.roll_ms)
    }

    fn entry(&self, offset: usize) -> Entry {
        let is_message = self.topic[offset].cancels.is_none();
        Entry { due_ms: self.due(offset), is_message, offset: offset as i64 }
    }

    fn with(&self, fate: Fate) -> Vec<usize> {
        self.fates.iter().filter(|(_, of)| **of == fate).map(|(offset, _)| *offset).collect()
    }

    fn len(&self) -> usize {
        self.fates.values().filter(|fate| **fate != Fate::Done).count()
    }

    fn step(&mut self) {
        let action = match self.random.below(100) {
            0..25 => "store",
            25..33 => "cancel",
            33..53 => "read",
            53..71 => "take",
            71..85 => "finish",
            85..90 => "fail",
            90..92 => "turn the clock",
            92..96 => "save",
            _ => "restart",
        };
        *self.done.entry(action).or_default() += 1;
        match action {
            "store" => self.store(None),
            "cancel" => {
                let some = self.random.below(self.topic.len().max(1) as u64) as usize;
                if self.topic.get(some).is_some_and(|record| record.cancels.is_none()) {
                    self.store(Some(some));
                }
            }
            "read" => {
                let some = 1 + self.random.below(6);
                self.read(some);
            }
            "take" => {
                let some = 1 + self.random.below(6) as usize;
                self.take(some);
            }
            "finish" => self.finish(true),
            "fail" => self.finish(false),
            "turn the clock" => self.wall_ms += self.random.below(600) as i64 - 300,
            "save" => self.save(),
            _ => self.restart(),
        }
        self.wall_ms += self.random.below(40) as i64;
        self.now += Duration::from_millis(self.random.below(400));
        self.check();
    }

    fn store(&mut self, cancels: Option<usize>) {
        let stored_ms = self.wall_ms;
        let out_ms = match cancels {
            // A cancellation is due when its message is.
            Some(message) => self.topic[message].out_ms,
            None => stored_ms + self.random.below(300) as i64 - 20,
        };
        self.topic.push(Record { out_ms, stored_ms, cancels });
    }

    fn read(&mut self, count: u64) {
        for _ in 0..count {
            let has_room = self.restored.is_some() || self.len() < LIMIT;
            let expected = (self.read_to < self.end() && has_room).then_some(self.read_to);
            assert_eq!(self.wheel.next_read(self.end()), expected);
            let Some(offset) = expected else { return };
            let Entry { is_message, .. } = self.entry(offset as usize);
            let Record { out_ms, stored_ms, .. } = self.topic[offset as usize];
            self.wheel.add(offset, out_ms, stored_ms, is_message);
            self.wheel.read(offset + 1);
            self.read_to = offset + 1;
            let is_known = self.restored.as_ref().is_some_and(|done| done.contains(&(offset as usize)));
            let fate = if is_known { Fate::Done } else { Fate::Waiting };
            self.fates.insert(offset as usize, fate);
            if self.read_to >= self.saved.0.read_to {
                self.restored = None;
            }
        }
    }

    /// What the broker does with what is due: cancellations count at once, messages are handed to the store.
    fn take(&mut self, max: usize) {
        let mut expected: Vec<Entry> =
            self.with(Fate::Waiting).iter().map(|offset| self.entry(*offset)).collect();
        expected.retain(|entry| entry.due_ms <= self.wall_ms);
        expected.sort_unstable();
        expected.truncate(max);
        if self.restored.is_some() || !self.wheel.backoff.is_over(self.now) {
            expected.clear();
        }
        let taken = self.wheel.take_due(self.wall_ms, self.now, max);
        assert_eq!(taken, expected);
        for entry in taken {
            let offset = entry.offset as usize;
            self.fates.insert(offset, Fate::UnderWay);
            self.begin(entry.due_ms);
            match self.topic[offset].cancels {
                Some(message) => self.wheel.cancel(entry, &format!("key {message}")),
                None if self.wheel.is_cancelled(entry, &format!("key {offset}")) => {
                    assert!(self.cancellations(offset) > 0, "nobody has cancelled {offset}");
                    self.wheel.finished(entry, true);
                    self.fates.insert(offset, Fate::Done);
                    self.ended.insert(offset);
                }
                None => {
                    let is_first = self.handed.insert(offset);
                    let is_cancelled = is_first && self.is_cancelled_in_time(offset);
                    assert!(!is_cancelled, "{offset} was cancelled before anybody had it");
                }
            }
        }
    }

    /// Cancellations of earlier times are through.
    fn begin(&mut self, due_ms: i64) {
        if due_ms > self.cancelling_ms {
            self.cancelling_ms = due_ms;
            for offset in self.with(Fate::UnderWay) {
                if self.topic[offset].cancels.is_some() && self.due(offset) < due_ms {
                    self.fates.insert(offset, Fate::Done);
                    self.ended.insert(offset);
                }
            }
        }
    }

    fn cancellations(&self, message: usize) -> usize {
        self.topic.iter().filter(|record| record.cancels == Some(message)).count()
    }

    /// A cancellation of this message was read, and is due at the same time.
    fn is_cancelled_in_time(&self, message: usize) -> bool {
        let counts = |(offset, fate): (&usize, &Fate)| {
            self.topic[*offset].cancels == Some(message)
                && *fate != Fate::Done
                && self.due(*offset) == self.due(message)
        };
        self.fates.iter().any(counts)
    }

    fn finish(&mut self, stored: bool) {
        let messages = self.with(Fate::UnderWay).into_iter().filter(|at| self.topic[*at].cancels.is_none());
        let messages: Vec<usize> = messages.collect();
        let Some(offset) = messages.get(self.random.below(messages.len() as u64) as usize).copied() else {
            return;
        };
        self.wheel.finished(self.entry(offset), stored);
        if stored {
            self.fates.insert(offset, Fate::Done);
            self.ended.insert(offset);
        } else {
            self.wheel.backoff.failed(self.now);
            self.fates.insert(offset, Fate::Waiting);
        }
    }

    fn save(&mut self) {
        let snapshot = self.wheel.snapshot();
        if self.restored.is_some() {
            assert_eq!(snapshot, self.saved.0, "until all is read again the old one counts");
            return;
        }
        self.saved = (snapshot, self.with(Fate::Done).into_iter().chain(self.before_start()).collect());
    }

    /// What is not read any more, because a snapshot said that nothing of it waits.
    fn before_start(&self) -> impl Iterator<Item = usize> {
        0..self.fates.keys().next().copied().unwrap_or(self.read_to as usize)
    }

    /// A kill: what comes back is what was saved last. Now and then with another longest wait.
    fn restart(&mut self) {
        let text = serde_json::to_vec(&self.saved.0).unwrap();
        let snapshot: TimerSnapshot = serde_json::from_slice(&text).unwrap();
        if self.random.percent(30) {
            self.roll_ms = 100 + self.random.below(800) as i64;
        }
        let roll = Duration::from_millis(self.roll_ms.unsigned_abs());
        let (from, is_behind) = (snapshot.from, snapshot.read_to > snapshot.from);
        self.wheel = Wheel::restore(snapshot, (0, self.end()), LIMIT, roll);
        assert!((0..from as usize).all(|offset| self.saved.1.contains(&offset)), "what waits is read again");
        self.restored = is_behind.then(|| self.saved.1.clone());
        self.read_to = from;
        self.fates.clear();
        self.handed.clear();
        self.cancelling_ms = 0;
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.len());
        assert_eq!(self.wheel.unread(self.end()), self.end() - self.read_to);
        assert_eq!(
            self.wheel.is_full(self.end()),
            self.len() + (self.end() - self.read_to) as usize >= LIMIT
        );
        let messages = self.with(Fate::UnderWay).into_iter().filter(|at| self.topic[*at].cancels.is_none());
        assert_eq!(self.wheel.under_way(), messages.count());
    }

    /// Time passes until nothing is left to do: each message has been delivered or was cancelled.
    fn wait_for_the_end(&mut self) {
        self.wall_ms += 1_000_000;
        for _ in 0..10 * self.topic.len() + 10 {
            self.now += Duration::from_secs(3600);
            self.read(u64::MAX);
            self.take(usize::MAX);
            while self.with(Fate::UnderWay).iter().any(|at| self.topic[*at].cancels.is_none()) {
                self.finish(true);
            }
        }
        let is_missing = |at: &usize| self.topic[*at].cancels.is_none() && !self.ended.contains(at);
        assert_eq!((0..self.topic.len()).find(is_missing), None, "neither delivered nor cancelled");
    }
}

#[test]
fn the_wheel_does_what_a_list_of_fates_does() {
    let mut done = BTreeMap::<_, u64>::new();
    let (mut sequences, mut delivered) = (0, 0);
    let is_whole = for_each_seed("timers", "", 1_000, |seed| {
        let mut pair = Pair::new(seed);
        for _ in 0..STEPS {
            pair.step();
        }
        pair.wait_for_the_end();
        sequences += 1;
        delivered += pair.ended.len();
        for (action, count) in pair.done {
            *done.entry(action).or_default() += count;
        }
    });
    let steps: u64 = done.values().sum();
    println!("{sequences} sequences of {} steps: {done:?}, {delivered} ended", steps / sequences);
    assert!(steps == sequences * STEPS);
    assert!(!is_whole || (done.len() == 9 && done.values().all(|count| *count > 500)), "{done:?}");
    assert!(!is_whole || delivered > 10_000, "{delivered} messages");
}

//! A store on a disk that fails, and a book of what was promised: after every restart the two are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rocketwire_store::{Drive, Flush, OpenError, StoreOptions, Wait};
use rocketwire_testkit::{ManualClock, Random, SimulatedDisk};

use crate::support::{Answer, Log, Message, open};

pub const RETENTION: Duration = Duration::from_secs(100);
pub const QUEUES: [(&str, u32); 3] = [("orders", 0), ("orders", 1), ("a", 7)];

/// What a queue must and may hold.
#[derive(Debug, Clone, Default)]
struct Book {
    /// Offset -> body and store time of what was acknowledged.
    acked: BTreeMap<i64, (String, i64)>,
    /// Offset -> every body that was tried there.
    tried: BTreeMap<i64, BTreeSet<String>>,
    /// Offset -> what a reader got.
    delivered: BTreeMap<i64, String>,
    /// A deletion whose outcome is not known.
    may_be_deleted: bool,
    min: i64,
}

pub struct World {
    pub disk: SimulatedDisk,
    pub clock: Arc<ManualClock>,
    pub options: StoreOptions,
    pub log: Option<Log>,
    books: BTreeMap<(&'static str, u32), Book>,
    /// Batches that nobody has looked for yet: all of one is there or nothing.
    batches: Vec<((&'static str, u32), Vec<String>)>,
    /// Contents of the table that the next load may give.
    table: BTreeSet<Option<Vec<u8>>>,
    counter: u64,
    /// An append has failed in this boot.
    has_failed: bool,
    pub acked: u64,
}

impl World {
    pub fn new(seed: u64, flush: Flush, segment_bytes: u64, tail_cache_bytes: usize) -> Self {
        let mut options = StoreOptions::new(Path::new("/store"));
        options.flush = flush;
        options.segment_bytes = segment_bytes;
        options.frame_bytes = 400;
        options.tail_cache_bytes = tail_cache_bytes;
        options.read_cache_bytes = 2000;
        options.max_open_files = 2;
        options.retention = RETENTION;
        options.min_free_bytes = 0;
        options.drive = Drive::Manual;
        Self {
            disk: SimulatedDisk::new(seed),
            clock: Arc::new(ManualClock::new(1_000_000)),
            options,
            log: None,
            books: QUEUES.into_iter().map(|queue| (queue, Book::default())).collect(),
            batches: Vec::new(),
            table: BTreeSet::from([None]),
            counter: 0,
            has_failed: false,
            acked: 0,
        }
    }

    /// The same disk and book, apart; nothing is open.
    pub fn fork(&self, seed: u64) -> Self {
        let wall = rocketwire_store::Clock::wall_ms(&*self.clock);
        Self {
            disk: self.disk.fork(seed),
            clock: Arc::new(ManualClock::new(wall)),
            options: self.options.clone(),
            log: None,
            books: self.books.clone(),
            batches: self.batches.clone(),
            table: self.table.clone(),
            counter: self.counter,
            has_failed: false,
            acked: self.acked,
        }
    }

    pub fn boot(&mut self) -> Result<(), OpenError> {
        self.has_failed = false;
        // The store before is gone: closed behind the new one's back, it would flush folders for it.
        self.log = None;
        let disk = Arc::new(self.disk.clone());
        let (log, _) = open(disk, self.clock.clone(), Arc::new(()), self.options.clone())?;
        self.log = Some(log);
        Ok(())
    }

    pub fn log(&self) -> &Log {
        self.log.as_ref().expect("the store is open")
    }

    /// Whether an append has failed since the store was opened.
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Zeros at the end of the newest segment: written ahead of the log.
    pub fn zeros_ahead(&self) -> usize {
        let segments = self.disk.paths().into_iter().filter(|path| path.starts_with("/store/log"));
        let bytes = segments.max().and_then(|newest| self.disk.contents(&newest)).unwrap_or_default();
        bytes.iter().rev().take_while(|byte| **byte == 0).count()
    }

    /// Several appends that share a group, each of some messages.
    pub fn append(&mut self, random: &mut Random) {
        let log = self.log().clone();
        let mut waiting = Vec::new();
        for _ in 0..1 + random.below(4) {
            let (topic, queue_id) = QUEUES[random.below(3) as usize];
            let bodies: Vec<String> = (0..1 + random.below(3)).map(|_| self.body(random)).collect();
            let messages: Vec<_> = bodies.iter().map(|body| Message::new(topic, queue_id, body)).collect();
            let wait = if random.percent(20) { Wait::Write } else { Wait::Flush };
            waiting.push(((topic, queue_id), bodies.clone(), wait, log.send(&messages, wait)));
            self.clock.advance(Duration::from_millis(random.below(50)));
        }
        log.turn();
        for (queue, bodies, wait, answer) in waiting {
            let answer = answer.try_recv().expect("a turn answers everything");
            self.note(queue, bodies, wait, answer);
        }
    }

    fn note(&mut self, queue: (&'static str, u32), bodies: Vec<String>, wait: Wait, answer: Answer) {
        let is_sync = self.options.flush == Flush::Sync;
        self.batches.push((queue, bodies.clone()));
        let Ok(appended) = answer else {
            self.has_failed = true;
            // It may be there after all, at the next offsets. Which those are is not told.
            let book = self.books.get_mut(&queue).unwrap();
            let from = book.tried.keys().next_back().map_or(0, |last| last + 1);
            let from = from.min(book.acked.keys().next_back().map_or(0, |last| last + 1));
            for offset in from..from + 40 {
                book.tried.entry(offset).or_default().extend(bodies.iter().cloned());
            }
            return;
        };
        assert!(!self.has_failed || wait == Wait::Write, "an append is acknowledged after one has failed");
        let book = self.books.get_mut(&queue).unwrap();
        for (offset, body) in (appended.queue_offset..).zip(bodies) {
            book.tried.entry(offset).or_default().insert(body.clone());
            // WAIT=false is not promised to survive a cut.
            if wait == Wait::Flush || !is_sync {
                self.acked += 1;
                book.acked.insert(offset, (body, appended.store_timestamp));
            }
        }
    }

    fn body(&mut self, random: &mut Random) -> String {
        self.counter += 1;
        let padding = if random.percent(10) { random.below(1500) } else { random.below(60) };
        format!("{}{}", self.counter, ".".repeat(padding as usize))
    }

    pub fn save_table(&mut self) {
        self.counter += 1;
        let content = format!("table {}", self.counter).into_bytes();
        match self.log().table("topics").unwrap().save(&content) {
            Ok(()) => self.table = BTreeSet::from([Some(content)]),
            Err(_) => drop(self.table.insert(Some(content))),
        }
    }

    pub fn delete_topic(&mut self, topic: &str) {
        let is_done = self.log().delete_topic(topic).is_ok();
        for (_, book) in self.books.iter_mut().filter(|((name, _), _)| *name == topic) {
            if is_done { *book = Book::default() } else { book.may_be_deleted = true }
        }
    }

    pub fn retain(&mut self) {
        use rocketwire_store::Clock;
        let _ = self.log().retain(self.clock.wall_ms());
    }

    /// What async appends wait for.
    pub fn flush(&mut self) -> bool {
        self.log().flush().is_ok()
    }

    /// Reads everything, as a consumer does, and compares it with the book.
    pub fn check(&mut self) {
        let log = self.log().clone();
        let now = rocketwire_store::Clock::wall_ms(&*self.clock);
        let batches = std::mem::take(&mut self.batches);
        for (&(topic, queue_id), book) in &mut self.books {
            let queue = log.queue(topic, queue_id);
            let bounds = log.bounds(queue);
            let bodies = log.bodies(topic, queue_id);
            assert_eq!(bodies.len() as i64, bounds.max - bounds.min, "{topic}/{queue_id}: all can be read");
            // What was delivered counts as well: messages with WAIT=false are in nobody's receipts.
            let last = book.acked.keys().next_back().max(book.delivered.keys().next_back());
            if book.may_be_deleted && last.is_some_and(|last| bounds.max <= *last) {
                assert_eq!(bounds.max, 0, "{topic}/{queue_id}: a deleted queue begins at 0");
                *book = Book::default();
            }
            book.may_be_deleted = false;
            let there: BTreeSet<&String> = bodies.iter().collect();
            for (_, batch) in batches.iter().filter(|(queue, _)| *queue == (topic, queue_id)) {
                let found = batch.iter().filter(|body| there.contains(body)).count();
                assert!(
                    found == 0 || found == batch.len(),
                    "{topic}/{queue_id}: {found} of the batch {batch:?}"
                );
            }
            book.check(&format!("{topic}/{queue_id}"), bounds.min, &bodies, now);
        }
        let found = log.table("topics").unwrap().load().expect("the table can be loaded");
        assert!(self.table.contains(&found), "the table holds {found:?} instead of one of {:?}", self.table);
        self.table = BTreeSet::from([found]);
    }

    /// After a power cut with async flushes: what is there now is what was not lost.
    pub fn forgive(&mut self) {
        let log = self.log().clone();
        for (&(topic, queue_id), book) in &mut self.books {
            let max = log.bounds(log.queue(topic, queue_id)).max;
            book.acked.retain(|offset, _| *offset < max);
            book.delivered.retain(|offset, _| *offset < max);
            // The offsets behind are given out again.
            book.tried.retain(|offset, _| *offset < max);
        }
    }

    /// Number of acknowledged messages that are not there.
    pub fn missing(&self) -> usize {
        let log = self.log();
        let of_queue = |(&(topic, queue_id), book): (&(&str, u32), &Book)| {
            let max = log.bounds(log.queue(topic, queue_id)).max;
            book.acked.range(max..).count()
        };
        self.books.iter().map(of_queue).sum()
    }
}

impl Book {
    fn check(&mut self, queue: &str, min: i64, bodies: &[String], now: i64) {
        assert!(min >= self.min, "{queue}: the oldest offset never goes back");
        self.min = min;
        let max = min + bodies.len() as i64;
        for (offset, (body, time)) in &self.acked {
            let Ok(at) = usize::try_from(offset - min) else {
                let is_old = *time < now - RETENTION.as_millis() as i64;
                assert!(is_old, "{queue}: {offset} is young and was deleted");
                continue;
            };
            assert!(*offset < max, "{queue}: {offset} was acknowledged and is lost, the queue ends at {max}");
            assert_eq!(&bodies[at], body, "{queue}: {offset} was acknowledged with another content");
        }
        for (offset, body) in (min..).zip(bodies) {
            let is_tried = self.tried.get(&offset).is_some_and(|tried| tried.contains(body));
            assert!(is_tried, "{queue}: {offset} holds what nobody sent there");
            let delivered = self.delivered.entry(offset).or_insert_with(|| body.clone());
            assert_eq!(delivered, body, "{queue}: {offset} was delivered with another content");
        }
        // What was delivered stays, whoever was told that it was stored.
        if let Some((last, _)) = self.delivered.last_key_value() {
            assert!(*last < max, "{queue}: {last} was delivered and is lost");
        }
    }
}

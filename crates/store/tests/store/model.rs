//! A store and a model of it that is a vector for each queue.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rocketwire_store::{
    AppendError, Drive, Flush, MemoryStorage, QueueId, ReadLimits, ReadStatus, StoreOptions, Wait,
};
use rocketwire_testkit::{ManualClock, rounds};

use crate::support::{Log, Message, open, text};

#[derive(Debug, Clone)]
enum Step {
    Append {
        queue: u32,
        sizes: Vec<usize>,
        tag: bool,
    },
    Read {
        queue: u32,
        offset: i64,
        messages: usize,
        bytes: usize,
        scan: usize,
        tagged: bool,
    },
    Delete,
    /// With the id of a queue whose topic was deleted.
    Stale {
        which: usize,
    },
    Reopen {
        close: bool,
    },
}

impl Step {
    fn name(&self) -> &'static str {
        match self {
            Step::Append { .. } => "append",
            Step::Read { .. } => "read",
            Step::Delete => "delete",
            Step::Stale { .. } => "use a stale id",
            Step::Reopen { close: true } => "close and open",
            Step::Reopen { close: false } => "kill and open",
        }
    }
}

/// How often each step was done, to see that sequences are long and of all kinds.
static HISTOGRAM: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = (0..3_u32, prop::collection::vec(0..300_usize, 1..5), any::<bool>())
        .prop_map(|(queue, sizes, tag)| Step::Append { queue, sizes, tag });
    let read = (0..3_u32, -2..60_i64, 0..10_usize, 0..2000_usize, 0..20_usize, any::<bool>()).prop_map(
        |(queue, offset, messages, bytes, scan, tagged)| Step::Read {
            queue,
            offset,
            messages,
            bytes,
            scan,
            tagged,
        },
    );
    let step = prop_oneof![
        8 => append,
        8 => read,
        1 => Just(Step::Delete),
        1 => (0..20_usize).prop_map(|which| Step::Stale { which }),
        1 => any::<bool>().prop_map(|close| Step::Reopen { close }),
    ];
    prop::collection::vec(step, 40..61)
}

/// Body, tags and size of a record.
type Model = BTreeMap<u32, Vec<(String, bool, usize)>>;

struct Pair {
    storage: Arc<MemoryStorage>,
    options: StoreOptions,
    log: Log,
    model: Model,
    /// Queues that were deleted since the start.
    gone: Vec<QueueId>,
    counter: usize,
}

impl Pair {
    fn new(segment_bytes: u64, tail_cache_bytes: usize, flush: Flush) -> Self {
        let mut options = StoreOptions::new(Path::new("/store"));
        options.drive = Drive::Manual;
        options.segment_bytes = segment_bytes;
        options.frame_bytes = 500;
        options.tail_cache_bytes = tail_cache_bytes;
        options.read_cache_bytes = 1000;
        options.flush = flush;
        let storage = Arc::new(MemoryStorage::new());
        let log = start(&storage, &options);
        Self { storage, options, log, model: Model::new(), gone: Vec::new(), counter: 0 }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { queue, sizes, tag } => self.append(queue, &sizes, tag),
            Step::Read { queue, offset, messages, bytes, scan, tagged } => {
                let limits = ReadLimits { max_messages: messages, max_bytes: bytes, max_scan: scan };
                self.read(queue, offset, limits, tagged);
            }
            Step::Delete => {
                self.gone.extend((0..3).filter_map(|queue| self.log.find_queue("t", queue)));
                self.log.delete_topic("t").unwrap();
                self.model.clear();
            }
            Step::Stale { which } => self.stale(which),
            Step::Reopen { close } => {
                if close {
                    self.log.close().unwrap();
                } else {
                    // A process that dies lets go of its lock and writes nothing more.
                    self.storage = Arc::new(self.storage.snapshot());
                }
                self.gone.clear();
                self.log = start(&self.storage, &self.options);
            }
        }
    }

    fn stale(&self, which: usize) {
        let Some(queue) = self.gone.iter().cycle().nth(which).copied() else { return };
        let limits = ReadLimits { max_messages: 1, max_bytes: 100, max_scan: 1 };
        let found = self.log.read(queue, 0, limits, &mut |_| true).unwrap();
        assert_eq!((found.status, found.max_offset), (ReadStatus::NoMatchedLogicQueue, 0));
        for queue_id in 0..3 {
            let record = Message::new("t", queue_id, "too late").record();
            let answer = self.log.send_raw(queue, &record, Wait::Flush).try_recv();
            assert_eq!(answer.unwrap(), Err(AppendError::UnknownQueue));
        }
    }

    fn append(&mut self, queue: u32, sizes: &[usize], tag: bool) {
        let bodies: Vec<String> = sizes
            .iter()
            .map(|size| {
                self.counter += 1;
                format!("{}{}", self.counter, "-".repeat(*size))
            })
            .collect();
        let message = |body| Message::new("t", queue, body).tags(if tag { "TagA" } else { "" });
        let messages: Vec<_> = bodies.iter().map(|body| message(body)).collect();
        let records = self.model.entry(queue).or_default();
        let appended = self.log.put_all(&messages, Wait::Flush).unwrap();
        assert_eq!(appended.queue_offset, records.len() as i64);
        let sizes = messages.iter().map(|message| message.record().len());
        records.extend(bodies.iter().cloned().zip(sizes).map(|(body, size)| (body, tag, size)));
    }

    /// The lookup of a pull, said once more in the plainest way.
    fn read(&self, queue: u32, offset: i64, limits: ReadLimits, tagged: bool) {
        let id = self.log.queue("t", queue);
        let found = self.log.read(id, offset, limits, &mut |code| !tagged || code != 0).unwrap();
        let none = Vec::new();
        let records = self.model.get(&queue).unwrap_or(&none);
        let max = records.len() as i64;
        assert_eq!((found.min_offset, found.max_offset), (0, max));
        let outside = match offset {
            _ if max == 0 => Some((ReadStatus::NoMessageInQueue, 0)),
            _ if offset < 0 => Some((ReadStatus::OffsetTooSmall, 0)),
            _ if offset == max => Some((ReadStatus::OffsetOverflowOne, offset)),
            _ if offset > max => Some((ReadStatus::OffsetOverflowBadly, max)),
            _ => None,
        };
        if let Some(outside) = outside {
            assert_eq!((found.status, found.next_offset), outside);
            return;
        }
        let (mut wanted, mut bytes, mut next) = (Vec::new(), 0, offset as usize);
        while next < records.len() && next - (offset as usize) < limits.max_scan.max(1) {
            let (body, tag, size) = &records[next];
            if !wanted.is_empty() && (wanted.len() >= limits.max_messages || bytes + size > limits.max_bytes)
            {
                break;
            }
            if *tag || !tagged {
                wanted.push(body.clone());
                bytes += size;
            }
            next += 1;
        }
        let status = if wanted.is_empty() { ReadStatus::NoMatchedMessage } else { ReadStatus::Found };
        assert_eq!((found.status, found.next_offset, found.count), (status, next as i64, wanted.len()));
        assert_eq!(text(&found.records), wanted);
    }
}

fn start(storage: &Arc<MemoryStorage>, options: &StoreOptions) -> Log {
    let clock = Arc::new(ManualClock::new(1));
    clock.advance(Duration::from_millis(1));
    open(storage.clone(), clock, Arc::new(()), options.clone()).unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: rounds(150) as u32, ..ProptestConfig::default() })]

    fn sequences(
        steps in steps(),
        segment_bytes in 200..4000_u64,
        tail in prop_oneof![Just(0_usize), 100..5000_usize],
        is_sync in any::<bool>(),
    ) {
        let flush = if is_sync { Flush::Sync } else { Flush::Async };
        let mut pair = Pair::new(segment_bytes, tail, flush);
        let mut histogram = HISTOGRAM.lock().unwrap();
        *histogram.entry("sequences").or_default() += 1;
        for step in &steps {
            *histogram.entry(step.name()).or_default() += 1;
        }
        drop(histogram);
        for step in steps {
            pair.step(step);
        }
        for queue in 0..3 {
            let expected: Vec<_> = pair.model.get(&queue).into_iter().flatten().map(|(body, ..)| body.clone()).collect();
            prop_assert_eq!(pair.log.bodies("t", queue), expected);
        }
    }
}

#[test]
fn a_store_does_what_a_vector_for_each_queue_does() {
    sequences();
    let histogram = HISTOGRAM.lock().unwrap().clone();
    println!("{histogram:?}");
    let count = |name| histogram.get(name).copied().unwrap_or_default();
    let steps: u64 = histogram.values().sum::<u64>() - count("sequences");
    if count("sequences") >= 100 {
        assert!(steps >= 40 * count("sequences"), "sequences are long: {histogram:?}");
        assert!(
            histogram.len() == 7 && histogram.values().all(|count| *count > 50),
            "all steps: {histogram:?}"
        );
    }
}

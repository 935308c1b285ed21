//! Appends and reads per second of one store, without a network: `cargo bench -p rocketwire-store -- [FOLDER]`.
//!
//! One thread appends and keeps so many appends unanswered; the store's own threads do the rest. In the rows `1 core`
//! that thread does the writing too. The column per CPU second counts what all threads of the process used, and means
//! the same on a machine that has other things to do.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a bench

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rocketwire_store::{
    Append, AppendError, Appended, Completion, Drive, Flush, ReadLimits, RealStorage, Store, StoreOptions,
    SystemClock, Wait,
};

const RUN: Duration = Duration::from_secs(2);

struct Count(Arc<AtomicUsize>);

impl Completion for Count {
    fn complete(self, result: Result<Appended, AppendError>) {
        result.expect("appends succeed");
        self.0.fetch_add(1, Ordering::Release);
    }
}

fn main() {
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let folder = folder
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join(format!("rw-bench-{}", std::process::id()));
    println!(
        "{:>6} {:>8} {:>6} {:>12} {:>12} {:>14} {:>8}",
        "flush", "threads", "body", "outstanding", "appends/s", "per CPU second", "MB/s"
    );
    for flush in [Flush::Async, Flush::Sync] {
        for drive in [Drive::Manual, Drive::Threads] {
            for (body, outstanding) in [(128, 64), (128, 1024), (1024, 64), (1024, 1024)] {
                appends(&folder, flush, drive, body, outstanding);
                std::fs::remove_dir_all(&folder).expect("the folder was made here");
            }
        }
    }
    reads(&folder);
    std::fs::remove_dir_all(&folder).expect("the folder was made here");
}

fn open(folder: &Path, flush: Flush, drive: Drive) -> Store<Count> {
    let options = StoreOptions { flush, drive, min_free_bytes: 0, ..StoreOptions::new(folder) };
    let opened = Store::open(options, Arc::new(RealStorage), Arc::new(SystemClock::default()), Arc::new(()));
    opened.expect("the folder can be used").0
}

fn appends(folder: &Path, flush: Flush, drive: Drive, body: usize, outstanding: usize) {
    let store = open(folder, flush, drive);
    let (start, used) = (Instant::now(), cpu_seconds());
    let count = append_until(&store, body, outstanding, |_| start.elapsed() >= RUN) as f64;
    let (seconds, used) = (start.elapsed().as_secs_f64(), cpu_seconds() - used);
    let megabytes = store.physical_bounds().max as f64 / seconds / 1e6;
    let threads = if drive == Drive::Manual { "1 core" } else { "own" };
    println!(
        "{:>6} {threads:>8} {body:>6} {outstanding:>12} {:>12.0} {:>14.0} {megabytes:>8.0}",
        format!("{flush:?}"),
        count / seconds,
        count / used,
    );
    store.close().expect("the store is sound");
}

/// CPU time of all threads of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // User and system time, in hundredths of a second.
    [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Appends to four queues in turn; how many.
fn append_until(
    store: &Store<Count>,
    body: usize,
    outstanding: usize,
    is_over: impl Fn(usize) -> bool,
) -> usize {
    let answered = Arc::new(AtomicUsize::new(0));
    let records: Vec<_> = (0..4).map(|queue| record(queue, body)).collect();
    let queues: Vec<_> = (0..4).map(|queue| store.queue("BenchTopic", queue)).collect();
    let mut sent = 0_usize;
    while !sent.is_multiple_of(64) || !is_over(sent) {
        while sent - answered.load(Ordering::Acquire) >= outstanding {
            if !store.turn() {
                std::thread::yield_now();
            }
        }
        let append = Append { queue: queues[sent % 4], records: &records[sent % 4], wait: Wait::Flush };
        store.append(append, Count(answered.clone()));
        sent += 1;
    }
    while answered.load(Ordering::Acquire) < sent {
        if !store.turn() {
            std::thread::yield_now();
        }
    }
    sent
}

fn reads(folder: &Path) {
    let store = open(folder, Flush::Async, Drive::Threads);
    append_until(&store, 128, 1024, |sent| sent >= 1_000_000);
    store.flush().expect("the store is sound");
    let queue = store.queue("BenchTopic", 0);
    let end = store.bounds(queue).max;
    println!("{:>20} {:>12} {:>12} {:>14}", "reads", "pulls/s", "records/s", "per CPU second");
    read_over(&store, "tail, 32 a pull", end - 20_000, end, 32);
    read_over(&store, "tail, 1 a pull", end - 20_000, end, 1);
    read_over(&store, "old, 32 a pull", 0, end - 100_000, 32);
    read_over(&store, "old, 1 a pull", 0, 50_000, 1);
    store.close().expect("the store is sound");
}

fn read_over(store: &Store<Count>, name: &str, from: i64, to: i64, messages: usize) {
    let queue = store.queue("BenchTopic", 0);
    let limits = ReadLimits { max_messages: messages, ..ReadLimits::for_pull(32) };
    let (start, used) = (Instant::now(), cpu_seconds());
    let (mut next, mut pulls) = (from, 0);
    while next < to {
        let outcome = store.read(queue, next, limits, &mut |_| true).expect("the store can be read");
        assert!(outcome.count > 0);
        next = outcome.next_offset;
        pulls += 1;
    }
    let (seconds, used) = (start.elapsed().as_secs_f64(), cpu_seconds() - used);
    let records = (next - from) as f64;
    println!(
        "{name:>20} {:>12.0} {:>12.0} {:>14.0}",
        f64::from(pulls) / seconds,
        records / seconds,
        records / used
    );
}

/// A stored record with a unique id among its properties, as a client sends it.
fn record(queue: u32, body: usize) -> Vec<u8> {
    let (topic, properties) =
        (b"BenchTopic", b"UNIQ_KEY\x017F0000010001000000000000000000000001\x02WAIT\x01true\x02");
    let mut record = vec![0; 84];
    record[4..8].copy_from_slice(&0xDAA3_20A7_u32.to_be_bytes());
    record[12..16].copy_from_slice(&queue.to_be_bytes());
    record.extend((body as u32).to_be_bytes());
    record.extend(vec![b'x'; body]);
    record.push(topic.len() as u8);
    record.extend(topic);
    record.extend((properties.len() as u16).to_be_bytes());
    record.extend(properties);
    let size = record.len() as u32;
    record[..4].copy_from_slice(&size.to_be_bytes());
    record
}

//! Records, and a store with a face that is easy to test.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use rocketwire_store::{
    Append, AppendError, Appended, Clock, Drive, Events, MemoryStorage, OpenError, QueueId, ReadLimits,
    ReadStatus, RecoveryReport, Storage, Store, StoreOptions, SystemClock, Wait,
};

pub type Answer = Result<Appended, AppendError>;
pub type Waiter = Box<dyn FnOnce(Answer) + Send>;

/// A store whose appends can be waited for.
#[derive(Clone)]
pub struct Log {
    pub store: Store<Waiter>,
    is_manual: bool,
}

impl Deref for Log {
    type Target = Store<Waiter>;

    fn deref(&self) -> &Store<Waiter> {
        &self.store
    }
}

impl Log {
    /// Appends and waits.
    pub fn put(&self, message: Message<'_>) -> Answer {
        self.put_all(&[message], Wait::Flush)
    }

    /// Appends several messages of one queue as one batch, and waits.
    pub fn put_all(&self, messages: &[Message<'_>], wait: Wait) -> Answer {
        let answer = self.send(messages, wait);
        if self.is_manual {
            self.store.turn();
        }
        answer.recv().expect("every append is answered")
    }

    /// Appends and does not wait.
    pub fn send(&self, messages: &[Message<'_>], wait: Wait) -> mpsc::Receiver<Answer> {
        let queue = self.store.queue(messages[0].topic, messages[0].queue_id);
        let records: Vec<u8> = messages.iter().flat_map(Message::record).collect();
        self.send_raw(queue, &records, wait)
    }

    /// Appends any bytes and does not wait.
    pub fn send_raw(&self, queue: QueueId, records: &[u8], wait: Wait) -> mpsc::Receiver<Answer> {
        let (sender, receiver) = mpsc::channel();
        let tell: Waiter = Box::new(move |answer| sender.send(answer).unwrap_or_default());
        self.store.append(Append { queue, records, wait }, tell);
        receiver
    }

    /// All bodies of a queue, in order of their offsets.
    pub fn bodies(&self, topic: &str, queue_id: u32) -> Vec<String> {
        let queue = self.store.queue(topic, queue_id);
        let limits = ReadLimits { max_messages: 7, max_bytes: 4096, max_scan: 100 };
        let mut next = self.store.bounds(queue).min;
        let mut found = Vec::new();
        loop {
            let outcome = self.store.read(queue, next, limits, &mut all).expect("the queue can be read");
            if outcome.status != ReadStatus::Found {
                return found;
            }
            for record in records(&outcome.records) {
                assert_eq!(i64_at(record, 20), next, "offsets are dense");
                next += 1;
            }
            assert_eq!(outcome.next_offset, next);
            found.extend(text(&outcome.records));
        }
    }
}

/// A message to be.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub topic: &'a str,
    pub queue_id: u32,
    pub tags: &'a str,
    /// Words of the property KEYS.
    pub keys: &'a str,
    /// The property UNIQ_KEY.
    pub unique: &'a str,
    pub body: &'a str,
    pub sys_flag: u32,
}

impl<'a> Message<'a> {
    pub fn new(topic: &'a str, queue_id: u32, body: &'a str) -> Self {
        Self { topic, queue_id, tags: "", keys: "", unique: "", body, sys_flag: 0 }
    }

    pub fn tags(self, tags: &'a str) -> Self {
        Self { tags, ..self }
    }

    pub fn keys(self, keys: &'a str) -> Self {
        Self { keys, ..self }
    }

    pub fn unique(self, unique: &'a str) -> Self {
        Self { unique, ..self }
    }

    /// Its stored record, laid out as spec broker C.1 says.
    pub fn record(&self) -> Vec<u8> {
        self.record_around(self.body.as_bytes())
    }

    /// The same with any bytes for a body.
    pub fn record_around(&self, body: &[u8]) -> Vec<u8> {
        let property = |(name, value): (&str, &str)| {
            if value.is_empty() { String::new() } else { format!("{name}\u{1}{value}\u{2}") }
        };
        let properties: String =
            [("TAGS", self.tags), ("KEYS", self.keys), ("UNIQ_KEY", self.unique)].map(property).concat();
        let mut out = vec![0; 4];
        out.extend(0xDAA3_20A7_u32.to_be_bytes());
        out.extend(rocketwire_protocol::message::record::body_crc(body).to_be_bytes());
        out.extend(self.queue_id.to_be_bytes());
        out.extend([0; 20]);
        out.extend(self.sys_flag.to_be_bytes());
        out.extend([0; 8]);
        out.extend(vec![0; if self.sys_flag & 0x10 == 0 { 8 } else { 20 }]);
        out.extend([0; 8]);
        out.extend(vec![0; if self.sys_flag & 0x20 == 0 { 8 } else { 20 }]);
        out.extend([0; 12]);
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(body);
        out.push(self.topic.len() as u8);
        out.extend(self.topic.as_bytes());
        out.extend((properties.len() as u16).to_be_bytes());
        out.extend(properties.as_bytes());
        let size = out.len() as u32;
        out[..4].copy_from_slice(&size.to_be_bytes());
        out
    }
}

pub fn open(
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    events: Arc<dyn Events>,
    options: StoreOptions,
) -> Result<(Log, RecoveryReport), OpenError> {
    let is_manual = options.drive == Drive::Manual;
    let (store, report) = Store::open(options, storage, clock, events)?;
    Ok((Log { store, is_manual }, report))
}

/// A store in memory, with threads.
pub fn memory_store(change: impl FnOnce(&mut StoreOptions)) -> Log {
    let mut options = StoreOptions::new(Path::new("/store"));
    change(&mut options);
    let storage = Arc::new(MemoryStorage::new());
    open(storage, Arc::new(SystemClock::default()), Arc::new(()), options).expect("an empty store opens").0
}

/// Wants every record.
pub fn all(_tags_code: i64) -> bool {
    true
}

/// The records that are back to back in `bytes`.
pub fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (record, rest) = bytes.split_at(u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize);
        found.push(record);
        bytes = rest;
    }
    found
}

/// Their bodies.
pub fn text(bytes: &[u8]) -> Vec<String> {
    let body = |record: &&[u8]| {
        let length = u32::from_be_bytes(record[84..88].try_into().unwrap()) as usize;
        String::from_utf8(record[88..88 + length].to_vec()).unwrap()
    };
    records(bytes).iter().map(body).collect()
}

pub fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

//! Records by queue.

use std::collections::HashMap;

use bytes::Bytes;
use rocketwire_protocol::message::{NewRecord, RecordView, record};

use super::State;

#[derive(Default)]
pub struct Log {
    /// (topic, queue) -> (physical offset, record).
    queues: HashMap<(String, i32), Vec<Bytes>>,
    /// Every record, by physical offset / 1000.
    all: Vec<Bytes>,
}

impl Log {
    pub fn max(&self, topic: &str, queue: i32) -> i64 {
        self.queues.get(&(topic.to_owned(), queue)).map_or(0, |records| records.len() as i64)
    }

    pub fn from(&self, topic: &str, queue: i32, offset: i64, limit: i32) -> Vec<Bytes> {
        let records = self.queues.get(&(topic.to_owned(), queue)).map_or(&[][..], Vec::as_slice);
        records.iter().skip(offset as usize).take(limit as usize).cloned().collect()
    }

    pub fn at(&self, physical: i64) -> Option<RecordView> {
        self.all.get((physical / 1000) as usize).map(|record| RecordView::parse(record).unwrap())
    }

    /// All records of a broker, back to back.
    pub fn of_broker(&self, address: &str) -> Vec<u8> {
        let is_its = |record: &&Bytes| RecordView::parse(record).unwrap().store_host().to_string() == address;
        self.all.iter().filter(is_its).flatten().copied().collect()
    }

    /// Bodies of a topic, queue after queue.
    pub fn bodies(&self, topic: &str) -> Vec<String> {
        let mut keys: Vec<_> = self.queues.keys().filter(|(t, _)| t == topic).collect();
        keys.sort();
        let records = keys.into_iter().flat_map(|key| &self.queues[key]);
        records
            .map(|record| String::from_utf8(RecordView::parse(record).unwrap().body().to_vec()).unwrap())
            .collect()
    }
}

impl State {
    /// Appends a record; its queue offset and physical offset.
    #[allow(clippy::too_many_arguments)]
    pub fn store(
        &self,
        broker: &str,
        topic: &str,
        queue_id: i32,
        body: &[u8],
        properties: &str,
        sys_flag: i32,
        reconsume_times: i32,
    ) -> (i64, i64) {
        let host = self.brokers.lock().unwrap()[broker].parse().unwrap();
        let mut log = self.log.lock().unwrap();
        let (queue_offset, physical) = (log.max(topic, queue_id), log.all.len() as i64 * 1000);
        let mut out = Vec::new();
        let new = NewRecord {
            topic,
            queue_id,
            flag: 0,
            sys_flag,
            born_timestamp: 1,
            born_host: "127.0.0.1:1".parse().unwrap(),
            store_host: host,
            reconsume_times,
            prepared_transaction_offset: 0,
            body,
            properties,
        };
        record::encode(&new, &mut out).unwrap();
        record::patch(&mut out, queue_offset, physical, 2);
        let record = Bytes::from(out);
        log.all.push(record.clone());
        log.queues.entry((topic.to_owned(), queue_id)).or_default().push(record);
        drop(log);
        self.changed.notify_waiters();
        (queue_offset, physical)
    }
}

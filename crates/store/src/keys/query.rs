use bytes::{Bytes, BytesMut};
use rocketwire_protocol::message::record::MIN_LEN;

use super::{Place, hash};
use crate::error::ReadError;
use crate::log::{ClosedSegment, Log, lock};
use crate::planted::planted;
use crate::queue::Entry;
use crate::record::Record;
use crate::storage::Access;

/// Records that a query looks at in vain: their hash is that of the key, and something else is not.
const MAX_MISSES: usize = 1024;

/// Which records [`Store::query`](crate::Store::query) looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyQuery<'a> {
    /// Their topic.
    pub topic: &'a str,
    /// One of their keys: a word of the property KEYS, or all of UNIQ_KEY.
    pub key: &'a str,
    /// The earliest store time that counts, in milliseconds since 1970.
    pub begin_ms: i64,
    /// The latest.
    pub end_ms: i64,
    /// Records at most; the newest are taken.
    pub max_messages: usize,
    /// Bytes of records at most; the newest record comes whatever its size.
    pub max_bytes: usize,
}

/// The answer to a [`KeyQuery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOutcome {
    /// Stored records back to back, oldest first.
    pub records: Bytes,
    /// How many.
    pub count: usize,
    /// Store time of the newest record that was looked through, of whatever topic; 0 in an empty store.
    pub last_timestamp: i64,
    /// Everything below this offset of the log was looked through.
    pub end: i64,
}

impl Log {
    /// See [`Store::query`](crate::Store::query).
    pub(crate) fn query(&self, query: KeyQuery<'_>) -> Result<KeyOutcome, ReadError> {
        let hash = hash(query.topic.as_bytes(), query.key.as_bytes());
        let published = self.progress.published();
        let growing = self.segments.find(published, &*self.storage)?.start;
        let mut closed = self.segments.closed();
        closed.retain(|segment| segment.end <= growing);
        let (places, last_timestamp) = self.recent_places(growing, published, hash)?;
        let last_timestamp = last_timestamp.or(closed.last().map(|segment| segment.last_timestamp));
        let mut search = Search { query, found: Vec::new(), bytes: 0, misses: 0, is_done: false };
        search.look_through(self, &places)?;
        for (at, segment) in closed.iter().enumerate().rev() {
            if search.is_done() || segment.last_timestamp < query.begin_ms {
                break;
            }
            let before = at.checked_sub(1).and_then(|before| closed.get(before));
            if before.is_none_or(|before| before.last_timestamp <= query.end_ms) {
                unless_gone(self.look_through_closed(*segment, hash, &mut search), ())?;
            }
        }
        Ok(search.outcome(last_timestamp.unwrap_or_default(), published))
    }

    /// A key file that leads to no record is of another time, however good its checksums are: it is made again.
    fn look_through_closed(
        &self,
        segment: ClosedSegment,
        hash: u32,
        search: &mut Search<'_>,
    ) -> Result<(), ReadError> {
        let before = search.found.len();
        match search.look_through(self, &self.sealed_places(segment, hash)?) {
            Err(ReadError::Damaged { .. }) => {
                search.go_back(before);
                self.discard_keys(segment);
                search.look_through(self, &self.sealed_places(segment, hash)?)
            }
            result => result,
        }
    }

    /// Where records of the segment that grows are whose key has this hash, oldest first; and the store time of its
    /// last record.
    fn recent_places(
        &self,
        growing: u64,
        published: u64,
        hash: u32,
    ) -> Result<(Vec<Place>, Option<i64>), ReadError> {
        let segment = self.segments.find(growing, &*self.storage)?;
        let mut recent = lock(&self.keys.recent);
        let from = recent.resume(segment.start);
        let mut behind = Vec::new();
        let mut last_timestamp = recent.last_timestamp();
        if from < published {
            self.visit_keys(&segment, from, published, &mut |frame| {
                if !recent.keep(&frame) {
                    behind.extend(frame.places(hash));
                }
                last_timestamp = Some(frame.last_timestamp);
                Ok(())
            })?;
        }
        let mut places = recent.places(hash);
        places.append(&mut behind);
        // A message that names a key twice is one message.
        places.dedup();
        Ok((places, last_timestamp))
    }
}

/// What retention deletes while it is looked for is not there.
fn unless_gone<T>(result: Result<T, ReadError>, gone: T) -> Result<T, ReadError> {
    match result {
        Err(error) if error.is_not_found() => Ok(gone),
        result => result,
    }
}

/// A query that goes from the newest records to the oldest.
struct Search<'a> {
    query: KeyQuery<'a>,
    /// Newest first.
    found: Vec<Bytes>,
    bytes: usize,
    misses: usize,
    /// What is older does not count.
    is_done: bool,
}

impl Search<'_> {
    fn is_done(&self) -> bool {
        self.is_done || self.misses >= MAX_MISSES || self.found.len() >= self.query.max_messages
    }

    /// Lets go of what was found last.
    fn go_back(&mut self, count: usize) {
        self.found.truncate(count);
        self.bytes = self.found.iter().map(Bytes::len).sum();
        self.is_done = false;
    }

    /// Takes what counts of these places, which are oldest first. Store times never decrease along the log.
    fn look_through(&mut self, log: &Log, places: &[Place]) -> Result<(), ReadError> {
        let (mut low, mut high) = (0, places.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(place) = places.get(middle) else { break };
            let time = unless_gone(log.time_at(*place), i64::MIN)?;
            if time <= self.query.end_ms { low = middle + 1 } else { high = middle }
        }
        for place in places.iter().take(low).rev() {
            if self.is_done() {
                break;
            }
            unless_gone(self.look_at(log, *place), ())?;
        }
        Ok(())
    }

    fn look_at(&mut self, log: &Log, place: Place) -> Result<(), ReadError> {
        let bytes = log.bytes_at(place)?;
        let record = Record::parse(&bytes).map_err(|_| log.segments.disagrees(&place.probe()))?;
        if record.store_timestamp() < self.query.begin_ms {
            self.is_done = true;
            return Ok(());
        }
        let is_wanted = record.topic() == self.query.topic.as_bytes()
            && (record.keys().any(|key| key == self.query.key.as_bytes())
                || planted("key index trusted over log"))
            && log.is_alive(&record, place, self.query.topic)?;
        if !is_wanted {
            self.misses += 1;
            return Ok(());
        }
        self.bytes += record.size();
        if self.bytes > self.query.max_bytes && !self.found.is_empty() {
            self.is_done = true;
        } else {
            self.found.push(bytes.slice(..record.size()));
        }
        Ok(())
    }

    fn outcome(self, last_timestamp: i64, end: u64) -> KeyOutcome {
        let count = self.found.len();
        let mut records = BytesMut::with_capacity(self.found.iter().map(Bytes::len).sum());
        self.found.iter().rev().for_each(|record| records.extend_from_slice(record));
        KeyOutcome { records: records.freeze(), count, last_timestamp, end: end.cast_signed() }
    }
}

impl Place {
    /// Enough of the record's entry to read it.
    fn probe(&self) -> Entry {
        let Self { physical, frame_distance } = *self;
        Entry { physical, size: MIN_LEN as u32, frame_distance, tags_code: 0 }
    }
}

impl Log {
    /// Checked bytes that begin with the record at this place.
    fn bytes_at(&self, place: Place) -> Result<Bytes, ReadError> {
        let probe = place.probe();
        let piece = self.piece_of(&probe, Access::Wait)?;
        piece.slice(place.physical, piece.end()).ok_or_else(|| self.segments.disagrees(&probe))
    }

    fn time_at(&self, place: Place) -> Result<i64, ReadError> {
        let bytes = self.bytes_at(place)?;
        let record = Record::parse(&bytes).map_err(|_| self.segments.disagrees(&place.probe()))?;
        Ok(record.store_timestamp())
    }

    /// Whether a queue still has the record: its topic may have been deleted.
    fn is_alive(&self, record: &Record<'_>, place: Place, topic: &str) -> Result<bool, ReadError> {
        let Some(queue) = self.registry().find(topic, record.queue_id()) else { return Ok(false) };
        let entry = self.entry(queue, record.queue_offset())?;
        Ok(entry.is_some_and(|entry| entry.physical == place.physical)
            || planted("keys of a deleted topic are found"))
    }
}

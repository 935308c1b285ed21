use std::io::ErrorKind;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::pending::Group;
use super::{Arrival, Completion, Wait, Waiter};
use crate::engine::Shared;
use crate::error::AppendError;
use crate::log::{ClosedSegment, Failure, Log, Piece, Segment, frame, lock};
use crate::options::OnFull;
use crate::planted::{crash_point, planted};
use crate::storage::{write_all_at, write_zeros_at};

/// Between two looks at the free space of the disk.
const DISK_CHECK: Duration = Duration::from_secs(1);
/// The same while it is full.
const FULL_CHECK: Duration = Duration::from_millis(100);
/// A write that takes this long waited for the disk; a thread that lost its core for a time slice did not.
const SLOW_WRITE: Duration = Duration::from_millis(10);
/// How many times as long only the writer's own thread writes then: who has other things to do waits for the disk for a
/// tenth of the time at most.
const SLOW_REST: u32 = 10;
/// Closed segments that may wait for their index file; then the writer makes them itself.
const MAX_UNSEALED: usize = 4;
/// Zeros end where a page of the file does.
const PAGE: u64 = 4096;

/// Takes what is pending, writes it in one go, flushes it, publishes it, answers.
pub(crate) struct Writer<C> {
    shared: Arc<Shared<C>>,
    log: Arc<Log>,
    group: Group<C>,
    done: Vec<Waiter<C>>,
    arrivals: Vec<Arrival>,
    closed: Vec<ClosedSegment>,
    segment: Arc<Segment>,
    /// Bytes in the segment.
    length: u64,
    /// Bytes of its file: zeros follow `length` with sync flushes.
    file_length: u64,
    /// Store time of the last record that was written.
    last_timestamp: i64,
    next_disk_check: Duration,
    /// Nothing is written in place before this: the disk is slow.
    slow_until: Duration,
    /// Bytes written since the last look at the disk.
    unchecked: u64,
}

impl<C: Completion> Writer<C> {
    /// Goes on where the log ends.
    pub(crate) fn new(shared: Arc<Shared<C>>, last_timestamp: i64) -> Self {
        let log = shared.log.clone();
        let segment = log.segments.active();
        let length = log.progress.written() - segment.start;
        Self {
            shared,
            log,
            group: Group::default(),
            done: Vec::new(),
            arrivals: Vec::new(),
            closed: Vec::new(),
            segment,
            length,
            file_length: length,
            last_timestamp,
            next_disk_check: Duration::ZERO,
            slow_until: Duration::ZERO,
            unchecked: 0,
        }
    }

    /// One group, if there is one.
    pub(crate) fn turn(&mut self) -> bool {
        self.check_disk();
        if self.log.poison.get().is_some() {
            return self.fail();
        }
        if !self.take(usize::MAX) {
            return false;
        }
        self.store_group();
        true
    }

    /// [`Writer::turn`] on a thread that must not wait: only if all there is to do is a write of a few microseconds
    /// into the page cache. Whether nothing is left to do.
    pub(crate) fn turn_in_place(&mut self) -> bool {
        let now = self.log.clock.monotonic();
        let options = &self.log.options;
        let room = options.segment_bytes.saturating_sub(self.length);
        let is_plain = !self.log.is_sync() && self.log.poison.get().is_none() && !self.is_disk_check_due(now);
        if !is_plain || now < self.slow_until {
            return false;
        }
        if !self.take(usize::try_from(room).unwrap_or(usize::MAX)) {
            return lock(&self.shared.pending).is_empty();
        }
        self.store_group();
        let end = self.log.clock.monotonic();
        let took = end.saturating_sub(now);
        if took >= SLOW_WRITE {
            self.slow_until = end + took * SLOW_REST;
        }
        true
    }

    /// Takes over what is pending, unless it is more than `limit` bytes.
    fn take(&mut self, limit: usize) -> bool {
        let mut pending = lock(&self.shared.pending);
        if pending.len() > limit {
            return false;
        }
        self.shared.has_work.store(false, Ordering::SeqCst);
        if pending.is_empty() {
            return false;
        }
        pending.take(&mut self.group);
        let mut in_flight = lock(&self.shared.in_flight);
        in_flight.since = self.group.since;
        mem::swap(&mut in_flight.waiters, &mut self.group.waiters);
        true
    }

    fn store_group(&mut self) {
        match self.store() {
            Ok(()) => self.finish(),
            Err(_) if planted("offset reused after error") => {
                lock(&self.shared.pending).rewind(&self.group);
                self.fail();
            }
            Err(failure) => {
                self.log.fail(failure);
                self.fail();
            }
        }
    }

    /// Writes the group and, with sync flushes, makes it durable.
    fn store(&mut self) -> Result<(), Failure> {
        self.finish_frames();
        self.write_group()?;
        let end = self.group.start + self.group.bytes.len() as u64;
        self.log.progress.set_written(end);
        crash_point("group.written");
        if self.log.is_sync() {
            self.answer_writes();
            self.log.sync()?;
        }
        Ok(())
    }

    /// Lengths, offsets and checksums of the frames.
    fn finish_frames(&mut self) {
        let durable = self.log.progress.durable();
        let starts = self.group.frames.iter().map(|frame| frame.start);
        for (start, end) in starts.clone().zip(starts.skip(1).chain([self.group.bytes.len()])) {
            if let Some(bytes) = self.group.bytes.get_mut(start..end) {
                frame::finish(bytes, self.group.start + start as u64, durable);
            }
        }
    }

    /// One write, or one for each segment that the group touches. A frame is never split.
    fn write_group(&mut self) -> Result<(), Failure> {
        let frames = mem::take(&mut self.group.frames);
        let size = self.group.bytes.len();
        let ends = frames.iter().skip(1).map(|frame| frame.start).chain([size]);
        let (mut run, mut last_timestamp) = (0, self.last_timestamp);
        for (frame, end) in frames.iter().zip(ends) {
            let start = frame.start;
            let length = self.length + (end - run) as u64;
            let is_first = self.length == 0 && start == run;
            if length > self.log.options.segment_bytes && !is_first {
                self.write_run(run, start)?;
                self.roll(last_timestamp)?;
                run = start;
            }
            last_timestamp = frame.last_timestamp;
        }
        self.write_run(run, size)?;
        self.group.frames = frames;
        Ok(())
    }

    fn write_run(&mut self, from: usize, to: usize) -> Result<(), Failure> {
        let bytes = self.group.bytes.get(from..to).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        let written = write_all_at(&*self.segment.file, bytes, self.length);
        self.log.segments.mark_unsynced(&self.segment);
        written.map_err(|error| Failure::new("write", &self.segment.path, error))?;
        self.length += bytes.len() as u64;
        self.unchecked += bytes.len() as u64;
        self.write_ahead()
    }

    /// With sync flushes: zeros behind what was written, once it has used up those of the last time.
    ///
    /// A flush of bytes that replace zeros writes those bytes. One of bytes that make the file longer writes the file
    /// system's journal too, and takes half as long again. The number of zeros follows that of the bytes in the
    /// segment, so that a small store stays small.
    fn write_ahead(&mut self) -> Result<(), Failure> {
        if self.length <= self.file_length {
            return Ok(());
        }
        self.file_length = self.length;
        let options = &self.log.options;
        let ahead = self.length.min(options.zeros_ahead);
        let end = (self.length + ahead).next_multiple_of(PAGE).min(options.segment_bytes);
        let zeros = end.saturating_sub(self.length);
        // They are not worth a failure: there are none on a disk that is nearly full.
        let has_room = || self.log.disk.has_room_for(self.unchecked + 2 * zeros);
        if !self.log.is_sync() || ahead == 0 || zeros == 0 || !has_room() {
            return Ok(());
        }
        let written = write_zeros_at(&*self.segment.file, self.length, zeros);
        written.map_err(|error| Failure::new("write", &self.segment.path, error))?;
        self.file_length = end;
        self.unchecked += zeros;
        Ok(())
    }

    /// Takes the zeros back: the segment grows no more, or the store is about to be closed.
    pub(crate) fn trim(&mut self) -> Result<(), Failure> {
        if self.file_length > self.length {
            let trimmed = self.segment.file.set_len(self.length);
            self.log.segments.mark_unsynced(&self.segment);
            trimmed.map_err(|error| Failure::new("trim", &self.segment.path, error))?;
            self.file_length = self.length;
        }
        Ok(())
    }

    /// Begins the next segment. Its name becomes durable with the next flush, before anything in it is.
    fn roll(&mut self, last_timestamp: i64) -> Result<(), Failure> {
        self.trim()?;
        let end = self.segment.start + self.length;
        let closed = ClosedSegment { start: self.segment.start, end, last_timestamp };
        self.segment = self.log.segments.roll(end, last_timestamp, &*self.log.storage)?;
        self.closed.push(closed);
        (self.length, self.file_length) = (0, 0);
        crash_point("roll.created");
        Ok(())
    }

    /// Everything after the disk: memory, index, answers, events.
    fn finish(&mut self) {
        crash_point("group.flushed");
        self.last_timestamp = self.group.last_timestamp;
        let bytes = mem::take(&mut self.group.bytes).freeze();
        let size = bytes.len() as u64;
        self.log.tail.push(Piece { start: self.group.start, bytes });
        if planted("wake pull before the entry is readable") {
            self.log.events.arrived(&self.group.entries.iter().map(Arrival::from).collect::<Vec<_>>());
        }
        self.publish();
        self.log.progress.set_published(self.group.start + size);
        crash_point("group.published");
        mem::swap(&mut lock(&self.shared.in_flight).waiters, &mut self.done);
        for waiter in self.done.drain(..) {
            waiter.completion.complete(Ok(waiter.appended));
        }
        if !self.arrivals.is_empty() {
            self.log.events.arrived(&self.arrivals);
            self.arrivals.clear();
        }
        if self.closed.is_empty() {
            self.shared.flusher_wake.wake();
        } else {
            self.seal();
        }
    }

    /// Makes the entries readable.
    fn publish(&mut self) {
        let mut index = self.log.index_mut();
        for new in self.group.entries.drain(..) {
            let Some(of_queue) = index.get_mut(new.queue) else { continue };
            of_queue.push(new.entry);
            debug_assert_eq!(of_queue.next(), new.queue_offset + 1, "offsets of a queue are dense");
            self.arrivals.push(Arrival::from(&new));
        }
    }

    /// Hands closed segments over to get their index files.
    fn seal(&mut self) {
        for closed in self.closed.drain(..) {
            self.log.segments.queue_seal(closed);
        }
        if self.log.segments.unsealed() > MAX_UNSEALED {
            // A failure has poisoned the log, which the next turn sees.
            let _ = self.log.seal_closed();
        }
        self.shared.flusher_wake.unpark();
    }

    /// Answers those who wait for the write only.
    fn answer_writes(&mut self) {
        let mut in_flight = lock(&self.shared.in_flight);
        self.done.extend(
            in_flight
                .waiters
                .extract_if(.., |waiter| waiter.wait == Wait::Write || planted("answer before fsync")),
        );
        drop(in_flight);
        for waiter in self.done.drain(..) {
            waiter.completion.complete(Ok(waiter.appended));
        }
    }

    /// Answers everyone with the failure, and all who come later. Whether someone was there.
    fn fail(&mut self) -> bool {
        let error = self.log.poison.get().cloned().unwrap_or_else(|| "unknown failure".into());
        {
            let mut pending = lock(&self.shared.pending);
            if !planted("offset reused after error") {
                pending.refuse(AppendError::Poisoned { error: error.clone() });
            }
            self.done.append(&mut lock(&self.shared.in_flight).waiters);
            if !pending.is_empty() {
                self.group.entries.clear();
                pending.take(&mut self.group);
                self.done.append(&mut self.group.waiters);
            }
            self.group.entries.clear();
            self.shared.has_work.store(false, Ordering::SeqCst);
        }
        let is_someone = !self.done.is_empty();
        for waiter in self.done.drain(..) {
            waiter.completion.complete(Err(AppendError::Io { error: error.clone() }));
        }
        is_someone
    }

    /// Looks at the disk now and then, so that it is found full before a write does.
    fn check_disk(&mut self) {
        let options = &self.log.options;
        let now = self.log.clock.monotonic();
        if !self.is_disk_check_due(now) {
            return;
        }
        let mut is_full = self.log.disk.refresh(&*self.log.storage, &self.log.paths);
        if is_full
            && options.on_full == OnFull::DropOldest
            && self.log.drop_oldest().is_ok_and(|dropped| dropped)
        {
            is_full = self.log.disk.refresh(&*self.log.storage, &self.log.paths);
        }
        self.check_name();
        self.next_disk_check = now + if is_full { FULL_CHECK } else { DISK_CHECK };
        self.unchecked = 0;
    }

    fn is_disk_check_due(&self, now: Duration) -> bool {
        now >= self.next_disk_check || self.unchecked >= self.log.disk.limit().0 / 4
    }

    /// A file without a name takes writes and flushes as before, and nobody ever finds them again.
    fn check_name(&self) {
        let path = &self.segment.path;
        let opened = self.log.storage.open(path);
        if self.log.poison.get().is_none() && opened.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            let text =
                format!("{} is gone: the folder was deleted or moved under the open store", path.display());
            self.log.fail(Failure { text: text.into() });
        }
    }
}

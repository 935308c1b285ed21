//! Many messages on their way at a time, in order within each queue.
//!
//! Requests to one broker go over one connection in the order in which they are begun, and a broker that handles
//! those of a connection in turn, as ours does, appends to a queue in that order. So order holds as long as requests are *begun* in order: each send
//! is polled once, here, before the next one is made, and so much only is in flight as the connection takes
//! without waiting. A failure stops the flow until everything that is on its way has ended; then the message goes
//! again, alone, unless a later one of its queue is stored already (but a busy broker's refusal is no reason to lose
//! it: that one goes again in any case). Apache's broker handles requests of one
//! connection on several threads; there only one message in flight for each queue keeps the order.

use std::{
    collections::{BTreeMap, HashMap},
    future::{Future, poll_fn},
    hash::{BuildHasher, RandomState},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use rocketwire::{Message, MessageQueue, Producer, SendError, SendResult};
use rocketwire_protocol::ResponseCode;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use super::{lines::Source, report::Report};
use crate::{failure::Failure, output};

/// Bytes that may be in flight beside one message: below the connection's watermark, above which calls queue up.
const BYTES_IN_FLIGHT: usize = 512 << 10;
/// How often a message is sent at most.
const ATTEMPTS: u32 = 3;
/// Messages in flight at the start: one more for each that is stored, half when a broker is busy. A broker that has
/// just started is slow, and Apache's refuses what it did not come to within 200 ms.
const FIRST_WINDOW: usize = 16;
/// Before the second attempt; twice as long before the third.
const PAUSE: Duration = Duration::from_millis(100);

/// One message on its way.
struct Job {
    line: u64,
    queue: usize,
    attempts: u32,
    message: Message,
}

struct Ended {
    job: Job,
    result: Result<SendResult, SendError>,
}

pub(crate) struct Pipeline {
    producer: Producer,
    queues: Vec<MessageQueue>,
    inflight: usize,
    /// How many of them the broker takes without trouble, as far as is known.
    window: usize,
    /// One at a time for each queue.
    ordered: bool,
    report: Report,
    running: JoinSet<Ended>,
    bytes: usize,
    /// Messages in flight for each queue.
    busy: Vec<u32>,
    /// Where the round over the queues began.
    first_queue: u64,
    /// Failed, to be looked at when nothing is on its way any more.
    failed: BTreeMap<u64, (Job, SendError)>,
    /// The last line that is stored in each queue.
    stored: HashMap<usize, u64>,
    /// Nothing goes beside the first message: it opens the connection, and may create the topic.
    warm: bool,
}

impl Pipeline {
    pub(crate) fn new(
        producer: Producer,
        queues: Vec<MessageQueue>,
        inflight: usize,
        ordered: bool,
        report: Report,
    ) -> Pipeline {
        Pipeline {
            busy: vec![0; queues.len()],
            producer,
            queues,
            inflight,
            window: FIRST_WINDOW.min(inflight),
            ordered,
            report,
            running: JoinSet::new(),
            bytes: 0,
            first_queue: RandomState::new().hash_one(0),
            failed: BTreeMap::new(),
            stored: HashMap::new(),
            warm: false,
        }
    }

    /// Sends everything and prints the report; when `stop` becomes true, what is on its way and no more.
    pub(crate) async fn run(
        mut self,
        mut source: Source,
        mut stop: watch::Receiver<bool>,
        message: impl Fn(Bytes) -> Result<Message, Failure>,
    ) -> Result<(), Failure> {
        let mut line = 0;
        let mut more = true;
        let mut broken = None;
        loop {
            while let Some(ended) = self.running.try_join_next() {
                self.end(joined(ended)?)?;
            }
            if self.running.is_empty() && !self.failed.is_empty() && !self.send_again().await? {
                break;
            }
            if self.running.is_empty() && !more {
                break;
            }
            let may_begin = more && self.failed.is_empty() && self.has_room(self.queue_of(line + 1));
            self.report.flush()?;
            tokio::select! {
                biased;
                Ok(_) = stop.wait_for(|is_asked| *is_asked), if more => {
                    let sentence = "stopped by a signal: the rest of the input was not sent";
                    (more, broken) = (false, Some(Failure::new(sentence)));
                }
                Some(ended) = self.running.join_next() => self.end(joined(ended)?)?,
                body = source.next(), if may_begin => match body {
                    // What is on its way is waited for, and told, all the same.
                    Err(error) => (more, broken) = (false, Some(error)),
                    Ok(None) => more = false,
                    Ok(Some(body)) => {
                        line += 1;
                        let (queue, message) = (self.queue_of(line), message(body)?);
                        self.begin(Job { line, queue, attempts: 0, message }).await?;
                    }
                },
            }
        }
        let sent = self.report.end();
        match broken {
            None => sent,
            Some(error) => {
                if let Err(Failure::Failed(sentence)) = sent {
                    output::error(&sentence);
                }
                Err(error)
            }
        }
    }

    /// Whether one more may be in flight, to this queue.
    fn has_room(&self, queue: usize) -> bool {
        let limit = if self.warm { self.window } else { 1 };
        if self.ordered && self.busy.get(queue).is_some_and(|busy| *busy > 0) {
            return false;
        }
        self.running.len() < limit && (self.bytes < BYTES_IN_FLIGHT || self.running.is_empty())
    }

    fn queue_of(&self, line: u64) -> usize {
        (self.first_queue.wrapping_add(line) % self.queues.len().max(1) as u64) as usize
    }

    /// Begins to send: when this returns the request is in the connection's buffer, unless that is not open.
    async fn begin(&mut self, mut job: Job) -> Result<(), Failure> {
        let queue = self.queues.get(job.queue).cloned();
        let queue = queue.ok_or_else(|| Failure::new("the topic has no queue that can be written to"))?;
        job.attempts += 1;
        let (producer, message) = (self.producer.clone(), job.message.clone());
        self.bytes += message.body().len();
        if let Some(busy) = self.busy.get_mut(job.queue) {
            *busy += 1;
        }
        let mut send = Box::pin(async move { producer.send_to(&queue, message).await });
        match once(send.as_mut()).await {
            Poll::Ready(result) => self.end(Ended { job, result }),
            Poll::Pending => {
                self.running.spawn(async move {
                    let result = send.await;
                    Ended { job, result }
                });
                Ok(())
            }
        }
    }

    fn end(&mut self, ended: Ended) -> Result<(), Failure> {
        let Ended { job, result } = ended;
        self.bytes -= job.message.body().len();
        if let Some(busy) = self.busy.get_mut(job.queue) {
            *busy -= 1;
        }
        match result {
            Ok(result) => {
                self.warm = true;
                self.window = (self.window + 1).min(self.inflight);
                let last = self.stored.entry(job.queue).or_default();
                *last = job.line.max(*last);
                self.report.stored(job.line, &result)
            }
            // The message itself is at fault, and the next one may do better.
            Err(error) if !error.is_retryable() => self.report.failed(job.line, &error),
            Err(error) => {
                // The connection may be gone, so that order needs a fresh start.
                self.warm = false;
                self.window = (self.window / 2).max(1);
                self.failed.insert(job.line, (job, error));
                Ok(())
            }
        }
    }

    /// Nothing is on its way: sends again what may go again, one after the other. Whether to go on with the rest.
    async fn send_again(&mut self) -> Result<bool, Failure> {
        let mut go_on = true;
        for (line, (job, error)) in std::mem::take(&mut self.failed) {
            // What the broker refused unseen is not stored: late is better than never.
            let busy = error.code() == Some(ResponseCode::SYSTEM_BUSY);
            let overtaken = !busy && self.stored.get(&job.queue).is_some_and(|stored| *stored > line);
            let left = match overtaken || !go_on {
                true => Some(error),
                false => self.retry(job, error).await?,
            };
            if let Some(error) = left {
                self.report.failed(line, &error)?;
                // A broker that stays away would fail everything that follows, slowly.
                go_on &= overtaken;
            }
        }
        if !go_on {
            self.report.gave_up();
        }
        Ok(go_on)
    }

    /// Sends one message alone, until it is stored or has had its attempts; then its last error.
    async fn retry(&mut self, mut job: Job, mut error: SendError) -> Result<Option<SendError>, Failure> {
        while job.attempts < ATTEMPTS {
            tokio::time::sleep(PAUSE * job.attempts).await;
            let line = job.line;
            self.begin(job).await?;
            if let Some(ended) = self.running.join_next().await {
                self.end(joined(ended)?)?;
            }
            match self.failed.remove(&line) {
                Some(again) => (job, error) = again,
                None => return Ok(None),
            }
        }
        Ok(Some(error))
    }
}

/// Polls a future once.
async fn once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

fn joined(ended: Result<Ended, JoinError>) -> Result<Ended, Failure> {
    ended.map_err(|_| Failure::new("a send panicked: please report it"))
}

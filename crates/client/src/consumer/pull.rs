//! The consumer that fetches by itself, from queues that it names.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use rocketwire_protocol::{body::MessageQueue, message::MessageExt};
use tokio::time::Instant;

use crate::{
    Client, ConsumeFrom, FilterExpression, PullOptions, PullStatus, RequestError, tasks::after, validate,
};

/// Takes messages of queues that are assigned by hand; no group membership, no rebalance.
///
/// [`PullConsumer::poll`] goes around the queues. Nothing is committed unless [`PullConsumer::commit`] is called.
#[derive(Debug)]
pub struct PullConsumer {
    client: Client,
    options: PullOptions,
    /// Where to begin in a queue without a committed offset. Default the beginning.
    from: ConsumeFrom,
    queues: VecDeque<Assigned>,
}

#[derive(Debug)]
struct Assigned {
    queue: MessageQueue,
    /// The next offset to pull; `None`: to be found out.
    next: Option<i64>,
    /// Behind the last message handed out.
    position: Option<i64>,
}

impl PullConsumer {
    pub(crate) fn new(client: Client, group: String) -> Result<PullConsumer, RequestError> {
        validate::consumer_group(&group)?;
        let options = PullOptions { group, ..PullOptions::default() };
        Ok(PullConsumer { client, options, from: ConsumeFrom::First, queues: VecDeque::new() })
    }

    /// Which messages. Default all.
    #[must_use]
    pub fn with_filter(mut self, filter: impl Into<FilterExpression>) -> PullConsumer {
        self.options.filter = filter.into();
        self
    }

    /// Where to begin in a queue that the group has no offset in. Default the beginning.
    #[must_use]
    pub fn with_start(mut self, from: ConsumeFrom) -> PullConsumer {
        self.from = from;
        self
    }

    /// The most messages of one poll. Default 32.
    #[must_use]
    pub fn with_max_messages(mut self, count: i32) -> PullConsumer {
        self.options.max_messages = count;
        self
    }

    /// The queues to poll, instead of those before. Queues that stay keep their position.
    pub fn assign(&mut self, queues: impl IntoIterator<Item = MessageQueue>) {
        let mut known: BTreeMap<MessageQueue, Assigned> =
            self.queues.drain(..).map(|assigned| (assigned.queue.clone(), assigned)).collect();
        let fresh = |queue: MessageQueue| Assigned { queue, next: None, position: None };
        self.queues =
            queues.into_iter().map(|queue| known.remove(&queue).unwrap_or_else(|| fresh(queue))).collect();
    }

    /// The queues that are assigned.
    pub fn assignment(&self) -> Vec<MessageQueue> {
        self.queues.iter().map(|assigned| assigned.queue.clone()).collect()
    }

    /// Goes on at an offset. `false` if the queue is not assigned.
    pub fn seek(&mut self, queue: &MessageQueue, offset: i64) -> bool {
        let found = self.queues.iter_mut().find(|assigned| assigned.queue == *queue);
        if let Some(assigned) = found {
            assigned.next = Some(offset);
            assigned.position = Some(offset);
            return true;
        }
        false
    }

    /// Messages of the first queue that has some; empty if none has within `timeout`.
    ///
    /// Cancel safe: dropped, the position is where it was.
    ///
    /// # Errors
    /// [`RequestError`]; the next poll tries the next queue.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<MessageExt>, RequestError> {
        let deadline = after(timeout);
        loop {
            for _ in 0..self.queues.len() {
                let alone = self.queues.len() == 1;
                let messages = self.poll_first(if alone { deadline } else { Instant::now() }).await?;
                if !messages.is_empty() {
                    return Ok(messages);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            // With several queues a long poll of one would hide messages of the others.
            tokio::time::sleep(left.min(IDLE)).await;
        }
    }

    /// Pulls the queue at the head, which goes to the back.
    async fn poll_first(&mut self, wait_until: Instant) -> Result<Vec<MessageExt>, RequestError> {
        self.queues.rotate_left(1);
        let Some(assigned) = self.queues.back() else { return Ok(Vec::new()) };
        let offset = match assigned.next {
            Some(offset) => offset,
            None => self.begin(&assigned.queue).await?,
        };
        let mut options = self.options.clone();
        options.wait = wait_until.saturating_duration_since(Instant::now()).min(LONG_POLL);
        let outcome = self.client.pull(&assigned.queue, offset, &options).await?;
        let Some(assigned) = self.queues.back_mut() else { return Ok(Vec::new()) };
        assigned.next = Some(outcome.next_offset);
        if outcome.status != PullStatus::OffsetIllegal {
            assigned.position = Some(outcome.next_offset);
        }
        Ok(outcome.messages)
    }

    async fn begin(&self, queue: &MessageQueue) -> Result<i64, RequestError> {
        let committed = self.client.committed(&self.options.group, queue).await?;
        if let Some(offset) = committed.filter(|offset| *offset >= 0) {
            return Ok(offset);
        }
        match self.from {
            ConsumeFrom::First => Ok(self.client.min_offset(queue).await?.max(0)),
            ConsumeFrom::Last => self.client.max_offset(queue).await,
            ConsumeFrom::Timestamp(timestamp) => self.client.offset_for_time(queue, timestamp).await,
        }
    }

    /// Commits the position of every queue and waits until the brokers have it.
    ///
    /// # Errors
    /// [`RequestError`] of the first queue that failed; the ones before it are committed.
    pub async fn commit(&self) -> Result<(), RequestError> {
        for assigned in &self.queues {
            if let Some(position) = assigned.position {
                self.client.commit(&self.options.group, &assigned.queue, position).await?;
            }
        }
        Ok(())
    }
}

/// Between two rounds over several queues that had nothing.
const IDLE: Duration = Duration::from_millis(100);
/// The longest that a broker is asked to wait (Java: 20 s; it must stay below the deadline of a pull).
const LONG_POLL: Duration = Duration::from_secs(20);

//! Options of a consumer (spec client F.1).

use std::{path::PathBuf, sync::Arc, time::Duration};

use rocketwire_protocol::body::{ConsumeFromWhere, MessageModel};

use crate::{
    AllocateStrategy, Averagely,
    validate::{Invalid, in_range},
};

/// Where a group begins in a queue that it has no offset in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumeFrom {
    /// At the end. A broker whose queue is young answers offset 0 all the same, so that a new group gets the first
    /// messages of a new topic.
    #[default]
    Last,
    /// At the beginning.
    First,
    /// At the first message stored at this time (milliseconds since 1970) or later.
    Timestamp(i64),
}

impl ConsumeFrom {
    pub(crate) fn wire(self) -> ConsumeFromWhere {
        match self {
            ConsumeFrom::Last => ConsumeFromWhere::LastOffset,
            ConsumeFrom::First => ConsumeFromWhere::FirstOffset,
            ConsumeFrom::Timestamp(_) => ConsumeFromWhere::Timestamp,
        }
    }
}

/// Options of a [`crate::PushConsumer`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PushConsumerOptions {
    /// Whether each message goes to one member of the group or to all. Default clustering: to one.
    pub message_model: MessageModel,
    /// Where to begin in a queue without an offset. Default [`ConsumeFrom::Last`].
    pub consume_from: ConsumeFrom,
    /// Who gets which queue. Default [`Averagely`]; all members must have the same.
    pub allocate: Arc<dyn AllocateStrategy>,
    /// Handlers that run at a time. Default 20 (Java: `consumeThreadMax`); 1 to 1000.
    pub concurrency: usize,
    /// The most messages that a handler gets at once. Default 1; 1 to 1024.
    pub consume_batch: usize,
    /// The most messages of one pull. Default 32; 1 to 1024.
    pub pull_batch: i32,
    /// The most bytes of one pull. Default 256 KiB; brokers without that option ignore it.
    pub pull_batch_bytes: i32,
    /// Pause between pulls that found messages. Default none.
    pub pull_interval: Duration,
    /// Messages of one queue that may wait for a handler. Default 1000; more means more memory.
    pub queue_messages: usize,
    /// Bytes of one queue that may wait for a handler. Default 100 MiB.
    pub queue_bytes: usize,
    /// The most that the last fetched offset of a queue may be ahead of the first unfinished one. Default 2000;
    /// bounds what comes again after a crash while one message is stuck. Not for orderly consumption.
    pub max_span: i64,
    /// Deliveries after the first before a message goes to `%DLQ%<group>`. Default 16; unlimited when in order.
    pub max_reconsume_times: Option<i32>,
    /// Pause before messages that are consumed in order come again. Default 1 s; 10 ms to 30 s.
    pub suspend: Duration,
    /// How long a handler may take before its message is sent back. Default 15 min.
    pub consume_timeout: Duration,
    /// How long a broker holds a pull at the end of a queue. Default 15 s.
    pub long_poll: Duration,
    /// The deadline of a pull. Default 30 s.
    pub pull_timeout: Duration,
    /// Pause after a failed pull. Default 1 s (Java: `pullTimeDelayMillsWhenException`).
    pub pull_error_delay: Duration,
    /// How often queues are shared out anew. Default 20 s; membership changes do it at once.
    pub rebalance_interval: Duration,
    /// Whether pulls carry the subscription. Default false: the heartbeat's counts.
    pub post_subscription: bool,
    /// Where broadcasting keeps its offsets. Default `$HOME/.rocketmq_offsets`.
    pub offset_dir: Option<PathBuf>,
}

impl Default for PushConsumerOptions {
    fn default() -> Self {
        PushConsumerOptions {
            message_model: MessageModel::Clustering,
            consume_from: ConsumeFrom::Last,
            allocate: Arc::new(Averagely),
            concurrency: 20,
            consume_batch: 1,
            pull_batch: 32,
            pull_batch_bytes: 256 << 10,
            pull_interval: Duration::ZERO,
            queue_messages: 1000,
            queue_bytes: 100 << 20,
            max_span: 2000,
            max_reconsume_times: None,
            suspend: Duration::from_secs(1),
            consume_timeout: Duration::from_secs(15 * 60),
            long_poll: Duration::from_secs(15),
            pull_timeout: Duration::from_secs(30),
            pull_error_delay: Duration::from_secs(1),
            rebalance_interval: Duration::from_secs(20),
            post_subscription: false,
            offset_dir: None,
        }
    }
}

impl PushConsumerOptions {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let batch = u64::try_from(self.pull_batch).unwrap_or(0);
        in_range("consumeThreadMax", self.concurrency as u64, 1, 1000)?;
        in_range("consumeMessageBatchMaxSize", self.consume_batch as u64, 1, 1024)?;
        in_range("pullBatchSize", batch, 1, 1024)?;
        in_range("pullThresholdForQueue", self.queue_messages as u64, 1, 65_535)?;
        in_range("consumeConcurrentlyMaxSpan", u64::try_from(self.max_span).unwrap_or(0), 1, 65_535)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_allowed_and_nonsense_is_not() {
        let defaults = PushConsumerOptions::default();
        assert_eq!(defaults.check(), Ok(()));
        let wrong = [
            PushConsumerOptions { concurrency: 0, ..defaults.clone() },
            PushConsumerOptions { consume_batch: 1025, ..defaults.clone() },
            PushConsumerOptions { pull_batch: -1, ..defaults.clone() },
            PushConsumerOptions { queue_messages: 0, ..defaults.clone() },
            PushConsumerOptions { max_span: 0, ..defaults },
        ];
        for options in wrong {
            assert!(matches!(options.check(), Err(Invalid::OutOfRange { .. })), "{options:?}");
        }
    }
}

//! Options of a producer, and its builder.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use rocketwire_protocol::{
    body::MessageQueue,
    message::{CompressionType, MessageExt, name},
};

use super::{Checker, Producer, ProducerCore, TransactionState};
use crate::{Client, RequestError, RetryPolicy, StandardRetry, validate};

/// Options of a [`Producer`].
#[derive(Clone)]
#[non_exhaustive]
pub struct ProducerOptions {
    /// The deadline of a send, retries included. Default 3 s (Java: `sendMsgTimeout`). Too small looks like
    /// time-outs on a busy broker.
    pub timeout: Duration,
    /// The most that one attempt may take while another one may follow. Default none
    /// (Java: `sendMsgMaxTimeoutPerRequest`). With it, one silent broker does not use up the deadline.
    pub attempt_timeout: Option<Duration>,
    /// When a send is tried again. Default [`StandardRetry`].
    pub retry: Arc<dyn RetryPolicy>,
    /// The topic whose queues a new topic will resemble. Default `TBW102` (Java: `createTopicKey`).
    pub default_topic: String,
    /// Queues of a topic that its first message creates. Default 4 (Java: `defaultTopicQueueNums`).
    pub default_topic_queue_nums: i32,
    /// The largest body, before compression. Default 4 MiB, which is also the broker's.
    pub max_message_size: usize,
    /// Bodies of this size and more are compressed. Default 4096 (Java: `compressMsgBodyOverHowmuch`);
    /// `None`: never.
    pub compress_over: Option<usize>,
    /// How they are compressed. Default zlib, the only one that every client can read.
    pub compression: CompressionType,
    /// The codec's level. Default 5.
    pub compression_level: i32,
    /// Whether brokers that are slow or fail are avoided for a while. Default false
    /// (Java: `sendLatencyFaultEnable`).
    pub avoid_slow_brokers: bool,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        ProducerOptions {
            timeout: Duration::from_secs(3),
            attempt_timeout: None,
            retry: Arc::new(StandardRetry::default()),
            default_topic: name::AUTO_CREATE_TOPIC_KEY_TOPIC.to_owned(),
            default_topic_queue_nums: 4,
            max_message_size: 4 << 20,
            compress_over: Some(4096),
            compression: CompressionType::Zlib,
            compression_level: 5,
            avoid_slow_brokers: false,
        }
    }
}

impl fmt::Debug for ProducerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerOptions")
            .field("timeout", &self.timeout)
            .field("max_message_size", &self.max_message_size)
            .finish_non_exhaustive()
    }
}

/// Options of one send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendOptions {
    /// The deadline instead of the producer's.
    pub timeout: Option<Duration>,
    /// The queue instead of one that the producer chooses; then there is one attempt.
    pub queue: Option<MessageQueue>,
}

impl SendOptions {
    /// Sets the deadline.
    pub fn timeout(mut self, timeout: Duration) -> SendOptions {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the queue.
    pub fn queue(mut self, queue: MessageQueue) -> SendOptions {
        self.queue = Some(queue);
        self
    }
}

/// Builds a [`Producer`].
#[must_use]
pub struct ProducerBuilder {
    client: Client,
    group: String,
    options: ProducerOptions,
    checker: Option<Arc<dyn Checker>>,
}

impl ProducerBuilder {
    pub(crate) fn new(client: Client, group: String) -> ProducerBuilder {
        ProducerBuilder { client, group, options: ProducerOptions::default(), checker: None }
    }

    /// The deadline of a send, retries included.
    pub fn timeout(mut self, timeout: Duration) -> ProducerBuilder {
        self.options.timeout = timeout;
        self
    }

    /// When a send is tried again.
    pub fn retry(mut self, policy: impl RetryPolicy) -> ProducerBuilder {
        self.options.retry = Arc::new(policy);
        self
    }

    /// Answers brokers that ask what became of a half message. May be asked on any client of the group, long
    /// after the message was sent, and more than once.
    pub fn checker<F, Fut>(mut self, check: F) -> ProducerBuilder
    where
        F: Fn(MessageExt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = TransactionState> + Send + 'static,
    {
        self.checker = Some(Arc::new(check));
        self
    }

    /// Changes any other option.
    pub fn options(mut self, change: impl FnOnce(&mut ProducerOptions)) -> ProducerBuilder {
        change(&mut self.options);
        self
    }

    /// The producer. Nothing is sent yet.
    ///
    /// # Errors
    /// [`RequestError`] if the group's name is not allowed, or the client has a producer of that group already.
    pub fn build(self) -> Result<Producer, RequestError> {
        validate::producer_group(&self.group)?;
        let inner = self.client.inner.clone();
        let core = inner.groups.add_producer(&self.group, || {
            ProducerCore::new(self.client, &self.group, self.options, self.checker)
        })?;
        inner.want_heartbeat();
        Ok(Producer { core })
    }
}

impl fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerBuilder")
            .field("group", &self.group)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

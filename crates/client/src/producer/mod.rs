//! Sending messages.

mod options;
mod reply;
mod request;
mod result;
mod send;
mod transaction;

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytestring::ByteString;
use rocketwire_protocol::{
    body::MessageQueue,
    message::{Message, MessageExt},
};
use tokio::time::Instant;

pub use options::{ProducerBuilder, ProducerOptions, SendOptions};
pub use reply::reply_to;
pub(crate) use reply::{Replies, read_reply};
pub(crate) use request::Resend;
pub use result::{SendResult, SendStatus};
pub use transaction::{TransactionResult, TransactionState};

use crate::{Client, RequestError, SendError, fault::FaultTable, tasks::after};
use request::{Common, Compression, Prepared};
use send::Target;
pub(crate) use transaction::{Checker, check_answer};

/// Sends messages of one group; clones are cheap and mean the same producer.
///
/// Any number of sends may run at the same time: `send` futures share one connection per broker, none waits for
/// another, and no task is spawned. To pipeline, run many of them, e.g. with `join_all` or from several tasks.
///
/// # Cancel safety
/// Every future here may be dropped at any time. A message whose request was written by then may be stored;
/// nothing else is left behind.
#[derive(Clone)]
pub struct Producer {
    core: Arc<ProducerCore>,
}

pub(crate) struct ProducerCore {
    pub(crate) client: Client,
    pub(crate) options: ProducerOptions,
    pub(crate) group: ByteString,
    pub(crate) checker: Option<Arc<dyn Checker>>,
    common: Common,
    faults: Mutex<FaultTable>,
}

impl Producer {
    /// Sends a message and waits until a broker has stored it: at most the options' timeout, retries included.
    ///
    /// The queue is chosen round robin; a retry goes to another broker if there is one.
    ///
    /// # Errors
    /// [`SendError`] with every attempt: which broker, which address, what happened.
    pub async fn send(&self, message: Message) -> Result<SendResult, SendError> {
        self.core.send_to(Target::Any, message, self.core.options.timeout).await
    }

    /// [`Producer::send`] with options for this message.
    ///
    /// # Errors
    /// See [`Producer::send`].
    pub async fn send_with(&self, message: Message, options: SendOptions) -> Result<SendResult, SendError> {
        let timeout = options.timeout.unwrap_or(self.core.options.timeout);
        let target = options.queue.map_or(Target::Any, Target::Queue);
        self.core.send_to(target, message, timeout).await
    }

    /// Sends to one queue, in one attempt.
    ///
    /// # Errors
    /// See [`Producer::send`].
    pub async fn send_to(&self, queue: &MessageQueue, message: Message) -> Result<SendResult, SendError> {
        self.core.send_to(Target::Queue(queue.clone()), message, self.core.options.timeout).await
    }

    /// Sends to the queue that `select` chooses of the topic's queues, in one attempt. Messages that must keep
    /// their order go to one queue: see [`crate::queue_by_hash`].
    ///
    /// # Errors
    /// See [`Producer::send`]; [`crate::SendErrorKind::NoQueueSelected`] if `select` returns nothing.
    pub async fn send_by<F>(&self, message: Message, select: F) -> Result<SendResult, SendError>
    where
        F: for<'a> FnOnce(&'a [MessageQueue], &Message) -> Option<&'a MessageQueue>,
    {
        let deadline = after(self.core.options.timeout);
        let queue = self.core.select(&message, select, deadline).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        self.core.send_to(Target::Queue(queue), message, left).await
    }

    /// Sends messages of one topic in one request: all of them are stored, next to each other, or none.
    ///
    /// # Errors
    /// See [`Producer::send`]. The messages together may have `max_message_size` bytes.
    pub async fn send_batch(&self, messages: &[Message]) -> Result<SendResult, SendError> {
        self.core.send_batch(messages, self.core.options.timeout).await
    }

    /// Sends a message and does not wait. Nothing says whether it arrives.
    ///
    /// # Errors
    /// [`SendError`] if it could not even be handed to a connection.
    pub async fn send_oneway(&self, message: Message) -> Result<(), SendError> {
        self.core.send_oneway(message, self.core.options.timeout).await
    }

    /// Sends a half message, runs `local`, and commits or rolls back by what it returns.
    ///
    /// If the broker does not hear the outcome it asks the checker of [`ProducerBuilder::checker`].
    /// A panic in `local` counts as [`TransactionState::Unknown`].
    ///
    /// # Errors
    /// [`SendError`] if the half message was not stored; then `local` has not run. A failure to tell the broker
    /// the outcome is no error: it will ask.
    pub async fn send_in_transaction<F, Fut>(
        &self,
        message: Message,
        local: F,
    ) -> Result<TransactionResult, SendError>
    where
        F: FnOnce(Message) -> Fut + Send,
        Fut: Future<Output = TransactionState> + Send,
    {
        self.core.send_in_transaction(message, local).await
    }

    /// Sends a message and waits for the reply that its consumer sends with [`crate::reply_to`].
    ///
    /// # Errors
    /// [`SendError`]; [`crate::SendErrorKind::NoReply`] if the message was stored and nobody replied in time.
    pub async fn request(&self, message: Message, timeout: Duration) -> Result<MessageExt, SendError> {
        self.core.request(message, timeout).await
    }

    /// The queues of a topic that can be written to.
    ///
    /// # Errors
    /// [`RequestError`] if there is no route.
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, RequestError> {
        let deadline = after(self.core.options.timeout);
        let route = self.core.route(topic, deadline).await?;
        Ok(route.publish.iter().map(|queue| queue.queue.clone()).collect())
    }

    /// Looks up routes and opens connections now, so that the first send does not have to.
    ///
    /// # Errors
    /// [`RequestError`] if there is no route to a topic, or no connection to one of its brokers.
    pub async fn warm_up(&self, topics: &[&str]) -> Result<(), RequestError> {
        self.core.warm_up(topics).await
    }

    /// The producer that consumers send failed messages with; belongs to no group that brokers know.
    pub(crate) fn inner(client: &Client) -> Producer {
        Producer {
            core: Arc::new(ProducerCore::new(client.clone(), INNER_GROUP, ProducerOptions::default(), None)),
        }
    }

    /// The group.
    pub fn group(&self) -> &str {
        &self.core.group
    }

    /// Tells the brokers that the group has one producer less. Sends that run end as they would have; this client is
    /// not asked about half messages of the group any more.
    pub async fn shutdown(&self, deadline: Duration) {
        let deadline = after(deadline);
        let client = &self.core.client.inner;
        client.groups.forget_producer(&self.core);
        client.unregister_producer(&self.core.group, deadline).await;
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("group", &self.core.group).finish_non_exhaustive()
    }
}

/// Java's name for it: `MixAll.CLIENT_INNER_PRODUCER_GROUP`.
const INNER_GROUP: &str = "CLIENT_INNER_PRODUCER";

impl ProducerCore {
    fn new(
        client: Client,
        group: &str,
        options: ProducerOptions,
        checker: Option<Arc<dyn Checker>>,
    ) -> ProducerCore {
        let common = Common {
            group: group.into(),
            default_topic: options.default_topic.as_str().into(),
            default_topic_queue_nums: options.default_topic_queue_nums,
            max_message_size: options.max_message_size,
            compression: options.compress_over.map(|threshold| Compression {
                threshold,
                kind: options.compression,
                level: options.compression_level,
            }),
        };
        ProducerCore {
            client,
            group: common.group.clone(),
            common,
            checker,
            faults: Mutex::new(FaultTable::default()),
            options,
        }
    }

    /// Answers a broker that asks what became of a half message.
    pub(crate) async fn check(&self, message: MessageExt) -> TransactionState {
        match &self.checker {
            Some(checker) => checker.check(message).await,
            None => TransactionState::Unknown,
        }
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, FaultTable> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ProducerCore {
    fn drop(&mut self) {
        self.client.inner.groups.remove_producer(&self.group);
    }
}

//! The consumer that is handed its messages.

use std::{collections::BTreeMap, fmt, future::Future, sync::Arc, time::Duration};

use bytestring::ByteString;
use rocketwire_protocol::{
    body::{MessageModel, MessageQueue},
    message::{MessageExt, name, retry_topic},
};

use super::{
    ConsumeFrom, ConsumeResult, DeliveryStream, OrderlyResult, PushConsumerOptions, concurrent,
    core::PushCore,
    delivery,
    handler::{Handle, Handler},
    offset_store::OffsetStore,
    orderly, rebalance,
};
use crate::{
    Client, FilterExpression, RequestError,
    client::subscription_version,
    offsets::local_file,
    subscription,
    tasks::after,
    validate::{self, Invalid},
};

/// Builds a [`PushConsumer`].
#[must_use]
pub struct PushConsumerBuilder {
    client: Client,
    group: String,
    options: PushConsumerOptions,
    subscriptions: Vec<(String, FilterExpression)>,
}

impl PushConsumerBuilder {
    pub(crate) fn new(client: Client, group: String) -> PushConsumerBuilder {
        PushConsumerBuilder {
            client,
            group,
            options: PushConsumerOptions::default(),
            subscriptions: Vec::new(),
        }
    }

    /// Adds a topic and which of its messages: `"*"`, `"TagA || TagB"`, or a [`FilterExpression`]. All members of
    /// a group must subscribe to the same.
    pub fn subscribe(
        mut self,
        topic: impl Into<String>,
        filter: impl Into<FilterExpression>,
    ) -> PushConsumerBuilder {
        self.subscriptions.push((topic.into(), filter.into()));
        self
    }

    /// Where to begin in a queue that the group has no offset in.
    pub fn consume_from(mut self, from: ConsumeFrom) -> PushConsumerBuilder {
        self.options.consume_from = from;
        self
    }

    /// Every client gets every message; failed ones are not delivered again. Offsets are kept in a local file
    /// under the client id, so give the client an instance name that stays the same.
    pub fn broadcasting(mut self) -> PushConsumerBuilder {
        self.options.message_model = MessageModel::Broadcasting;
        self
    }

    /// Handlers that run at a time.
    pub fn concurrency(mut self, handlers: usize) -> PushConsumerBuilder {
        self.options.concurrency = handlers;
        self
    }

    /// Changes any other option.
    pub fn options(mut self, change: impl FnOnce(&mut PushConsumerOptions)) -> PushConsumerBuilder {
        change(&mut self.options);
        self
    }

    /// Starts; each message is handed to `handler` by itself.
    ///
    /// The handler returns a [`ConsumeResult`], `()` or a `Result<(), E>`. A panic counts as
    /// [`ConsumeResult::ReconsumeLater`]. Messages are delivered at least once.
    ///
    /// An async closure that captures nothing will do; else clone what it needs for each message:
    /// ```no_run
    /// # async fn example(client: rocketwire::Client) -> Result<(), rocketwire::RequestError> {
    /// # let builder = client.push_consumer("group").subscribe("Topic", "*");
    /// let database = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    /// let consumer = builder
    ///     .start(move |message| {
    ///         let database = database.clone();
    ///         async move { database.lock().map(|mut rows| rows.push(message)).map_err(|_| "poisoned") }
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`RequestError`] if the group's or a topic's name is not allowed, an option is out of range, or the client
    /// has a consumer of that group, or if a broker refuses an SQL expression. A topic without a route is no error:
    /// the consumer waits for it.
    pub async fn start<F, Fut>(self, handler: F) -> Result<PushConsumer, RequestError>
    where
        F: Fn(Arc<MessageExt>) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Into<ConsumeResult>,
    {
        let handler = Arc::new(handler);
        let each = move |batch: Vec<Arc<MessageExt>>| {
            let handler = handler.clone();
            async move {
                let mut batch = batch.into_iter();
                match (batch.next(), batch.next()) {
                    (Some(message), None) => handler(message).await.into(),
                    // Batches have one message, because the option says so.
                    _ => ConsumeResult::ReconsumeLater,
                }
            }
        };
        let this = self.options(|options| options.consume_batch = 1);
        this.begin(Handler::Concurrent(as_handle(each))).await
    }

    /// Starts; the handler gets up to `options.consume_batch` messages of one queue at once.
    ///
    /// # Errors
    /// See [`PushConsumerBuilder::start`].
    pub async fn start_batch<F, Fut>(self, handler: F) -> Result<PushConsumer, RequestError>
    where
        F: Fn(Vec<Arc<MessageExt>>) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Into<ConsumeResult>,
    {
        self.begin(Handler::Concurrent(Arc::new(handler))).await
    }

    /// Starts; messages of one queue come one after the other, in their order, and a message that fails holds up
    /// its queue. The broker's locks see to it that no other client has the queue meanwhile.
    ///
    /// # Errors
    /// See [`PushConsumerBuilder::start`].
    pub async fn start_orderly<F, Fut>(self, handler: F) -> Result<PushConsumer, RequestError>
    where
        F: Fn(Vec<Arc<MessageExt>>) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Into<OrderlyResult>,
    {
        self.begin(Handler::Orderly(Arc::new(handler))).await
    }

    /// Starts; messages come out of a stream, each to be acknowledged. At most `options.concurrency` of them are
    /// out at a time.
    ///
    /// # Errors
    /// See [`PushConsumerBuilder::start`].
    pub async fn stream(self) -> Result<(PushConsumer, DeliveryStream), RequestError> {
        let (handler, sender, stream) = delivery::channel(self.options.concurrency);
        let this = self.options(|options| options.consume_batch = 1);
        let consumer = this.begin(Handler::Concurrent(as_handle(handler))).await?;
        // Nothing comes once the handlers have ended, whoever still has the consumer.
        let mut stop = consumer.core.handling.stop_signal();
        consumer.core.handling.spawn(async move {
            stop.wait().await;
            drop(sender);
        });
        Ok((consumer, stream))
    }

    async fn begin(self, handler: Handler) -> Result<PushConsumer, RequestError> {
        validate::consumer_group(&self.group)?;
        self.options.check()?;
        if self.subscriptions.is_empty() {
            return Err(Invalid::NoSubscription.into());
        }
        let version = subscription_version();
        let mut subscriptions = BTreeMap::new();
        let clustering = self.options.message_model == MessageModel::Clustering;
        let mut wanted = self.subscriptions;
        if clustering {
            wanted.push((retry_topic(&self.group), FilterExpression::All));
        }
        for (topic, filter) in &wanted {
            name::check_topic(topic).map_err(Invalid::from)?;
            let data = subscription::build(topic, filter, version)?;
            subscriptions.insert(ByteString::from(topic.as_str()), Arc::new(data));
        }
        let client = self.client.inner.clone();
        let offsets = if clustering {
            OffsetStore::broker()
        } else {
            let dir = self.options.offset_dir.as_deref();
            OffsetStore::file(local_file::path(dir, &client.client_id, &self.group))?
        };
        let group = ByteString::from(self.group);
        let core = Arc::new(PushCore::new(self.client, group, self.options, handler, offsets, subscriptions));
        client.groups.add_consumer(&core)?;
        // Routes first: heartbeats go to the brokers in them, and pulls are refused without a heartbeat.
        let deadline = after(client.options.api_timeout);
        for topic in core.topics() {
            if let Err(error) = client.ask(&topic, deadline).await {
                tracing::warn!(%error, "no route yet; the consumer goes on looking");
            }
        }
        if let Err(error) = check_filters(&core).await {
            client.groups.remove_consumer(&core.group);
            return Err(error);
        }
        client.heartbeat_all().await;
        match &core.handler {
            Handler::Concurrent(_) => concurrent::spawn(&core),
            Handler::Orderly(_) => orderly::spawn(&core),
        }
        core.fetching.spawn(rebalance::run(core.clone()));
        Ok(PushConsumer { core })
    }
}

/// Has a broker look at expressions that are no tags: a mistake shows here, not as silence (Java:
/// `checkClientInBroker`).
async fn check_filters(core: &PushCore) -> Result<(), RequestError> {
    let client = &core.client.inner;
    for subscription in core.subscriptions() {
        let route = client.routes().topic(&subscription.topic);
        let address = route.and_then(|route| route.one_address_each().into_iter().next());
        if let Some(address) = address
            && *subscription.expression_type != *"TAG"
        {
            client.broker(&address).check_subscription(&client.client_id, &core.group, subscription).await?;
        }
    }
    Ok(())
}

fn as_handle<F, Fut>(handler: F) -> Arc<dyn Handle<ConsumeResult>>
where
    F: Fn(Vec<Arc<MessageExt>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ConsumeResult> + Send + 'static,
{
    Arc::new(handler)
}

impl fmt::Debug for PushConsumerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushConsumerBuilder")
            .field("group", &self.group)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A member of a consumer group that is handed its messages.
///
/// [`PushConsumer::shutdown`] ends it in order. Dropping it stops fetching and leaves the rest as it is: messages
/// that are not committed are delivered again.
pub struct PushConsumer {
    core: Arc<PushCore>,
}

/// What a shutdown had to leave undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Batches that were fetched and whose handlers did not finish; their messages are delivered again.
    pub unfinished: usize,
    /// Queues whose offset no broker has confirmed.
    pub uncommitted: usize,
}

impl PushConsumer {
    /// Stops fetching, waits for the handlers, commits, and leaves the group; at most until the deadline.
    ///
    /// Idempotent. Cancel safe: dropped half-way it can be called again.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.core.shutdown(after(deadline)).await
    }

    /// Stops fetching for a while; handlers go on with what is here.
    pub fn suspend(&self) {
        self.core.suspend();
    }

    /// Goes on after [`PushConsumer::suspend`].
    pub fn resume(&self) {
        self.core.resume();
    }

    /// The queues that are this consumer's at the moment.
    pub fn queues(&self) -> Vec<MessageQueue> {
        let mut queues: Vec<MessageQueue> =
            self.core.queues().iter().map(|active| active.queue.clone()).collect();
        queues.sort();
        queues
    }

    /// The group.
    pub fn group(&self) -> &str {
        &self.core.group
    }
}

impl Drop for PushConsumer {
    fn drop(&mut self) {
        self.core.fetching.stop();
        self.core.handling.stop();
        self.core.work.close();
    }
}

impl fmt::Debug for PushConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushConsumer").field("group", &self.core.group).finish_non_exhaustive()
    }
}

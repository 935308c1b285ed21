//! The send path: route, queue, request, answer, and once more if that is worth it.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use rocketwire_protocol::{body::MessageQueue, message::Message};
use rocketwire_remoting::RpcError;
use tokio::time::Instant;

use super::{Prepared, ProducerCore, SendResult, SendStatus, result};
use crate::{
    Attempt, AttemptFacts, AttemptFailure, AttemptOutcome, Next, RequestError, RouteError, SendError,
    client::Template, identity::now_ms, route::TopicRoute, select,
};

/// Where a message is to go.
pub(super) enum Target {
    /// Any queue of the topic; another one after a failure.
    Any,
    /// This queue, once.
    Queue(MessageQueue),
}

/// A queue and its broker's address.
struct Destination {
    queue: MessageQueue,
    address: ByteString,
}

impl ProducerCore {
    pub(super) async fn send_to(
        &self,
        target: Target,
        message: Message,
        timeout: Duration,
    ) -> Result<SendResult, SendError> {
        let prepared = self.prepare(&message)?;
        drop(message);
        self.send_prepared(target, prepared, timeout).await
    }

    pub(super) async fn send_batch(
        &self,
        messages: &[Message],
        timeout: Duration,
    ) -> Result<SendResult, SendError> {
        let client = &self.client.inner;
        let topic = || messages.first().map(|first| first.topic().clone()).unwrap_or_default();
        let prepared = Prepared::batch(messages, &self.common, || client.unique_id());
        let prepared = prepared.map_err(|error| SendError::invalid(&topic(), error))?;
        self.send_prepared(Target::Any, prepared, timeout).await
    }

    pub(super) async fn send_oneway(&self, message: Message, timeout: Duration) -> Result<(), SendError> {
        let prepared = self.prepare(&message)?;
        let begun = Instant::now();
        let deadline = begun + timeout;
        let route = self.route(&prepared.topic, deadline).await;
        let route = route.map_err(|error| SendError::route(&prepared.topic, error, begun.elapsed()))?;
        let destination = self.choose(&route, None);
        let destination =
            destination.ok_or_else(|| SendError::no_queue_selected(&prepared.topic, begun.elapsed()))?;
        let request = prepared.request(&self.common, &destination.queue, now_ms()).oneway();
        let left = deadline.saturating_duration_since(Instant::now());
        let sent = self.client.inner.remoting.invoke_oneway(&destination.address, request, left).await;
        sent.map_err(|error| {
            let attempt = failed(&destination, begun, AttemptFailure::Rpc(error));
            SendError::attempts_failed(&prepared.topic, vec![attempt], begun.elapsed())
        })
    }

    fn prepare(&self, message: &Message) -> Result<Prepared, SendError> {
        let client = &self.client.inner;
        if client.is_closed() {
            return Err(SendError::closed(message.topic()));
        }
        let prepared = Prepared::message(message, &self.common, || client.unique_id());
        prepared.map_err(|error| SendError::invalid(message.topic(), error))
    }

    /// The attempts. One deadline covers route, connecting, waiting and retries.
    async fn send_prepared(
        &self,
        target: Target,
        prepared: Prepared,
        timeout: Duration,
    ) -> Result<SendResult, SendError> {
        let begun = Instant::now();
        let deadline = begun + timeout;
        let mut attempts: Vec<Attempt> = Vec::new();
        // A message that is stored, only not as safely as the policy wants.
        let mut stored: Option<SendResult> = None;
        loop {
            let last_broker = attempts.last().map(|attempt: &Attempt| &*attempt.broker);
            let destination = match &target {
                Target::Any => self.next_destination(&prepared.topic, last_broker, deadline).await,
                Target::Queue(queue) => Ok(self.destination_of(queue, deadline).await),
            };
            let destination = match destination {
                Ok(Some(destination)) => destination,
                Ok(None) if attempts.is_empty() => {
                    return Err(SendError::no_queue_selected(&prepared.topic, begun.elapsed()));
                }
                Err(error) if attempts.is_empty() => {
                    return Err(SendError::route(&prepared.topic, error, begun.elapsed()));
                }
                Ok(None) | Err(_) => break,
            };
            let attempt_begun = Instant::now();
            if attempt_begun >= deadline {
                if attempts.is_empty() {
                    return Err(SendError::timeout(&prepared.topic, begun.elapsed()));
                }
                break;
            }
            let number = attempts.len() + 1;
            let fixed = matches!(target, Target::Queue(_));
            let timeout = self.attempt_timeout(number, fixed, deadline - attempt_begun);
            let outcome = self.attempt(&prepared, &destination, timeout).await;
            self.note_latency(&destination, &outcome, attempt_begun);
            let failure = match outcome {
                Ok(result) if result.status == SendStatus::SendOk => return Ok(result),
                Ok(result) => {
                    let failure = AttemptFailure::Stored(result.status);
                    stored = Some(result);
                    failure
                }
                Err(failure) => failure,
            };
            let next = self.options.retry.after(&AttemptFacts::new(number, failure.outcome()));
            attempts.push(failed(&destination, attempt_begun, failure));
            if fixed || next == Next::Stop {
                break;
            }
        }
        match stored {
            Some(result) => Ok(result),
            None => Err(SendError::attempts_failed(&prepared.topic, attempts, begun.elapsed())),
        }
    }

    async fn attempt(
        &self,
        prepared: &Prepared,
        destination: &Destination,
        timeout: Duration,
    ) -> Result<SendResult, AttemptFailure> {
        if destination.address.is_empty() {
            return Err(AttemptFailure::BrokerUnknown(destination.queue.broker_name.clone()));
        }
        let request = prepared.request(&self.common, &destination.queue, now_ms());
        let remoting = &self.client.inner.remoting;
        let answer =
            remoting.invoke(&destination.address, request, timeout).await.map_err(AttemptFailure::Rpc)?;
        match result::result(&answer, &prepared.msg_id, &destination.queue) {
            Ok(Some(result)) => Ok(result),
            Ok(None) => Err(AttemptFailure::Refused {
                code: answer.response_code(),
                remark: answer.remark.unwrap_or_default(),
            }),
            Err(error) => Err(AttemptFailure::Undecodable(error)),
        }
    }

    /// An attempt is cut short only while another one may follow it.
    fn attempt_timeout(&self, number: usize, fixed: bool, left: Duration) -> Duration {
        let timed_out = AttemptOutcome::Transport(rocketwire_remoting::RpcErrorKind::Timeout);
        match self.options.attempt_timeout {
            Some(limit)
                if !fixed
                    && self.options.retry.after(&AttemptFacts::new(number, timed_out)) == Next::Retry =>
            {
                limit.min(left)
            }
            _ => left,
        }
    }

    async fn next_destination(
        &self,
        topic: &ByteString,
        last_broker: Option<&str>,
        deadline: Instant,
    ) -> Result<Option<Destination>, RouteError> {
        let route = self.route(topic, deadline).await?;
        Ok(self.choose(&route, last_broker))
    }

    fn choose(&self, route: &TopicRoute, last_broker: Option<&str>) -> Option<Destination> {
        let chosen = if self.options.avoid_slow_brokers {
            let faults = self.faults();
            select::choose(&route.publish, &route.round_robin, last_broker, Some((&faults, now())))
        } else {
            select::choose(&route.publish, &route.round_robin, last_broker, None)
        }?;
        Some(Destination {
            queue: chosen.queue.clone(),
            address: self.client.inner.send_address(&chosen.address),
        })
    }

    /// A queue that the caller named. An unknown broker is looked up once.
    async fn destination_of(&self, queue: &MessageQueue, deadline: Instant) -> Option<Destination> {
        let client = &self.client.inner;
        let known = client.routes().master(&queue.broker_name);
        let address = match known {
            Some(address) => Some(address),
            None => {
                let _ = client.ask(&queue.topic, deadline).await;
                client.routes().master(&queue.broker_name)
            }
        };
        Some(Destination {
            queue: queue.clone(),
            address: address.map(|address| client.send_address(&address)).unwrap_or_default(),
        })
    }

    pub(super) async fn route(&self, topic: &str, deadline: Instant) -> Result<Arc<TopicRoute>, RouteError> {
        if let Some(route) = self.client.inner.cached_publish_route(topic) {
            return Ok(route);
        }
        let template =
            Template { topic: &self.options.default_topic, queues: self.options.default_topic_queue_nums };
        self.client.inner.publish_route(topic, template, deadline).await
    }

    pub(super) async fn select<F>(
        &self,
        message: &Message,
        select: F,
        deadline: Instant,
    ) -> Result<MessageQueue, SendError>
    where
        F: for<'a> FnOnce(&'a [MessageQueue], &Message) -> Option<&'a MessageQueue>,
    {
        let begun = Instant::now();
        let route = self.route(message.topic(), deadline).await;
        let route = route.map_err(|error| SendError::route(message.topic(), error, begun.elapsed()))?;
        let queues: Vec<MessageQueue> = route.publish.iter().map(|queue| queue.queue.clone()).collect();
        let chosen = select(&queues, message).cloned();
        chosen.ok_or_else(|| SendError::no_queue_selected(message.topic(), begun.elapsed()))
    }

    pub(super) async fn warm_up(&self, topics: &[&str]) -> Result<(), RequestError> {
        let deadline = Instant::now() + self.options.timeout;
        for topic in topics {
            let route = self.route(topic, deadline).await?;
            let mut addresses: Vec<&ByteString> = route.publish.iter().map(|queue| &queue.address).collect();
            addresses.dedup();
            for address in addresses {
                let client = &self.client.inner;
                let left = deadline.saturating_duration_since(Instant::now());
                let connected = client.remoting.connect(&client.send_address(address), left).await;
                let failed = |error| {
                    RequestError::new("connecting", Some(address), crate::RequestErrorKind::Rpc(error))
                };
                connected.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Keeps the table of slow brokers, if it is asked for.
    fn note_latency(
        &self,
        destination: &Destination,
        outcome: &Result<SendResult, AttemptFailure>,
        begun: Instant,
    ) {
        if !self.options.avoid_slow_brokers {
            return;
        }
        // Without a detector that would find out when a broker is back, transport failures count as reachable.
        let (isolate, reachable) = match outcome {
            Ok(_) | Err(AttemptFailure::Undecodable(_) | AttemptFailure::BrokerUnknown(_)) => (false, true),
            Err(AttemptFailure::Rpc(RpcError::Encode { .. })) => (false, true),
            Err(AttemptFailure::Rpc(_)) => (true, true),
            Err(_) => (true, false),
        };
        self.faults().update(&destination.queue.broker_name, begun.elapsed(), isolate, reachable, now());
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn failed(destination: &Destination, begun: Instant, failure: AttemptFailure) -> Attempt {
    Attempt {
        broker: destination.queue.broker_name.clone(),
        address: destination.address.clone(),
        elapsed: begun.elapsed(),
        failure,
    }
}

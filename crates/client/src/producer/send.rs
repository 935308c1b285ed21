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
    client::Template, identity, identity::now_ms, route::TopicRoute, select, tasks::after,
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

/// The attempts of one send so far.
struct Tries {
    begun: Instant,
    deadline: Instant,
    attempts: Vec<Attempt>,
    /// A message that is stored, only not as safely as the policy wants.
    stored: Option<SendResult>,
}

impl Tries {
    fn new(timeout: Duration) -> Tries {
        let begun = Instant::now();
        Tries { begun, deadline: after(timeout), attempts: Vec::new(), stored: None }
    }

    /// Keeps a result that is returned if no attempt does better.
    fn keep(&mut self, result: SendResult) -> AttemptFailure {
        let failure = AttemptFailure::Stored(result.status);
        self.stored = Some(result);
        failure
    }

    fn end(self, topic: &ByteString) -> Result<SendResult, SendError> {
        let failed = || SendError::attempts_failed(topic, self.attempts, self.begun.elapsed());
        self.stored.ok_or_else(failed)
    }
}

/// Pause before a broker is tried again: from 5 ms, doubled each time up to 80 ms, less a random half.
fn retry_pause(attempts: usize, random: u64) -> Duration {
    let full = 5_000u64 << attempts.clamp(1, 5).saturating_sub(1);
    Duration::from_micros(full / 2 + random % (full / 2))
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
        let topic = messages.first().map(|first| first.topic().clone()).unwrap_or_default();
        self.check_open(&topic)?;
        let prepared = Prepared::batch(messages, &self.common, || client.unique_id());
        let prepared = prepared.map_err(|error| SendError::invalid(&topic, error))?;
        self.send_prepared(Target::Any, prepared, timeout).await
    }

    pub(super) async fn send_oneway(&self, message: Message, timeout: Duration) -> Result<(), SendError> {
        let prepared = self.prepare(&message)?;
        let begun = Instant::now();
        let deadline = after(timeout);
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

    /// A client that is closed would connect anew.
    pub(super) fn check_open(&self, topic: &ByteString) -> Result<(), SendError> {
        if self.client.inner.is_closed() { Err(SendError::closed(topic)) } else { Ok(()) }
    }

    fn prepare(&self, message: &Message) -> Result<Prepared, SendError> {
        let client = &self.client.inner;
        self.check_open(message.topic())?;
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
        let fixed = matches!(target, Target::Queue(_));
        let mut tries = Tries::new(timeout);
        while let Some(destination) = self.destination(&target, &prepared.topic, &tries).await? {
            let (number, begun) = (tries.attempts.len() + 1, Instant::now());
            let timeout =
                self.attempt_timeout(number, fixed, tries.deadline.saturating_duration_since(begun));
            let outcome = self.attempt(&prepared, &destination, timeout).await;
            self.note_latency(&destination, &outcome, begun);
            let failure = match outcome {
                Ok(result) if result.status == SendStatus::SendOk => return Ok(result),
                Ok(result) => tries.keep(result),
                Err(failure) => failure,
            };
            let next = self.options.retry.after(&AttemptFacts::new(number, failure.outcome()));
            tries.attempts.push(failed(&destination, begun, failure));
            if fixed || next == Next::Stop {
                break;
            }
        }
        tries.end(&prepared.topic)
    }

    /// Where the next attempt goes. `None`: there can be no further one; an error if there was none at all.
    async fn destination(
        &self,
        target: &Target,
        topic: &ByteString,
        tries: &Tries,
    ) -> Result<Option<Destination>, SendError> {
        let last = tries.attempts.last().map(|attempt| &*attempt.broker);
        let chosen = match target {
            Target::Queue(queue) => Ok(Some(self.destination_of(queue, tries.deadline).await)),
            Target::Any => self.route(topic, tries.deadline).await.map(|route| self.choose(&route, last)),
        };
        if last.is_none() {
            let chosen = chosen.map_err(|error| SendError::route(topic, error, tries.begun.elapsed()))?;
            let none = || SendError::no_queue_selected(topic, tries.begun.elapsed());
            let destination = chosen.ok_or_else(none)?;
            if Instant::now() >= tries.deadline {
                return Err(SendError::timeout(topic, tries.begun.elapsed()));
            }
            return Ok(Some(destination));
        }
        let Ok(Some(destination)) = chosen else { return Ok(None) };
        if last == Some(&*destination.queue.broker_name) {
            // The broker that just refused or vanished gets a moment, not the same moment for every client.
            let pause = retry_pause(tries.attempts.len(), identity::random());
            tokio::time::sleep_until((Instant::now() + pause).min(tries.deadline)).await;
        }
        Ok((Instant::now() < tries.deadline).then_some(destination))
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

    /// A queue that the caller named. An unknown broker is looked up once; if it stays unknown, the address is
    /// empty.
    async fn destination_of(&self, queue: &MessageQueue, deadline: Instant) -> Destination {
        let client = &self.client.inner;
        let known = client.routes().master(&queue.broker_name);
        let address = match known {
            Some(address) => Some(address),
            None => {
                let _ = client.ask(&queue.topic, deadline).await;
                client.routes().master(&queue.broker_name)
            }
        };
        Destination {
            queue: queue.clone(),
            address: address.map(|address| client.send_address(&address)).unwrap_or_default(),
        }
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
        let deadline = after(self.options.timeout);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        for (attempts, least, most) in
            [(1, 2_500, 5_000), (2, 5_000, 10_000), (5, 40_000, 80_000), (99, 40_000, 80_000)]
        {
            for random in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
                let pause = retry_pause(attempts, random).as_micros();
                assert!((least..most).contains(&pause), "{attempts}: {pause}");
            }
        }
        assert_ne!(retry_pause(3, 7), retry_pause(3, 8));
    }
}

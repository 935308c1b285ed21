//! Queues one by one: pull, offsets, commits. What consumers are made of.

use std::time::Duration;

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, ResponseCode,
    body::{MessageQueue, SubscriptionData},
    header::{PullMessageRequestHeader, PullMessageResponseHeader},
    message::{MessageExt, RecordView, properties, property, records},
};

use super::{BrokerCalls, Client, Inner};
use crate::{
    FilterExpression, RequestError, RequestErrorKind, identity::now_ms, route::ReadAddress, subscription,
    tasks::after, validate,
};

/// `sysFlag` of a pull: the request commits an offset.
const COMMIT_OFFSET: i32 = 1;
/// The broker may hold the request until there is a message.
const SUSPEND: i32 = 2;
/// The request carries the subscription.
const SUBSCRIPTION: i32 = 4;

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PullStatus {
    /// There are messages.
    Found,
    /// The end of the queue, and nothing came while the broker waited.
    NoNewMessage,
    /// There are messages, but none that the filter lets through.
    NoMatchedMessage,
    /// The offset is not in the queue; go on at `next_offset`.
    OffsetIllegal,
}

/// What a pull brought.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PullOutcome {
    /// How it ended.
    pub status: PullStatus,
    /// The offset to go on at.
    pub next_offset: i64,
    /// The first offset of the queue.
    pub min_offset: i64,
    /// One behind the last offset of the queue.
    pub max_offset: i64,
    /// The broker id that the next pull should go to.
    pub suggested_broker: i64,
    /// The messages, decompressed.
    pub messages: Vec<MessageExt>,
}

/// Options of [`Client::pull`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullOptions {
    /// The group on whose behalf the pull is made; brokers check its permission. Default `TOOLS_CONSUMER`.
    pub group: String,
    /// Which messages. Default all.
    pub filter: FilterExpression,
    /// The most messages. Default 32; brokers have a limit of their own, 32 by default.
    pub max_messages: i32,
    /// How long the broker may wait for a message at the end of the queue. Default zero: not at all.
    pub wait: Duration,
    /// The deadline beyond `wait`. Default 10 s.
    pub timeout: Duration,
}

impl Default for PullOptions {
    fn default() -> Self {
        PullOptions {
            group: "TOOLS_CONSUMER".to_owned(),
            filter: FilterExpression::All,
            max_messages: 32,
            wait: Duration::ZERO,
            timeout: Duration::from_secs(10),
        }
    }
}

/// One pull, as consumers make it.
pub(crate) struct PullRequest<'a> {
    pub(crate) group: &'a ByteString,
    pub(crate) queue: &'a MessageQueue,
    pub(crate) offset: i64,
    pub(crate) subscription: &'a SubscriptionData,
    /// Whether the request carries the subscription; else the broker takes the heartbeat's.
    pub(crate) post_subscription: bool,
    pub(crate) max_messages: i32,
    pub(crate) max_bytes: Option<i32>,
    /// The offset to commit on the way, if any.
    pub(crate) commit: Option<i64>,
    pub(crate) suspend: Duration,
    pub(crate) timeout: Duration,
    /// The broker id that the last answer suggested.
    pub(crate) broker_id: i64,
}

impl Client {
    /// The queues of a topic that can be read.
    ///
    /// # Errors
    /// [`RequestError`] if there is no route.
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, RequestError> {
        let deadline = after(self.inner.options.api_timeout);
        Ok(self.inner.route(topic, deadline).await?.subscribe.clone())
    }

    /// Reads messages of a queue from an offset on; commits nothing.
    ///
    /// Cancel safe: dropped, nothing is left but a late answer that is thrown away.
    ///
    /// # Errors
    /// [`RequestError`]. An offset outside of the queue is not an error but [`PullStatus::OffsetIllegal`].
    pub async fn pull(
        &self,
        queue: &MessageQueue,
        offset: i64,
        options: &PullOptions,
    ) -> Result<PullOutcome, RequestError> {
        let data = subscription::build(&queue.topic, &options.filter, 0)?;
        let request = PullRequest {
            group: &options.group.as_str().into(),
            queue,
            offset,
            subscription: &data,
            post_subscription: true,
            max_messages: options.max_messages,
            max_bytes: None,
            commit: None,
            suspend: options.wait,
            timeout: options.timeout.saturating_add(options.wait),
            broker_id: 0,
        };
        self.inner.pull(request).await
    }

    /// The first offset of a queue.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn min_offset(&self, queue: &MessageQueue) -> Result<i64, RequestError> {
        let address = self.inner.queue_address(queue).await?;
        self.inner.broker(&address).min_offset(queue).await
    }

    /// One behind the last offset of a queue.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn max_offset(&self, queue: &MessageQueue) -> Result<i64, RequestError> {
        let address = self.inner.queue_address(queue).await?;
        self.inner.broker(&address).max_offset(queue).await
    }

    /// The first offset whose message was stored at `timestamp` (milliseconds since 1970) or later; the end of
    /// the queue if there is none.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn offset_for_time(&self, queue: &MessageQueue, timestamp: i64) -> Result<i64, RequestError> {
        let address = self.inner.queue_address(queue).await?;
        self.inner.broker(&address).offset_for_time(queue, timestamp).await
    }

    /// Where a group stands in a queue; `None` if it has never committed there. Brokers before 5.0 say 0 instead
    /// while the first message of the queue is at hand.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn committed(&self, group: &str, queue: &MessageQueue) -> Result<Option<i64>, RequestError> {
        let address = self.inner.queue_address(queue).await?;
        self.inner.broker(&address).committed(group, queue, true).await
    }

    /// Commits an offset of a group and waits until the broker has it.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn commit(&self, group: &str, queue: &MessageQueue, offset: i64) -> Result<(), RequestError> {
        validate::consumer_group(group)?;
        let address = self.inner.queue_address(queue).await?;
        self.inner.broker(&address).commit(group, queue, offset).await
    }
}

impl Inner {
    pub(crate) fn broker<'a>(&'a self, address: &'a str) -> BrokerCalls<'a> {
        BrokerCalls { remoting: &self.remoting, address }
    }

    /// Where producers send to: the address itself, or the VIP port two below.
    pub(crate) fn send_address(&self, address: &ByteString) -> ByteString {
        if self.options.vip_channel { vip_address(address) } else { address.clone() }
    }

    /// The master of a queue's broker, or else any of it. An unknown broker is looked up once.
    pub(crate) async fn queue_address(&self, queue: &MessageQueue) -> Result<ByteString, RequestError> {
        let known = self.routes().master_or_any(&queue.broker_name);
        if let Some(address) = known {
            return Ok(address);
        }
        let deadline = after(self.options.api_timeout);
        self.route(&queue.topic, deadline).await?;
        let found = self.routes().master_or_any(&queue.broker_name);
        found.ok_or_else(|| unknown("looking up a broker", queue))
    }

    pub(crate) async fn pull(&self, request: PullRequest<'_>) -> Result<PullOutcome, RequestError> {
        const OPERATION: &str = "PULL_MESSAGE";
        let known = self.routes().for_reading(&request.queue.broker_name, request.broker_id);
        let target = match known {
            Some(target) => target,
            None => {
                self.queue_address(request.queue).await?;
                let found = self.routes().for_reading(&request.queue.broker_name, request.broker_id);
                found.ok_or_else(|| unknown(OPERATION, request.queue))?
            }
        };
        let command = Command::of(&pull_header(&request, &target));
        let answer = self.remoting.invoke(&target.address, command, request.timeout).await;
        let answer = answer.map_err(|error| {
            RequestError::new(OPERATION, Some(&target.address), RequestErrorKind::Rpc(error))
        })?;
        let undecodable =
            |error: &dyn std::fmt::Display| RequestError::undecodable(OPERATION, &target.address, error);
        let status = status(&answer).ok_or_else(|| {
            let refused = RequestErrorKind::Refused {
                code: answer.response_code(),
                remark: answer.remark.clone().unwrap_or_default(),
            };
            RequestError::new(OPERATION, Some(&target.address), refused)
        })?;
        let header: PullMessageResponseHeader =
            answer.response_header().map_err(|error| undecodable(&error))?;
        let mut messages = Vec::new();
        if status == PullStatus::Found {
            let bounds = bounds(&header);
            for record in records(answer.body) {
                let record = record.map_err(|error| undecodable(&error))?;
                if subscription::matches(request.subscription, || record.property(property::TAGS)) {
                    messages.push(received(record, &request, &bounds, self.options.max_decompressed));
                }
            }
        }
        Ok(PullOutcome {
            status,
            next_offset: header.next_begin_offset,
            min_offset: header.min_offset,
            max_offset: header.max_offset,
            suggested_broker: header.suggest_which_broker_id,
            messages,
        })
    }
}

/// The properties that Java's client adds to each message of an answer: how far the queue reached.
fn bounds(header: &PullMessageResponseHeader) -> String {
    let mut text = String::new();
    properties::append(&mut text, property::MIN_OFFSET, &header.min_offset.to_string());
    properties::append(&mut text, property::MAX_OFFSET, &header.max_offset.to_string());
    text
}

/// What a record becomes on its way to the user. A body that cannot be decompressed stays as it is, and says so
/// by its flag: whoever consumes it has to fail it.
fn received(
    record: RecordView,
    request: &PullRequest<'_>,
    bounds: &str,
    max_decompressed: usize,
) -> MessageExt {
    let mut message = MessageExt::from_record(record);
    message.broker_name = request.queue.broker_name.clone();
    message.properties = properties::join(&message.properties, bounds).into();
    if let Err(error) = message.decompress(max_decompressed) {
        tracing::error!(%error, topic = &*message.topic, id = message.msg_id(), "the body cannot be decompressed");
    }
    message
}

fn pull_header(request: &PullRequest<'_>, target: &ReadAddress) -> PullMessageRequestHeader {
    let suspend_ms = request.suspend.as_millis();
    let mut sys_flag = 0;
    if suspend_ms > 0 {
        sys_flag |= SUSPEND;
    }
    // A slave does not keep offsets.
    let commit = request.commit.filter(|_| !target.slave);
    if commit.is_some() {
        sys_flag |= COMMIT_OFFSET;
    }
    if request.post_subscription {
        sys_flag |= SUBSCRIPTION;
    }
    PullMessageRequestHeader {
        consumer_group: request.group.clone(),
        topic: request.queue.topic.clone(),
        queue_id: request.queue.queue_id,
        queue_offset: request.offset,
        max_msg_nums: request.max_messages,
        sys_flag,
        commit_offset: commit.unwrap_or(0),
        suspend_timeout_millis: i64::try_from(suspend_ms).unwrap_or(i64::MAX),
        subscription: request.post_subscription.then(|| request.subscription.sub_string.clone()),
        sub_version: request.subscription.sub_version,
        expression_type: Some(request.subscription.expression_type.clone()),
        max_msg_bytes: request.max_bytes,
        ..PullMessageRequestHeader::default()
    }
}

fn status(answer: &Command) -> Option<PullStatus> {
    match answer.response_code() {
        ResponseCode::SUCCESS => Some(PullStatus::Found),
        ResponseCode::PULL_NOT_FOUND => Some(PullStatus::NoNewMessage),
        ResponseCode::PULL_RETRY_IMMEDIATELY => Some(PullStatus::NoMatchedMessage),
        ResponseCode::PULL_OFFSET_MOVED => Some(PullStatus::OffsetIllegal),
        _ => None,
    }
}

fn unknown(operation: &'static str, queue: &MessageQueue) -> RequestError {
    RequestError::new(operation, None, RequestErrorKind::BrokerUnknown(queue.broker_name.to_string()))
}

/// The "VIP" port of a broker: two below the one it listens on (Java: `MixAll.brokerVIPChannel`).
fn vip_address(address: &ByteString) -> ByteString {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match parts {
        Some((host, port)) => format!("{host}:{}", port.saturating_sub(2)).into(),
        None => address.clone(),
    }
}

/// The version that a subscription gets when it is made or its queues change.
pub(crate) fn subscription_version() -> i64 {
    now_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(commit: Option<i64>, slave: bool, post_subscription: bool) -> PullMessageRequestHeader {
        let subscription = subscription::build("T", &FilterExpression::tag("A"), 7).expect("a tag");
        let request = PullRequest {
            group: &"G".into(),
            queue: &MessageQueue::new("T", "a", 3),
            offset: 42,
            subscription: &subscription,
            post_subscription,
            max_messages: 32,
            max_bytes: Some(262_144),
            commit,
            suspend: Duration::from_secs(15),
            timeout: Duration::from_secs(30),
            broker_id: 0,
        };
        let target = ReadAddress { address: "a:1".into(), slave };
        pull_header(&request, &target)
    }

    #[test]
    fn a_pull_suspends_and_names_what_it_wants() {
        // spec: client 88 90
        let header = header(None, false, false);
        assert_eq!(
            (header.queue_offset, header.max_msg_nums, header.suspend_timeout_millis),
            (42, 32, 15_000)
        );
        assert_eq!((header.sys_flag, header.sub_version), (2, 7));
        assert_eq!(header.subscription, None, "the heartbeat has it");
        assert_eq!(super::tests::header(None, false, true).subscription.as_deref(), Some("A"));
        assert_eq!(super::tests::header(None, false, true).sys_flag, 6);
    }

    #[test]
    fn offsets_are_committed_on_the_way_but_not_to_a_slave() {
        // spec: client 89
        let to_master = header(Some(9), false, false);
        assert_eq!((to_master.sys_flag, to_master.commit_offset), (3, 9));
        let to_slave = header(Some(9), true, false);
        assert_eq!((to_slave.sys_flag, to_slave.commit_offset), (2, 0));
    }

    #[test]
    fn the_vip_port_is_two_below() {
        // spec: client 59
        assert_eq!(vip_address(&"10.0.0.5:10911".into()), "10.0.0.5:10909");
        assert_eq!(vip_address(&"[::1]:10911".into()), "[::1]:10909");
        assert_eq!(vip_address(&"nonsense".into()), "nonsense");
    }
}

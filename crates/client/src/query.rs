//! Single messages, by key and by id (Java: `MQAdminImpl`; spec client G.8).

use std::time::Duration;

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, ResponseCode,
    header::{QueryMessageRequestHeader, QueryMessageResponseHeader, ViewMessageRequestHeader},
    message::{MessageExt, OffsetMessageId, records},
};
use tokio::{task::JoinSet, time::Instant};

use crate::{Admin, Client, RequestError, RequestErrorKind, error::success};

const OPERATION: &str = "QUERY_MESSAGE";
/// The deadline of a query at one broker (Java: three times its 6 s): it may have to look through much.
const TIMEOUT: Duration = Duration::from_secs(18);

/// Which messages [`Admin::query_message`] looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageQuery {
    /// Their topic.
    pub topic: String,
    /// One of their keys.
    pub key: String,
    /// The earliest store time that counts, in milliseconds since 1970. Default 0.
    pub begin_ms: i64,
    /// The latest. Default: no limit.
    pub end_ms: i64,
    /// Messages of each broker at most; the newest are taken. Default 32. Brokers give 64 at most.
    pub max_num: i32,
}

/// What a query found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueryResult {
    /// The messages, oldest first.
    pub messages: Vec<MessageExt>,
    /// Store time of the newest message that a broker looked through: what is younger may be missing.
    pub index_last_update_timestamp: i64,
    /// The brokers that did not answer; they may have more.
    pub failed: Vec<RequestError>,
}

impl MessageQuery {
    /// All messages of this topic with this key.
    pub fn new(topic: impl Into<String>, key: impl Into<String>) -> MessageQuery {
        MessageQuery { topic: topic.into(), key: key.into(), begin_ms: 0, end_ms: i64::MAX, max_num: 32 }
    }
}

impl Admin {
    /// The messages with a key, from all brokers of the topic at once. Finding none is no error.
    ///
    /// # Errors
    /// [`RequestError`] without a route, and of one broker if none has answered.
    pub async fn query_message(&self, query: &MessageQuery) -> Result<QueryResult, RequestError> {
        let has_key = |message: &MessageExt| {
            *message.topic == *query.topic && message.keys().any(|key| key == query.key)
        };
        self.query(query, false, has_key).await
    }

    /// The message with a unique key, which is the id that [`SendResult::msg_id`](crate::SendResult::msg_id) has and
    /// [`MessageExt::msg_id`] returns. The newest, if it was sent again.
    ///
    /// # Errors
    /// [`RequestError`] without a route, and of one broker if none has answered.
    pub async fn query_message_by_unique_key(
        &self,
        topic: &str,
        unique_key: &str,
    ) -> Result<Option<MessageExt>, RequestError> {
        let is_it = |message: &MessageExt| *message.topic == *topic && message.msg_id() == unique_key;
        let found = self.query(&MessageQuery::new(topic, unique_key), true, is_it).await?;
        Ok(found.messages.into_iter().next_back())
    }

    /// The message at the place that an offset id names: [`SendResult::offset_msg_id`](crate::SendResult::offset_msg_id).
    /// It is asked for at the address in the id.
    ///
    /// # Errors
    /// [`RequestError`]; the broker refuses with SYSTEM_ERROR when no message begins there.
    pub async fn view_message(&self, topic: &str, id: OffsetMessageId) -> Result<MessageExt, RequestError> {
        const OPERATION: &str = "VIEW_MESSAGE_BY_ID";
        let address = id.host.to_string();
        let request = Command::of(&ViewMessageRequestHeader {
            topic: Some(topic.into()),
            offset: id.offset,
            ..ViewMessageRequestHeader::default()
        });
        let answer = self.client.inner.remoting.invoke(&address, request, TIMEOUT).await;
        let answer = success(OPERATION, &address, answer)?;
        match messages(&self.client, "", answer).next() {
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(RequestError::undecodable(OPERATION, &address, &error)),
            None => Err(RequestError::undecodable(OPERATION, &address, &"the body is empty")),
        }
    }

    async fn query(
        &self,
        query: &MessageQuery,
        is_unique: bool,
        is_wanted: impl Fn(&MessageExt) -> bool,
    ) -> Result<QueryResult, RequestError> {
        let client = &self.client.inner;
        let route = client.route(&query.topic, Instant::now() + TIMEOUT).await?;
        let request = Command::of(&QueryMessageRequestHeader {
            topic: query.topic.as_str().into(),
            key: query.key.as_str().into(),
            max_num: query.max_num,
            begin_timestamp: query.begin_ms,
            end_timestamp: query.end_ms,
            ..QueryMessageRequestHeader::default()
        })
        .with_field("_UNIQUE_KEY_QUERY", if is_unique { "true" } else { "false" });
        let mut asked = JoinSet::new();
        for broker in &route.data.broker_datas {
            let Some(address) = broker.master_addr().or_else(|| broker.broker_addrs.values().next()) else {
                continue;
            };
            let (name, address) = (broker.broker_name.clone(), address.clone());
            asked.spawn(ask(self.client.clone(), name, address, request.clone()));
        }
        let mut result =
            QueryResult { messages: Vec::new(), index_last_update_timestamp: 0, failed: Vec::new() };
        let mut has_answer = false;
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok((last_update, found))) => {
                    has_answer = true;
                    result.index_last_update_timestamp = result.index_last_update_timestamp.max(last_update);
                    // An index goes by hashes, and they collide.
                    result.messages.extend(found.into_iter().filter(&is_wanted));
                }
                Ok(Err(error)) => result.failed.push(error),
                Err(error) => tracing::error!(%error, "a query of a broker was cut off"),
            }
        }
        match result.failed.pop() {
            Some(error) if !has_answer => return Err(error),
            error => result.failed.extend(error),
        }
        result.messages.sort_by_key(|message| message.store_timestamp);
        Ok(result)
    }
}

/// What one broker has, and how far its index is.
async fn ask(
    client: Client,
    broker: ByteString,
    address: ByteString,
    request: Command,
) -> Result<(i64, Vec<MessageExt>), RequestError> {
    let answer =
        match success(OPERATION, &address, client.inner.remoting.invoke(&address, request, TIMEOUT).await) {
            Err(error) if is_miss(&error) => return Ok((0, Vec::new())),
            answer => answer?,
        };
    let header = answer.response_header::<QueryMessageResponseHeader>();
    let header = header.map_err(|error| RequestError::undecodable(OPERATION, &address, &error))?;
    let found: Result<Vec<_>, _> = messages(&client, &broker, answer).collect();
    let found = found.map_err(|error| RequestError::undecodable(OPERATION, &address, &error))?;
    Ok((header.index_last_update_timestamp, found))
}

fn is_miss(error: &RequestError) -> bool {
    matches!(error.kind(), RequestErrorKind::Refused { code: ResponseCode::QUERY_NOT_FOUND, .. })
}

/// The messages in the body of an answer. A body that cannot be decompressed stays as it is, and says so by its flag.
fn messages(
    client: &Client,
    broker: &str,
    answer: Command,
) -> impl Iterator<Item = Result<MessageExt, rocketwire_protocol::message::RecordError>> {
    let (limit, broker) = (client.inner.options.max_decompressed, ByteString::from(broker));
    records(answer.body).map(move |record| {
        let mut message = MessageExt::from_record(record?);
        message.broker_name = broker.clone();
        if let Err(error) = message.decompress(limit) {
            tracing::error!(%error, topic = &*message.topic, id = message.msg_id(), "the body cannot be decompressed");
        }
        Ok(message)
    })
}

//! Requests to brokers, typed. Each has one address and one timeout.

use std::time::Duration;

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, RequestCode, RequestHeader, ResponseCode,
    body::{
        self, CheckClientRequestBody, GetConsumerListByGroupResponseBody, LockBatchRequestBody,
        LockBatchResponseBody, MessageQueue, SubscriptionData, UnlockBatchRequestBody,
    },
    header::{
        BoundaryType, GetConsumerListByGroupRequestHeader, GetMaxOffsetRequestHeader,
        GetMinOffsetRequestHeader, Header as _, QueryConsumerOffsetRequestHeader, SearchOffsetRequestHeader,
        UnregisterClientRequestHeader, UpdateConsumerOffsetRequestHeader,
    },
};
use rocketwire_remoting::RemotingClient;

use crate::{
    RequestError, RequestErrorKind,
    error::{header, success},
};

/// How long offset requests and locks may take (Java: `5000` in `MQClientAPIImpl`'s callers).
const OFFSET_TIMEOUT: Duration = Duration::from_secs(5);

/// One broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokerCalls<'a> {
    pub(crate) remoting: &'a RemotingClient,
    pub(crate) address: &'a str,
}

impl BrokerCalls<'_> {
    async fn ask<H: RequestHeader>(
        &self,
        operation: &'static str,
        request: &H,
        timeout: Duration,
    ) -> Result<H::Response, RequestError> {
        let answer = self.remoting.invoke(self.address, Command::of(request), timeout).await;
        let answer = success(operation, self.address, answer)?;
        header(operation, self.address, H::Response::read(&answer.fields))
    }

    /// The group's offset; `None` if it has none. Unless `exactly`, a broker says 0 for a young queue, so that a
    /// new group gets its first messages.
    pub(crate) async fn committed(
        &self,
        group: &str,
        queue: &MessageQueue,
        exactly: bool,
    ) -> Result<Option<i64>, RequestError> {
        let request = QueryConsumerOffsetRequestHeader {
            consumer_group: group.into(),
            topic: queue.topic.clone(),
            queue_id: queue.queue_id,
            set_zero_if_not_found: exactly.then_some(false),
            ..QueryConsumerOffsetRequestHeader::default()
        };
        match self.ask("QUERY_CONSUMER_OFFSET", &request, OFFSET_TIMEOUT).await {
            Ok(answer) => Ok(Some(answer.offset)),
            Err(error) if error.code() == Some(ResponseCode::QUERY_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn commit(
        &self,
        group: &str,
        queue: &MessageQueue,
        offset: i64,
    ) -> Result<(), RequestError> {
        let request = update_offset(group, queue, offset);
        self.ask("UPDATE_CONSUMER_OFFSET", &request, OFFSET_TIMEOUT).await.map(|_| ())
    }

    /// Commits without waiting for an answer.
    pub(crate) async fn commit_oneway(
        &self,
        group: &str,
        queue: &MessageQueue,
        offset: i64,
    ) -> Result<(), RequestError> {
        let request = Command::of(&update_offset(group, queue, offset)).oneway();
        let sent = self.remoting.invoke_oneway(self.address, request, OFFSET_TIMEOUT).await;
        sent.map_err(|error| {
            RequestError::new("UPDATE_CONSUMER_OFFSET", Some(self.address), RequestErrorKind::Rpc(error))
        })
    }

    pub(crate) async fn min_offset(&self, queue: &MessageQueue) -> Result<i64, RequestError> {
        let request = GetMinOffsetRequestHeader {
            topic: queue.topic.clone(),
            queue_id: queue.queue_id,
            ..GetMinOffsetRequestHeader::default()
        };
        Ok(self.ask("GET_MIN_OFFSET", &request, OFFSET_TIMEOUT).await?.offset)
    }

    pub(crate) async fn max_offset(&self, queue: &MessageQueue) -> Result<i64, RequestError> {
        let request = GetMaxOffsetRequestHeader {
            topic: queue.topic.clone(),
            queue_id: queue.queue_id,
            ..GetMaxOffsetRequestHeader::default()
        };
        Ok(self.ask("GET_MAX_OFFSET", &request, OFFSET_TIMEOUT).await?.offset)
    }

    pub(crate) async fn offset_for_time(
        &self,
        queue: &MessageQueue,
        timestamp: i64,
    ) -> Result<i64, RequestError> {
        let request = SearchOffsetRequestHeader {
            topic: queue.topic.clone(),
            queue_id: queue.queue_id,
            timestamp,
            boundary_type: Some(BoundaryType::Lower),
            ..SearchOffsetRequestHeader::default()
        };
        Ok(self.ask("SEARCH_OFFSET_BY_TIMESTAMP", &request, OFFSET_TIMEOUT).await?.offset)
    }

    /// The client ids of a group's members.
    pub(crate) async fn members(&self, group: &str, timeout: Duration) -> Result<Vec<String>, RequestError> {
        const OPERATION: &str = "GET_CONSUMER_LIST_BY_GROUP";
        let request = GetConsumerListByGroupRequestHeader {
            consumer_group: group.into(),
            ..GetConsumerListByGroupRequestHeader::default()
        };
        let answer = self.remoting.invoke(self.address, Command::of(&request), timeout).await;
        let answer = success(OPERATION, self.address, answer)?;
        let list: GetConsumerListByGroupResponseBody = body::decode(&answer.body)
            .map_err(|error| RequestError::undecodable(OPERATION, self.address, &error))?;
        Ok(list.consumer_id_list.iter().map(ToString::to_string).collect())
    }

    /// Locks queues for this client; those that it holds afterwards.
    pub(crate) async fn lock(
        &self,
        group: &str,
        client_id: &str,
        queues: Vec<MessageQueue>,
    ) -> Result<Vec<MessageQueue>, RequestError> {
        const OPERATION: &str = "LOCK_BATCH_MQ";
        let body = LockBatchRequestBody {
            consumer_group: group.into(),
            client_id: client_id.into(),
            mq_set: queues,
            ..LockBatchRequestBody::default()
        };
        let request = Command::request(RequestCode::LOCK_BATCH_MQ).with_body(body::encode(&body));
        let answer = self.remoting.invoke(self.address, request, Duration::from_secs(1)).await;
        let answer = success(OPERATION, self.address, answer)?;
        let locked: LockBatchResponseBody = body::decode(&answer.body)
            .map_err(|error| RequestError::undecodable(OPERATION, self.address, &error))?;
        Ok(locked.lock_ok_mq_set)
    }

    /// Gives locks back, without waiting for an answer.
    pub(crate) async fn unlock(&self, group: &str, client_id: &str, queues: Vec<MessageQueue>) {
        let body = UnlockBatchRequestBody {
            consumer_group: group.into(),
            client_id: client_id.into(),
            mq_set: queues,
            ..UnlockBatchRequestBody::default()
        };
        let request = Command::request(RequestCode::UNLOCK_BATCH_MQ).with_body(body::encode(&body)).oneway();
        if let Err(error) = self.remoting.invoke_oneway(self.address, request, Duration::from_secs(1)).await {
            tracing::warn!(address = self.address, %error, "could not give locks back; they expire after 60 s");
        }
    }

    /// Asks whether the broker can filter so.
    pub(crate) async fn check_subscription(
        &self,
        client_id: &ByteString,
        group: &ByteString,
        subscription: SubscriptionData,
    ) -> Result<(), RequestError> {
        let body = CheckClientRequestBody {
            client_id: client_id.clone(),
            group: group.clone(),
            subscription_data: Some(subscription),
            ..CheckClientRequestBody::default()
        };
        let request = Command::request(RequestCode::CHECK_CLIENT_CONFIG).with_body(body::encode(&body));
        let answer = self.remoting.invoke(self.address, request, OFFSET_TIMEOUT).await;
        success("CHECK_CLIENT_CONFIG", self.address, answer).map(|_| ())
    }

    /// Says good-bye for a group.
    pub(crate) async fn unregister(
        &self,
        client_id: &ByteString,
        producer_group: Option<&str>,
        consumer_group: Option<&str>,
        timeout: Duration,
    ) -> Result<(), RequestError> {
        let request = UnregisterClientRequestHeader {
            client_id: client_id.clone(),
            producer_group: producer_group.map(ByteString::from),
            consumer_group: consumer_group.map(ByteString::from),
            ..UnregisterClientRequestHeader::default()
        };
        self.ask("UNREGISTER_CLIENT", &request, timeout).await.map(|_| ())
    }
}

fn update_offset(group: &str, queue: &MessageQueue, offset: i64) -> UpdateConsumerOffsetRequestHeader {
    UpdateConsumerOffsetRequestHeader {
        consumer_group: group.into(),
        topic: queue.topic.clone(),
        queue_id: queue.queue_id,
        commit_offset: offset,
        ..UpdateConsumerOffsetRequestHeader::default()
    }
}

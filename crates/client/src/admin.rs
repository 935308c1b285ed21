//! Administration: the few operations that programs need (spec client G.8).

use std::time::Duration;

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, RequestCode, ResponseCode,
    body::{self, ClusterInfo, TopicList, TopicRouteData},
    header::{CreateTopicRequestHeader, DeleteTopicFromNamesrvRequestHeader, DeleteTopicRequestHeader},
    message::name,
};
use tokio::time::Instant;

use crate::{Client, RequestError, RequestErrorKind, error::success, validate::Invalid};

/// The deadline of one request (Java: 6 s).
const TIMEOUT: Duration = Duration::from_secs(6);

/// Topics, clusters and single messages. A handle on its [`Client`].
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) client: Client,
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewTopic {
    /// The name.
    pub name: String,
    /// Queues on each broker, for reading and writing. Default 8.
    pub queues: i32,
    /// Permissions: 4 read, 2 write. Default 6.
    pub perm: i32,
    /// Whether messages are ordered across the cluster. Default false.
    pub order: bool,
    /// Attributes as brokers take them: `+message.type=DELAY`.
    pub attributes: Option<String>,
}

impl NewTopic {
    /// A topic with so many queues on each broker.
    pub fn new(name: impl Into<String>, queues: i32) -> NewTopic {
        NewTopic { name: name.into(), queues, perm: 6, order: false, attributes: None }
    }
}

impl Admin {
    pub(crate) fn new(client: Client) -> Admin {
        Admin { client }
    }

    /// Creates a topic on every master, or changes it if it exists.
    ///
    /// # Errors
    /// [`RequestError`] of the first broker that refused; masters before it have the topic.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<(), RequestError> {
        const OPERATION: &str = "UPDATE_AND_CREATE_TOPIC";
        name::check_topic(&topic.name).map_err(Invalid::from)?;
        let request = Command::of(&CreateTopicRequestHeader {
            topic: topic.name.as_str().into(),
            default_topic: name::AUTO_CREATE_TOPIC_KEY_TOPIC.into(),
            read_queue_nums: topic.queues,
            write_queue_nums: topic.queues,
            perm: topic.perm,
            topic_filter_type: ByteString::from_static("SINGLE_TAG"),
            topic_sys_flag: Some(0),
            order: Some(topic.order),
            attributes: topic.attributes.as_deref().map(ByteString::from),
            ..CreateTopicRequestHeader::default()
        });
        for address in self.masters(OPERATION).await? {
            let answer = self.client.inner.remoting.invoke(&address, request.clone(), TIMEOUT).await;
            success(OPERATION, &address, answer)?;
        }
        Ok(())
    }

    /// Deletes a topic on every master and from the name servers.
    ///
    /// # Errors
    /// [`RequestError`] of the first one that refused.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), RequestError> {
        const OPERATION: &str = "DELETE_TOPIC_IN_BROKER";
        let request = Command::of(&DeleteTopicRequestHeader {
            topic: topic.into(),
            ..DeleteTopicRequestHeader::default()
        });
        for address in self.masters(OPERATION).await? {
            let answer = self.client.inner.remoting.invoke(&address, request.clone(), TIMEOUT).await;
            success(OPERATION, &address, answer)?;
        }
        let request = Command::of(&DeleteTopicFromNamesrvRequestHeader {
            topic: topic.into(),
            ..DeleteTopicFromNamesrvRequestHeader::default()
        });
        // Each name server keeps routes of its own.
        for address in &self.client.inner.options.name_servers {
            let answer = self.client.inner.remoting.invoke(address, request.clone(), TIMEOUT).await;
            success("DELETE_TOPIC_IN_NAMESRV", address, answer)?;
        }
        self.client.inner.routes_mut().forget(topic);
        Ok(())
    }

    /// The route of a topic, as a name server has it now.
    ///
    /// # Errors
    /// [`RequestError`] if there is none.
    pub async fn topic_route(&self, topic: &str) -> Result<TopicRouteData, RequestError> {
        let client = &self.client.inner;
        let deadline = Instant::now() + TIMEOUT;
        if let Some(route) = client.ask(topic, deadline).await? {
            return Ok(route.data.clone());
        }
        client.routes_mut().forget(topic);
        Ok(client.route(topic, deadline).await?.data.clone())
    }

    /// The topics that the name servers know.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn topics(&self) -> Result<Vec<ByteString>, RequestError> {
        let answer =
            self.name_server("GET_ALL_TOPIC_LIST", RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER).await?;
        let list: TopicList =
            body::decode(&answer.body).map_err(|error| undecodable("GET_ALL_TOPIC_LIST", &error))?;
        Ok(list.topic_list)
    }

    /// The clusters and brokers that the name servers know.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn cluster(&self) -> Result<ClusterInfo, RequestError> {
        let answer =
            self.name_server("GET_BROKER_CLUSTER_INFO", RequestCode::GET_BROKER_CLUSTER_INFO).await?;
        body::decode(&answer.body).map_err(|error| undecodable("GET_BROKER_CLUSTER_INFO", &error))
    }

    /// Any request to a broker or name server at `address`; the answer, if its code is SUCCESS.
    ///
    /// # Errors
    /// [`RequestError`], with the code and words of a refusal.
    pub async fn request(
        &self,
        address: &str,
        request: Command,
        timeout: Duration,
    ) -> Result<Command, RequestError> {
        let operation = request.request_code().name().unwrap_or("the request");
        let answer = self.client.inner.remoting.invoke(address, request, timeout).await;
        success(operation, address, answer)
    }

    async fn name_server(&self, operation: &'static str, code: RequestCode) -> Result<Command, RequestError> {
        let answer = self.client.inner.remoting.invoke_name_server(Command::request(code), TIMEOUT).await;
        success(operation, "the name server", answer)
    }

    /// The address of every master.
    async fn masters(&self, operation: &'static str) -> Result<Vec<ByteString>, RequestError> {
        let cluster = self.cluster().await?;
        let brokers = cluster.broker_addr_table.values();
        let masters: Vec<ByteString> = brokers.filter_map(|broker| broker.master_addr().cloned()).collect();
        if masters.is_empty() {
            let refused = RequestErrorKind::Refused {
                code: ResponseCode::BROKER_NOT_EXIST,
                remark: ByteString::from_static(
                    "the name server knows no master: is a broker running and registered?",
                ),
            };
            return Err(RequestError::new(operation, None, refused));
        }
        Ok(masters)
    }
}

fn undecodable(operation: &'static str, error: &body::BodyError) -> RequestError {
    RequestError::undecodable(operation, "the name server", error)
}

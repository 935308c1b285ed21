//! Where topics are, and which there are.

use std::net::SocketAddr;

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, RequestCode, ResponseCode,
    body::{self, TopicList},
    header::*,
    message::name,
};
use rocketwire_remoting::Request;

use super::{NameServerProcessor, ORDER_TOPIC_CONFIG, Refused, success, with_body};

/// Bits of a topic's `topicSysFlag`.
const UNIT: i32 = 1;
const UNIT_SUB: i32 = 2;
const FAQ: &str = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

impl NameServerProcessor {
    /// The topic that a client asks for, if it may exist but does not.
    pub(super) fn unknown_topic(&self, request: &Request) -> Option<ByteString> {
        let header: GetRouteInfoRequestHeader = request.command.header().ok()?;
        let is_possible = name::check_topic(&header.topic).is_ok()
            && !name::is_system_topic(&header.topic)
            && !name::is_retry_topic(&header.topic)
            && !name::is_dlq_topic(&header.topic);
        let is_known = || self.0.routes().route(&header.topic, request.connection().local_addr()).is_some();
        (is_possible && !is_known()).then_some(header.topic)
    }

    pub(super) fn route(&self, command: &Command, asked_at: SocketAddr) -> Result<Command, Refused> {
        let header: GetRouteInfoRequestHeader = command.header()?;
        let Some(mut route) = self.0.routes().route(&header.topic, asked_at) else {
            let remark = format!("No topic route info in name server for the topic: {}{FAQ}", header.topic);
            return Err(Refused(ResponseCode::TOPIC_NOT_EXIST, remark));
        };
        if self.0.options.order_message_enable {
            route.order_topic_conf = self.0.kv().get(ORDER_TOPIC_CONFIG, &header.topic).cloned();
        }
        let strict = header.accept_standard_json_only.unwrap_or(false);
        Ok(with_body(if strict { body::encode(&route) } else { route.encode_for(command.version) }))
    }

    pub(super) fn topic_lists(&self, request: &Request) -> Result<Command, Refused> {
        let command = &request.command;
        let list = match command.request_code() {
            RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => {
                topic_list(self.0.routes().topics().cloned(), None)
            }
            RequestCode::GET_TOPICS_BY_CLUSTER => {
                let header: GetTopicsByClusterRequestHeader = command.header()?;
                topic_list(self.0.routes().topics_of_cluster(&header.cluster), None)
            }
            RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS => {
                let (names, address) = self.0.routes().system_topics(request.connection().local_addr());
                topic_list(names, address)
            }
            RequestCode::GET_UNIT_TOPIC_LIST => self.unit_topics(|flags| flags & UNIT != 0),
            RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST => self.unit_topics(|flags| flags & UNIT_SUB != 0),
            RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => {
                self.unit_topics(|flags| flags & UNIT == 0 && flags & UNIT_SUB != 0)
            }
            RequestCode::DELETE_TOPIC_IN_NAMESRV => {
                let header: DeleteTopicFromNamesrvRequestHeader = command.header()?;
                self.0.routes_mut().delete_topic(&header.topic, header.cluster_name.as_deref());
                return Ok(success());
            }
            code => {
                let remark = format!(" request type {} not supported", code.0);
                return Err(Refused(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark));
            }
        };
        Ok(with_body(body::encode(&list)))
    }

    pub(super) fn unit_topics(&self, is_wanted: impl Fn(i32) -> bool) -> TopicList {
        topic_list(self.0.routes().topics_by_flags(is_wanted), None)
    }
}

fn topic_list(topics: impl IntoIterator<Item = ByteString>, broker_addr: Option<ByteString>) -> TopicList {
    TopicList { topic_list: topics.into_iter().collect(), broker_addr }
}

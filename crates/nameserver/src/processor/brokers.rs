//! What brokers say of themselves.

use std::time::Instant;

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, ResponseCode,
    body::{self, BrokerMemberGroup, GetBrokerMemberGroupResponseBody},
    header::*,
    message::{name, record},
};
use rocketwire_remoting::Request;

use super::{NameServerProcessor, ORDER_TOPIC_CONFIG, Refused, success, with_body};
use crate::Registration;

/// The largest registration after it was decompressed.
const PLAIN_MAX: usize = 64 << 20;

impl NameServerProcessor {
    pub(super) fn register(&self, request: &Request) -> Result<Command, Refused> {
        let command = &request.command;
        let header: RegisterBrokerRequestHeader = command.header()?;
        let announced = header.body_crc32.unwrap_or(0);
        if announced != 0 && announced != record::body_crc(&command.body).cast_signed() {
            return Err(Refused(ResponseCode::SYSTEM_ERROR, "crc32 not match".into()));
        }
        let is_named =
            [&header.broker_name, &header.broker_addr, &header.cluster_name].iter().all(|n| !n.is_empty());
        if !is_named {
            let remark = "register broker failed: brokerName, brokerAddr and clusterName must not be empty";
            return Err(Refused(ResponseCode::INVALID_PARAMETER, remark.into()));
        }
        let registered = body::RegisterBrokerBody::decode(&command.body, header.compressed, PLAIN_MAX)?;
        let wrapper = registered.topic_config_serialize_wrapper;
        // A name that no client could use does not keep the others from being registered.
        let topics = wrapper
            .topic_config_table
            .into_iter()
            .map(|(name, mut topic)| {
                topic.topic_name = name;
                topic
            })
            .filter(|topic| name::check_topic(&topic.topic_name).is_ok())
            .collect();
        let broker_id = header.broker_id;
        let registration = Registration {
            cluster: owned(&header.cluster_name),
            broker_name: owned(&header.broker_name),
            broker_id,
            address: owned(&header.broker_addr),
            ha_server_addr: owned(&header.ha_server_addr),
            expiry: header
                .heartbeat_timeout_millis
                .and_then(|ms| u64::try_from(ms).ok())
                .map(std::time::Duration::from_millis),
            enable_acting_master: header.enable_acting_master,
            topics,
            data_version: wrapper.data_version,
            connection: Some(request.connection().id()),
        };
        self.0.routes_mut().register(registration, self.0.options.broker_expiry, Instant::now())?;

        let mut answer = RegisterBrokerResponseHeader::default();
        if broker_id != 0
            && let Some((master, ha)) =
                self.0.routes().master(&header.broker_name, request.connection().local_addr())
        {
            answer.master_addr = Some(master);
            answer.ha_server_addr = Some(ha);
        }
        let response = success().with_header(&answer);
        Ok(match self.kv_table(ORDER_TOPIC_CONFIG) {
            Some(table) => response.with_body(table),
            None => response,
        })
    }

    pub(super) fn register_topic(&self, command: &Command) -> Result<Command, Refused> {
        let header: RegisterTopicRequestHeader = command.header()?;
        if name::check_topic(&header.topic).is_err() {
            return Err(Refused(ResponseCode::INVALID_PARAMETER, "the topic's name is not valid".into()));
        }
        let route: body::TopicRouteData = body::decode(&command.body)?;
        for queues in route.queue_datas {
            let topic = body::TopicConfig {
                topic_name: owned(&header.topic),
                read_queue_nums: queues.read_queue_nums,
                write_queue_nums: queues.write_queue_nums,
                perm: queues.perm,
                topic_sys_flag: queues.topic_sys_flag,
                ..Default::default()
            };
            self.0.routes_mut().update_topic_elsewhere(&queues.broker_name, &topic)?;
        }
        Ok(success())
    }

    pub(super) fn data_version(&self, command: &Command) -> Result<Command, Refused> {
        let header: QueryDataVersionRequestHeader = command.header()?;
        let theirs: body::DataVersion = body::decode(&command.body)?;
        self.0.routes_mut().refresh(&header.broker_name, &header.broker_addr, Instant::now());
        let ours = self.0.routes().data_version(&header.broker_name, &header.broker_addr).cloned();
        let answer =
            QueryDataVersionResponseHeader { changed: ours.as_ref() != Some(&theirs), ..Default::default() };
        let response = success().with_header(&answer);
        Ok(match ours {
            Some(version) => response.with_body(body::encode(&version)),
            None => response,
        })
    }

    pub(super) fn member_group(&self, request: &Request) -> Result<Command, Refused> {
        let header: GetBrokerMemberGroupRequestHeader = request.command.header()?;
        let data = self.0.routes().broker_data(&header.broker_name, request.connection().local_addr());
        let group = BrokerMemberGroup {
            cluster: header.cluster_name,
            broker_name: header.broker_name,
            broker_addrs: data.map(|data| data.broker_addrs).unwrap_or_default(),
        };
        let answer = GetBrokerMemberGroupResponseBody { broker_member_group: group };
        Ok(with_body(body::encode(&answer)))
    }
}

/// A text of its own. Texts of a header are slices of the frame it came in, which the table would keep.
fn owned(text: &ByteString) -> ByteString {
    ByteString::from(&**text)
}

//! Requests to a name server (Java: `ClientRequestProcessor`, `DefaultRequestProcessor`; spec broker A).

use std::{net::SocketAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use bytestring::ByteString;
use rocketwire_protocol::{
    Command, HeaderError, RequestCode, ResponseCode,
    body::{self, BrokerMemberGroup, GetBrokerMemberGroupResponseBody, KVTable, TopicList},
    header::*,
    message::{name, record},
};
use rocketwire_remoting::{Answer, Processor, Request};

use crate::{KvKeeper, RegisterError, Registration, TooMany, kv::KvError, server::Inner};

const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";
/// The largest registration after it was decompressed.
const PLAIN_MAX: usize = 64 << 20;
/// Bits of a topic's `topicSysFlag`.
const UNIT: i32 = 1;
const UNIT_SUB: i32 = 2;
const FAQ: &str = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

pub(crate) struct NameServerProcessor(pub(crate) Arc<Inner>);

impl Processor for NameServerProcessor {
    fn process(&self, request: Request) -> Answer {
        self.0.sweep(Instant::now());
        let code = request.command.request_code();
        if code == RequestCode::GET_ROUTEINFO_BY_TOPIC
            && let Some(maker) = self.0.maker()
            && let Some(topic) = self.unknown_topic(&request)
        {
            let inner = Arc::clone(&self.0);
            let (command, responder) = request.into_responder();
            let done = move || {
                let asked_at = responder.connection().local_addr();
                let answer = NameServerProcessor(inner).route(&command, asked_at);
                responder.send(answer.unwrap_or_else(|refused| refused.into()));
            };
            maker.make(&topic, Box::new(done));
            return Answer::Taken;
        }
        let answer = match self.answer(&request) {
            Ok(answer) => answer,
            Err(refused) => return Answer::Now(refused.into()),
        };
        match self.0.keeper() {
            Some(keeper) if matches!(code, RequestCode::PUT_KV_CONFIG | RequestCode::DELETE_KV_CONFIG) => {
                keep(&self.0, &**keeper, answer, request);
                Answer::Taken
            }
            _ => Answer::Now(answer),
        }
    }
}

/// Answers when the KV configuration is saved.
fn keep(inner: &Arc<Inner>, keeper: &dyn KvKeeper, answer: Command, request: Request) {
    let inner = Arc::clone(inner);
    let (_, responder) = request.into_responder();
    let done = move |saved: Result<(), String>| {
        responder.send(match saved {
            Ok(()) => answer,
            Err(error) => {
                let remark = format!("the change works, but is lost with the next restart: {error}");
                Command::error(ResponseCode::SYSTEM_ERROR, remark)
            }
        });
    };
    keeper.keep(Box::new(move || inner.kv().encode()), Box::new(done));
}

/// A request that cannot be served.
struct Refused(ResponseCode, String);

impl From<HeaderError> for Refused {
    fn from(error: HeaderError) -> Refused {
        Refused(ResponseCode::SYSTEM_ERROR, error.to_string())
    }
}

impl From<body::BodyError> for Refused {
    fn from(error: body::BodyError) -> Refused {
        Refused(ResponseCode::SYSTEM_ERROR, error.to_string())
    }
}

impl From<TooMany> for Refused {
    fn from(bound: TooMany) -> Refused {
        let remark =
            format!("register broker failed: the name server is full of {}; raise its bound", bound.0);
        Refused(ResponseCode::SYSTEM_ERROR, remark)
    }
}

impl From<RegisterError> for Refused {
    fn from(error: RegisterError) -> Refused {
        match error {
            RegisterError::TooMany(bound) => bound.into(),
            RegisterError::Local => {
                let remark = "register broker failed: a broker of this process has that name; choose another";
                Refused(ResponseCode::SYSTEM_ERROR, remark.into())
            }
        }
    }
}

impl From<Refused> for Command {
    fn from(refused: Refused) -> Command {
        Command::error(refused.0, refused.1)
    }
}

fn success() -> Command {
    Command::response(ResponseCode::SUCCESS)
}

fn with_body(bytes: Bytes) -> Command {
    success().with_body(bytes)
}

impl NameServerProcessor {
    pub(crate) const CODES: [RequestCode; 23] = [
        RequestCode::PUT_KV_CONFIG,
        RequestCode::GET_KV_CONFIG,
        RequestCode::DELETE_KV_CONFIG,
        RequestCode::GET_KVLIST_BY_NAMESPACE,
        RequestCode::REGISTER_BROKER,
        RequestCode::UNREGISTER_BROKER,
        RequestCode::QUERY_DATA_VERSION,
        RequestCode::BROKER_HEARTBEAT,
        RequestCode::GET_BROKER_MEMBER_GROUP,
        RequestCode::GET_ROUTEINFO_BY_TOPIC,
        RequestCode::GET_BROKER_CLUSTER_INFO,
        RequestCode::WIPE_WRITE_PERM_OF_BROKER,
        RequestCode::ADD_WRITE_PERM_OF_BROKER,
        RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
        RequestCode::DELETE_TOPIC_IN_NAMESRV,
        RequestCode::REGISTER_TOPIC_IN_NAMESRV,
        RequestCode::GET_TOPICS_BY_CLUSTER,
        RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS,
        RequestCode::GET_UNIT_TOPIC_LIST,
        RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST,
        RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
        RequestCode::UPDATE_NAMESRV_CONFIG,
        RequestCode::GET_NAMESRV_CONFIG,
    ];

    fn answer(&self, request: &Request) -> Result<Command, Refused> {
        let command = &request.command;
        match command.request_code() {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => self.route(command, request.connection().local_addr()),
            RequestCode::GET_BROKER_CLUSTER_INFO => {
                let info = self.0.routes().cluster_info(request.connection().local_addr());
                Ok(with_body(body::encode(&info)))
            }
            RequestCode::PUT_KV_CONFIG => self.put_kv(command),
            RequestCode::GET_KV_CONFIG => self.get_kv(command),
            RequestCode::DELETE_KV_CONFIG => {
                let header: DeleteKVConfigRequestHeader = command.header()?;
                self.0.kv().delete(&header.namespace, &header.key);
                Ok(success())
            }
            RequestCode::GET_KVLIST_BY_NAMESPACE => self.kv_list(command),
            RequestCode::REGISTER_BROKER => self.register(request),
            RequestCode::UNREGISTER_BROKER => {
                let header: UnRegisterBrokerRequestHeader = command.header()?;
                self.0.routes_mut().unregister(&header.broker_name, header.broker_id)?;
                Ok(success())
            }
            RequestCode::QUERY_DATA_VERSION => self.data_version(command),
            RequestCode::BROKER_HEARTBEAT => {
                let header: BrokerHeartbeatRequestHeader = command.header()?;
                self.0.routes_mut().refresh(&header.broker_name, &header.broker_addr, Instant::now());
                Ok(success())
            }
            RequestCode::GET_BROKER_MEMBER_GROUP => self.member_group(request),
            RequestCode::REGISTER_TOPIC_IN_NAMESRV => self.register_topic(command),
            RequestCode::WIPE_WRITE_PERM_OF_BROKER => {
                let header: WipeWritePermOfBrokerRequestHeader = command.header()?;
                let wipe_topic_count = self.0.routes_mut().wipe_write_perm(&header.broker_name);
                let header = WipeWritePermOfBrokerResponseHeader { wipe_topic_count, ..Default::default() };
                Ok(success().with_header(&header))
            }
            RequestCode::ADD_WRITE_PERM_OF_BROKER => {
                let header: AddWritePermOfBrokerRequestHeader = command.header()?;
                let add_topic_count = self.0.routes_mut().add_write_perm(&header.broker_name);
                let header = AddWritePermOfBrokerResponseHeader { add_topic_count, ..Default::default() };
                Ok(success().with_header(&header))
            }
            RequestCode::UPDATE_NAMESRV_CONFIG => {
                let remark =
                    "Can not update config in black list. No setting of this name server can be set remotely";
                Err(Refused(ResponseCode::NO_PERMISSION, remark.into()))
            }
            RequestCode::GET_NAMESRV_CONFIG => {
                let port = request.connection().local_addr().port();
                Ok(with_body(self.config(port).into()))
            }
            _ => self.topic_lists(request),
        }
    }

    /// The topic that a client asks for, if it may exist but does not.
    fn unknown_topic(&self, request: &Request) -> Option<ByteString> {
        let header: GetRouteInfoRequestHeader = request.command.header().ok()?;
        let is_possible = name::check_topic(&header.topic).is_ok()
            && !name::is_system_topic(&header.topic)
            && !name::is_retry_topic(&header.topic)
            && !name::is_dlq_topic(&header.topic);
        let is_known = || self.0.routes().route(&header.topic, request.connection().local_addr()).is_some();
        (is_possible && !is_known()).then_some(header.topic)
    }

    fn route(&self, command: &Command, asked_at: SocketAddr) -> Result<Command, Refused> {
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

    fn put_kv(&self, command: &Command) -> Result<Command, Refused> {
        let header: PutKVConfigRequestHeader = command.header()?;
        let put = self.0.kv().put(&header.namespace, &header.key, &header.value);
        put.map(|()| success()).map_err(|error| {
            let remark = match error {
                KvError::TooMany => "the KV configuration is full; delete entries, or raise max_kv_entries",
                KvError::TooLong => "a name or value of the KV configuration is too long; see max_kv_bytes",
            };
            Refused(ResponseCode::SYSTEM_ERROR, remark.into())
        })
    }

    fn get_kv(&self, command: &Command) -> Result<Command, Refused> {
        let header: GetKVConfigRequestHeader = command.header()?;
        let Some(value) = self.0.kv().get(&header.namespace, &header.key).cloned() else {
            let remark = format!("No config item, Namespace: {} Key: {}", header.namespace, header.key);
            return Err(Refused(ResponseCode::QUERY_NOT_FOUND, remark));
        };
        let header = GetKVConfigResponseHeader { value: Some(value), ..Default::default() };
        Ok(success().with_header(&header))
    }

    fn kv_list(&self, command: &Command) -> Result<Command, Refused> {
        let header: GetKVListByNamespaceRequestHeader = command.header()?;
        match self.kv_table(&header.namespace) {
            Some(table) => Ok(with_body(table)),
            None => {
                let remark = format!("No config item, Namespace: {}", header.namespace);
                Err(Refused(ResponseCode::QUERY_NOT_FOUND, remark))
            }
        }
    }

    fn kv_table(&self, namespace: &str) -> Option<Bytes> {
        let table = self.0.kv().namespace(namespace)?.clone();
        Some(body::encode(&KVTable { table }))
    }

    fn register(&self, request: &Request) -> Result<Command, Refused> {
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
            enable_acting_master: header.enable_acting_master.unwrap_or(false),
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

    fn register_topic(&self, command: &Command) -> Result<Command, Refused> {
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

    fn data_version(&self, command: &Command) -> Result<Command, Refused> {
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

    fn member_group(&self, request: &Request) -> Result<Command, Refused> {
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

    fn topic_lists(&self, request: &Request) -> Result<Command, Refused> {
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

    fn unit_topics(&self, is_wanted: impl Fn(i32) -> bool) -> TopicList {
        topic_list(self.0.routes().topics_by_flags(is_wanted), None)
    }

    /// Java's settings as far as they mean something here, then what bounds the tables.
    fn config(&self, port: u16) -> String {
        let options = &self.0.options;
        format!(
            "listenPort={port}\norderMessageEnable={}\nenableTopicList=true\nenableAllTopicList=true\n\
             returnOrderTopicConfigToBroker=true\ndeleteTopicWithBrokerRegistration=false\n\
             supportActingMaster=false\nnotifyMinBrokerIdChanged=false\nenableControllerInNamesrv=false\n\
             brokerExpiry={}\nmaxTopics={}\nmaxBrokers={}\nmaxInstances={}\n",
            options.order_message_enable,
            options.broker_expiry.as_millis(),
            options.max_topics,
            options.max_brokers,
            options.max_instances,
        )
    }
}

/// A text of its own. Texts of a header are slices of the frame it came in, which the table would keep.
fn owned(text: &ByteString) -> ByteString {
    ByteString::from(&**text)
}

fn topic_list(topics: impl IntoIterator<Item = ByteString>, broker_addr: Option<ByteString>) -> TopicList {
    TopicList { topic_list: topics.into_iter().collect(), broker_addr }
}

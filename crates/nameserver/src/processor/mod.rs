//! Requests to a name server (Java: `ClientRequestProcessor`, `DefaultRequestProcessor`; spec broker A).

mod brokers;
mod config;
mod topics;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use rocketwire_protocol::{Command, HeaderError, RequestCode, ResponseCode, body, header::*};
use rocketwire_remoting::{Answer, Processor, Request};

use crate::{KvKeeper, RegisterError, TooMany, server::Inner};

const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

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
                self.0.routes_mut().unregister(&header.broker_name, &header.broker_addr)?;
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
            RequestCode::UPDATE_NAMESRV_CONFIG => config::update(command),
            RequestCode::GET_NAMESRV_CONFIG => {
                let port = request.connection().local_addr().port();
                Ok(with_body(self.config(port).into()))
            }
            _ => self.topic_lists(request),
        }
    }
}

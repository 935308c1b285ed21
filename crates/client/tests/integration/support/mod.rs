//! A name server and brokers that do what RocketMQ's do, in memory, and what a test tells them otherwise.

mod broker;
mod log;
mod seen;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use rocketwire::{Client, Message};
use rocketwire_protocol::{
    Command, RequestCode, ResponseCode,
    body::{self, BrokerData, ClusterInfo, QueueData, TopicList, TopicRouteData},
    header::GetRouteInfoRequestHeader,
};
use rocketwire_remoting::{Answer, Connection, Lane, Request, Router, Server, ServerOptions, processor_fn};
use tokio::{sync::Notify, time::Instant};

pub use log::Log;
pub use seen::Seen;

/// Long enough for a busy machine; nothing waits that long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a broker does with the next request of a code, instead of what it would do.
pub enum Reaction {
    Answer(Command),
    /// Never answers.
    Silence,
    Close,
}

/// All servers of one test.
pub struct Cluster {
    pub state: Arc<State>,
    servers: Vec<Server>,
}

#[derive(Default)]
pub struct State {
    /// Topic -> (read queues, write queues, perm), on every broker.
    pub topics: Mutex<BTreeMap<String, (i32, i32, i32)>>,
    /// Broker name -> address.
    pub brokers: Mutex<BTreeMap<String, String>>,
    pub log: Mutex<Log>,
    pub offsets: Mutex<HashMap<(String, String, i32), i64>>,
    /// Group -> client id -> connection.
    pub members: Mutex<BTreeMap<String, BTreeMap<String, Connection>>>,
    pub producers: Mutex<BTreeMap<String, Connection>>,
    pub locks: Mutex<BTreeSet<String>>,
    seen: Mutex<Vec<(String, Command)>>,
    script: Mutex<HashMap<(String, i32), VecDeque<Reaction>>>,
    pub changed: Notify,
}

impl Cluster {
    /// Brokers `a`, `b`, ..; the name server shares the port of `a`.
    pub async fn start(brokers: usize) -> Cluster {
        let state = Arc::new(State::default());
        let mut servers = Vec::new();
        for name in ["a", "b", "c"].into_iter().take(brokers) {
            let (state_of, broker) = (state.clone(), name.to_owned());
            let serve = processor_fn(move |request| state_of.clone().handle(&broker, request));
            let router = Router::new().fallback(serve, Lane::inline());
            let server = Server::bind("127.0.0.1:0", router, ServerOptions::default()).await.unwrap();
            state.brokers.lock().unwrap().insert(name.to_owned(), server.local_addr().to_string());
            servers.push(server);
        }
        Cluster { state, servers }
    }

    /// One broker with one topic.
    pub async fn with_topic(topic: &str, queues: i32) -> Cluster {
        let cluster = Cluster::start(1).await;
        cluster.topic(topic, queues);
        cluster
    }

    pub fn topic(&self, topic: &str, queues: i32) {
        self.state.topics.lock().unwrap().insert(topic.to_owned(), (queues, queues, 6));
    }

    pub fn address(&self) -> String {
        self.servers[0].local_addr().to_string()
    }

    pub fn connections(&self) -> usize {
        self.servers.iter().map(|server| server.connections().len()).sum()
    }

    pub fn client(&self) -> Client {
        self.client_named(None)
    }

    pub fn client_named(&self, name: Option<&str>) -> Client {
        let builder = Client::builder().name_servers(&self.address()).options(|options| {
            options.instance_name = name.map(str::to_owned);
            options.offset_interval = Duration::from_millis(100);
        });
        builder.build().unwrap()
    }

    /// What the broker does with its next request of this code.
    pub fn next(&self, broker: &str, code: RequestCode, reaction: Reaction) {
        let mut script = self.state.script.lock().unwrap();
        script.entry((broker.to_owned(), code.0)).or_default().push_back(reaction);
    }

    /// Requests of a code so far, with the broker each came to.
    pub fn seen(&self, code: RequestCode) -> Vec<(String, Command)> {
        let seen = self.state.seen.lock().unwrap();
        seen.iter().filter(|(_, command)| command.code == code.0).cloned().collect()
    }

    /// The codes of all requests so far, in their order.
    pub fn codes(&self) -> Vec<RequestCode> {
        self.state.seen.lock().unwrap().iter().map(|(_, command)| command.request_code()).collect()
    }

    /// Waits until a condition holds.
    pub async fn until(&self, what: &str, condition: impl Fn(&State) -> bool) {
        eventually(what, || condition(&self.state)).await;
    }

    pub fn put(&self, message: &Message, queue: i32) {
        self.state.store("a", message.topic(), queue, message.body(), message.properties().as_str(), 0, 0);
    }

    pub fn committed(&self, group: &str, topic: &str, queue: i32) -> Option<i64> {
        self.state.offsets.lock().unwrap().get(&(group.into(), topic.into(), queue)).copied()
    }
}

/// Waits until a condition holds, and fails after a long time.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl State {
    fn handle(self: Arc<Self>, broker: &str, request: Request) -> Answer {
        let command = &request.command;
        self.seen.lock().unwrap().push((broker.to_owned(), command.clone()));
        let key = (broker.to_owned(), command.code);
        let scripted = self.script.lock().unwrap().get_mut(&key).and_then(VecDeque::pop_front);
        match scripted {
            Some(Reaction::Answer(answer)) => return Answer::Now(answer),
            Some(Reaction::Silence) => return Answer::Taken,
            Some(Reaction::Close) => {
                request.connection().close("scripted");
                return Answer::Taken;
            }
            None => {}
        }
        match command.request_code() {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => {
                let header: GetRouteInfoRequestHeader = command.header().unwrap();
                Answer::Now(self.route(&header.topic))
            }
            RequestCode::GET_BROKER_CLUSTER_INFO => {
                let info = ClusterInfo {
                    broker_addr_table: self
                        .broker_datas()
                        .into_iter()
                        .map(|b| (b.broker_name.clone(), b))
                        .collect(),
                    ..ClusterInfo::default()
                };
                ok().with_body(body::encode(&info)).into()
            }
            RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => {
                let list = TopicList {
                    topic_list: self.topics.lock().unwrap().keys().map(|t| t.as_str().into()).collect(),
                    ..TopicList::default()
                };
                ok().with_body(body::encode(&list)).into()
            }
            _ => broker::handle(&self, broker, request),
        }
    }

    fn broker_datas(&self) -> Vec<BrokerData> {
        let brokers = self.brokers.lock().unwrap();
        let data = |(name, address): (&String, &String)| BrokerData {
            broker_name: name.as_str().into(),
            broker_addrs: [(0, address.as_str().into())].into(),
            cluster: "c".into(),
            ..BrokerData::default()
        };
        brokers.iter().map(data).collect()
    }

    fn route(&self, topic: &str) -> Command {
        let Some((read, write, perm)) = self.topics.lock().unwrap().get(topic).copied() else {
            return Command::error(ResponseCode::TOPIC_NOT_EXIST, format!("No topic route info: {topic}"));
        };
        let broker_datas = self.broker_datas();
        let queue = |broker: &BrokerData| QueueData {
            broker_name: broker.broker_name.clone(),
            read_queue_nums: read,
            write_queue_nums: write,
            perm,
            ..QueueData::default()
        };
        let route = TopicRouteData {
            queue_datas: broker_datas.iter().map(queue).collect(),
            broker_datas,
            ..TopicRouteData::default()
        };
        ok().with_body(body::encode(&route))
    }
}

pub fn ok() -> Command {
    Command::response(ResponseCode::SUCCESS)
}

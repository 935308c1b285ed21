use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rocketwire_broker::{Broker, BrokerError, BrokerOptions};
use rocketwire_protocol::{
    Command, ResponseCode, Version,
    body::{self, ConsumerData, HeartbeatData, MessageModel, ProducerData, SubscriptionData},
    header::*,
    message::{RecordView, properties, records},
};
use rocketwire_remoting::{
    Answer, ClientOptions, ConnectionEvent, ConnectionListener, Lane, RemotingClient, Router, Server,
    ServerOptions, processor_fn,
};
use rocketwire_store::{Clock, MemoryStorage, Storage, StoreOptions};
use rocketwire_testkit::ManualClock;

/// Patience with a busy machine; nothing is ever expected to take this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The wall clock at the start of each test.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// A broker that listens.
pub(crate) struct Node {
    pub(crate) broker: Broker,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) storage: MemoryStorage,
    server: Option<Server>,
}

struct Closed(Mutex<Option<Broker>>);

impl ConnectionListener for Closed {
    fn on_event(&self, event: ConnectionEvent) {
        if let ConnectionEvent::Closed(connection, _) = event
            && let Some(broker) = self.0.lock().unwrap().as_ref()
        {
            broker.connection_closed(connection.id());
        }
    }
}

impl Node {
    pub(crate) async fn start() -> Node {
        Node::with(BrokerOptions::default()).await
    }

    pub(crate) async fn with(options: BrokerOptions) -> Node {
        Node::on(options, MemoryStorage::new(), Arc::new(ManualClock::new(START_MS))).await
    }

    pub(crate) async fn on(options: BrokerOptions, storage: MemoryStorage, clock: Arc<ManualClock>) -> Node {
        let mut store_options = StoreOptions::new("/store");
        // It would look for work until the clock is turned.
        store_options.look = Duration::ZERO;
        let broker =
            Broker::open(options, store_options, Arc::new(storage.clone()), clock.clone(), Arc::new(()))
                .unwrap();
        broker.start(&tokio::runtime::Handle::current());
        let router = broker
            .processors()
            .into_iter()
            .fold(Router::new(), |router, (code, processor)| router.route(code, processor, Lane::inline()));
        let mut options = ServerOptions::default();
        options.listener = Some(Arc::new(Closed(Mutex::new(Some(broker.clone())))));
        let server = Server::bind("127.0.0.1:0", router, options).await.unwrap();
        Node { broker, clock, storage, server: Some(server) }
    }

    pub(crate) fn client(&self) -> Client {
        self.client_of(Version::CURRENT)
    }

    /// A client of another release.
    pub(crate) fn client_of(&self, version: Version) -> Client {
        let received = Arc::new(Mutex::new(Vec::new()));
        let inbox = received.clone();
        let answer = processor_fn(move |request| {
            let command = request.command;
            let answer = Command::response(ResponseCode::SUCCESS).with_body(command.body.clone());
            let is_oneway = command.is_oneway();
            inbox.lock().unwrap().push(command);
            if is_oneway { Answer::Taken } else { answer.into() }
        });
        let router = Router::new().fallback(answer, Lane::inline());
        let mut options = ClientOptions::default();
        options.connection.version = version;
        Client {
            remoting: RemotingClient::new(options, router),
            addr: self.server.as_ref().unwrap().local_addr().to_string(),
            received,
        }
    }

    pub(crate) async fn stop(mut self) {
        self.broker.drain();
        self.server.take().unwrap().shutdown(Duration::from_secs(1)).await;
        self.broker.shutdown().await.unwrap();
    }

    /// Stops it in an orderly way and starts it again on the same files.
    pub(crate) async fn restart(self) -> Node {
        let (storage, clock) = (self.storage.clone(), self.clock.clone());
        self.stop().await;
        Node::on(BrokerOptions::default(), storage, clock).await
    }
}

/// A broker that listens, on a disk that a test has in its hand, and a client of it.
pub(crate) struct OnDisk {
    pub(crate) broker: Broker,
    pub(crate) server: Server,
    pub(crate) client: RemotingClient,
}

impl OnDisk {
    /// `change` gets the store's options to change.
    pub(crate) async fn open(
        disk: impl Storage,
        clock: Arc<dyn Clock>,
        change: impl FnOnce(&mut StoreOptions),
    ) -> Result<OnDisk, BrokerError> {
        OnDisk::with(BrokerOptions::default(), disk, clock, change).await
    }

    /// The same with options of the broker.
    pub(crate) async fn with(
        options: BrokerOptions,
        disk: impl Storage,
        clock: Arc<dyn Clock>,
        change: impl FnOnce(&mut StoreOptions),
    ) -> Result<OnDisk, BrokerError> {
        let mut store = StoreOptions::new("/store");
        store.look = Duration::ZERO;
        change(&mut store);
        let broker = Broker::open(options, store, Arc::new(disk), clock, Arc::new(()))?;
        broker.start(&tokio::runtime::Handle::current());
        let router = broker
            .processors()
            .into_iter()
            .fold(Router::new(), |router, (code, processor)| router.route(code, processor, Lane::inline()));
        let server = Server::bind("127.0.0.1:0", router, ServerOptions::default()).await.unwrap();
        let client = RemotingClient::new(ClientOptions::default(), Router::new());
        Ok(OnDisk { broker, server, client })
    }

    pub(crate) fn addr(&self) -> String {
        self.server.local_addr().to_string()
    }

    pub(crate) async fn call(&self, command: Command) -> Command {
        self.client.invoke(&self.addr(), command, PATIENCE).await.unwrap()
    }

    /// Ends it in order, as far as its disk lets it.
    pub(crate) async fn stop(self) -> Result<(), BrokerError> {
        self.broker.drain();
        self.server.shutdown(Duration::from_secs(1)).await;
        self.broker.shutdown().await
    }
}

/// A client: one connection of its own.
pub(crate) struct Client {
    pub(crate) remoting: RemotingClient,
    pub(crate) addr: String,
    received: Arc<Mutex<Vec<Command>>>,
}

impl Client {
    pub(crate) async fn call(&self, command: Command) -> Command {
        self.remoting.invoke(&self.addr, command, PATIENCE).await.unwrap()
    }

    pub(crate) async fn ok(&self, command: Command) -> Command {
        let response = self.call(command).await;
        assert_eq!(response.code, 0, "{:?}", response.remark);
        response
    }

    /// What the broker asked this client so far, of one code.
    pub(crate) fn received(&self, code: i32) -> Vec<Command> {
        self.received.lock().unwrap().iter().filter(|command| command.code == code).cloned().collect()
    }

    pub(crate) async fn send(&self, topic: &str, body: &str, properties: &str) -> SendMessageResponseHeader {
        self.ok(send(topic, body, properties)).await.response_header().unwrap()
    }

    /// Pulls without waiting, with its own expression.
    pub(crate) async fn pull(&self, topic: &str, queue_id: i32, offset: i64, expression: &str) -> Command {
        self.call(pull(topic, queue_id, offset, expression, None)).await
    }

    /// All messages of a queue from an offset on.
    pub(crate) async fn messages(&self, topic: &str, queue_id: i32, offset: i64) -> Vec<RecordView> {
        let response = self.pull(topic, queue_id, offset, "*").await;
        if response.code == 0 { decode(response.body) } else { Vec::new() }
    }

    /// Waits until a queue has so many messages from an offset on.
    pub(crate) async fn wait_for(&self, topic: &str, queue_id: i32, count: usize) -> Vec<RecordView> {
        let since = Instant::now();
        loop {
            let messages = self.messages(topic, queue_id, 0).await;
            if messages.len() >= count {
                return messages;
            }
            assert!(since.elapsed() < PATIENCE, "{} of {count} messages in {topic}", messages.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn heartbeat(&self, data: &HeartbeatData) -> Command {
        self.ok(heartbeat(data)).await
    }
}

pub(crate) fn decode(body: Bytes) -> Vec<RecordView> {
    records(body).map(|record| record.unwrap()).collect()
}

pub(crate) fn send_header(topic: &str, properties: &str) -> SendMessageRequestHeaderV2 {
    SendMessageRequestHeaderV2 {
        producer_group: "PG".into(),
        topic: topic.into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        queue_id: 0,
        born_timestamp: START_MS,
        properties: Some(properties.into()),
        ..Default::default()
    }
}

pub(crate) fn send(topic: &str, body: &str, properties: &str) -> Command {
    Command::of(&send_header(topic, properties)).with_body(body.to_owned())
}

/// These properties with another one that leaves no room in the record: `as_stored` is it without that one.
pub(crate) fn filled(text: &str, as_stored: &RecordView) -> String {
    let room = properties::MAX_LEN - as_stored.properties().len();
    format!("{text}a\u{1}{}\u{2}", "x".repeat(room - 3))
}

pub(crate) fn pull_header(topic: &str, queue_id: i32, offset: i64) -> PullMessageRequestHeader {
    PullMessageRequestHeader {
        consumer_group: "CG".into(),
        topic: topic.into(),
        queue_id,
        queue_offset: offset,
        max_msg_nums: 32,
        ..Default::default()
    }
}

/// A pull that carries its subscription; it is parked if `suspend` is given.
pub(crate) fn pull(
    topic: &str,
    queue_id: i32,
    offset: i64,
    expression: &str,
    suspend: Option<Duration>,
) -> Command {
    let mut header = pull_header(topic, queue_id, offset);
    header.sys_flag = 4 | if suspend.is_some() { 2 } else { 0 };
    header.subscription = Some(expression.into());
    header.suspend_timeout_millis = suspend.map_or(0, |time| time.as_millis() as i64);
    Command::of(&header)
}

pub(crate) fn commit(group: &str, topic: &str, queue_id: i32, offset: i64) -> Command {
    Command::of(&UpdateConsumerOffsetRequestHeader {
        consumer_group: group.into(),
        topic: topic.into(),
        queue_id,
        commit_offset: offset,
        ..Default::default()
    })
}

/// A topic that may be read and written, with so many queues for either.
pub(crate) fn create_header(topic: &str, queues: i32) -> CreateTopicRequestHeader {
    CreateTopicRequestHeader {
        topic: topic.into(),
        default_topic: "TBW102".into(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm: 6,
        topic_filter_type: "SINGLE_TAG".into(),
        ..Default::default()
    }
}

pub(crate) fn heartbeat(data: &HeartbeatData) -> Command {
    Command::of(&HeartbeatRequestHeader::default()).with_body(body::encode(data))
}

pub(crate) fn subscription(topic: &str, expression: &str, version: i64) -> SubscriptionData {
    SubscriptionData {
        topic: topic.into(),
        sub_string: expression.into(),
        sub_version: version,
        ..Default::default()
    }
}

pub(crate) fn consumer(client_id: &str, group: &str, subscriptions: Vec<SubscriptionData>) -> HeartbeatData {
    HeartbeatData {
        client_id: client_id.into(),
        consumer_data_set: vec![ConsumerData {
            group_name: group.into(),
            message_model: MessageModel::Clustering,
            subscription_data_set: subscriptions,
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(crate) fn producer(client_id: &str, group: &str) -> HeartbeatData {
    HeartbeatData {
        client_id: client_id.into(),
        producer_data_set: vec![ProducerData { group_name: group.into() }],
        ..Default::default()
    }
}

/// Waits until something is true.
pub(crate) async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let since = Instant::now();
    while !check() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

//! Registering at name servers elsewhere (Java: `BrokerOuterAPI`, `BrokerController.registerBrokerAll`; spec broker
//! A.4): the node's broker becomes one of a cluster.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rocketwire_broker::Broker;
use rocketwire_protocol::{
    Command, LanguageCode,
    body::{self, DataVersion, RegisterBrokerBody, TopicConfigSerializeWrapper},
    header::{
        QueryDataVersionRequestHeader, QueryDataVersionResponseHeader, RegisterBrokerRequestHeader,
        UnRegisterBrokerRequestHeader,
    },
    message::record,
};
use rocketwire_remoting::{
    ClientOptions, Connection, ConnectionEvent, ConnectionListener, RemotingClient, Router,
};
use tokio::{sync::Notify, task::JoinSet, time::Instant};

use crate::NodeOptions;

/// How often a name server hears of a broker (Java: `registerNameServerPeriod`). It forgets one after 120 s.
const PERIOD: Duration = Duration::from_secs(30);
/// How long one exchange with a name server may take (Java: `registerBrokerTimeoutMills`).
const TIMEOUT: Duration = Duration::from_secs(24);
/// How long saying good-bye may take, to all of them.
const GOOD_BYE: Duration = Duration::from_secs(3);
/// The first wait after a failure; each is twice the one before, up to `PERIOD`.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Changes of topics that come together are registered together.
const GAP: Duration = Duration::from_millis(100);

/// Says that a topic has changed. One for each name server.
pub(crate) type Changes = Vec<Arc<Notify>>;

/// The tasks that keep name servers informed; dropped, they end.
pub(crate) struct Registrar {
    tasks: JoinSet<()>,
    places: Vec<Arc<Place>>,
}

/// What is registered, and where.
struct Place {
    client: RemotingClient,
    name_server: String,
    broker: Broker,
    cluster: String,
    broker_name: String,
    /// What clients are told; without it, the address by which this node reaches the name server.
    advertised: Option<String>,
    /// What is listened on.
    listening: SocketAddr,
    changed: Arc<Notify>,
    /// That nobody elsewhere can reach the address was said.
    is_warned: AtomicBool,
}

/// What a name server knows.
struct Registered {
    connection: Connection,
    version: DataVersion,
}

/// Why a name server does not know the broker.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Call(#[from] rocketwire_remoting::RpcError),
    #[error("it answered {code}: {remark}")]
    Refused { code: i32, remark: String },
    #[error("its answer cannot be understood: {0}")]
    Answer(#[from] rocketwire_protocol::HeaderError),
}

impl Registrar {
    /// Begins to register at all of [`NodeOptions::register`].
    pub(crate) fn start(
        options: &RegisterOptions,
        broker: &Broker,
        listening: SocketAddr,
        changes: &Changes,
    ) -> Registrar {
        let mut client = ClientOptions::default();
        client.connection.language = LanguageCode::JAVA;
        client.listener = Some(Arc::new(Lost(changes.clone())));
        let client = RemotingClient::new(client, Router::new());
        let place = |(name_server, changed): (&String, &Arc<Notify>)| {
            Arc::new(Place {
                is_warned: AtomicBool::new(false),
                client: client.clone(),
                name_server: name_server.clone(),
                broker: broker.clone(),
                cluster: options.cluster.clone(),
                broker_name: options.broker_name.clone(),
                advertised: options.advertised.clone(),
                listening,
                changed: Arc::clone(changed),
            })
        };
        let places: Vec<_> = options.name_servers.iter().zip(changes).map(place).collect();
        let mut tasks = JoinSet::new();
        for place in &places {
            let place = Arc::clone(place);
            tasks.spawn(async move { place.run().await });
        }
        Registrar { tasks, places }
    }

    /// Takes the broker back everywhere, so that clients look for another one before this one is gone.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
        let mut leaving = JoinSet::new();
        for place in self.places {
            leaving.spawn(async move {
                if let Err(error) = place.unregister().await {
                    let name_server = &place.name_server;
                    tracing::debug!(%error, name_server, "the broker was not unregistered; it expires there");
                }
            });
        }
        // Who does not answer in time forgets the broker by itself.
        let _ = tokio::time::timeout(GOOD_BYE, leaving.join_all()).await;
    }
}

/// A name server that went away may be back at once, knowing nobody.
struct Lost(Changes);

impl ConnectionListener for Lost {
    fn on_event(&self, event: ConnectionEvent) {
        if let ConnectionEvent::Closed(..) = event {
            for change in &self.0 {
                change.notify_one();
            }
        }
    }
}

/// What the registrar needs of the node's options.
pub(crate) struct RegisterOptions {
    name_servers: Vec<String>,
    cluster: String,
    broker_name: String,
    advertised: Option<String>,
}

impl RegisterOptions {
    pub(crate) fn of(options: &NodeOptions) -> RegisterOptions {
        RegisterOptions {
            name_servers: options.register.clone(),
            cluster: options.broker.cluster.to_string(),
            broker_name: options.broker.broker_name.to_string(),
            advertised: options.advertise.clone(),
        }
    }
}

impl Place {
    async fn run(&self) {
        let mut known: Option<Registered> = None;
        let mut retry = FIRST_RETRY;
        loop {
            let begun = Instant::now();
            let wait = match self.refresh(known.take()).await {
                Ok(registered) => {
                    if retry > FIRST_RETRY {
                        tracing::info!(name_server = self.name_server, "the broker is registered again");
                    }
                    known = Some(registered);
                    retry = FIRST_RETRY;
                    PERIOD
                }
                Err(error) => {
                    // Once for each time that it goes away, not for each attempt.
                    if retry == FIRST_RETRY {
                        let name_server = &self.name_server;
                        tracing::warn!(%error, name_server, "the broker is not registered there; it is tried again");
                    }
                    let wait = retry;
                    retry = (retry * 2).min(PERIOD);
                    wait
                }
            };
            // A change does not hurry what fails.
            if known.is_none() {
                tokio::time::sleep(wait).await;
                continue;
            }
            if tokio::time::timeout(wait, self.changed.notified()).await.is_ok() {
                tokio::time::sleep_until(begun + GAP).await;
            }
        }
    }

    /// Registers the broker, or only shows that it lives if nothing has changed.
    async fn refresh(&self, known: Option<Registered>) -> Result<Registered, Failure> {
        let connection = self.client.connect(&self.name_server, TIMEOUT).await?;
        let version = self.broker.topics_version();
        let is_known = known.is_some_and(|known| {
            // What was said over another connection may be forgotten when that is seen to be closed.
            known.connection.id() == connection.id() && known.version == version
        });
        if !is_known || self.has_forgotten(&connection, &version).await? {
            self.register(&connection, &version).await?;
        }
        Ok(Registered { connection, version })
    }

    /// Whether the name server knows other topics of the broker than it has, or none. It counts as a sign of life.
    async fn has_forgotten(&self, connection: &Connection, version: &DataVersion) -> Result<bool, Failure> {
        let header = QueryDataVersionRequestHeader {
            broker_name: self.broker_name.as_str().into(),
            broker_addr: self.address(connection).into(),
            cluster_name: self.cluster.as_str().into(),
            broker_id: 0,
            ..Default::default()
        };
        let request = Command::of(&header).with_body(body::encode(version));
        let answer = success(connection.invoke(request, TIMEOUT).await?)?;
        Ok(answer.response_header::<QueryDataVersionResponseHeader>()?.changed)
    }

    async fn register(&self, connection: &Connection, version: &DataVersion) -> Result<(), Failure> {
        let address = self.address(connection);
        self.warn_of_loopback(connection, &address);
        let topics = self.broker.announced_topics();
        let table: BTreeMap<_, _> =
            topics.into_iter().map(|topic| (topic.topic_name.clone(), topic)).collect();
        let body = body::encode(&RegisterBrokerBody {
            topic_config_serialize_wrapper: TopicConfigSerializeWrapper {
                data_version: version.clone(),
                topic_config_table: table,
                topic_queue_mapping_info_map: Some(Default::default()),
                ..Default::default()
            },
            ..Default::default()
        });
        let header = RegisterBrokerRequestHeader {
            broker_name: self.broker_name.as_str().into(),
            broker_addr: address.clone().into(),
            cluster_name: self.cluster.as_str().into(),
            // Nobody can copy from here; the field has to be there all the same.
            ha_server_addr: address.into(),
            broker_id: 0,
            enable_acting_master: Some(false),
            body_crc32: Some(record::body_crc(&body).cast_signed()),
            ..Default::default()
        };
        success(connection.invoke(Command::of(&header).with_body(body), TIMEOUT).await?)?;
        Ok(())
    }

    /// The mistake that everybody makes once: a cluster's name server sends everybody to their own machine.
    fn warn_of_loopback(&self, connection: &Connection, address: &str) {
        let is_elsewhere = !connection.remote_addr().ip().to_canonical().is_loopback();
        let is_loopback = self.advertised.is_none() && self.listening.ip().to_canonical().is_loopback();
        if is_elsewhere && is_loopback && !self.is_warned.swap(true, Ordering::Relaxed) {
            let name_server = &self.name_server;
            tracing::warn!(
                name_server,
                address,
                "clients elsewhere cannot reach this address; set host or advertise"
            );
        }
    }

    async fn unregister(&self) -> Result<(), Failure> {
        let connection = self.client.connect(&self.name_server, GOOD_BYE).await?;
        let header = UnRegisterBrokerRequestHeader {
            broker_name: self.broker_name.as_str().into(),
            broker_addr: self.address(&connection).into(),
            cluster_name: self.cluster.as_str().into(),
            broker_id: 0,
            ..Default::default()
        };
        success(connection.invoke(Command::of(&header), GOOD_BYE).await?)?;
        Ok(())
    }

    /// What clients are told: what was configured, or what is listened on, on the interface towards the name server
    /// if that is all of them.
    fn address(&self, connection: &Connection) -> String {
        match &self.advertised {
            Some(address) => address.clone(),
            None => seen_from(self.listening, connection.local_addr().ip()).to_string(),
        }
    }
}

fn seen_from(listening: SocketAddr, interface: IpAddr) -> SocketAddr {
    let ip = if listening.ip().is_unspecified() { interface.to_canonical() } else { listening.ip() };
    SocketAddr::new(ip, listening.port())
}

fn success(answer: Command) -> Result<Command, Failure> {
    if answer.response_code().is_success() {
        return Ok(answer);
    }
    let remark = answer.remark.as_deref().unwrap_or_default().to_owned();
    Err(Failure::Refused { code: answer.code, remark })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_interfaces_are_the_one_towards_the_name_server() {
        let seen = |listening: &str, interface: &str| {
            seen_from(listening.parse().unwrap(), interface.parse().unwrap()).to_string()
        };
        assert_eq!(seen("0.0.0.0:9876", "10.0.0.5"), "10.0.0.5:9876");
        assert_eq!(seen("[::]:9876", "::ffff:10.0.0.5"), "10.0.0.5:9876");
        assert_eq!(seen("127.0.0.1:9876", "10.0.0.5"), "127.0.0.1:9876");
    }
}

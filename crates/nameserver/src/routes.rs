//! The table of brokers and topics (Java: `RouteInfoManager`; spec broker A.1, A.4, A.5).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytestring::ByteString;
use rocketwire_protocol::body::{
    BrokerData, ClusterInfo, DataVersion, QueueData, TopicConfig, TopicRouteData,
};

/// Bit 2 of a permission: messages may be sent.
const PERM_WRITE: i32 = 2;
/// Read and write.
const PERM_READ_WRITE: i32 = 6;
/// A broker with this id takes messages.
const MASTER: i64 = 0;

/// Brokers, their addresses and topics. It is handed the time and does no I/O.
#[derive(Debug)]
pub struct RouteTable {
    topics: BTreeMap<ByteString, BTreeMap<ByteString, QueueData>>,
    brokers: BTreeMap<ByteString, Broker>,
    max_topics: usize,
    max_brokers: usize,
    max_instances: usize,
}

#[derive(Debug)]
struct Broker {
    cluster: ByteString,
    enable_acting_master: bool,
    instances: BTreeMap<i64, Instance>,
}

#[derive(Debug)]
struct Instance {
    address: Address,
    ha_server_addr: ByteString,
    seen: Instant,
    /// `None`: it lives in this process and does not expire.
    expiry: Option<Duration>,
    connection: Option<u64>,
    data_version: DataVersion,
}

impl Instance {
    fn is_local(&self) -> bool {
        self.expiry.is_none()
    }
}

#[derive(Debug)]
enum Address {
    /// As the broker said.
    Fixed(ByteString),
    /// The one by which the asking client reached us, with another port perhaps.
    OfConnection { port: Option<u16> },
}

impl Address {
    fn seen_from(&self, asked_at: SocketAddr) -> ByteString {
        match self {
            Address::Fixed(address) => address.clone(),
            Address::OfConnection { port } => {
                let mut address = SocketAddr::new(asked_at.ip().to_canonical(), asked_at.port());
                address.set_port(port.unwrap_or(address.port()));
                address.to_string().into()
            }
        }
    }

    fn is(&self, address: &str) -> bool {
        matches!(self, Address::Fixed(fixed) if fixed == address)
    }
}

/// A broker in the same process as the name server.
#[derive(Clone, Debug)]
pub struct LocalBroker {
    /// Its cluster.
    pub cluster: ByteString,
    /// Its name.
    pub name: ByteString,
    /// The address that clients are told. `None`: the one by which the asking client reached the name server,
    /// which is right on every interface and needs no configuration.
    pub advertised: Option<ByteString>,
    /// Without `advertised`: the port that clients are told. `None`: the one they asked at.
    pub port: Option<u16>,
}

/// What a broker says of itself (request 103).
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its cluster.
    pub cluster: ByteString,
    /// Its name.
    pub broker_name: ByteString,
    /// 0 takes messages, others are replicas.
    pub broker_id: i64,
    /// `host:port` for clients.
    pub address: ByteString,
    /// `host:port` for replicas.
    pub ha_server_addr: ByteString,
    /// After how long of silence to forget it; `None`: the default.
    pub expiry: Option<Duration>,
    /// Whether a replica may act as master.
    pub enable_acting_master: bool,
    /// Its topics; those that it does not name are kept.
    pub topics: Vec<TopicConfig>,
    /// The version of its topics.
    pub data_version: DataVersion,
    /// The connection it speaks over; the broker goes when that closes.
    pub connection: Option<u64>,
}

/// A bound was hit; the text says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMany(pub &'static str);

/// Why a broker elsewhere was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterError {
    /// A bound was hit.
    TooMany(TooMany),
    /// A broker of this process has that name: nobody else can speak for it.
    Local,
}

impl From<TooMany> for RegisterError {
    fn from(bound: TooMany) -> RegisterError {
        RegisterError::TooMany(bound)
    }
}

impl RouteTable {
    /// An empty table of at most so many topics, brokers, and instances of one broker.
    pub fn new(max_topics: usize, max_brokers: usize, max_instances: usize) -> RouteTable {
        RouteTable {
            topics: BTreeMap::new(),
            brokers: BTreeMap::new(),
            max_topics,
            max_brokers,
            max_instances,
        }
    }

    /// Takes in a broker of this process. It never expires.
    pub fn register_local(&mut self, local: &LocalBroker, now: Instant) {
        let address = match &local.advertised {
            Some(address) => Address::Fixed(address.clone()),
            None => Address::OfConnection { port: local.port },
        };
        let instance = Instance {
            address,
            ha_server_addr: ByteString::new(),
            seen: now,
            expiry: None,
            connection: None,
            data_version: DataVersion::default(),
        };
        let broker = self.broker(&local.name, &local.cluster);
        broker.instances.insert(MASTER, instance);
    }

    /// Takes in a broker elsewhere, or hears of it again.
    ///
    /// # Errors
    /// [`RegisterError::Local`] for the name of a broker of this process, which is left alone;
    /// [`RegisterError::TooMany`] if a bound is hit.
    pub fn register(
        &mut self,
        registration: Registration,
        default_expiry: Duration,
        now: Instant,
    ) -> Result<(), RegisterError> {
        let name = &registration.broker_name;
        let is_news = self.data_version(name, &registration.address) != Some(&registration.data_version);
        let brings_topics = registration.broker_id == MASTER && is_news;
        self.admit(&registration)?;
        if brings_topics {
            // All of them or none: a broker whose topics were taken in half-way would not bring the others again.
            let is_new = |topic: &&TopicConfig| !self.topics.contains_key(&topic.topic_name);
            let new = registration.topics.iter().filter(is_new).count();
            if self.topics.len() + new > self.max_topics {
                return Err(TooMany("topics").into());
            }
        }
        let instance = Instance {
            address: Address::Fixed(registration.address.clone()),
            ha_server_addr: registration.ha_server_addr.clone(),
            seen: now,
            expiry: Some(registration.expiry.unwrap_or(default_expiry)),
            connection: registration.connection,
            data_version: registration.data_version.clone(),
        };
        let broker = self.broker(name, &registration.cluster);
        broker.enable_acting_master = registration.enable_acting_master;
        // One address is one instance: a broker that comes back under another id leaves its old one.
        broker
            .instances
            .retain(|id, known| *id == registration.broker_id || !known.address.is(&registration.address));
        broker.instances.insert(registration.broker_id, instance);
        // What operators have changed here stays until the broker changes something.
        if brings_topics {
            for topic in &registration.topics {
                self.update_topic(name, topic)?;
            }
        }
        Ok(())
    }

    fn admit(&self, registration: &Registration) -> Result<(), RegisterError> {
        let Some(broker) = self.brokers.get(&registration.broker_name) else {
            let is_full = self.brokers.len() >= self.max_brokers;
            return if is_full { Err(TooMany("brokers").into()) } else { Ok(()) };
        };
        if self.is_local(&registration.broker_name) {
            return Err(RegisterError::Local);
        }
        let is_other = |(id, known): &(&i64, &Instance)| {
            **id != registration.broker_id && !known.address.is(&registration.address)
        };
        if broker.instances.iter().filter(is_other).count() >= self.max_instances {
            return Err(TooMany("instances of one broker").into());
        }
        Ok(())
    }

    /// A topic of a broker is new or has changed.
    pub fn update_topic(&mut self, broker_name: &ByteString, topic: &TopicConfig) -> Result<(), TooMany> {
        if self.topics.len() >= self.max_topics && !self.topics.contains_key(&topic.topic_name) {
            return Err(TooMany("topics"));
        }
        let queues = QueueData {
            broker_name: broker_name.clone(),
            read_queue_nums: topic.read_queue_nums,
            write_queue_nums: topic.write_queue_nums,
            perm: topic.perm,
            topic_sys_flag: topic.topic_sys_flag,
        };
        self.topics.entry(topic.topic_name.clone()).or_default().insert(broker_name.clone(), queues);
        Ok(())
    }

    /// Like [`RouteTable::update_topic`] for somebody who speaks for a broker: not for one of this process
    /// (request 217).
    ///
    /// # Errors
    /// [`RegisterError::Local`], [`RegisterError::TooMany`].
    pub fn update_topic_elsewhere(
        &mut self,
        broker_name: &ByteString,
        topic: &TopicConfig,
    ) -> Result<(), RegisterError> {
        if self.is_local(broker_name) {
            return Err(RegisterError::Local);
        }
        Ok(self.update_topic(broker_name, topic)?)
    }

    fn is_local(&self, broker_name: &str) -> bool {
        let broker = self.brokers.get(broker_name);
        broker.is_some_and(|broker| broker.instances.values().any(Instance::is_local))
    }

    /// A broker no longer has a topic.
    pub fn remove_topic(&mut self, broker_name: &str, topic: &str) {
        if let Some(brokers) = self.topics.get_mut(topic) {
            brokers.remove(broker_name);
            if brokers.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// Forgets a topic, everywhere or in one cluster (request 216). A broker of this process keeps what it has: it
    /// says itself when that is gone.
    pub fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let cluster = cluster.filter(|cluster| !cluster.is_empty());
        let Some(queues) = self.topics.get(topic) else {
            return;
        };
        let is_meant = |name: &&ByteString| {
            let broker = self.brokers.get(*name);
            let is_inside = cluster.is_none_or(|cluster| broker.is_some_and(|b| b.cluster == *cluster));
            is_inside && !self.is_local(name)
        };
        let brokers: Vec<_> = queues.keys().filter(is_meant).cloned().collect();
        for broker in brokers {
            self.remove_topic(&broker, topic);
        }
    }

    /// Forgets an instance of a broker (request 104).
    ///
    /// # Errors
    /// [`RegisterError::Local`] for a broker of this process, which stays.
    pub fn unregister(&mut self, broker_name: &str, broker_id: i64) -> Result<(), RegisterError> {
        if let Some(broker) = self.brokers.get_mut(broker_name) {
            if broker.instances.get(&broker_id).is_some_and(Instance::is_local) {
                return Err(RegisterError::Local);
            }
            broker.instances.remove(&broker_id);
        }
        self.clean_up();
        Ok(())
    }

    /// Forgets brokers that spoke over a connection that closed.
    pub fn connection_closed(&mut self, connection: u64) {
        self.retain_instances(|instance| instance.connection != Some(connection));
    }

    /// Forgets brokers that were silent for too long; tells how many instances went.
    pub fn expire(&mut self, now: Instant) -> usize {
        self.retain_instances(|instance| {
            instance.expiry.is_none_or(|expiry| now.duration_since(instance.seen) <= expiry)
        })
    }

    /// A broker was heard of (requests 904 and 322).
    pub fn refresh(&mut self, broker_name: &str, address: &str, now: Instant) {
        if let Some(instance) = self.instance_mut(broker_name, address) {
            instance.seen = now;
        }
    }

    /// The version of a broker's topics as it last registered them.
    pub fn data_version(&self, broker_name: &str, address: &str) -> Option<&DataVersion> {
        let broker = self.brokers.get(broker_name)?;
        broker
            .instances
            .values()
            .find(|instance| instance.address.is(address))
            .map(|instance| &instance.data_version)
    }

    /// The address of a broker's master, and where replicas copy from.
    pub fn master(&self, broker_name: &str, asked_at: SocketAddr) -> Option<(ByteString, ByteString)> {
        let master = self.brokers.get(broker_name)?.instances.get(&MASTER)?;
        Some((master.address.seen_from(asked_at), master.ha_server_addr.clone()))
    }

    /// Where a topic is. `asked_at` is our end of the connection that asks.
    pub fn route(&self, topic: &str, asked_at: SocketAddr) -> Option<TopicRouteData> {
        let queues = self.topics.get(topic)?;
        let broker_datas: Vec<BrokerData> =
            queues.keys().filter_map(|name| self.broker_data(name, asked_at)).collect();
        if broker_datas.is_empty() {
            return None;
        }
        Some(TopicRouteData {
            queue_datas: queues.values().cloned().collect(),
            broker_datas,
            ..TopicRouteData::default()
        })
    }

    /// One broker with the addresses of its instances.
    pub fn broker_data(&self, broker_name: &ByteString, asked_at: SocketAddr) -> Option<BrokerData> {
        let broker = self.brokers.get(broker_name)?;
        Some(BrokerData {
            cluster: broker.cluster.clone(),
            broker_name: broker_name.clone(),
            broker_addrs: broker
                .instances
                .iter()
                .map(|(id, i)| (*id, i.address.seen_from(asked_at)))
                .collect(),
            enable_acting_master: broker.enable_acting_master,
            ..BrokerData::default()
        })
    }

    /// All brokers and clusters (request 106).
    pub fn cluster_info(&self, asked_at: SocketAddr) -> ClusterInfo {
        let mut info = ClusterInfo::default();
        for (name, broker) in &self.brokers {
            info.cluster_addr_table.entry(broker.cluster.clone()).or_default().push(name.clone());
            if let Some(data) = self.broker_data(name, asked_at) {
                info.broker_addr_table.insert(name.clone(), data);
            }
        }
        info
    }

    /// Names of all topics, sorted.
    pub fn topics(&self) -> impl Iterator<Item = &ByteString> {
        self.topics.keys()
    }

    /// Names of the topics that some broker of a cluster has, sorted.
    pub fn topics_of_cluster(&self, cluster: &str) -> Vec<ByteString> {
        let is_inside =
            |name: &ByteString| self.brokers.get(name).is_some_and(|broker| broker.cluster == *cluster);
        self.topics
            .iter()
            .filter(|(_, queues)| queues.keys().any(is_inside))
            .map(|(topic, _)| topic.clone())
            .collect()
    }

    /// Names of the topics that have such a `topicSysFlag` at some broker, sorted (requests 311 to 313).
    pub fn topics_by_flags(&self, is_wanted: impl Fn(i32) -> bool) -> Vec<ByteString> {
        self.topics
            .iter()
            .filter(|(_, queues)| queues.values().any(|queues| is_wanted(queues.topic_sys_flag)))
            .map(|(topic, _)| topic.clone())
            .collect()
    }

    /// Names of clusters and brokers, which are topics too (request 304), and the address of some broker.
    pub fn system_topics(&self, asked_at: SocketAddr) -> (BTreeSet<ByteString>, Option<ByteString>) {
        let clusters = self.brokers.values().map(|broker| broker.cluster.clone());
        let names = clusters.chain(self.brokers.keys().cloned()).collect();
        let address = self.brokers.values().flat_map(|b| b.instances.values()).next();
        (names, address.map(|instance| instance.address.seen_from(asked_at)))
    }

    /// Takes the permission to write from all topics of a broker (request 205); tells how many there are.
    pub fn wipe_write_perm(&mut self, broker_name: &str) -> i32 {
        self.change_perm(broker_name, |perm| perm & !PERM_WRITE)
    }

    /// Gives it back (request 327).
    pub fn add_write_perm(&mut self, broker_name: &str) -> i32 {
        self.change_perm(broker_name, |_| PERM_READ_WRITE)
    }

    fn change_perm(&mut self, broker_name: &str, change: impl Fn(i32) -> i32) -> i32 {
        let mut count = 0;
        for queues in self.topics.values_mut().filter_map(|brokers| brokers.get_mut(broker_name)) {
            queues.perm = change(queues.perm);
            count += 1;
        }
        count
    }

    fn broker(&mut self, name: &ByteString, cluster: &ByteString) -> &mut Broker {
        let broker = self.brokers.entry(name.clone()).or_insert_with(|| Broker {
            cluster: cluster.clone(),
            enable_acting_master: false,
            instances: BTreeMap::new(),
        });
        broker.cluster = cluster.clone();
        broker
    }

    fn instance_mut(&mut self, broker_name: &str, address: &str) -> Option<&mut Instance> {
        let broker = self.brokers.get_mut(broker_name)?;
        broker.instances.values_mut().find(|instance| instance.address.is(address))
    }

    fn retain_instances(&mut self, keep: impl Fn(&Instance) -> bool) -> usize {
        let mut removed = 0;
        for broker in self.brokers.values_mut() {
            let before = broker.instances.len();
            broker.instances.retain(|_, instance| keep(instance));
            removed += before - broker.instances.len();
        }
        if removed > 0 {
            self.clean_up();
        }
        removed
    }

    /// Forgets brokers without instances, and topics without brokers.
    fn clean_up(&mut self) {
        self.brokers.retain(|_, broker| !broker.instances.is_empty());
        let brokers = &self.brokers;
        self.topics.retain(|_, queues| {
            queues.retain(|name, _| brokers.contains_key(name));
            !queues.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED_AT: &str = "10.0.0.5:9876";
    const EXPIRY: Duration = Duration::from_secs(120);

    fn asked_at() -> SocketAddr {
        ASKED_AT.parse().unwrap()
    }

    fn table() -> RouteTable {
        RouteTable::new(100, 10, 3)
    }

    fn topic(name: &str) -> TopicConfig {
        TopicConfig {
            topic_name: name.into(),
            read_queue_nums: 4,
            write_queue_nums: 4,
            perm: 6,
            ..TopicConfig::default()
        }
    }

    fn broker(name: &str, id: i64, topics: &[&str]) -> Registration {
        Registration {
            cluster: "c".into(),
            broker_name: name.into(),
            broker_id: id,
            address: format!("{name}:{}", 10911 + id).into(),
            ha_server_addr: "ha:10912".into(),
            expiry: None,
            enable_acting_master: false,
            topics: topics.iter().map(|name| topic(name)).collect(),
            data_version: DataVersion::default(),
            connection: Some(1),
        }
    }

    #[test]
    fn a_local_broker_is_where_the_client_asked() {
        let mut table = table();
        let mut local = LocalBroker { cluster: "c".into(), name: "a".into(), advertised: None, port: None };
        table.register_local(&local, Instant::now());
        table.update_topic(&"a".into(), &topic("T")).unwrap();
        let address = |table: &RouteTable, at: &str| {
            let route = table.route("T", at.parse().unwrap()).unwrap();
            route.broker_datas[0].broker_addrs[&0].to_string()
        };
        assert_eq!(address(&table, "10.0.0.5:9876"), "10.0.0.5:9876");
        assert_eq!(address(&table, "[::ffff:127.0.0.1]:9876"), "127.0.0.1:9876");
        local.port = Some(10911);
        table.register_local(&local, Instant::now());
        assert_eq!(address(&table, "10.0.0.5:9876"), "10.0.0.5:10911");
        local.advertised = Some("example.org:1".into());
        table.register_local(&local, Instant::now());
        assert_eq!(address(&table, "10.0.0.5:9876"), "example.org:1");
        assert_eq!(table.expire(Instant::now() + EXPIRY * 10), 0);
    }

    #[test]
    fn brokers_expire_after_two_minutes_of_silence() {
        // spec: client 16
        let start = Instant::now();
        let mut table = table();
        table.register(broker("a", 0, &["T"]), EXPIRY, start).unwrap();
        table.register(broker("b", 0, &["T"]), EXPIRY, start).unwrap();
        table.refresh("b", "b:10911", start + Duration::from_secs(60));
        assert_eq!(table.expire(start + EXPIRY), 0);
        assert_eq!(table.expire(start + Duration::from_secs(121)), 1);
        let route = table.route("T", asked_at()).unwrap();
        assert_eq!(route.broker_datas.len(), 1);
        assert_eq!(route.queue_datas[0].broker_name, "b");
        assert_eq!(table.expire(start + Duration::from_secs(181)), 1);
        assert!(table.route("T", asked_at()).is_none());
        assert_eq!(table.topics().count(), 0);
    }

    #[test]
    fn a_broker_may_announce_its_own_patience() {
        let start = Instant::now();
        let mut table = table();
        let mut short = broker("a", 0, &["T"]);
        short.expiry = Some(Duration::from_secs(10));
        table.register(short, EXPIRY, start).unwrap();
        assert_eq!(table.expire(start + Duration::from_secs(11)), 1);
    }

    #[test]
    fn a_closed_connection_takes_its_brokers_along() {
        let now = Instant::now();
        let mut table = table();
        table.register(broker("a", 0, &["T"]), EXPIRY, now).unwrap();
        table.connection_closed(2);
        assert!(table.route("T", asked_at()).is_some());
        table.connection_closed(1);
        assert!(table.route("T", asked_at()).is_none());
    }

    #[test]
    fn replicas_share_a_name_and_only_the_master_brings_topics() {
        let now = Instant::now();
        let mut table = table();
        table.register(broker("a", 0, &["T"]), EXPIRY, now).unwrap();
        table.register(broker("a", 1, &["U"]), EXPIRY, now).unwrap();
        assert!(table.route("U", asked_at()).is_none());
        let route = table.route("T", asked_at()).unwrap();
        assert_eq!(route.broker_datas[0].broker_addrs.len(), 2);
        assert_eq!(table.master("a", asked_at()).unwrap().0, "a:10911");
        table.unregister("a", 0).unwrap();
        let route = table.route("T", asked_at()).unwrap();
        assert!(!route.broker_datas[0].broker_addrs.contains_key(&0));
        assert!(table.master("a", asked_at()).is_none());
    }

    #[test]
    fn write_permission_can_be_taken_and_given_back() {
        let mut table = table();
        table.register(broker("a", 0, &["T", "U"]), EXPIRY, Instant::now()).unwrap();
        assert_eq!(table.wipe_write_perm("a"), 2);
        assert_eq!(table.route("T", asked_at()).unwrap().queue_datas[0].perm, 4);
        assert_eq!(table.add_write_perm("a"), 2);
        assert_eq!(table.route("T", asked_at()).unwrap().queue_datas[0].perm, 6);
        assert_eq!(table.wipe_write_perm("other"), 0);
    }

    #[test]
    fn lists_name_topics_clusters_and_brokers() {
        let mut table = table();
        table.register(broker("a", 0, &["T"]), EXPIRY, Instant::now()).unwrap();
        let mut other = broker("b", 0, &["T", "U"]);
        other.cluster = "d".into();
        table.register(other, EXPIRY, Instant::now()).unwrap();
        assert_eq!(table.topics().collect::<Vec<_>>(), ["T", "U"]);
        assert_eq!(table.topics_of_cluster("c"), ["T"]);
        assert_eq!(table.topics_of_cluster("d"), ["T", "U"]);
        let info = table.cluster_info(asked_at());
        assert_eq!(info.broker_addr_table.len(), 2);
        assert_eq!(info.cluster_addr_table["d"], ["b"]);
        let (names, address) = table.system_topics(asked_at());
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert!(address.is_some());
        table.delete_topic("T", Some("d"));
        assert_eq!(table.route("T", asked_at()).unwrap().queue_datas.len(), 1);
        table.delete_topic("T", None);
        assert!(table.route("T", asked_at()).is_none());
    }

    #[test]
    fn the_table_is_bounded() {
        let now = Instant::now();
        let mut table = RouteTable::new(1, 1, 2);
        table.register(broker("a", 0, &["T"]), EXPIRY, now).unwrap();
        assert_eq!(table.register(broker("b", 0, &[]), EXPIRY, now), Err(TooMany("brokers").into()));
        assert_eq!(table.update_topic(&"a".into(), &topic("U")), Err(TooMany("topics")));
        assert_eq!(table.update_topic(&"a".into(), &topic("T")), Ok(()));
        table.register(broker("a", 1, &[]), EXPIRY, now).unwrap();
        let third = table.register(broker("a", 2, &[]), EXPIRY, now);
        assert_eq!(third, Err(TooMany("instances of one broker").into()));
        table.register(broker("a", 1, &[]), EXPIRY, now).unwrap();
        // It was instance 1 until now: it takes no more room than before.
        let mut moved = broker("a", 1, &[]);
        moved.broker_id = 2;
        table.register(moved, EXPIRY, now).unwrap();
    }

    #[test]
    fn nobody_else_speaks_for_a_local_broker() {
        let now = Instant::now();
        let mut table = table();
        let local = LocalBroker {
            cluster: "c".into(),
            name: "a".into(),
            advertised: Some("a:10911".into()),
            port: None,
        };
        table.register_local(&local, now);
        table.update_topic(&"a".into(), &topic("T")).unwrap();
        let before = table.route("T", asked_at());
        for id in [0, 1] {
            let mut forged = broker("a", id, &["T", "U"]);
            forged.cluster = "other".into();
            forged.address = "a:10911".into();
            assert_eq!(table.register(forged, EXPIRY, now), Err(RegisterError::Local), "{id}");
        }
        assert_eq!(table.unregister("a", 0), Err(RegisterError::Local));
        assert_eq!(table.unregister("a", 1), Ok(()), "there is no such instance");
        assert_eq!(table.route("T", asked_at()), before);
        assert!(table.route("U", asked_at()).is_none());
    }
}

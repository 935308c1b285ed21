//! The table itself, and what changes it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytestring::ByteString;
use rocketwire_protocol::body::{DataVersion, QueueData, TopicConfig};

use super::{
    LocalBroker, MASTER, RegisterError, Registration, TooMany,
    instance::{Address, Broker, Instance},
};

/// Bit 2 of a permission: messages may be sent.
const PERM_WRITE: i32 = 2;
/// Read and write.
const PERM_READ_WRITE: i32 = 6;

/// Brokers, their addresses and topics. It is handed the time and does no I/O.
#[derive(Debug)]
pub struct RouteTable {
    pub(super) topics: BTreeMap<ByteString, BTreeMap<ByteString, QueueData>>,
    pub(super) brokers: BTreeMap<ByteString, Broker>,
    max_topics: usize,
    max_brokers: usize,
    max_instances: usize,
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
        self.admit(&registration)?;
        if self.is_outdated(&registration) {
            return Ok(());
        }
        let is_news = self.data_version(name, &registration.address) != Some(&registration.data_version);
        let brings_topics = self.brings_topics(&registration);
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
        broker.enable_acting_master = registration.enable_acting_master == Some(true);
        // One address is one instance: a broker that comes back under another id leaves its old one.
        broker
            .instances
            .retain(|id, known| *id == registration.broker_id || !known.address.is(&registration.address));
        broker.instances.insert(registration.broker_id, instance);
        let is_read_only = broker.is_acted_for();
        if brings_topics {
            for topic in &registration.topics {
                // What operators have changed here stays until the broker changes something.
                let is_known = self.topics.get(&topic.topic_name).is_some_and(|at| at.contains_key(name));
                if is_news || !is_known {
                    let perm = if is_read_only { topic.perm & !PERM_WRITE } else { topic.perm };
                    self.update_topic(name, &TopicConfig { perm, ..topic.clone() })?;
                }
            }
        }
        Ok(())
    }

    /// Whether another broker has that id already, one that the controller chose later.
    fn is_outdated(&self, registration: &Registration) -> bool {
        let broker = self.brokers.get(&registration.broker_name);
        let known = broker.and_then(|broker| broker.instances.get(&registration.broker_id));
        known.is_some_and(|known| {
            !known.address.is(&registration.address)
                && known.data_version.state_version > registration.data_version.state_version
        })
    }

    /// The master's topics are those of all; without one, those of the first replica, if it is one that says whether it
    /// may act for its master.
    fn brings_topics(&self, registration: &Registration) -> bool {
        let others = self.brokers.get(&registration.broker_name).map(|broker| &broker.instances);
        let is_first = others.is_none_or(|others| others.keys().all(|id| *id >= registration.broker_id));
        registration.broker_id == MASTER || registration.enable_acting_master.is_some() && is_first
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

    /// Like [`RouteTable::update_topic`] for somebody who speaks for a broker: not for one of this process, nor for one
    /// that is not registered, which changes nothing (request 217).
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
        if !self.brokers.contains_key(broker_name) {
            return Ok(());
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

    /// Forgets the instance of a broker at an address, whatever its id is by now (request 104).
    ///
    /// # Errors
    /// [`RegisterError::Local`] for a broker of this process, which stays.
    pub fn unregister(&mut self, broker_name: &str, address: &str) -> Result<(), RegisterError> {
        if self.is_local(broker_name) {
            return Err(RegisterError::Local);
        }
        if let Some(broker) = self.brokers.get_mut(broker_name) {
            broker.instances.retain(|_, instance| !instance.address.is(address));
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

    /// Forgets brokers without instances, and topics without brokers; takes the permission to write from topics whose
    /// master is gone while replicas act for it.
    fn clean_up(&mut self) {
        self.brokers.retain(|_, broker| !broker.instances.is_empty());
        let brokers = &self.brokers;
        self.topics.retain(|_, queues| {
            queues.retain(|name, queues| {
                let broker = brokers.get(name);
                if broker.is_some_and(Broker::is_acted_for) {
                    queues.perm &= !PERM_WRITE;
                }
                broker.is_some()
            });
            !queues.is_empty()
        });
    }
}

//! What is asked of the table.

use std::{collections::BTreeSet, net::SocketAddr};

use bytestring::ByteString;
use rocketwire_protocol::body::{BrokerData, ClusterInfo, DataVersion, TopicRouteData};

use super::{MASTER, RouteTable};

impl RouteTable {
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
}

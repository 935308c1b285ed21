//! Routes: from what a name server says to queues and addresses (spec client E.3, G.4). Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytestring::ByteString;
use rocketwire_protocol::body::{BrokerData, MASTER_ID as MASTER, MessageQueue, QueueData, TopicRouteData};

use crate::select::RoundRobin;

/// `perm` bit: consumers may read.
const READ: i32 = 4;
/// `perm` bit: producers may write.
const WRITE: i32 = 2;

/// A queue to send to, with the address of its master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishQueue {
    pub(crate) queue: MessageQueue,
    pub(crate) address: ByteString,
}

/// What is known of one topic.
#[derive(Debug)]
pub(crate) struct TopicRoute {
    pub(crate) data: TopicRouteData,
    /// Queues that can be written to, in Java's order.
    pub(crate) publish: Vec<PublishQueue>,
    /// Queues that can be read, in Java's order.
    pub(crate) subscribe: Vec<MessageQueue>,
    /// Where the producers' round robin stands.
    pub(crate) round_robin: RoundRobin,
}

impl TopicRoute {
    /// `start`: any number, where the round robin begins.
    pub(crate) fn new(topic: &str, data: TopicRouteData, start: u32) -> TopicRoute {
        TopicRoute {
            round_robin: RoundRobin::new(start),
            publish: publish_queues(topic, &data),
            subscribe: subscribe_queues(topic, &data),
            data,
        }
    }

    /// The addresses of one broker, by broker id.
    fn addresses(&self, broker: &str) -> Option<&BTreeMap<i64, ByteString>> {
        let found = self.data.broker_datas.iter().find(|data| data.broker_name == broker);
        found.map(|data| &data.broker_addrs)
    }

    /// One address of each broker, masters preferred.
    pub(crate) fn one_address_each(&self) -> Vec<ByteString> {
        let brokers = self.data.broker_datas.iter();
        brokers.filter_map(|data| any_address(&data.broker_addrs)).cloned().collect()
    }
}

/// The queues a producer may choose from (Java: `topicRouteData2TopicPublishInfo`).
///
/// An `orderTopicConf` overrides the queue data and keeps its order. Otherwise, by broker name: writable queues
/// of brokers that have a master.
fn publish_queues(topic: &str, data: &TopicRouteData) -> Vec<PublishQueue> {
    let master = |broker: &'_ BrokerData| Some((broker.broker_name.clone(), broker.master_addr()?.clone()));
    let masters: HashMap<ByteString, ByteString> = data.broker_datas.iter().filter_map(master).collect();
    let topic = ByteString::from(topic);
    let mut queues = Vec::new();
    let mut add = |broker: &str, count: i32| {
        let address = masters.get(broker).cloned().unwrap_or_default();
        let broker = ByteString::from(broker);
        for id in (0..count).take(MAX_ALL_QUEUES - queues.len()) {
            queues.push(PublishQueue {
                queue: MessageQueue::new(topic.clone(), broker.clone(), id),
                address: address.clone(),
            });
        }
    };
    if let Some(order) = data.order_topic_conf.as_deref().filter(|order| !order.is_empty()) {
        for (broker, count) in order.split(';').filter_map(|item| item.split_once(':')) {
            add(broker, bounded(count.trim().parse().unwrap_or(0)));
        }
        return queues;
    }
    let mut by_name: Vec<_> = data.queue_datas.iter().filter(|queue| queue.perm & WRITE != 0).collect();
    by_name.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
    for queue in by_name {
        if masters.contains_key(&queue.broker_name) {
            add(&queue.broker_name, bounded(queue.write_queue_nums));
        }
    }
    queues
}

/// The queues a consumer may be assigned (Java: `topicRouteData2TopicSubscribeInfo`): the read bit is enough, a
/// master is not needed.
fn subscribe_queues(topic: &str, data: &TopicRouteData) -> Vec<MessageQueue> {
    let topic = ByteString::from(topic);
    let readable = data.queue_datas.iter().filter(|queue| queue.perm & READ != 0);
    let each = |queue: &QueueData| {
        let (topic, broker) = (topic.clone(), queue.broker_name.clone());
        (0..bounded(queue.read_queue_nums))
            .map(move |id| MessageQueue::new(topic.clone(), broker.clone(), id))
    };
    readable.flat_map(each).take(MAX_ALL_QUEUES).collect()
}

/// No name server makes us allocate more queues of one broker than this.
const MAX_QUEUES: i32 = 65_536;
/// Nor of all brokers of a topic.
const MAX_ALL_QUEUES: usize = 4 << 16;

fn bounded(count: i32) -> i32 {
    count.clamp(0, MAX_QUEUES)
}

/// The default topic's route, narrowed for a topic that its first message will create: as many queues as the
/// producer asks for, and not more than the broker offers.
pub(crate) fn narrowed(mut data: TopicRouteData, default_topic_queue_nums: i32) -> TopicRouteData {
    for queue in &mut data.queue_datas {
        let count = default_topic_queue_nums.min(queue.read_queue_nums);
        queue.read_queue_nums = count;
        queue.write_queue_nums = count;
    }
    data
}

fn any_address(addresses: &BTreeMap<i64, ByteString>) -> Option<&ByteString> {
    addresses.get(&MASTER).or_else(|| addresses.values().next())
}

/// An address to read from, and whether it is a slave's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadAddress {
    pub(crate) address: ByteString,
    pub(crate) slave: bool,
}

/// The routes of every topic that the client deals with, and the brokers in them.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    topics: HashMap<ByteString, Arc<TopicRoute>>,
    brokers: HashMap<ByteString, BTreeMap<i64, ByteString>>,
}

/// What [`RouteTable::apply`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The topic's route is new or another one.
    pub(crate) changed: bool,
    /// There is an address that no route had before.
    pub(crate) new_address: bool,
}

impl RouteTable {
    pub(crate) fn topic(&self, topic: &str) -> Option<Arc<TopicRoute>> {
        self.topics.get(topic).cloned()
    }

    pub(crate) fn topics(&self) -> Vec<ByteString> {
        self.topics.keys().cloned().collect()
    }

    /// Takes in what a name server said. An equal route changes nothing.
    ///
    /// `start`: any number, where the round robin of a new route begins.
    pub(crate) fn apply(&mut self, topic: &str, mut data: TopicRouteData, start: u32) -> Applied {
        data.broker_datas.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
        data.queue_datas.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
        if self.topics.get(topic).is_some_and(|known| known.data == data) {
            return Applied { changed: false, new_address: false };
        }
        let mut new_address = false;
        for broker in &data.broker_datas {
            let known = self.brokers.insert(broker.broker_name.clone(), broker.broker_addrs.clone());
            let known: BTreeSet<ByteString> = known.into_iter().flat_map(BTreeMap::into_values).collect();
            new_address |= broker.broker_addrs.values().any(|address| !known.contains(address));
        }
        self.topics.insert(topic.into(), Arc::new(TopicRoute::new(topic, data, start)));
        Applied { changed: true, new_address }
    }

    /// Forgets a topic; brokers go with the next [`RouteTable::prune`].
    pub(crate) fn forget(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// Drops addresses that no route has any more (Java: `cleanOfflineBroker`).
    pub(crate) fn prune(&mut self) {
        let topics = &self.topics;
        self.brokers.retain(|broker, addresses| {
            addresses.retain(|id, address| {
                topics
                    .values()
                    .any(|route| route.addresses(broker).is_some_and(|now| now.get(id) == Some(address)))
            });
            !addresses.is_empty()
        });
    }

    /// The master of a broker, to write to.
    pub(crate) fn master(&self, broker: &str) -> Option<ByteString> {
        self.brokers.get(broker)?.get(&MASTER).cloned()
    }

    /// The master of a broker, or else any of it.
    pub(crate) fn master_or_any(&self, broker: &str) -> Option<ByteString> {
        any_address(self.brokers.get(broker)?).cloned()
    }

    /// Where to read: the suggested id; if it is a slave that is gone, the next one; else any.
    pub(crate) fn for_reading(&self, broker: &str, suggested: i64) -> Option<ReadAddress> {
        let addresses = self.brokers.get(broker)?;
        let next = || addresses.get_key_value(&suggested.checked_add(1)?).filter(|_| suggested != MASTER);
        let any = || addresses.first_key_value();
        let (id, address) = addresses.get_key_value(&suggested).or_else(next).or_else(any)?;
        Some(ReadAddress { address: address.clone(), slave: *id != MASTER })
    }

    /// Whom heartbeats go to: every address, or masters alone for clients that only produce.
    pub(crate) fn heartbeat_addresses(&self, masters_only: bool) -> Vec<ByteString> {
        let wanted = |id: &i64| !masters_only || *id == MASTER;
        let all = self.brokers.values().flatten().filter(|(id, _)| wanted(id));
        let addresses: BTreeSet<&ByteString> = all.map(|(_, address)| address).collect();
        addresses.into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(name: &str, ids: &[i64]) -> BrokerData {
        let address = |id: &i64| (*id, format!("{name}-{id}:10911").into());
        BrokerData {
            broker_name: name.into(),
            broker_addrs: ids.iter().map(address).collect(),
            ..BrokerData::default()
        }
    }

    fn queue(broker: &str, perm: i32, read: i32, write: i32) -> QueueData {
        QueueData {
            broker_name: broker.into(),
            perm,
            read_queue_nums: read,
            write_queue_nums: write,
            ..QueueData::default()
        }
    }

    fn data(brokers: Vec<BrokerData>, queues: Vec<QueueData>) -> TopicRouteData {
        TopicRouteData { broker_datas: brokers, queue_datas: queues, ..TopicRouteData::default() }
    }

    fn names(queues: &[MessageQueue]) -> Vec<String> {
        queues.iter().map(|queue| format!("{}/{}", queue.broker_name, queue.queue_id)).collect()
    }

    fn publish_names(route: &TopicRoute) -> Vec<String> {
        names(&route.publish.iter().map(|queue| queue.queue.clone()).collect::<Vec<_>>())
    }

    #[test]
    fn producers_see_writable_queues_of_masters_in_order_of_broker() {
        // spec: client 17
        let brokers = vec![broker("b", &[0, 1]), broker("a", &[0]), broker("slave-only", &[1])];
        let queues = vec![
            queue("b", 6, 4, 2),
            queue("a", 2, 4, 1),
            queue("slave-only", 6, 4, 4),
            queue("gone", 6, 1, 1),
        ];
        let mut all = queues.clone();
        all.push(queue("a", 4, 9, 9));
        let route = TopicRoute::new("T", data(brokers, all), 0);
        assert_eq!(publish_names(&route), ["a/0", "b/0", "b/1"]);
        assert_eq!(route.publish[0].address, "a-0:10911");
    }

    #[test]
    fn an_order_configuration_overrides_and_keeps_its_order() {
        // spec: client 18
        let mut data = data(vec![broker("a", &[0]), broker("b", &[0])], vec![queue("a", 6, 8, 8)]);
        data.order_topic_conf = Some("b:2;a:1".into());
        assert_eq!(publish_names(&TopicRoute::new("T", data, 0)), ["b/0", "b/1", "a/0"]);
    }

    #[test]
    fn consumers_need_only_the_read_bit() {
        // spec: client 19
        let brokers = vec![broker("slave-only", &[1]), broker("a", &[0])];
        let queues = vec![queue("slave-only", 4, 1, 9), queue("a", 2, 5, 5), queue("c", 6, 2, 1)];
        let route = TopicRoute::new("T", data(brokers, queues), 0);
        assert_eq!(names(&route.subscribe), ["slave-only/0", "c/0", "c/1"]);
    }

    #[test]
    fn the_default_topic_is_narrowed_to_what_the_producer_asks_for() {
        // spec: client 20
        let template = data(vec![broker("a", &[0])], vec![queue("a", 7, 8, 16), queue("b", 7, 2, 2)]);
        let narrowed = narrowed(template, 4);
        let counts: Vec<_> =
            narrowed.queue_datas.iter().map(|q| (q.read_queue_nums, q.write_queue_nums)).collect();
        assert_eq!(counts, [(4, 4), (2, 2)]);
    }

    #[test]
    fn an_equal_route_changes_nothing_whatever_its_order() {
        // spec: client 22
        let mut table = RouteTable::default();
        let brokers = vec![broker("a", &[0]), broker("b", &[0])];
        let queues = vec![queue("a", 6, 4, 4), queue("b", 6, 4, 4)];
        let changed = |changed, new_address| Applied { changed, new_address };
        assert_eq!(table.apply("T", data(brokers.clone(), queues.clone()), 0), changed(true, true));
        let reversed = data(brokers.iter().rev().cloned().collect(), queues.iter().rev().cloned().collect());
        assert_eq!(table.apply("T", reversed, 0), changed(false, false));
        assert_eq!(table.apply("T", data(brokers, vec![queue("a", 6, 8, 8)]), 0), changed(true, false));
    }

    #[test]
    fn brokers_in_no_route_are_dropped() {
        // spec: client 23
        let mut table = RouteTable::default();
        table.apply("T", data(vec![broker("a", &[0]), broker("b", &[0])], vec![]), 0);
        table.apply("T", data(vec![broker("a", &[0])], vec![]), 0);
        assert_eq!(table.master("b").as_deref(), Some("b-0:10911"), "until the next heartbeat");
        table.prune();
        assert_eq!(table.master("b"), None);
        assert_eq!(table.master("a").as_deref(), Some("a-0:10911"));
    }

    #[test]
    fn reading_follows_the_suggestion_then_the_next_then_any() {
        let mut table = RouteTable::default();
        table.apply("T", data(vec![broker("a", &[0, 2]), broker("s", &[3])], vec![]), 0);
        let address = |broker, suggested| {
            table.for_reading(broker, suggested).map(|a| (a.address.to_string(), a.slave))
        };
        assert_eq!(address("a", 0), Some(("a-0:10911".into(), false)));
        assert_eq!(address("a", 1), Some(("a-2:10911".into(), true)), "1 is gone, 2 is the next");
        assert_eq!(address("a", 7), Some(("a-0:10911".into(), false)));
        assert_eq!(address("s", 0), Some(("s-3:10911".into(), true)));
        assert_eq!(address("none", 0), None);
    }

    #[test]
    fn producers_heartbeat_masters_only() {
        // spec: client 128
        let mut table = RouteTable::default();
        table.apply("T", data(vec![broker("a", &[0, 1])], vec![]), 0);
        assert_eq!(table.heartbeat_addresses(true), ["a-0:10911"]);
        assert_eq!(table.heartbeat_addresses(false), ["a-0:10911", "a-1:10911"]);
    }

    #[test]
    fn a_count_out_of_a_bad_route_is_bounded() {
        let route = TopicRoute::new("T", data(vec![broker("a", &[0])], vec![queue("a", 6, i32::MAX, -5)]), 0);
        assert!(route.publish.is_empty());
        assert_eq!(route.subscribe.len(), MAX_QUEUES as usize);
        let many = TopicRoute::new(
            "T",
            data(vec![broker("a", &[0])], vec![queue("a", 6, i32::MAX, i32::MAX); 9]),
            0,
        );
        assert_eq!((many.publish.len(), many.subscribe.len()), (MAX_ALL_QUEUES, MAX_ALL_QUEUES));
        let mut ordered = data(vec![broker("a", &[0])], Vec::new());
        ordered.order_topic_conf = Some("a:65536;".repeat(9).into());
        assert_eq!(TopicRoute::new("T", ordered, 0).publish.len(), MAX_ALL_QUEUES);
    }
}

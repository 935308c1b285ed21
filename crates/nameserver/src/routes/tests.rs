use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rocketwire_protocol::body::{DataVersion, TopicConfig};

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
        enable_acting_master: None,
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
    table.unregister("a", "a:10911").unwrap();
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
    let local =
        LocalBroker { cluster: "c".into(), name: "a".into(), advertised: Some("a:10911".into()), port: None };
    table.register_local(&local, now);
    table.update_topic(&"a".into(), &topic("T")).unwrap();
    let before = table.route("T", asked_at());
    for id in [0, 1] {
        let mut forged = broker("a", id, &["T", "U"]);
        forged.cluster = "other".into();
        forged.address = "a:10911".into();
        assert_eq!(table.register(forged, EXPIRY, now), Err(RegisterError::Local), "{id}");
    }
    assert_eq!(table.unregister("a", "a:10911"), Err(RegisterError::Local));
    assert_eq!(table.unregister("other", "a:10911"), Ok(()), "there is no such broker");
    assert_eq!(table.route("T", asked_at()), before);
    assert!(table.route("U", asked_at()).is_none());
}

#[test]
fn a_broker_that_moved_is_not_unregistered_by_its_former_self() {
    // spec: broker A.4
    let now = Instant::now();
    let mut table = table();
    table.register(broker("a", 0, &["T"]), EXPIRY, now).unwrap();
    let mut moved = broker("a", 0, &["T"]);
    moved.address = "elsewhere:10911".into();
    table.register(moved, EXPIRY, now).unwrap();
    table.unregister("a", "a:10911").unwrap();
    assert_eq!(table.master("a", asked_at()).unwrap().0, "elsewhere:10911");
    table.unregister("a", "elsewhere:10911").unwrap();
    assert!(table.route("T", asked_at()).is_none());
}

#[test]
fn a_master_that_was_replaced_does_not_come_back_by_itself() {
    // spec: broker A.4
    let now = Instant::now();
    let mut table = table();
    let mut chosen = broker("a", 0, &["T"]);
    (chosen.address, chosen.data_version.state_version) = ("new:10911".into(), 2);
    table.register(chosen, EXPIRY, now).unwrap();
    let mut former = broker("a", 0, &["T"]);
    former.data_version.state_version = 1;
    assert_eq!(table.register(former, EXPIRY, now), Ok(()), "as Java answers");
    assert_eq!(table.master("a", asked_at()).unwrap().0, "new:10911");
}

#[test]
fn a_replica_that_may_act_for_its_master_brings_topics_to_read() {
    // spec: broker A.4
    let now = Instant::now();
    let mut table = table();
    let replica = |id, topics: &[&str]| {
        let mut replica = broker("a", id, topics);
        replica.enable_acting_master = Some(true);
        replica
    };
    table.register(replica(2, &["T"]), EXPIRY, now).unwrap();
    let perm = |table: &RouteTable, topic| table.route(topic, asked_at()).unwrap().queue_datas[0].perm;
    assert_eq!(perm(&table, "T"), 4, "nobody takes messages");
    table.register(replica(3, &["U"]), EXPIRY, now).unwrap();
    assert!(table.route("U", asked_at()).is_none(), "it is not the first");
    table.register(replica(0, &["T", "U"]), EXPIRY, now).unwrap();
    assert_eq!((perm(&table, "T"), perm(&table, "U")), (6, 6));
    table.unregister("a", "a:10911").unwrap();
    assert_eq!((perm(&table, "T"), perm(&table, "U")), (4, 4), "its master is gone");
    // One before 5.0 does not act for anybody.
    table.register(broker("b", 1, &["V"]), EXPIRY, now).unwrap();
    assert!(table.route("V", asked_at()).is_none());
}

#[test]
fn a_topic_that_was_forgotten_here_comes_back_with_its_broker_and_changes_of_operators_stay() {
    // spec: broker A.5
    let now = Instant::now();
    let mut table = table();
    table.register(broker("a", 0, &["T", "U"]), EXPIRY, now).unwrap();
    table.wipe_write_perm("a");
    table.delete_topic("U", None);
    table.register(broker("a", 0, &["T", "U"]), EXPIRY, now).unwrap();
    assert_eq!(
        table.route("T", asked_at()).unwrap().queue_datas[0].perm,
        4,
        "nothing has changed at the broker"
    );
    assert_eq!(table.route("U", asked_at()).unwrap().queue_datas[0].perm, 6);
}

#[test]
fn topics_of_a_broker_that_is_not_registered_are_left_out() {
    // spec: broker A.4
    let mut table = table();
    assert_eq!(table.update_topic_elsewhere(&"nobody".into(), &topic("T")), Ok(()));
    assert_eq!(table.topics().count(), 0);
}

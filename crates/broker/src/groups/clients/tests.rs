use rocketwire_protocol::body::ProducerData;

use super::*;

fn from(connection: u64) -> Heartbeat<u64> {
    Heartbeat { connection, language: LanguageCode::JAVA, version: Version::CURRENT, channel: connection }
}

fn subscription(topic: &str, expression: &str, version: i64) -> SubscriptionData {
    SubscriptionData {
        topic: topic.into(),
        sub_string: expression.into(),
        sub_version: version,
        ..SubscriptionData::default()
    }
}

fn consumer(group: &str, subscriptions: Vec<SubscriptionData>) -> ConsumerData {
    ConsumerData {
        group_name: group.into(),
        message_model: MessageModel::Clustering,
        subscription_data_set: subscriptions,
        ..ConsumerData::default()
    }
}

fn heartbeat(client: &str) -> HeartbeatData {
    HeartbeatData { client_id: client.into(), ..HeartbeatData::default() }
}

fn join(clients: &mut Clients<u64>, connection: u64, data: &ConsumerData) -> Option<Changed<u64>> {
    let heartbeat = heartbeat(&format!("client-{connection}"));
    clients.register_consumer(&from(connection), &heartbeat, data, Duration::from_secs(1_000)).unwrap()
}

#[test]
fn everyone_hears_of_a_new_member_or_topic_but_not_of_a_repeat() {
    // spec: client 154
    let mut clients = Clients::new(10);
    let data = consumer("g", vec![subscription("T", "*", 1)]);
    assert_eq!(join(&mut clients, 1, &data).unwrap().members, [1]);
    assert!(join(&mut clients, 1, &data).is_none());
    assert_eq!(join(&mut clients, 2, &data).unwrap().members, [1, 2]);
    let other = consumer("g", vec![subscription("T", "*", 1), subscription("U", "*", 1)]);
    assert_eq!(join(&mut clients, 2, &other).unwrap().members, [1, 2]);
    assert_eq!(join(&mut clients, 1, &data).unwrap().members, [1, 2], "topic U is taken away");
}

#[test]
fn a_closed_connection_leaves_all_its_groups_and_the_rest_is_told() {
    // spec: client 155
    let mut clients = Clients::new(10);
    for group in ["g", "h"] {
        let data = consumer(group, vec![subscription("T", "*", 1)]);
        join(&mut clients, 1, &data);
        join(&mut clients, 2, &data);
    }
    join(&mut clients, 1, &consumer("alone", vec![]));
    let changed = clients.connection_closed(1);
    assert_eq!(changed.len(), 2);
    assert!(changed.iter().all(|changed| changed.members == [2]));
    assert!(clients.consumer_group("alone").is_none());
    assert!(clients.connection_closed(1).is_empty());
    assert!(clients.consumer("g", "client-2").is_some());
    assert!(clients.consumer("g", "client-1").is_none());
    assert_eq!(clients.connections(), 1);
}

#[test]
fn broadcasting_groups_are_not_told() {
    let mut clients = Clients::new(10);
    let mut data = consumer("g", vec![subscription("T", "*", 1)]);
    data.message_model = MessageModel::Broadcasting;
    assert!(join(&mut clients, 1, &data).unwrap().members.is_empty());
}

#[test]
fn only_a_newer_subscription_replaces() {
    let mut clients = Clients::new(10);
    join(&mut clients, 1, &consumer("g", vec![subscription("T", "A", 5)]));
    join(&mut clients, 2, &consumer("g", vec![subscription("T", "B", 4)]));
    let expression = |clients: &Clients<u64>| {
        clients.consumer_group("g").unwrap().subscriptions["T"].data.sub_string.clone()
    };
    assert_eq!(expression(&clients), "A");
    join(&mut clients, 2, &consumer("g", vec![subscription("T", "B", 6)]));
    assert_eq!(expression(&clients), "B");
}

#[test]
fn a_heartbeat_without_subscriptions_keeps_them() {
    let mut clients = Clients::new(10);
    join(&mut clients, 1, &consumer("g", vec![subscription("T", "A", 5)]));
    let mut light = heartbeat("client-1");
    light.without_sub = true;
    let changed = clients
        .register_consumer(&from(1), &light, &consumer("g", vec![]), Duration::from_secs(1_000))
        .unwrap();
    assert!(changed.is_none());
    assert_eq!(clients.consumer_group("g").unwrap().subscriptions.len(), 1);
    assert!(!clients.update_fingerprint("g", 7));
    assert!(!clients.update_fingerprint("g", 7));
    assert!(clients.update_fingerprint("g", 8));
    assert!(!clients.update_fingerprint("unknown", 8));
}

#[test]
fn silence_for_the_expiry_ends_a_membership() {
    let start = Duration::from_secs(1_000);
    let mut clients = Clients::new(10);
    let mut beat = heartbeat("c");
    beat.producer_data_set = vec![ProducerData { group_name: "p".into() }];
    clients.register_producers(&from(1), &beat, start).unwrap();
    clients.register_consumer(&from(1), &beat, &consumer("g", vec![]), start).unwrap();
    let later = start + Duration::from_secs(100);
    clients.register_consumer(&from(2), &beat, &consumer("g", vec![]), later).unwrap();

    let expiry = Duration::from_secs(120);
    assert!(clients.expire(start + expiry, expiry).is_empty());
    let changed = clients.expire(start + Duration::from_secs(121), expiry);
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].members, [2]);
    assert!(clients.producers("p").is_none());
}

#[test]
fn producers_are_found_by_group_in_turn_and_by_client() {
    let mut clients = Clients::new(10);
    for connection in 1..=2 {
        let mut beat = heartbeat(&format!("client-{connection}"));
        beat.producer_data_set = vec![ProducerData { group_name: "p".into() }];
        clients.register_producers(&from(connection), &beat, Duration::from_secs(1_000)).unwrap();
    }
    let first = clients.next_producer("p").unwrap();
    let second = clients.next_producer("p").unwrap();
    assert_ne!(first, second);
    assert_eq!(clients.producer_by_client_id("client-2").unwrap().channel, 2);
    assert!(clients.next_producer("other").is_none());
    clients.unregister_producer(1, "p");
    clients.unregister_producer(2, "p");
    assert!(clients.next_producer("p").is_none());
    assert_eq!(clients.connections(), 0);
}

#[test]
fn the_number_of_groups_is_bounded() {
    let mut clients = Clients::new(2);
    join(&mut clients, 1, &consumer("a", vec![]));
    join(&mut clients, 1, &consumer("b", vec![]));
    let beat = heartbeat("c");
    let refused =
        clients.register_consumer(&from(1), &beat, &consumer("c", vec![]), Duration::from_secs(1_000));
    assert_eq!(refused.unwrap_err(), TooMany { limit: 2 });
    assert!(
        clients
            .register_consumer(&from(1), &beat, &consumer("b", vec![]), Duration::from_secs(1_000))
            .is_ok()
    );
}

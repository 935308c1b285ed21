use std::{collections::HashSet, time::Duration};

use rocketwire::{
    Client, Credentials, Invalid, Message, MessageQueue, NoRetry, RequestErrorKind, ResponseCode,
    RouteErrorKind, SendErrorKind, SendOptions, SendStatus,
};
use rocketwire_protocol::{
    Command, RequestCode,
    header::{SendMessageRequestHeaderV2, SendMessageResponseHeader},
    message::property,
};

use crate::support::{Cluster, PATIENCE, Reaction, eventually};

fn busy() -> Reaction {
    Reaction::Answer(Command::error(ResponseCode::SYSTEM_BUSY, "[OVERLOAD]system busy"))
}

fn sends(cluster: &Cluster) -> Vec<(String, SendMessageRequestHeaderV2)> {
    let seen = cluster.seen(RequestCode::SEND_MESSAGE_V2);
    seen.into_iter().map(|(broker, command)| (broker, command.header().unwrap())).collect()
}

#[tokio::test]
async fn a_message_is_stored_and_the_result_says_where() {
    // spec: client 55 56
    let cluster = Cluster::with_topic("T", 4).await;
    let client = cluster.client();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    let result = producer.send(Message::new("T", "hello").with_tag("A").with_key("k")).await.unwrap();
    assert_eq!(result.status, SendStatus::SendOk);
    assert_eq!(result.msg_id.len(), 32);
    assert_eq!((&*result.message_queue.topic, &*result.message_queue.broker_name), ("T", "a"));
    assert_eq!((result.queue_offset, result.trace_on, &*result.region_id), (0, true, "DefaultRegion"));
    assert_eq!(result.transaction_id.as_deref(), Some(&*result.msg_id));
    assert_eq!(cluster.state.log.lock().unwrap().bodies("T"), ["hello"]);
    client.close(PATIENCE).await;
    let late = Message::new("T", "late");
    let ends = [
        producer.send(late.clone()).await.unwrap_err(),
        producer.send_batch(std::slice::from_ref(&late)).await.unwrap_err(),
        producer.send_oneway(late.clone()).await.unwrap_err(),
        producer.request(late, PATIENCE).await.unwrap_err(),
    ];
    assert!(ends.iter().all(|error| error.kind() == SendErrorKind::Closed), "{ends:?}");
    eventually("nobody connects anew", || cluster.connections() == 0).await;
}

#[tokio::test]
async fn many_sends_share_one_connection() {
    let cluster = Cluster::with_topic("T", 4).await;
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let mut running = tokio::task::JoinSet::new();
    for i in 0..300 {
        let producer = producer.clone();
        running.spawn(async move { producer.send(Message::new("T", format!("m{i}"))).await.unwrap().msg_id });
    }
    let ids: HashSet<String> = running.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 300, "every message has an id of its own");
    assert_eq!(cluster.state.log.lock().unwrap().bodies("T").len(), 300);
    assert_eq!(cluster.seen(RequestCode::GET_ROUTEINFO_BY_TOPIC).len(), 1, "one lookup for all of them");
    let queues: HashSet<i32> = sends(&cluster).iter().map(|(_, header)| header.queue_id).collect();
    assert_eq!(queues.len(), 4, "round robin");
}

#[tokio::test]
async fn a_refusal_that_may_pass_is_tried_on_another_broker() {
    // spec: client 33 43 50
    let cluster = Cluster::start(2).await;
    cluster.topic("T", 2);
    for broker in ["a", "b"] {
        cluster.next(broker, RequestCode::SEND_MESSAGE_V2, busy());
    }
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    producer.send(Message::new("T", "x")).await.unwrap();
    let seen = sends(&cluster);
    assert_eq!(seen.len(), 3);
    assert_ne!(seen[0].0, seen[1].0, "another broker");
    assert_ne!(seen[1].0, seen[2].0);
    let properties: HashSet<_> = seen.iter().map(|(_, header)| header.properties.clone().unwrap()).collect();
    assert_eq!(properties.len(), 1, "one unique id for all attempts");
}

#[tokio::test]
async fn a_refusal_for_good_is_final() {
    // spec: client 33
    let cluster = Cluster::with_topic("T", 4).await;
    let refusal = Command::error(ResponseCode::MESSAGE_ILLEGAL, "the message is illegal");
    cluster.next("a", RequestCode::SEND_MESSAGE_V2, Reaction::Answer(refusal));
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let error = producer.send(Message::new("T", "x")).await.unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::Refused(ResponseCode::MESSAGE_ILLEGAL));
    assert_eq!((error.attempts().len(), error.remark()), (1, Some("the message is illegal")));
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn attempts_are_counted_and_told() {
    // spec: client 30 36
    let cluster = Cluster::with_topic("T", 4).await;
    (0..4).for_each(|_| cluster.next("a", RequestCode::SEND_MESSAGE_V2, busy()));
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let error = producer.send(Message::new("T", "x")).await.unwrap_err();
    assert_eq!(error.attempts().len(), 3);
    assert_eq!(error.code(), Some(ResponseCode::SYSTEM_BUSY));
    let text = error.to_string();
    assert!(text.starts_with("Send [3] times, still failed"), "{text}");
    assert!(text.contains("Topic: T, BrokersSent: [a, a, a]"), "{text}");
    assert!(text.contains(&cluster.address()), "{text}");
}

#[tokio::test]
async fn one_deadline_covers_all_attempts() {
    // spec: client 31
    let cluster = Cluster::with_topic("T", 4).await;
    (0..4).for_each(|_| cluster.next("a", RequestCode::SEND_MESSAGE_V2, Reaction::Silence));
    let producer = cluster.client().producer("PG").timeout(Duration::from_millis(300)).build().unwrap();
    let error = producer.send(Message::new("T", "x")).await.unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::Timeout);
    assert_eq!(error.code(), Some(ResponseCode(10_002)));
    assert!(error.elapsed() >= Duration::from_millis(300), "{error}");
    assert_eq!(error.attempts().len(), 1, "the first attempt used the deadline up: {error}");
}

#[tokio::test]
async fn a_silent_broker_does_not_use_up_the_deadline_if_attempts_have_a_limit() {
    // spec: client 32
    let cluster = Cluster::with_topic("T", 4).await;
    cluster.next("a", RequestCode::SEND_MESSAGE_V2, Reaction::Silence);
    let builder = cluster.client().producer("PG").timeout(PATIENCE);
    let producer = builder
        .options(|options| options.attempt_timeout = Some(Duration::from_millis(100)))
        .build()
        .unwrap();
    producer.send(Message::new("T", "x")).await.unwrap();
    assert_eq!(sends(&cluster).len(), 2);
}

#[tokio::test]
async fn a_lost_connection_is_tried_again() {
    let cluster = Cluster::with_topic("T", 4).await;
    cluster.next("a", RequestCode::SEND_MESSAGE_V2, Reaction::Close);
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    producer.send(Message::new("T", "x")).await.unwrap();
    let error = {
        (0..3).for_each(|_| cluster.next("a", RequestCode::SEND_MESSAGE_V2, Reaction::Close));
        producer.send(Message::new("T", "x")).await.unwrap_err()
    };
    assert_eq!((error.kind(), error.code()), (SendErrorKind::Disconnected, Some(ResponseCode(10_001))));
}

#[tokio::test]
async fn a_dropped_send_leaves_the_connection_to_the_others() {
    let cluster = Cluster::with_topic("T", 4).await;
    let client = cluster.client();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    producer.send(Message::new("T", "first")).await.unwrap();
    let connection = client.remoting().connect(&cluster.address(), PATIENCE).await.unwrap();
    for _ in 0..20 {
        cluster.next("a", RequestCode::SEND_MESSAGE_V2, Reaction::Silence);
        let before = sends(&cluster).len();
        tokio::select! {
            _ = producer.send(Message::new("T", "dropped")) => panic!("nobody answers"),
            () = eventually("sent", || sends(&cluster).len() > before) => {}
        }
    }
    producer.send(Message::new("T", "last")).await.unwrap();
    let after = client.remoting().connect(&cluster.address(), PATIENCE).await.unwrap();
    assert_eq!(connection.id(), after.id(), "the connection is the same");
    assert_eq!(after.in_flight(), 0, "and no slot is left");
}

#[tokio::test]
async fn a_message_that_is_stored_less_safely_is_a_result() {
    // spec: client 35
    let cluster = Cluster::with_topic("T", 4).await;
    let answer =
        Command::response(ResponseCode::FLUSH_DISK_TIMEOUT).with_header(&SendMessageResponseHeader {
            msg_id: "7F00000100002A9F0000000000000000".into(),
            ..SendMessageResponseHeader::default()
        });
    cluster.next("a", RequestCode::SEND_MESSAGE_V2, Reaction::Answer(answer));
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let result = producer.send(Message::new("T", "x")).await.unwrap();
    assert_eq!(result.status, SendStatus::FlushDiskTimeout);
    assert_eq!(sends(&cluster).len(), 1);
}

#[tokio::test]
async fn a_topic_that_does_not_exist_takes_after_the_default_topic() {
    // spec: client 20
    let cluster = Cluster::with_topic("TBW102", 8).await;
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    assert_eq!(producer.queues("New").await.unwrap().len(), 4);
    producer.send(Message::new("New", "x")).await.unwrap();
    let (_, header) = sends(&cluster).remove(0);
    assert_eq!((&*header.default_topic, header.default_topic_queue_nums), ("TBW102", 4));
}

#[tokio::test]
async fn no_route_says_who_was_asked_and_what_to_do() {
    // spec: client 21 29
    let cluster = Cluster::with_topic("T", 1).await;
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let error = producer.send(Message::new("Nowhere", "x")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (SendErrorKind::NoRoute, Some(ResponseCode(10_005))));
    let text = error.to_string();
    for part in [
        "No route info of this topic: Nowhere",
        &cluster.address(),
        "TOPIC_NOT_EXIST(17)",
        "brokers: a",
        "TBW102",
    ] {
        assert!(text.contains(part), "{part} in: {text}");
    }
}

#[tokio::test]
async fn an_absent_name_server_is_named_with_its_tries() {
    let client = Client::builder().build().unwrap();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    let error = producer.send(Message::new("T", "x")).await.unwrap_err();
    assert_eq!(error.code(), Some(ResponseCode(10_004)), "{error}");

    // A port that was free a moment ago: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let client = Client::builder().name_servers(&free).build().unwrap();
    let producer = client.producer("PG").timeout(Duration::from_millis(500)).build().unwrap();
    let error = producer.queues("T").await.unwrap_err();
    let RequestErrorKind::Route(route) = error.kind() else { panic!("{error}") };
    assert_eq!(route.kind(), RouteErrorKind::Unreachable);
    let text = error.to_string();
    assert!(text.contains(&free) && text.contains("tried"), "{text}");
}

#[tokio::test]
async fn a_queue_of_ones_own_gets_one_attempt() {
    // spec: client 38 62
    let cluster = Cluster::with_topic("T", 4).await;
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let queues = producer.queues("T").await.unwrap();
    let result = producer.send_to(&queues[2], Message::new("T", "x")).await.unwrap();
    assert_eq!(result.message_queue.queue_id, 2);
    cluster.next("a", RequestCode::SEND_MESSAGE_V2, busy());
    let options = SendOptions::default().queue(queues[1].clone());
    let error = producer.send_with(Message::new("T", "x"), options).await.unwrap_err();
    assert_eq!(error.attempts().len(), 1);
    let nowhere = MessageQueue::new("T", "broker-x", 0);
    let error = producer.send_to(&nowhere, Message::new("T", "x")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (SendErrorKind::BrokerUnknown, Some(ResponseCode(10_003))));
    assert!(error.to_string().contains("The broker[broker-x] not exist"), "{error}");
}

#[tokio::test]
async fn a_selector_keeps_a_key_on_its_queue() {
    let cluster = Cluster::with_topic("T", 4).await;
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let mut queues = HashSet::new();
    for i in 0..6 {
        let message = Message::new("T", format!("step {i}"));
        let result =
            producer.send_by(message, |all, _| rocketwire::queue_by_hash("order-1", all)).await.unwrap();
        queues.insert(result.message_queue.queue_id);
    }
    assert_eq!(queues.len(), 1);
    let error = producer.send_by(Message::new("T", "x"), |_, _| None).await.unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::NoQueueSelected);
}

#[tokio::test]
async fn one_way_is_sent_once_and_not_answered() {
    // spec: client 39
    let cluster = Cluster::with_topic("T", 4).await;
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    producer.send_oneway(Message::new("T", "x")).await.unwrap();
    eventually("the message is there", || cluster.state.log.lock().unwrap().bodies("T") == ["x"]).await;
    let (_, command) = cluster.seen(RequestCode::SEND_MESSAGE_V2).remove(0);
    assert!(command.is_oneway());
}

#[tokio::test]
async fn a_batch_is_one_request() {
    // spec: client 52 57
    let cluster = Cluster::with_topic("T", 4).await;
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let messages: Vec<_> = (0..5).map(|i| Message::new("T", format!("m{i}")).with_tag("A")).collect();
    let result = producer.send_batch(&messages).await.unwrap();
    assert_eq!(result.msg_id.split(',').count(), 5);
    assert_eq!(result.offset_msg_id.split(',').count(), 5);
    assert_eq!(cluster.seen(RequestCode::SEND_BATCH_MESSAGE).len(), 1);
    assert_eq!(cluster.state.log.lock().unwrap().bodies("T"), ["m0", "m1", "m2", "m3", "m4"]);
    let error = producer.send_batch(&[]).await.unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::Invalid);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_here() {
    // spec: client 24 28
    let cluster = Cluster::with_topic("T", 4).await;
    let client = cluster.client();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    let error = producer.send(Message::new("T", "")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (SendErrorKind::Invalid, Some(ResponseCode::MESSAGE_ILLEGAL)));
    assert!(cluster.seen(RequestCode::SEND_MESSAGE_V2).is_empty());
    let taken = client.producer("PG").timeout(PATIENCE).build().unwrap_err();
    assert!(matches!(taken.kind(), RequestErrorKind::GroupTaken(_)), "{taken}");
    drop(producer);
    client.producer("PG").timeout(PATIENCE).build().unwrap();
    let reserved = client.producer("DEFAULT_PRODUCER").build().unwrap_err();
    assert!(
        matches!(reserved.kind(), RequestErrorKind::Invalid(Invalid::GroupReserved { .. })),
        "{reserved}"
    );
}

#[tokio::test]
async fn requests_are_signed() {
    // spec: client 135
    let cluster = Cluster::with_topic("T", 4).await;
    let builder = Client::builder().name_servers(&cluster.address());
    let client = builder.credentials(Credentials::new("key", "secret")).build().unwrap();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    producer.send(Message::new("T", "x")).await.unwrap();
    for code in [RequestCode::GET_ROUTEINFO_BY_TOPIC, RequestCode::SEND_MESSAGE_V2] {
        let (_, command) = cluster.seen(code).remove(0);
        assert_eq!(command.fields.get("AccessKey").as_deref(), Some("key"));
        assert_eq!(command.fields.get("Signature").map(|s| s.len()), Some(28), "Base64 of 20 bytes");
    }
}

#[tokio::test]
async fn producers_are_announced_and_say_good_bye() {
    // spec: client 128 130
    let cluster = Cluster::with_topic("T", 4).await;
    let client = cluster.client();
    let producer = client.producer("PG").retry(NoRetry).build().unwrap();
    producer.warm_up(&["T"]).await.unwrap();
    cluster.until("a heartbeat", |state| state.producers.lock().unwrap().contains_key("PG")).await;
    client.close(PATIENCE).await;
    let (_, command) = cluster.seen(RequestCode::UNREGISTER_CLIENT).remove(0);
    assert_eq!(command.fields.get("producerGroup").as_deref(), Some("PG"));
    assert_eq!(command.fields.get("clientID").as_deref(), Some(client.client_id()));
}

#[tokio::test]
async fn a_known_route_outlives_its_name_server() {
    let cluster = Cluster::with_topic("T", 4).await;
    let builder = Client::builder().name_servers(&cluster.address());
    let client =
        builder.options(|options| options.route_interval = Duration::from_millis(20)).build().unwrap();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    producer.send(Message::new("T", "x")).await.unwrap();
    for _ in 0..1000 {
        let down = Command::error(ResponseCode::SYSTEM_ERROR, "name server not ready");
        cluster.next("a", RequestCode::GET_ROUTEINFO_BY_TOPIC, Reaction::Answer(down));
    }
    let before = cluster.seen(RequestCode::GET_ROUTEINFO_BY_TOPIC).len();
    eventually("refreshed thrice", || cluster.seen(RequestCode::GET_ROUTEINFO_BY_TOPIC).len() > before + 3)
        .await;
    producer.send(Message::new("T", "y")).await.unwrap();
}

#[tokio::test]
async fn a_changed_route_is_followed() {
    // spec: client 127
    let cluster = Cluster::with_topic("T", 1).await;
    let builder = Client::builder().name_servers(&cluster.address());
    let client =
        builder.options(|options| options.route_interval = Duration::from_millis(20)).build().unwrap();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    assert_eq!(producer.queues("T").await.unwrap().len(), 1);
    cluster.topic("T", 6);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while producer.queues("T").await.unwrap().len() != 6 {
        assert!(tokio::time::Instant::now() < deadline, "the route is still the old one");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn large_bodies_travel_compressed() {
    // spec: client 48
    let cluster = Cluster::with_topic("T", 1).await;
    let client = cluster.client();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    producer.send(Message::new("T", vec![b'x'; 100_000])).await.unwrap();
    let (_, command) = cluster.seen(RequestCode::SEND_MESSAGE_V2).remove(0);
    assert!(command.body.len() < 10_000);
    let queue = MessageQueue::new("T", "a", 0);
    let outcome = client.pull(&queue, 0, &rocketwire::PullOptions::default()).await.unwrap();
    assert_eq!(outcome.messages[0].body, vec![b'x'; 100_000]);
    assert!(outcome.messages[0].property(property::UNIQ_KEY).is_some());
}

#[tokio::test]
async fn a_namespace_is_in_every_request_and_under_the_signature() {
    // spec: client 134
    let cluster = Cluster::with_topic("T", 1).await;
    let builder =
        Client::builder().name_servers(&cluster.address()).credentials(Credentials::new("key", "secret"));
    let client = builder.options(|options| options.namespace = Some("tenant".into())).build().unwrap();
    client.producer("PG").timeout(PATIENCE).build().unwrap().send(Message::new("T", "x")).await.unwrap();
    for code in [RequestCode::GET_ROUTEINFO_BY_TOPIC, RequestCode::SEND_MESSAGE_V2] {
        let (_, command) = cluster.seen(code).remove(0);
        assert_eq!(command.fields.get("nsd").as_deref(), Some("true"));
        assert_eq!(command.fields.get("ns").as_deref(), Some("tenant"));
        let keys: Vec<_> = command.fields.to_vec().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys.last().map(|key| &**key), Some("Signature"), "signed last: {keys:?}");
    }
}

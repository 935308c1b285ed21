use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rocketwire::{ConsumeFrom, FilterExpression, Message, RequestErrorKind, ResponseCode};
use rocketwire_protocol::{
    Command, RequestCode,
    body::{self, CheckClientRequestBody, HeartbeatData},
    header::{PullMessageRequestHeader, PullMessageResponseHeader},
    message::property,
};
use tokio::sync::Semaphore;

use crate::support::{Cluster, PATIENCE, Reaction, Seen, eventually};

fn put(cluster: &Cluster, topic: &'static str, bodies: &[&'static str]) {
    for (i, body) in bodies.iter().enumerate() {
        cluster.put(&Message::new(topic, *body), i as i32 % 2);
    }
}

#[tokio::test]
async fn messages_old_and_new_come_and_are_committed() {
    // spec: client 73 84 95 96
    let cluster = Cluster::with_topic("T", 2).await;
    put(&cluster, "T", &["a", "b", "c"]);
    let client = cluster.client();
    let seen = Seen::default();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consumer = builder.start(seen.collect()).await.unwrap();
    seen.wait(3).await;
    put(&cluster, "T", &["d", "e"]);
    seen.wait(5).await;
    assert_eq!(seen.bodies(), ["a", "b", "c", "d", "e"]);
    let first = seen.0.lock().unwrap()[0].clone();
    assert_eq!((first.property(property::MIN_OFFSET), &*first.broker_name), (Some("0"), "a"));
    assert!(first.property(property::MAX_OFFSET).is_some());
    eventually("commits", || {
        cluster.committed("CG", "T", 0) == Some(3) && cluster.committed("CG", "T", 1) == Some(2)
    })
    .await;
    assert_eq!(consumer.queues().iter().filter(|queue| &*queue.topic == "T").count(), 2);
    let retry = |queue: &rocketwire::MessageQueue| &*queue.topic == "%RETRY%CG";
    eventually("the retry topic's queue", || consumer.queues().iter().any(retry)).await;
    let report = consumer.shutdown(PATIENCE).await;
    assert_eq!((report.unfinished, report.uncommitted), (0, 0));
    let (_, good_bye) = cluster.seen(RequestCode::UNREGISTER_CLIENT).remove(0);
    assert_eq!(good_bye.fields.get("consumerGroup").as_deref(), Some("CG"));
    assert_eq!(consumer.queues(), []);
}

#[tokio::test]
async fn pulls_are_long_polls_without_the_subscription() {
    // spec: client 88 90
    let cluster = Cluster::with_topic("T", 1).await;
    let client = cluster.client();
    let builder = client.push_consumer("CG").subscribe("T", "A");
    let consumer = builder.start(async |_| ()).await.unwrap();
    let pulls = || -> Vec<PullMessageRequestHeader> {
        let seen = cluster.seen(RequestCode::PULL_MESSAGE);
        seen.iter().map(|(_, command)| command.header().unwrap()).collect()
    };
    eventually("a pull", || pulls().iter().any(|header| &*header.topic == "T")).await;
    let header = pulls().into_iter().find(|header| &*header.topic == "T").unwrap();
    assert_eq!((header.sys_flag, header.suspend_timeout_millis, header.max_msg_nums), (2, 15_000, 32));
    assert_eq!(header.subscription, None);
    // Held pulls do not turn into a storm.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(pulls().len() <= 2, "one for each of the two queues");
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn tags_are_compared_again_here() {
    // spec: client 94
    let cluster = Cluster::with_topic("T", 1).await;
    for (tag, body) in [("A", "yes"), ("B", "no"), ("", "none"), ("A", "again")] {
        let message = Message::new("T", body);
        let message = if tag.is_empty() { message } else { message.with_tag(tag) };
        cluster.put(&message, 0);
    }
    let client = cluster.client();
    let seen = Seen::default();
    let builder = client.push_consumer("CG").subscribe("T", "A").consume_from(ConsumeFrom::First);
    let consumer = builder.start(seen.collect()).await.unwrap();
    seen.wait(2).await;
    assert_eq!(seen.bodies(), ["again", "yes"]);
    consumer.shutdown(PATIENCE).await;
    assert_eq!(cluster.committed("CG", "T", 0), Some(4));
}

#[tokio::test]
async fn members_share_the_queues_and_take_over() {
    // spec: client 76 105 154
    let cluster = Cluster::with_topic("T", 4).await;
    let (one, other) = (cluster.client_named(Some("one")), cluster.client_named(Some("other")));
    let seen = Seen::default();
    let start = async |client: &rocketwire::Client| {
        let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
        builder.start(seen.collect()).await.unwrap()
    };
    let count = |consumer: &rocketwire::PushConsumer| {
        consumer.queues().iter().filter(|queue| &*queue.topic == "T").count()
    };
    let first = start(&one).await;
    eventually("all four", || count(&first) == 4).await;
    let second = start(&other).await;
    eventually("two each", || count(&first) == 2 && count(&second) == 2).await;
    let (mine, theirs) = (first.queues(), second.queues());
    assert!(mine.iter().all(|queue| !theirs.contains(queue)));
    for queue in 0..4 {
        cluster.put(&Message::new("T", format!("m{queue}")), queue);
    }
    seen.wait(4).await;
    assert_eq!(seen.bodies(), ["m0", "m1", "m2", "m3"], "each message once");
    second.shutdown(PATIENCE).await;
    // The real broker tells the others; this one only knows that a member is gone.
    let members = cluster.state.members.lock().unwrap()["CG"].clone();
    let changed = rocketwire_protocol::header::NotifyConsumerIdsChangedRequestHeader {
        consumer_group: "CG".into(),
        ..Default::default()
    };
    for connection in members.values() {
        connection.invoke_oneway(Command::of(&changed).oneway()).unwrap();
    }
    eventually("all four again", || count(&first) == 4).await;
    first.shutdown(PATIENCE).await;
    for queue in 0..4 {
        assert_eq!(cluster.committed("CG", "T", queue), Some(1));
    }
}

#[tokio::test]
async fn an_unknown_membership_keeps_the_queues() {
    // spec: client 78
    let cluster = Cluster::with_topic("T", 2).await;
    let client = cluster.client();
    let builder = client.push_consumer("CG").subscribe("T", "*");
    let builder = builder.options(|options| options.rebalance_interval = Duration::from_millis(10));
    let consumer = builder.start(async |_| ()).await.unwrap();
    eventually("the queues", || consumer.queues().len() == 3).await;
    for _ in 0..1000 {
        let refusal = Command::error(ResponseCode::SYSTEM_ERROR, "no consumer for this group, CG");
        cluster.next("a", RequestCode::GET_CONSUMER_LIST_BY_GROUP, Reaction::Answer(refusal));
    }
    let before = cluster.seen(RequestCode::GET_CONSUMER_LIST_BY_GROUP).len();
    eventually("a round", || cluster.seen(RequestCode::GET_CONSUMER_LIST_BY_GROUP).len() > before + 2).await;
    assert_eq!(consumer.queues().len(), 3);
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn an_offset_outside_of_the_queue_is_corrected() {
    // spec: client 91
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "old"), 0);
    cluster.state.offsets.lock().unwrap().insert(("CG".into(), "T".into(), 0), 500);
    let client = cluster.client();
    let seen = Seen::default();
    let builder = client.push_consumer("CG").subscribe("T", "*");
    let consumer = builder.start(seen.collect()).await.unwrap();
    eventually("the broker's offset is stored", || cluster.committed("CG", "T", 0) == Some(1)).await;
    cluster.put(&Message::new("T", "new"), 0);
    seen.wait(1).await;
    assert_eq!(seen.bodies(), ["new"]);
    consumer.shutdown(PATIENCE).await;
    assert_eq!(cluster.committed("CG", "T", 0), Some(2));
}

#[tokio::test]
async fn a_broker_that_forgot_the_group_is_told_again() {
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "x"), 0);
    let forgot = Command::error(ResponseCode::SUBSCRIPTION_NOT_EXIST, "the consumer's group info not exist");
    (0..2).for_each(|_| cluster.next("a", RequestCode::PULL_MESSAGE, Reaction::Answer(forgot.clone())));
    let client = cluster.client();
    let seen = Seen::default();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let builder = builder.options(|options| options.pull_error_delay = Duration::from_millis(20));
    let consumer = builder.start(seen.collect()).await.unwrap();
    seen.wait(1).await;
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_handlers_and_commits_what_they_finish() {
    let cluster = Cluster::with_topic("T", 1).await;
    put(&cluster, "T", &["x"]);
    let client = cluster.client();
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inner_gate, inner_begun) = (gate.clone(), begun.clone());
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consume = move |_| {
        let inner_gate = inner_gate.clone();
        let inner_begun = inner_begun.clone();
        async move {
            inner_begun.fetch_add(1, Ordering::SeqCst);
            inner_gate.acquire().await.unwrap().forget();
        }
    };
    let consumer = builder.start(consume).await.unwrap();
    eventually("the handler runs", || begun.load(Ordering::SeqCst) == 1).await;
    let open = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        gate.add_permits(1);
    };
    let (report, ()) = tokio::join!(consumer.shutdown(PATIENCE), open);
    assert_eq!((report.unfinished, report.uncommitted), (0, 0));
    assert_eq!(cluster.committed("CG", "T", 0), Some(1), "what finished during the shutdown is committed");
}

#[tokio::test]
async fn a_shutdown_ends_at_its_deadline_and_says_what_is_left() {
    let cluster = Cluster::with_topic("T", 1).await;
    put(&cluster, "T", &["x"]);
    let client = cluster.client();
    let begun = Arc::new(AtomicUsize::new(0));
    let inner = begun.clone();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consume = move |_| {
        let inner = inner.clone();
        async move {
            inner.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
    };
    let consumer = builder.start(consume).await.unwrap();
    eventually("the handler runs", || begun.load(Ordering::SeqCst) == 1).await;
    let report = consumer.shutdown(Duration::from_millis(100)).await;
    assert_eq!(report.unfinished, 1);
    assert_eq!(cluster.committed("CG", "T", 0), None, "what is not done is not committed");
    assert_eq!(
        consumer.shutdown(Duration::from_millis(100)).await.uncommitted,
        0,
        "again: nothing more to do"
    );
}

#[tokio::test]
async fn a_full_queue_is_not_pulled_until_there_is_room() {
    // spec: client 87
    let cluster = Cluster::with_topic("T", 1).await;
    (0..100).for_each(|i| cluster.put(&Message::new("T", format!("{i:03}")), 0));
    let client = cluster.client();
    let gate = Arc::new(Semaphore::new(0));
    let inner = gate.clone();
    let seen = Seen::default();
    let handler = seen.clone();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let builder = builder.concurrency(1).options(|options| {
        options.pull_batch = 10;
        options.queue_messages = 15;
    });
    let consume = move |message| {
        let handler = handler.clone();
        let inner = inner.clone();
        async move {
            inner.acquire().await.unwrap().forget();
            handler.add(message);
        }
    };
    let consumer = builder.start(consume).await.unwrap();
    let furthest = || {
        let pulls = cluster.seen(RequestCode::PULL_MESSAGE);
        let headers = pulls.iter().map(|(_, command)| command.header::<PullMessageRequestHeader>().unwrap());
        headers.filter(|header| &*header.topic == "T").map(|header| header.queue_offset).max()
    };
    eventually("two pulls", || furthest() == Some(10)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(furthest(), Some(10), "20 messages are over the threshold of 15");
    gate.add_permits(100);
    seen.wait(100).await;
    consumer.shutdown(PATIENCE).await;
    assert_eq!(cluster.committed("CG", "T", 0), Some(100));
}

#[tokio::test]
async fn a_topic_may_come_later() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client();
    let seen = Seen::default();
    let builder = client.push_consumer("CG").subscribe("Later", "*").consume_from(ConsumeFrom::First);
    let consumer = builder.start(seen.collect()).await.unwrap();
    cluster.topic("Later", 1);
    cluster.put(&Message::new("Later", "x"), 0);
    seen.wait(1).await;
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn broadcasting_gives_everything_to_everybody_and_keeps_offsets_here() {
    // spec: client 99 108
    let cluster = Cluster::with_topic("T", 2).await;
    put(&cluster, "T", &["a", "b"]);
    let name = format!("rocketwire-broadcast-{}-{:p}", std::process::id(), &cluster);
    let dir = std::env::temp_dir().join(name);
    let clients = [cluster.client_named(Some("one")), cluster.client_named(Some("two"))];
    for client in &clients {
        let seen = Seen::default();
        let handler = seen.clone();
        let builder = client.push_consumer("CG").subscribe("T", "*").broadcasting();
        let builder = builder.consume_from(ConsumeFrom::First);
        let consume = move |message| {
            let handler = handler.clone();
            async move {
                handler.add(message);
                Err::<(), _>("failures are dropped")
            }
        };
        let consumer =
            builder.options(|options| options.offset_dir = Some(dir.clone())).start(consume).await.unwrap();
        seen.wait(2).await;
        assert_eq!(seen.bodies(), ["a", "b"]);
        consumer.shutdown(PATIENCE).await;
        let file = dir.join(client.client_id()).join("CG").join("offsets.json");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(r#"{"brokerName":"a","queueId":0,"topic":"T"}:1"#), "{text}");
    }
    assert!(cluster.seen(RequestCode::CONSUMER_SEND_MSG_BACK).is_empty());
    assert_eq!(cluster.committed("CG", "T", 0), None);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_stream_of_deliveries_is_acknowledged_one_by_one() {
    let cluster = Cluster::with_topic("T", 1).await;
    for body in ["ack", "nack", "dropped"] {
        cluster.put(&Message::new("T", body), 0);
    }
    let client = cluster.client();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let (consumer, mut stream) = builder.stream().await.unwrap();
    let mut again = Vec::new();
    for _ in 0..5 {
        let delivery = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap();
        match (&delivery.body[..], delivery.reconsume_times) {
            (b"nack", 0) => delivery.nack(),
            (b"dropped", 0) => drop(delivery),
            (_, times) => {
                again.push((String::from_utf8(delivery.body.to_vec()).unwrap(), times));
                delivery.ack();
            }
        }
    }
    again.sort();
    assert_eq!(again, [("ack".into(), 0), ("dropped".into(), 1), ("nack".into(), 1)]);
    consumer.shutdown(PATIENCE).await;
    assert_eq!(cluster.committed("CG", "T", 0), Some(3));
    let end = tokio::time::timeout(PATIENCE, stream.next()).await;
    assert!(matches!(end, Ok(None)), "the stream ends with the shutdown, whoever has the consumer");
}

#[tokio::test]
async fn a_consumer_that_is_dropped_stops_fetching() {
    let cluster = Cluster::with_topic("T", 1).await;
    let client = cluster.client();
    let consumer = client.push_consumer("CG").subscribe("T", "*").start(async |_| ()).await.unwrap();
    let taken = client.push_consumer("CG").subscribe("T", "*").start(async |_| ()).await.unwrap_err();
    assert!(matches!(taken.kind(), RequestErrorKind::GroupTaken(_)), "{taken}");
    drop(consumer);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        // Its tasks let go of the group once they noticed.
        if client.push_consumer("CG").subscribe("T", "*").start(async |_| ()).await.is_ok() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the group is still taken");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nonsense_is_refused_at_the_start() {
    let cluster = Cluster::with_topic("T", 1).await;
    let client = cluster.client();
    assert!(client.push_consumer("CG").start(async |_| ()).await.is_err(), "nothing is subscribed");
    assert!(client.push_consumer("DEFAULT_CONSUMER").subscribe("T", "*").start(async |_| ()).await.is_err());
    assert!(client.push_consumer("CG").subscribe("a.b", "*").start(async |_| ()).await.is_err());
    assert!(client.push_consumer("CG").subscribe("T", " || ").start(async |_| ()).await.is_err());
    assert!(client.push_consumer("CG").subscribe("T", "*").concurrency(0).start(async |_| ()).await.is_err());
}

#[tokio::test]
async fn queues_whose_offset_is_not_known_wait() {
    // spec: client 86 106
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "x"), 0);
    for _ in 0..2 {
        let refusal = Command::error(ResponseCode::SYSTEM_ERROR, "not now");
        cluster.next("a", RequestCode::QUERY_CONSUMER_OFFSET, Reaction::Answer(refusal));
    }
    let client = cluster.client();
    let seen = Seen::default();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consumer = builder.start(seen.collect()).await.unwrap();
    seen.wait(1).await;
    assert!(cluster.seen(RequestCode::QUERY_CONSUMER_OFFSET).len() >= 3);
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn an_offset_moves_over_messages_that_no_one_here_wants() {
    // spec: client 92
    let cluster = Cluster::with_topic("T", 1).await;
    let skipped =
        Command::response(ResponseCode::PULL_RETRY_IMMEDIATELY).with_header(&PullMessageResponseHeader {
            next_begin_offset: 7,
            max_offset: 7,
            ..PullMessageResponseHeader::default()
        });
    (0..7).for_each(|_| cluster.put(&Message::new("T", "other").with_tag("B"), 0));
    let client = cluster.client();
    let builder = client.push_consumer("CG").subscribe("T", "A").consume_from(ConsumeFrom::First);
    (0..2).for_each(|_| cluster.next("a", RequestCode::PULL_MESSAGE, Reaction::Answer(skipped.clone())));
    let consumer = builder.start(async |_| ()).await.unwrap();
    eventually("the commit", || cluster.committed("CG", "T", 0) == Some(7)).await;
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_broker_under_pressure_is_asked_again_soon() {
    // spec: client 93
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "x"), 0);
    let pressed = Command::error(ResponseCode::FLOW_CONTROL, "flow control");
    (0..5).for_each(|_| cluster.next("a", RequestCode::PULL_MESSAGE, Reaction::Answer(pressed.clone())));
    let client = cluster.client();
    let seen = Seen::default();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    // Any other error would pause for longer than the test waits.
    let builder = builder.options(|options| options.pull_error_delay = 2 * PATIENCE);
    let consumer = builder.start(seen.collect()).await.unwrap();
    seen.wait(1).await;
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn new_queues_raise_the_subscription_before_they_are_pulled() {
    // spec: client 81
    let cluster = Cluster::with_topic("T", 1).await;
    let client = cluster.client();
    let consumer = client.push_consumer("CG").subscribe("T", "*").start(async |_| ()).await.unwrap();
    let versions = |code: RequestCode| -> Vec<i64> {
        let seen = cluster.seen(code);
        if code == RequestCode::PULL_MESSAGE {
            let headers = seen.iter().map(|(_, c)| c.header::<PullMessageRequestHeader>().unwrap());
            return headers.filter(|header| &*header.topic == "T").map(|header| header.sub_version).collect();
        }
        let bodies = seen.iter().map(|(_, c)| body::decode::<HeartbeatData>(&c.body).unwrap());
        let subscriptions =
            bodies.flat_map(|data| data.consumer_data_set).flat_map(|c| c.subscription_data_set);
        subscriptions.filter(|data| &*data.topic == "T").map(|data| data.sub_version).collect()
    };
    eventually("a pull", || !versions(RequestCode::PULL_MESSAGE).is_empty()).await;
    let pulled = versions(RequestCode::PULL_MESSAGE)[0];
    let announced = versions(RequestCode::HEART_BEAT);
    assert!(announced.contains(&pulled), "{pulled} is known to the broker: {announced:?}");
    assert!(announced[0] < pulled, "the version was raised when the queue came");
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn an_expression_that_the_broker_refuses_fails_the_start() {
    let cluster = Cluster::with_topic("T", 1).await;
    let refusal = Command::error(ResponseCode::SYSTEM_ERROR, "The broker does not support SQL92");
    cluster.next("a", RequestCode::CHECK_CLIENT_CONFIG, Reaction::Answer(refusal));
    let client = cluster.client();
    let start = async || {
        let builder = client.push_consumer("CG").subscribe("T", FilterExpression::sql("a > 3"));
        builder.start(async |_| ()).await
    };
    let error = start().await.unwrap_err();
    assert!(error.to_string().contains("does not support SQL92"), "{error}");
    cluster.next("a", RequestCode::CHECK_CLIENT_CONFIG, Reaction::Answer(crate::support::ok()));
    let consumer = start().await.unwrap();
    let (_, asked) = cluster.seen(RequestCode::CHECK_CLIENT_CONFIG).remove(1);
    let asked: CheckClientRequestBody = body::decode(&asked.body).unwrap();
    assert_eq!(&*asked.subscription_data.unwrap().sub_string, "a > 3");
    consumer.shutdown(PATIENCE).await;
}

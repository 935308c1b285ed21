//! What tests of an application look like: a real broker each, in memory, on a free port. Copy it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)] // tests

use std::{convert::Infallible, sync::Arc, time::Duration};

use rocketwire::{Client, ConsumeFrom, Message, MessageExt};
use rocketwire_node::Node;
use tokio::sync::mpsc;

/// Longer than anything takes on a machine that works; no test waits for it if the application is right.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker of its own for each test: they run in parallel, and none sees another's topics.
struct TestBroker {
    node: Node,
    client: Client,
}

impl TestBroker {
    async fn start() -> TestBroker {
        let node = Node::builder().memory().start().await.expect("a broker in memory starts");
        let client = Client::builder().name_servers(&node.addr().to_string()).build().unwrap();
        TestBroker { node, client }
    }

    /// Not needed: dropping both does the same, a little later. It shows what an application leaves behind.
    async fn stop(self) {
        self.client.close(PATIENCE).await;
        self.node.shutdown(PATIENCE).await.expect("everything was answered");
    }
}

/// The application: doubles what it is sent.
async fn doubler(client: Client) -> rocketwire::PushConsumer {
    let producer = client.producer("doubler").build().unwrap();
    let consumer = client.push_consumer("doubler").subscribe("Numbers", "*").consume_from(ConsumeFrom::First);
    let double = move |message: Arc<MessageExt>| {
        let producer = producer.clone();
        async move {
            let number: u64 = std::str::from_utf8(&message.body).unwrap().parse().unwrap();
            producer.send(Message::new("Doubled", (number * 2).to_string())).await?;
            Ok::<(), rocketwire::SendError>(())
        }
    };
    consumer.start(double).await.unwrap()
}

#[tokio::test]
async fn numbers_are_doubled() {
    let broker = TestBroker::start().await;
    for topic in ["Numbers", "Doubled"] {
        broker.node.create_topic(topic, 2).await.unwrap();
    }
    let (results, mut doubled) = mpsc::unbounded_channel();
    let collect = move |message: Arc<MessageExt>| {
        let _ = results.send(String::from_utf8_lossy(&message.body).into_owned());
        async { Ok::<(), Infallible>(()) }
    };
    // From the first message on: a new group begins at the end of a topic, and that may have moved when it looks.
    let collector = broker
        .client
        .push_consumer("test")
        .subscribe("Doubled", "*")
        .consume_from(ConsumeFrom::First)
        .start(collect)
        .await
        .unwrap();
    let application = doubler(broker.client.clone()).await;

    let producer = broker.client.producer("test").build().unwrap();
    for number in [1, 2, 3] {
        producer.send(Message::new("Numbers", number.to_string())).await.unwrap();
    }
    let mut found = Vec::new();
    while found.len() < 3 {
        found.push(tokio::time::timeout(PATIENCE, doubled.recv()).await.expect("it is doubled").unwrap());
    }
    found.sort();
    assert_eq!(found, ["2", "4", "6"]);
    application.shutdown(PATIENCE).await;
    collector.shutdown(PATIENCE).await;
    broker.stop().await;
}

/// What the broker does not allow, the application has to live with.
#[tokio::test]
async fn a_topic_that_does_not_exist_is_an_error() {
    let node = Node::builder().memory().auto_create_topic(false).start().await.unwrap();
    let client = Client::builder().name_servers(&node.addr().to_string()).build().unwrap();
    let producer = client.producer("test").build().unwrap();
    let error = producer.send(Message::new("Nowhere", "x")).await.unwrap_err();
    assert!(error.to_string().contains("Nowhere"), "{error}");
}

/// The broker goes away and comes back: with a folder its messages do, too.
#[tokio::test]
async fn the_application_survives_a_restart_of_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let first = Node::builder().data_dir(folder.path()).start().await.unwrap();
    let port = first.addr().port();
    let client = Client::builder().name_servers(&first.addr().to_string()).build().unwrap();
    let producer = client.producer("test").timeout(PATIENCE).build().unwrap();
    let before = producer.send(Message::new("Orders", "before")).await.unwrap();
    first.shutdown(PATIENCE).await.unwrap();
    let second = Node::builder().data_dir(folder.path()).port(port).start().await.unwrap();
    let queue = before.message_queue;
    let after = producer.send_to(&queue, Message::new("Orders", "after")).await.unwrap();
    assert_eq!(after.queue_offset, before.queue_offset + 1);
    client.close(PATIENCE).await;
    second.shutdown(PATIENCE).await.unwrap();
}

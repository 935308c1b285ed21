use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rocketwire::{Client, ConsumeFrom, Message, MessageQueue, PullOptions, RequestErrorKind};
use rocketwire_protocol::{
    RequestCode,
    body::{self, HeartbeatData},
};

use crate::support::{Cluster, PATIENCE, Reaction, eventually};

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn live(cluster: &Cluster) -> Client {
    let client = cluster.client();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    producer.send(Message::new("T", "x")).await.unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let handler = move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(())
    };
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    // The scripted broker holds a pull to its end, even when nobody is left to hear the answer.
    let builder = builder.options(|options| options.long_poll = Duration::from_millis(200));
    let consumer = builder.start(handler).await.unwrap();
    eventually("a message", || seen.load(Ordering::SeqCst) > 0).await;
    // The client ends its consumers, whoever holds their handles.
    client.close(PATIENCE).await;
    drop(consumer);
    client
}

#[tokio::test]
async fn nothing_is_left_of_clients_that_are_closed() {
    let cluster = Cluster::with_topic("T", 1).await;
    live(&cluster).await;
    eventually("the first one's connections end", || cluster.connections() == 0).await;
    let before = tasks();
    for _ in 0..20 {
        let client = live(&cluster).await;
        client.close(PATIENCE).await; // again: nothing happens
    }
    eventually("all connections end", || cluster.connections() == 0).await;
    eventually("no task is left", || tasks() <= before).await;
    assert_eq!(cluster.committed("CG", "T", 0), Some(21));
}

#[tokio::test]
async fn the_tasks_of_a_client_end_with_its_last_handle() {
    let cluster = Cluster::with_topic("T", 1).await;
    let before = tasks();
    let client = cluster.client();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    drop(client);
    producer.send(Message::new("T", "a producer is a handle, too")).await.unwrap();
    drop(producer);
    eventually("no task is left", || tasks() <= before).await;
}

#[test]
fn a_client_outside_of_a_runtime_is_an_error() {
    let error = Client::builder().name_servers("127.0.0.1:9876").build().unwrap_err();
    assert!(matches!(error.kind(), RequestErrorKind::NoRuntime), "{error}");
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

#[test]
fn a_client_works_on_a_runtime_of_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::with_topic("T", 1).await;
        let client = live(&cluster).await;
        assert!(client.client_id().starts_with("127.0.0.1@"));
        client.close(Duration::ZERO).await;
    });
}

fn heartbeats(cluster: &Cluster) -> Vec<HeartbeatData> {
    let seen = cluster.seen(RequestCode::HEART_BEAT);
    seen.iter().map(|(_, command)| body::decode(&command.body).unwrap()).collect()
}

fn announces(data: &HeartbeatData, producer: &str) -> bool {
    data.producer_data_set.iter().any(|data| *data.group_name == *producer)
}

#[tokio::test]
async fn a_consumer_that_has_left_is_not_announced_again() {
    // spec: client 130
    let cluster = Cluster::start(2).await;
    cluster.topic("T", 1);
    let client = cluster.client();
    let consumer = client.push_consumer("CG").subscribe("T", "*").start(async |_| ()).await.unwrap();
    // The last broker that is told does not answer, so that it takes a while.
    let last = cluster.state.brokers.lock().unwrap().iter().max_by_key(|(_, addr)| *addr).unwrap().0.clone();
    cluster.next(&last, RequestCode::UNREGISTER_CLIENT, Reaction::Silence);
    let leaving = tokio::spawn(async move { consumer.shutdown(PATIENCE).await });
    let is_member = || !cluster.state.members.lock().unwrap()["CG"].is_empty();
    eventually("it has left the other one", || !is_member()).await;
    let _producer = client.producer("Other").build().unwrap();
    let all_know = || heartbeats(&cluster).iter().filter(|data| announces(data, "Other")).count() >= 2;
    eventually("a heartbeat", all_know).await;
    assert!(!is_member());
    leaving.await.unwrap();
    assert!(!is_member());
}

#[tokio::test]
async fn a_producer_that_is_shut_down_is_not_announced_again() {
    let cluster = Cluster::with_topic("T", 1).await;
    let client = cluster.client();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    producer.send(Message::new("T", "x")).await.unwrap();
    eventually("a heartbeat", || heartbeats(&cluster).iter().any(|data| announces(data, "PG"))).await;
    producer.shutdown(PATIENCE).await;
    let _other = client.producer("Other").build().unwrap();
    eventually("another", || heartbeats(&cluster).iter().any(|data| announces(data, "Other"))).await;
    let both = |data: &HeartbeatData| announces(data, "PG") && announces(data, "Other");
    assert!(!heartbeats(&cluster).iter().any(both));
    let again = client.producer("PG").timeout(PATIENCE).build().expect("the group is free");
    drop(producer);
    assert!(
        client.producer("PG").timeout(PATIENCE).build().is_err(),
        "the old handle does not take the new one's place"
    );
    drop(again);
}

#[tokio::test]
async fn durations_without_end_are_no_deadlines() {
    let never = Duration::MAX;
    let cluster = Cluster::with_topic("T", 1).await;
    let builder = Client::builder().name_servers(&cluster.address());
    let client = builder.options(|options| options.api_timeout = never).build().unwrap();
    let producer = client.producer("PG").timeout(never).build().unwrap();
    producer.warm_up(&["T"]).await.unwrap();
    producer.send(Message::new("T", "x")).await.unwrap();
    producer.send_by(Message::new("T", "x"), |queues, _| queues.first()).await.unwrap();
    producer.send_oneway(Message::new("T", "x")).await.unwrap();
    let mut pulls = client.pull_consumer("G").unwrap();
    pulls.assign(client.queues("T").await.unwrap());
    assert!(!pulls.poll(never).await.unwrap().is_empty());
    let mut options = PullOptions::default();
    (options.wait, options.timeout) = (never, never);
    client.pull(&MessageQueue::new("T", "a", 0), 0, &options).await.unwrap();
    let consumer = client.push_consumer("CG").subscribe("T", "*").start(async |_| ()).await.unwrap();
    consumer.shutdown(never).await;
    producer.shutdown(never).await;
    client.close(never).await;
}

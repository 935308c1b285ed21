use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rocketwire::{Client, ConsumeFrom, Message, RequestErrorKind};

use crate::support::{Cluster, PATIENCE, eventually};

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn live(cluster: &Cluster) -> Client {
    let client = cluster.client();
    let producer = client.producer("PG").build().unwrap();
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
    let producer = client.producer("PG").build().unwrap();
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

//! Nodes that are dropped leave nothing behind. A binary of its own, since it counts the threads of the process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)] // tests

use std::time::Duration;

use rocketwire::{Client, Message};
use rocketwire_node::Node;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);

/// Threads of stores and of connections in this process.
#[cfg(target_os = "linux")]
fn threads_of_nodes() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("rw-")).count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn dropped_nodes_end_their_threads_and_leave_their_ports() {
    let mut addresses = Vec::new();
    for _ in 0..20 {
        let node = Node::builder().memory().threads(1).metrics("127.0.0.1:0").start().await.unwrap();
        let client = Client::builder().name_servers(&node.addr().to_string()).build().unwrap();
        let producer = client.producer("test").timeout(PATIENCE).build().unwrap();
        producer.send(Message::new("Orders", "x")).await.unwrap();
        assert!(threads_of_nodes() > 0, "nothing is counted");
        addresses.extend([Some(node.addr()), node.metrics_addr()].into_iter().flatten());
        drop(node);
    }
    assert_eq!(addresses.len(), 40);
    let gone = async {
        for address in addresses {
            while TcpStream::connect(address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        while threads_of_nodes() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("ports and threads are given back");
}

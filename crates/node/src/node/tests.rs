use std::{sync::mpsc, time::Duration};

use rocketwire_testkit::WatchedDisk;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

/// Longer than anything takes on a machine that works.
const PATIENCE: Duration = Duration::from_secs(30);

/// The whole answer to a GET.
async fn get(addr: &str, path: &str) -> String {
    let exchange = async {
        let mut stream = loop {
            match TcpStream::connect(addr).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("an answer")
}

/// A long recovery is no reason to restart it, which would begin the recovery anew.
#[tokio::test]
async fn a_node_that_is_starting_is_well_but_not_ready() {
    // The disk is slow until this is dropped.
    let (slow, fast) = mpsc::channel::<()>();
    let fast = Mutex::new(fast);
    let disk = WatchedDisk::new(MemoryStorage::new(), move |_| {
        let _ = fast.lock().unwrap().recv();
        Ok(())
    });
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let options = NodeOptions { metrics: Some(free.clone()), ..NodeOptions::default() };
    let starting = tokio::spawn(Node::start_on(options, Arc::new(disk)));
    assert!(get(&free, "/healthz").await.starts_with("HTTP/1.1 200 "));
    let unready = get(&free, "/readyz").await;
    assert!(unready.starts_with("HTTP/1.1 503 ") && unready.contains("is starting"), "{unready}");
    let metrics = get(&free, "/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200 ") && metrics.contains("rocketwire_build_info"), "{metrics}");
    assert!(!starting.is_finished(), "it was not slow");
    drop(slow);
    let node = starting.await.unwrap().unwrap();
    assert!(get(&free, "/readyz").await.starts_with("HTTP/1.1 200 "));
    node.shutdown(PATIENCE).await.unwrap();
}

//! How long a broker for a test takes to start: `cargo run --release -p rocketwire-node --example start`.
#![allow(clippy::print_stdout, clippy::indexing_slicing)] // what it is for

use std::time::{Duration, Instant};

use rocketwire::{Client, Message};
use rocketwire_node::{Node, NodeError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut starts = Vec::new();
    for _ in 0..100 {
        starts.push(start().await?);
    }
    starts.sort();
    let begun = Instant::now();
    let node = Node::builder().memory().start().await?;
    let client = Client::builder().name_servers(&node.addr().to_string()).build()?;
    client.producer("test").build()?.send(Message::new("Orders", "x")).await?;
    let first = begun.elapsed();
    println!("start: median {:?}, longest of 100 {:?}", starts[49], starts[99]);
    println!("start to the first message that is stored, client and topic included: {first:?}");
    Ok(())
}

async fn start() -> Result<Duration, NodeError> {
    let begun = Instant::now();
    let node = Node::builder().memory().start().await?;
    let took = begun.elapsed();
    node.shutdown(Duration::from_secs(1)).await?;
    Ok(took)
}

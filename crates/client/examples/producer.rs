//! Sends messages in every way that there is.
//!
//! `cargo run --example producer -- 127.0.0.1:9876`, with a name server and a broker running.
#![allow(clippy::print_stdout)] // an example talks

use std::{error::Error, time::Duration};

use rocketwire::{Client, Message, SendErrorKind, queue_by_hash};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let name_servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    let client = Client::builder().name_servers(&name_servers).build()?;
    let producer = client.producer("example-producer").timeout(Duration::from_secs(5)).build()?;

    // One message; the answer says where it is.
    let sent =
        producer.send(Message::new("ExampleTopic", "hello").with_tag("greeting").with_key("k-1")).await?;
    println!("{} is at offset {} of {}", sent.msg_id, sent.queue_offset, sent.message_queue);

    // Many at the same time, over one connection.
    let mut running = tokio::task::JoinSet::new();
    for i in 0..100 {
        let producer = producer.clone();
        running
            .spawn(async move { producer.send(Message::new("ExampleTopic", format!("message {i}"))).await });
    }
    let stored = running.join_all().await.into_iter().filter(Result::is_ok).count();
    println!("{stored} of 100 are stored");

    // In order: messages with one key go to one queue.
    for step in ["created", "paid", "shipped"] {
        let message = Message::new("ExampleTopic", step).with_key("order-1");
        producer.send_by(message, |queues, _| queue_by_hash("order-1", queues)).await?;
    }

    // As one request: all or none.
    let batch: Vec<Message> =
        (0..10).map(|i| Message::new("ExampleTopic", format!("of a batch {i}"))).collect();
    producer.send_batch(&batch).await?;

    // Later: level 3 is ten seconds.
    producer.send(Message::new("ExampleTopic", "ten seconds old").with_delay_level(3)).await?;

    // An error says what was tried and what to do.
    match producer.send(Message::new("ExampleTopic", "")).await {
        Err(error) if error.kind() == SendErrorKind::Invalid => println!("as expected: {error}"),
        other => println!("not expected: {other:?}"),
    }
    client.close(Duration::from_secs(5)).await;
    Ok(())
}

//! Consumes messages of the producer example until nothing has come for ten seconds.
//!
//! `cargo run --example push_consumer -- 127.0.0.1:9876`, with a name server and a broker running.
#![allow(clippy::print_stdout)] // an example talks

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rocketwire::{Client, ConsumeFrom, MessageExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let name_servers = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    let client = Client::builder().name_servers(&name_servers).build()?;

    // What a handler needs is cloned for each message.
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let handler = move |message: Arc<MessageExt>| {
        let seen = seen.clone();
        async move {
            let text = std::str::from_utf8(&message.body)?;
            println!("{} {text:?} (delivery {})", message.msg_id(), message.reconsume_times + 1);
            seen.fetch_add(1, Ordering::Relaxed);
            // An error, or a panic, has the message delivered again.
            Ok::<(), std::str::Utf8Error>(())
        }
    };
    let consumer = client
        .push_consumer("example-consumer")
        .subscribe("ExampleTopic", "*")
        .consume_from(ConsumeFrom::First)
        .start(handler)
        .await?;

    let mut before = usize::MAX;
    while count.load(Ordering::Relaxed) != before {
        before = count.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    // Stop fetching, finish what is here, commit, leave the group.
    let report = consumer.shutdown(Duration::from_secs(10)).await;
    println!("{before} messages; left undone: {report:?}");
    client.close(Duration::from_secs(5)).await;
    Ok(())
}

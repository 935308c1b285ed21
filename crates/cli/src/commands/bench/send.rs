//! `rocketwire bench send`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rocketwire::{Client, Message, Producer};

use super::load::{self, Plan, Tally, Window};
use crate::{
    args::{self, HeaderEncoding},
    failure::Failure,
    output::Format,
};

/// Send messages in a closed loop
///
/// INFLIGHT tasks send a message, wait until it is stored and send the next. A warm-up of a quarter of the duration
/// (one second at most) is not counted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire bench send -t Load --inflight 64 --body 1k --duration 10s
  rocketwire bench send -t Load --inflight 1 -o json | jq .p99_us")]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: args::Cluster,

    /// The topic
    #[arg(short, long, value_parser = args::topic)]
    topic: String,

    /// Messages in flight, in all threads together
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    inflight: u32,

    /// How long to measure
    #[arg(short, long, default_value = "10s", value_parser = args::duration)]
    duration: Duration,

    /// Bytes of each body, as 128 or 4k; bodies are not compressed
    #[arg(short, long, default_value = "128", value_parser = args::size, value_name = "BYTES")]
    body: usize,

    /// How headers are written
    #[arg(long, value_enum, default_value_t = HeaderEncoding::Json)]
    encoding: HeaderEncoding,

    /// Threads, each with a client and its share of the messages in flight
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let threads = u32::from(args.threads).min(args.inflight);
    load::run(&Plan::new(threads as usize, args.duration, args.output), async |number| {
        let share = args.inflight / threads + u32::from((number as u32) < args.inflight % threads);
        let client = args.cluster.client(args.encoding)?;
        let producer = producer(&client, &args.topic).await?;
        Ok(async move |window, tally| {
            sends(args, &producer, share, window, tally).await?;
            client.close(Duration::from_secs(1)).await;
            Ok(())
        })
    })
}

/// A producer that compresses nothing, connected to the topic's brokers.
pub(super) async fn producer(client: &Client, topic: &str) -> Result<Producer, Failure> {
    let producer =
        client.producer("rocketwire-bench").options(|options| options.compress_over = None).build();
    let producer = producer.map_err(Failure::new)?;
    producer.warm_up(&[topic]).await.map_err(Failure::new)?;
    Ok(producer)
}

async fn sends(
    args: &Args,
    producer: &Producer,
    share: u32,
    window: Window,
    tally: Arc<Tally>,
) -> Result<(), Failure> {
    let message = Message::new(args.topic.as_str(), Bytes::from(vec![b'x'; args.body]));
    let mut tasks = Vec::new();
    for _ in 0..share {
        let (producer, message) = (producer.clone(), message.clone());
        let one = move || {
            let (producer, message) = (producer.clone(), message.clone());
            async move { producer.send(message).await.map(drop) }
        };
        tasks.push(tokio::spawn(load::closed_loop(window, tally.clone(), one)));
    }
    for task in tasks {
        task.await.map_err(|_| load::panicked())?;
    }
    Ok(())
}

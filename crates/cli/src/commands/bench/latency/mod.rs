//! `rocketwire bench latency`.

mod flights;
mod reads;
mod sends;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flights::{Flights, MARK, Schedule};
use rocketwire::{Message, MessageQueue, Producer};

use super::{
    load::{self, Plan, Tally, Window},
    send,
};
use crate::{
    args::{self, HeaderEncoding},
    failure::Failure,
    output::Format,
    runtime,
};

/// Measure how soon a sent message is consumed
///
/// A producer sends at a fixed rate; a consumer, which waits at every queue by the long poll, is a client of its own
/// in the same process, so that the times are exact. A time begins when the message was to be sent by the schedule,
/// whether or not it was late, and ends when the consumer has it. A warm-up of a quarter of the duration (one second
/// at most) is not counted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire bench latency -t Load                         200 messages a second for 10 s
  rocketwire bench latency -t Load --rate 5000 --body 1k --duration 30s
  rocketwire bench latency -t Load -o json | jq .p99_us

Fields of the JSON: p50_us, p99_us, p999_us, max_us, errors (failed sends and pulls), missing (stored, but not
consumed within ten seconds of the end), requests (messages consumed), rps, seconds, cpu_us.")]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: args::Cluster,

    /// The topic
    #[arg(short, long, value_parser = args::topic)]
    topic: String,

    /// The group on whose behalf it is read
    #[arg(short, long, default_value = "rocketwire-bench", value_parser = args::group)]
    group: String,

    /// Messages a second
    #[arg(short, long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,

    /// How long to measure
    #[arg(short, long, default_value = "10s", value_parser = args::duration)]
    duration: Duration,

    /// Bytes of each body, 16 at least, as 128 or 4k; bodies are not compressed
    #[arg(short, long, default_value = "128", value_parser = body_size, value_name = "BYTES")]
    body: usize,

    /// How headers are written
    #[arg(long, value_enum, default_value_t = HeaderEncoding::Json)]
    encoding: HeaderEncoding,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// How long a new topic may take until consumers see it.
const NEW_TOPIC: Duration = Duration::from_secs(30);

fn body_size(text: &str) -> Result<usize, String> {
    match args::size(text)? {
        size if size < MARK => Err(format!("{MARK} bytes are the least: they number the message")),
        size => Ok(size),
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let plan = Plan::new(2, args.duration, args.output);
    let flights = Arc::new(Flights::new(args.rate, &plan)?);
    runtime::current_thread()?.block_on(prime(args))?;
    let measured = load::measure(&plan, async |thread| {
        let client = args.cluster.client(args.encoding)?;
        let mut side = match thread {
            0 => Side::Sends(send::producer(&client, &args.topic).await?),
            _ => Side::Reads(reads::ends(args, &client).await?),
        };
        let flights = flights.clone();
        Ok(async move |window: Window, tally: Arc<Tally>| {
            let schedule = Schedule::new(&flights, window);
            match &mut side {
                Side::Sends(producer) => sends::run(args, producer, &flights, schedule, &tally).await?,
                Side::Reads(queues) => reads::run(args, &client, queues, &flights, schedule, &tally).await?,
            }
            client.close(Duration::from_secs(1)).await;
            Ok(())
        })
    })?;
    measured.with_missing(flights.missing()).print(args.output)
}

enum Side {
    Sends(Producer),
    Reads(Vec<(MessageQueue, i64)>),
}

/// Makes the topic by a first message, if the broker makes topics, and waits until consumers see it.
async fn prime(args: &Args) -> Result<(), Failure> {
    let client = args.cluster.client(args.encoding)?;
    let producer = client.producer("rocketwire-bench").build().map_err(Failure::new)?;
    producer.send(Message::new(args.topic.as_str(), Bytes::from_static(b"!"))).await.map_err(Failure::new)?;
    client.close(Duration::from_secs(1)).await;
    let give_up = Instant::now() + NEW_TOPIC;
    loop {
        // A client remembers routes.
        let client = args.cluster.client(args.encoding)?;
        let queues = client.queues(&args.topic).await;
        client.close(Duration::from_secs(1)).await;
        match queues {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > give_up => return Err(Failure::new(error)),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

//! `rocketwire bench consume`.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rocketwire::{Client, MessageQueue, PullOptions, RequestError};

use super::load::{self, Plan, Tally, Window};
use crate::{
    args::{self, From, HeaderEncoding},
    failure::Failure,
    output::Format,
};

/// Read a topic as fast as it goes
///
/// All queues are read at the same time, one request each. Nothing is committed, so that it can be done again. If
/// the topic ends before the time is over, the rate is that up to its last message. The times are those from the making of a message by its producer to its arrival here: of use with --from latest and
/// a producer that runs meanwhile, and in whole milliseconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire bench consume -t Load --duration 5s     how fast it can be read
  rocketwire bench consume -t Load --from latest     how soon messages arrive")]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: args::Cluster,

    /// The topic
    #[arg(short, long, value_parser = args::topic)]
    topic: String,

    /// The group on whose behalf it is read
    #[arg(short, long, default_value = "rocketwire-bench", value_parser = args::group)]
    group: String,

    /// Where to begin
    #[arg(long, value_enum, default_value_t = From::Earliest)]
    from: From,

    /// How long to measure
    #[arg(short, long, default_value = "10s", value_parser = args::duration)]
    duration: Duration,

    /// How headers are written
    #[arg(long, value_enum, default_value_t = HeaderEncoding::Json)]
    encoding: HeaderEncoding,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut plan = Plan::new(1, args.duration, args.output);
    // What is read while warming up would be missing in the count, and a topic has an end.
    plan.warm_up = Duration::ZERO;
    load::run(&plan, async |_| {
        let client = args.cluster.client(args.encoding)?;
        let mut queues = Vec::new();
        for queue in client.queues(&args.topic).await.map_err(Failure::new)? {
            let begin = match args.from {
                From::Earliest => client.min_offset(&queue).await,
                From::Latest => client.max_offset(&queue).await,
            };
            queues.push((queue, begin.map_err(Failure::new)?.max(0)));
        }
        Ok(async move |window: Window, tally: Arc<Tally>| {
            let mut tasks = Vec::new();
            for (queue, begin) in queues {
                tasks.push(tokio::spawn(read(
                    client.clone(),
                    args.group.clone(),
                    queue,
                    begin,
                    window,
                    tally.clone(),
                )));
            }
            for task in tasks {
                task.await.map_err(|_| Failure::new("a task of the load panicked: please report it"))?;
            }
            client.close(Duration::from_secs(1)).await;
            Ok(())
        })
    })
}

/// Reads a queue until the window ends.
async fn read(
    client: Client,
    group: String,
    queue: MessageQueue,
    begin: i64,
    window: Window,
    tally: Arc<Tally>,
) {
    let mut options = PullOptions::default();
    options.group = group;
    let mut offset = begin;
    while Instant::now() < window.end {
        options.wait = window.end.saturating_duration_since(Instant::now()).min(Duration::from_secs(5));
        if let Err(error) = once(&client, &queue, &mut offset, &options, window, &tally).await {
            tally.failed(error);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn once(
    client: &Client,
    queue: &MessageQueue,
    offset: &mut i64,
    options: &PullOptions,
    window: Window,
    tally: &Tally,
) -> Result<(), RequestError> {
    let pulled = client.pull(queue, *offset, options).await?;
    *offset = pulled.next_offset;
    let now = Instant::now();
    if now >= window.start && now <= window.end {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for message in &pulled.messages {
            let born = Duration::from_millis(message.born_timestamp.max(0).unsigned_abs());
            tally.latencies.record(since_1970.saturating_sub(born));
        }
        if !pulled.messages.is_empty() {
            tally.last_ns.fetch_max((now - window.start).as_nanos() as u64, Relaxed);
        }
    }
    Ok(())
}

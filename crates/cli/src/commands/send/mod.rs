//! `rocketwire send`.

mod lines;
mod pipeline;
mod report;

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use rocketwire::{Client, Message, MessageQueue, Producer};
use tokio::sync::watch;

use crate::{
    args::{self, HeaderEncoding},
    failure::Failure,
    output::Format,
    runtime, stop,
};

/// Send messages: one for each BODY, or one for each line of the standard input
///
/// Messages are spread over the queues of the topic in turn. Within a queue they are stored in the order of the
/// input by brokers that take the requests of a connection one after the other, as `rocketwire serve` does; those of
/// Apache work on several at a time, and need --ordered for that. A message that failed for a passing reason is sent
/// again (twice at most), but not behind a later one of its queue, unless the broker was too busy to look at it. A
/// message whose answer got lost may be stored twice.
///
/// A message that cannot be sent is named with its reason, and the exit code is 1; if the broker stays away, the
/// rest of the input is not sent. Ctrl-C ends the input: what is on its way is waited for and told, and the exit
/// code is 1; a second one ends it at once. An empty line would be an empty body, which RocketMQ refuses.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire send -t Orders --tag created --key 42 '{\"id\":42}'
  seq 1 10000 | rocketwire send -n 10.0.0.5:9876 -t Numbers -
  tail -f app.log | rocketwire send -t Logs - -o json

With -o json each message is one line when its answer comes, not always in the order of the input:
  {\"line\":1,\"status\":\"SEND_OK\",\"topic\":..,\"brokerName\":..,\"queueId\":..,
   \"queueOffset\":..,\"msgId\":..,\"offsetMsgId\":..}
  {\"line\":2,\"status\":\"FAILED\",\"error\":..}
A message is stored if status is SEND_OK, FLUSH_DISK_TIMEOUT, FLUSH_SLAVE_TIMEOUT
or SLAVE_NOT_AVAILABLE.")]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: args::Cluster,

    /// The topic
    #[arg(short, long, value_parser = args::topic)]
    topic: String,

    /// The tag, by which consumers can choose
    #[arg(long)]
    tag: Option<String>,

    /// The key, by which a message can be found again
    #[arg(short, long)]
    key: Option<String>,

    /// A property, as NAME=VALUE; may be given more than once
    #[arg(long = "prop", value_name = "NAME=VALUE", value_parser = property)]
    props: Vec<(String, String)>,

    /// Deliver later: 1 is 1 s, 2 5 s, 3 10 s, 4 30 s, 5 1 m, .. 18 2 h
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(1..=18))]
    delay_level: Option<u32>,

    /// Send each BODY so many times
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,

    /// Only to the queue with this number, so that all messages keep their order
    #[arg(short, long)]
    queue: Option<i32>,

    /// Messages that wait for their answers at a time
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    inflight: u16,

    /// Keep the order within each queue with every broker: one message in flight for each queue
    #[arg(long)]
    ordered: bool,

    /// How long one message may take
    #[arg(long, default_value = "3s", value_parser = args::duration)]
    timeout: Duration,

    /// The producer's group
    #[arg(long, default_value = "rocketwire-cli", value_parser = args::group)]
    group: String,

    /// How headers are written
    #[arg(long, value_enum, default_value_t = HeaderEncoding::Json)]
    encoding: HeaderEncoding,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// The bodies; `-` is the standard input, a message a line
    #[arg(required = true)]
    body: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    runtime::current_thread()?.block_on(async {
        let client = args.cluster.client(args.encoding)?;
        let sent = send(args, &client).await;
        client.close(Duration::from_secs(1)).await;
        sent
    })
}

async fn send(args: &Args, client: &Client) -> Result<(), Failure> {
    let mut signals = stop::Signals::new()?;
    let producer = client.producer(&args.group).timeout(args.timeout).build().map_err(Failure::new)?;
    let queues = tokio::select! {
        queues = queues(args, &producer) => queues?,
        () = signals.asked() => return Err(Failure::new("stopped: nothing was sent")),
    };
    let from_stdin = args.body.iter().any(|body| body == "-");
    let source = lines::Source::new(&args.body, args.count);
    let in_all = args.count.saturating_mul(args.body.len() as u64);
    let report = report::Report::new(args.output, from_stdin || in_all > 20);
    let (ask, asked) = watch::channel(false);
    let pipeline =
        pipeline::Pipeline::new(producer, queues, usize::from(args.inflight), args.ordered, report);
    let mut running = pin!(pipeline.run(source, asked, |body| message(args, body)));
    tokio::select! {
        ended = &mut running => return ended,
        // It listens as long as it runs.
        () = signals.asked() => drop(ask.send(true)),
    }
    tokio::select! {
        ended = running => ended,
        () = signals.asked() => {
            Err(Failure::new("stopped at once: what was on its way may be stored or not"))
        }
    }
}

/// What to send to. A topic that does not exist yet gets the queues that its first message will create.
async fn queues(args: &Args, producer: &Producer) -> Result<Vec<MessageQueue>, Failure> {
    let mut queues = producer.queues(&args.topic).await.map_err(Failure::new)?;
    if let Some(number) = args.queue {
        queues.retain(|queue| queue.queue_id == number);
        if queues.is_empty() {
            return Err(Failure::new(format_args!(
                "topic {} has no queue {number} that can be written to: choose another, or leave --queue out",
                args.topic
            )));
        }
    }
    Ok(queues)
}

fn message(args: &Args, body: Bytes) -> Result<Message, Failure> {
    let mut message = Message::new(args.topic.as_str(), body);
    if let Some(tag) = &args.tag {
        message = message.with_tag(tag);
    }
    if let Some(key) = &args.key {
        message = message.with_key(key);
    }
    if let Some(level) = args.delay_level {
        message = message.with_delay_level(level);
    }
    for (name, value) in &args.props {
        message = message.with_property(name, value).map_err(|error| Failure::Usage(error.to_string()))?;
    }
    Ok(message)
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is wanted".to_owned()),
    }
}

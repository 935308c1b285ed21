//! `rocketwire bench consume`.

mod pull;
mod push;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rocketwire_protocol::message::MessageExt;

use super::load::{self, Plan, Tally, Window};
use crate::{
    args::{self, From, HeaderEncoding},
    failure::Failure,
    output::Format,
};

/// Read a topic as fast as it goes
///
/// All queues are read at the same time, with one request each under way. Nothing is committed, so that it can be
/// done again; with --push it is the consumer that applications use, which shares queues with the group and commits.
/// The rate is that from the first message to the last, CPU is of the whole run. The times are those from the making
/// of a message by its producer to its arrival here: of use with --from latest and a producer that runs meanwhile,
/// and in whole milliseconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire bench consume -t Load --end             how fast it can be read
  rocketwire bench consume -t Load --end --push -g g1  how fast applications can, with the options they have by default
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

    /// Where to begin; with --push, in queues in which the group has committed nothing
    #[arg(long, value_enum, default_value_t = From::Earliest)]
    from: From,

    /// How long to measure
    #[arg(short, long, default_value = "10s", value_parser = args::duration)]
    duration: Duration,

    /// End at the end: when every queue has been read as far as it reached at the beginning
    #[arg(short, long)]
    end: bool,

    /// Consume as applications do: by a push consumer with 20 handlers, heartbeats, flow control and commits
    #[arg(long)]
    push: bool,

    #[command(flatten)]
    batch: args::PullBatch,

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
        let consumer = match args.push {
            true => Consumer::Push(push::Plan::new(args, &client).await?),
            false => Consumer::Pull(pull::queues(args, &client).await?),
        };
        Ok(async move |window: Window, tally: Arc<Tally>| {
            match consumer {
                Consumer::Push(plan) => plan.run(args, &client, window, tally).await?,
                Consumer::Pull(queues) => pull::run(args, &client, queues, window, &tally).await?,
            }
            client.close(Duration::from_secs(1)).await;
            Ok(())
        })
    })
}

enum Consumer {
    Push(push::Plan),
    Pull(Vec<pull::Queue>),
}

/// Counts messages that arrive now.
fn arrived<'a>(tally: &Tally, window: Window, messages: impl Iterator<Item = &'a MessageExt>) {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if tally.arrived(window) {
        for message in messages {
            let born = Duration::from_millis(message.born_timestamp.max(0).unsigned_abs());
            tally.latencies.record(since_1970.saturating_sub(born));
        }
    }
}

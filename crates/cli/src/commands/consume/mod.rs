//! `rocketwire consume`.

mod print;
pub(crate) mod pull;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rocketwire::{Client, FilterExpression, MessageQueue};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::Instant,
};

use crate::{
    args::{self, From, HeaderEncoding},
    failure::Failure,
    output::{self, Format},
    runtime, stop,
};

/// Print the messages of a topic, and commit what was printed
///
/// Goes on where the group stands, and begins as --from says where the group has committed nothing. All queues are
/// read at the same time, and messages of one queue are printed in their order. This consumer takes all queues for
/// itself: it does not share them with other members of the group.
///
/// Ends after COUNT messages, at the end of the topic with -e, or by Ctrl-C; what was printed is committed then,
/// and once a second meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire consume -t Orders -g printer             print for ever what comes
  rocketwire consume -t Orders -g export -e > all     print what is there, and end
  rocketwire consume -t Orders -g debug --from latest -c 10 -o json

Fields of the JSON: topic, brokerName, queueId, queueOffset, msgId, offsetMsgId,
tags, keys, bornTimestamp, storeTimestamp, reconsumeTimes, properties, and body
(bodyHex where the body is no UTF-8).")]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: args::Cluster,

    /// The topic
    #[arg(short, long, value_parser = args::topic)]
    topic: String,

    /// The consumer group whose offsets are used
    #[arg(short, long, value_parser = args::group)]
    group: String,

    /// Only messages with one of these tags, as 'A || B'
    #[arg(long, value_name = "TAGS")]
    tag: Option<String>,

    /// Where to begin in queues in which the group has committed nothing
    #[arg(long, value_enum, default_value_t = From::Earliest)]
    from: From,

    /// End after so many messages
    #[arg(short, long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// End at the end: when every queue has been read as far as it reached at the beginning
    #[arg(short, long)]
    end: bool,

    #[command(flatten)]
    batch: args::PullBatch,

    /// How long one request may take, beside the waiting for messages
    #[arg(long, default_value = "5s", value_parser = args::duration)]
    timeout: Duration,

    /// How headers are written
    #[arg(long, value_enum, default_value_t = HeaderEncoding::Json)]
    encoding: HeaderEncoding,

    /// How to print: the bodies, or JSON
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Batches that wait to be printed; each queue may wait with one more in its hands.
const WAITING: usize = 16;
/// How often offsets are committed.
const COMMIT: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    runtime::current_thread()?.block_on(async {
        let client = args.cluster.client(args.encoding)?;
        let consumed = consume(args, &client).await;
        client.close(Duration::from_secs(1)).await;
        consumed
    })
}

async fn consume(args: &Args, client: &Client) -> Result<(), Failure> {
    let mut stop = stop::Signals::new()?;
    let (batches, mut incoming) = mpsc::channel(WAITING);
    let mut pulls = tokio::select! {
        pulls = begin(args, client, batches) => pulls?,
        () = stop.asked() => return Ok(()),
    };
    let mut printer = print::Printer::new(args.output, args.count);
    let mut commits = Commits::default();
    let mut next_commit = Instant::now() + COMMIT;
    let printed = loop {
        tokio::select! {
            biased;
            () = stop.asked() => break Ok(()),
            () = tokio::time::sleep_until(next_commit) => {
                commits.send(client, &args.group).await;
                next_commit = Instant::now() + COMMIT;
            }
            batch = incoming.recv() => {
                let Some(batch) = batch else { break Ok(()) };
                match printer.batch(&batch) {
                    Ok(offset) => commits.note(&batch.queue, offset),
                    Err(error) => break Err(error),
                }
                if printer.is_done() {
                    break Ok(());
                }
            }
            // To go on would be to wait for messages of a queue that nobody reads any more. With an end in sight the
            // other queues are read up to it first.
            Some(ended) = pulls.join_next(), if !args.end => {
                if let Err(error) = outcome(ended) {
                    break Err(error);
                }
            }
        }
    };
    let pulled = match (&printed, printer.is_done()) {
        (Ok(()), false) => failure_of(&mut pulls),
        _ => Ok(()),
    };
    pulls.abort_all();
    // A second Ctrl-C does not wait for a broker that is gone.
    let committed = tokio::select! {
        committed = commits.finish(client, &args.group) => committed,
        () = stop.asked() => Err(Failure::new("stopped before the offsets were committed: what was printed will come again")),
    };
    printed.and(pulled).and(committed)
}

/// Finds the queues and where to begin in each, and reads them all.
async fn begin(
    args: &Args,
    client: &Client,
    batches: mpsc::Sender<pull::Batch>,
) -> Result<JoinSet<Result<(), Failure>>, Failure> {
    let queues = client.queues(&args.topic).await.map_err(Failure::new)?;
    let mut pulls = JoinSet::new();
    for queue in queues {
        let start = pull::start(client, &args.group, &queue, args.from == From::Latest, args.end).await?;
        let mut options = pull::options(&args.group, filter(args), args.end, args.timeout);
        options.max_messages = args.batch.pull_batch;
        pulls.spawn(pull::run(client.clone(), queue, start, options, batches.clone()));
    }
    Ok(pulls)
}

fn filter(args: &Args) -> FilterExpression {
    match &args.tag {
        Some(tags) => FilterExpression::tag(tags.as_str()),
        None => FilterExpression::All,
    }
}

/// The first failure of the pulls that have ended.
fn failure_of(pulls: &mut JoinSet<Result<(), Failure>>) -> Result<(), Failure> {
    while let Some(ended) = pulls.try_join_next() {
        outcome(ended)?;
    }
    Ok(())
}

fn outcome(ended: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    ended.map_err(|_| Failure::new("a pull panicked: please report it"))?
}

/// What was printed and is not committed yet.
#[derive(Default)]
struct Commits(BTreeMap<MessageQueue, i64>);

impl Commits {
    fn note(&mut self, queue: &MessageQueue, offset: i64) {
        self.0.insert(queue.clone(), offset);
    }

    /// Commits; what fails is tried again later.
    async fn send(&mut self, client: &Client, group: &str) {
        if let Err(error) = self.finish(client, group).await {
            tracing::warn!("{error}; it will be tried again");
        }
    }

    /// Commits all that can be, and gives the first failure: a broker that is gone does not keep the others' queues
    /// from being committed.
    async fn finish(&mut self, client: &Client, group: &str) -> Result<(), Failure> {
        let mut finished = Ok(());
        let mut gone = BTreeSet::new();
        for (queue, offset) in self.0.clone() {
            if gone.contains(&queue.broker_name) {
                continue;
            }
            match client.commit(group, &queue, offset).await {
                Ok(()) => drop(self.0.remove(&queue)),
                Err(error) => {
                    let failed = format_args!(
                        "offset {offset} of queue {} of {} was not committed: {error}",
                        queue.queue_id, queue.broker_name
                    );
                    finished = finished.and(Err(Failure::new(failed)));
                    gone.insert(queue.broker_name);
                }
            }
        }
        finished
    }
}

/// A line for people who wonder why nothing comes.
fn note_trouble(queue: &MessageQueue, error: &dyn std::fmt::Display) {
    output::note(&format!(
        "rocketwire: queue {} of {} cannot be read at the moment, and is tried again: {error}",
        queue.queue_id, queue.broker_name
    ));
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rocketwire_node::Node;
    use rocketwire_protocol::{
        Command, RequestCode, ResponseCode,
        body::{self, BrokerData, QueueData, TopicRouteData},
    };
    use rocketwire_remoting::{Answer, Lane, Request, Router, Server, ServerOptions, processor_fn};

    use super::*;

    #[test]
    fn a_broker_that_is_gone_keeps_nobody_else_from_being_committed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = Node::builder().memory().start().await.unwrap();
            node.create_topic("T", 1).await.unwrap();
            let client = Client::builder().name_servers(&node.addr().to_string()).build().unwrap();
            let here = client.queues("T").await.unwrap().remove(0);
            // The first pull makes the group known.
            let options = pull::options("g", FilterExpression::All, true, Duration::from_secs(30));
            client.pull(&here, 0, &options).await.unwrap();
            let gone = MessageQueue::new("T", "a-broker-that-is-gone", 0);
            let mut commits = Commits::default();
            commits.note(&gone, 7);
            commits.note(&here, 3);
            let error = commits.finish(&client, "g").await.unwrap_err();
            assert!(error.to_string().contains("offset 7 of queue 0 of a-broker-that-is-gone"), "{error}");
            assert_eq!(client.committed("g", &here).await.unwrap(), Some(3));
            assert_eq!(commits.0, BTreeMap::from([(gone, 7)]), "only this one is tried again");
            client.close(Duration::from_secs(1)).await;
            node.shutdown(Duration::from_secs(1)).await.unwrap();
        });
    }

    /// A broker with two queues: the first cannot be read, the second has nothing.
    fn half_a_broker(request: &Request) -> Answer {
        let ok = || Command::response(ResponseCode::SUCCESS);
        match request.command.request_code() {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => {
                let address = request.connection().local_addr().to_string();
                let route = TopicRouteData {
                    queue_datas: vec![QueueData {
                        broker_name: "b".into(),
                        read_queue_nums: 2,
                        write_queue_nums: 2,
                        perm: 6,
                        ..QueueData::default()
                    }],
                    broker_datas: vec![BrokerData {
                        broker_name: "b".into(),
                        broker_addrs: [(0, address.into())].into(),
                        ..BrokerData::default()
                    }],
                    ..TopicRouteData::default()
                };
                ok().with_body(body::encode(&route)).into()
            }
            RequestCode::PULL_MESSAGE if request.command.fields.get("queueId").as_deref() == Some("0") => {
                Command::error(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, "no group").into()
            }
            RequestCode::PULL_MESSAGE => Answer::Taken,
            RequestCode::GET_MIN_OFFSET => ok().with_field("offset", "0").into(),
            _ => Command::error(ResponseCode::QUERY_NOT_FOUND, "nothing").into(),
        }
    }

    #[test]
    fn a_queue_that_cannot_be_read_ends_the_waiting_for_the_others() {
        runtime::current_thread().unwrap().block_on(async {
            let serve = processor_fn(|request| half_a_broker(&request));
            let router = Router::new().fallback(serve, Lane::inline());
            let server = Server::bind("127.0.0.1:0", router, ServerOptions::default()).await.unwrap();
            let address = server.local_addr().to_string();
            let line = ["rocketwire", "consume", "-n", &address, "-t", "T", "-g", "g", "--timeout", "1h"];
            let crate::commands::Command::Consume(args) = args::Cli::parse_from(line).command else {
                panic!("it is consume")
            };
            let client = args.cluster.client(args.encoding).unwrap();
            let consumed = tokio::time::timeout(Duration::from_secs(30), consume(&args, &client)).await;
            let error = consumed.expect("it does not wait for ever").unwrap_err();
            assert!(error.to_string().contains("no group"), "{error}");
            client.close(Duration::from_secs(1)).await;
        });
    }
}

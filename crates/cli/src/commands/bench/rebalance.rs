//! `rocketwire bench rebalance`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rocketwire::{AllocateStrategy, Averagely, Client, MessageQueue, PushConsumer};
use rocketwire_protocol::{Command, RequestCode};
use rocketwire_remoting::{HookError, RpcHook};
use serde::Serialize;
use tokio::{sync::Semaphore, task::JoinSet};

use super::load;
use crate::{
    args::{self, HeaderEncoding},
    failure::Failure,
    output::{Format, Output},
    runtime,
};

/// Measure how a large group shares out its queues
///
/// MEMBERS push consumers, each a client with connections of its own, join a group at the same time; when they have
/// settled one more joins, and leaves again. Settled means that every queue is consumed by the one member that is to
/// have it, and by no other. Requests are counted for a while longer, so that a storm would be seen: each change makes
/// the broker notify all members, and each of them asks who the others are.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire bench rebalance -t Load                      100 members
  rocketwire bench rebalance -t Wide --members 1000 -o json

Fields of the JSON: members, queues, and for each of all_join, one_joins and one_leaves: seconds (until the group has
settled), requests, requests_each, requests_most (of one member), member_lists and notices (of all members).")]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: args::Cluster,

    /// The topic; members beyond the number of its queues have nothing to consume
    #[arg(short, long, value_parser = args::topic)]
    topic: String,

    /// The group, which nobody else is in
    #[arg(short, long, default_value = "rocketwire-bench-rebalance", value_parser = args::group)]
    group: String,

    /// Members of the group, before one more joins
    #[arg(short, long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    members: u32,

    /// How long the group may take to settle
    #[arg(long, default_value = "60s", value_parser = args::duration)]
    timeout: Duration,

    /// How long requests are counted after the group has settled
    #[arg(long, default_value = "3s", value_parser = args::duration)]
    watch: Duration,

    /// How headers are written
    #[arg(long, value_enum, default_value_t = HeaderEncoding::Json)]
    encoding: HeaderEncoding,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Members that start at the same time.
const STARTING: usize = 64;
/// How often the members are looked at.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let report = runtime::current_thread()?.block_on(measure(args))?;
    report.print(args.output)
}

async fn measure(args: &Args) -> Result<Report, Failure> {
    let client = args.cluster.client(args.encoding)?;
    let mut queues = client.queues(&args.topic).await.map_err(Failure::new)?;
    queues.sort();
    client.close(Duration::from_secs(1)).await;
    let mut group = Group { queues, members: Vec::new(), timeout: args.timeout, watch: args.watch };

    let begun = Instant::now();
    group.members = join(args, args.members).await?;
    let all_join = group.settle(begun).await?;

    let begun = Instant::now();
    group.members.extend(join(args, 1).await?);
    let one_joins = group.settle(begun).await?;

    let begun = Instant::now();
    if let Some(last) = group.members.pop() {
        last.leave().await;
    }
    let one_leaves = group.settle(begun).await?;

    let report =
        Report { members: group.members.len(), queues: group.queues.len(), all_join, one_joins, one_leaves };
    let mut leaving: JoinSet<()> = group.members.into_iter().map(Member::leave).collect();
    while leaving.join_next().await.is_some() {}
    Ok(report)
}

async fn join(args: &Args, count: u32) -> Result<Vec<Member>, Failure> {
    let starting = Arc::new(Semaphore::new(STARTING));
    let mut joining = JoinSet::new();
    for _ in 0..count {
        let (starting, sent) = (starting.clone(), Arc::new(Sent::default()));
        let client = args.cluster.builder(args.encoding).hook(sent.clone()).build().map_err(Failure::new)?;
        let consumer = client.push_consumer(args.group.as_str()).subscribe(args.topic.as_str(), "*");
        joining.spawn(async move {
            let _permit = starting.acquire().await;
            let consumer = consumer.start(async |_| ()).await.map_err(Failure::new)?;
            Ok(Member { client, consumer, sent })
        });
    }
    let mut members = Vec::new();
    while let Some(joined) = joining.join_next().await {
        members.push(joined.map_err(|_| load::panicked())??);
    }
    Ok(members)
}

struct Member {
    client: Client,
    consumer: PushConsumer,
    sent: Arc<Sent>,
}

impl Member {
    /// The queues that it consumes; the group's retry topic is not looked at.
    fn queues(&self, topic: &str) -> Vec<MessageQueue> {
        let mut queues = self.consumer.queues();
        queues.retain(|queue| queue.topic == topic);
        queues
    }

    async fn leave(self) {
        self.client.close(Duration::from_secs(5)).await;
    }
}

struct Group {
    queues: Vec<MessageQueue>,
    members: Vec<Member>,
    timeout: Duration,
    watch: Duration,
}

impl Group {
    /// Waits until the group has settled after a change, and for what comes after; what that took.
    async fn settle(&self, begun: Instant) -> Result<Phase, Failure> {
        let wanted = self.wanted();
        while self.unsettled(&wanted) > 0 {
            if begun.elapsed() > self.timeout {
                return Err(Failure::new(format_args!(
                    "{} of {} members do not have the queues that they are to have after {:?}: is somebody else in the \
                     group? Else use a longer --timeout",
                    self.unsettled(&wanted),
                    self.members.len(),
                    self.timeout
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
        let took = begun.elapsed();
        tokio::time::sleep(self.watch).await;
        Ok(Phase::new(took, self.members.iter().map(|member| member.sent.take())))
    }

    /// What each member is to have, by its client id.
    fn wanted(&self) -> BTreeMap<String, Vec<MessageQueue>> {
        let mut ids: Vec<String> =
            self.members.iter().map(|member| member.client.client_id().to_owned()).collect();
        ids.sort();
        ids.iter().map(|id| (id.clone(), Averagely.allocate(id, &self.queues, &ids))).collect()
    }

    /// How many have something else.
    fn unsettled(&self, wanted: &BTreeMap<String, Vec<MessageQueue>>) -> usize {
        let topic = self.queues.first().map_or("", |queue| &queue.topic);
        let differs = |member: &&Member| wanted.get(member.client.client_id()) != Some(&member.queues(topic));
        self.members.iter().filter(differs).count()
    }
}

/// Requests of one member, and those to it.
#[derive(Default)]
struct Sent {
    requests: AtomicU64,
    member_lists: AtomicU64,
    notices: AtomicU64,
}

impl RpcHook for Sent {
    fn before(&self, _: &str, request: &mut Command) -> Result<(), HookError> {
        match request.request_code() {
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => self.notices.fetch_add(1, Relaxed),
            RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
                self.member_lists.fetch_add(1, Relaxed);
                self.requests.fetch_add(1, Relaxed)
            }
            _ => self.requests.fetch_add(1, Relaxed),
        };
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Counts {
    requests: u64,
    member_lists: u64,
    notices: u64,
}

impl Sent {
    /// What was counted since the last time.
    fn take(&self) -> Counts {
        Counts {
            requests: self.requests.swap(0, Relaxed),
            member_lists: self.member_lists.swap(0, Relaxed),
            notices: self.notices.swap(0, Relaxed),
        }
    }
}

#[derive(Serialize)]
struct Report {
    members: usize,
    queues: usize,
    all_join: Phase,
    one_joins: Phase,
    one_leaves: Phase,
}

/// What a change of the group took.
#[derive(Serialize)]
struct Phase {
    seconds: f64,
    requests: u64,
    requests_each: f64,
    requests_most: u64,
    member_lists: u64,
    notices: u64,
}

impl Phase {
    fn new(took: Duration, members: impl Iterator<Item = Counts>) -> Phase {
        let counts: Vec<Counts> = members.collect();
        let sum = |of: fn(&Counts) -> u64| counts.iter().map(of).sum();
        let requests: u64 = sum(|count| count.requests);
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        Phase {
            seconds: round(took.as_secs_f64()),
            requests,
            requests_each: round(requests as f64 / counts.len().max(1) as f64),
            requests_most: counts.iter().map(|count| count.requests).max().unwrap_or(0),
            member_lists: sum(|count| count.member_lists),
            notices: sum(|count| count.notices),
        }
    }
}

impl Report {
    fn print(&self, format: Format) -> Result<(), Failure> {
        let mut out = Output::new();
        match format {
            Format::Json => out.json(self)?,
            Format::Text => {
                out.line(format!("{} members, {} queues", self.members, self.queues))?;
                for (what, phase) in [
                    ("all join", &self.all_join),
                    ("one joins", &self.one_joins),
                    ("one leaves", &self.one_leaves),
                ] {
                    out.line(format!(
                        "{what:>12}: {:.3} s until settled; requests of a member: {:.1}, {} at most; lists of members: \
                         {}; notices: {}",
                        phase.seconds,
                        phase.requests_each,
                        phase.requests_most,
                        phase.member_lists,
                        phase.notices
                    ))?;
                }
            }
        }
        out.flush()
    }
}

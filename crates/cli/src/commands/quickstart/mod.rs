//! `rocketwire quickstart`.

mod trace;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rocketwire::{Client, Message, MessageQueue, PullOptions, SendResult};
use rocketwire_node::Node;
use rocketwire_protocol::{RequestCode, ResponseCode, message::MessageExt};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{failure::Failure, output::Output, runtime};
use trace::Trace;

/// See it work: a broker in a temporary folder, a producer and a consumer, over TCP
///
/// Follows one message hop by hop, then sends more of them, one at a time, and says how long they took. Succeeds
/// only if every message came back exactly once with equal bytes. Leaves nothing behind.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Messages in all
    #[arg(short, long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
}

const TOPIC: &str = "Quickstart";
const GROUP: &str = "quickstart";
/// Longer than any message takes on a machine that works.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    runtime::current_thread()?.block_on(async {
        let folder = tempfile::tempdir()
            .map_err(|error| Failure::new(format_args!("cannot make a temporary folder: {error}")))?;
        let node = Node::builder().data_dir(folder.path()).start().await.map_err(Failure::new)?;
        let mut tour = Tour::begin(&node, folder.path()).await?;
        let toured = tour.run(args.count).await;
        tour.end().await;
        node.shutdown(Duration::from_secs(1)).await.map_err(Failure::new)?;
        toured
    })
}

/// A message that came back.
struct Arrived {
    message: MessageExt,
    at: Instant,
    /// How long its pull had been waiting for it.
    waited: Duration,
}

struct Tour {
    out: Output,
    producer: Client,
    sent: Trace,
    consumer: Client,
    pulled: Trace,
    queues: Vec<MessageQueue>,
    pulls: JoinSet<Failure>,
    arrivals: mpsc::Receiver<Arrived>,
    step: u32,
}

impl Tour {
    async fn begin(node: &Node, folder: &std::path::Path) -> Result<Tour, Failure> {
        let client = |trace: &Trace| {
            let builder = Client::builder().name_servers(&node.addr().to_string());
            builder.hook(std::sync::Arc::new(trace.clone())).build().map_err(Failure::new)
        };
        let (sent, pulled) = (Trace::default(), Trace::default());
        let (producer, consumer) = (client(&sent)?, client(&pulled)?);
        let (arrived, arrivals) = mpsc::channel(64);
        let mut tour = Tour {
            out: Output::new(),
            producer,
            sent,
            consumer,
            pulled,
            queues: Vec::new(),
            pulls: JoinSet::new(),
            arrivals,
            step: 0,
        };
        tour.out.line("One message, hop by hop")?;
        tour.hop("node", format!("name server and broker listen on {}", node.addr()))?;
        tour.more(format!("data in {}, every send waits for the disk", folder.display()))?;
        node.create_topic(TOPIC, 4).await.map_err(Failure::new)?;
        tour.queues = tour.consumer.queues(TOPIC).await.map_err(Failure::new)?;
        tour.hop("route", tour.pulled.words(RequestCode::GET_ROUTEINFO_BY_TOPIC, ResponseCode::SUCCESS))?;
        tour.more(format!("topic {TOPIC} has {} queues on broker-a at that address", tour.queues.len()))?;
        for queue in tour.queues.clone() {
            tour.pulls.spawn(pull(tour.consumer.clone(), queue, arrived.clone()));
        }
        tour.hop("long poll", "the consumer asks every queue for messages; the broker keeps the requests")?;
        // Long enough for the pulls to be parked, which makes the story true; nothing depends on it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(tour)
    }

    async fn run(&mut self, count: u32) -> Result<(), Failure> {
        let producer = self.producer.producer(GROUP).build().map_err(Failure::new)?;
        let mut latencies = Vec::new();
        let mut next: BTreeMap<MessageQueue, i64> = BTreeMap::new();
        for number in 1..=count {
            let body = format!("hello {number}");
            let begun = Instant::now();
            let result = producer.send(Message::new(TOPIC, body.clone())).await.map_err(Failure::new)?;
            let acknowledged = begun.elapsed();
            let arrived = self.next(&body).await?;
            latencies.push(arrived.at.saturating_duration_since(begun));
            if number == 1 {
                self.tell(&body, &result, acknowledged, &arrived)?;
            }
            check(&body, &result, &arrived)?;
            next.insert(result.message_queue, result.queue_offset + 1);
        }
        self.commit(&next).await?;
        self.check_once(count).await?;
        self.summary(&mut latencies)
    }

    /// The next message, which must be this one.
    async fn next(&mut self, body: &str) -> Result<Arrived, Failure> {
        tokio::select! {
            arrived = self.arrivals.recv() => {
                arrived.ok_or_else(|| Failure::new("the consumer has ended"))
            }
            Some(failed) = self.pulls.join_next() => {
                Err(failed.unwrap_or_else(|_| Failure::new("a pull panicked: please report it")))
            }
            () = tokio::time::sleep(PATIENCE) => {
                Err(Failure::new(format_args!("message {body:?} did not come back within {PATIENCE:?}")))
            }
        }
    }

    fn tell(
        &mut self,
        body: &str,
        result: &SendResult,
        acknowledged: Duration,
        arrived: &Arrived,
    ) -> Result<(), Failure> {
        let queue = &result.message_queue;
        self.hop("queue", format!("the producer takes queue {} of {}", queue.queue_id, queue.broker_name))?;
        self.hop("send", self.sent.words(RequestCode::SEND_MESSAGE_V2, ResponseCode::SUCCESS))?;
        self.more(format!("topic {TOPIC}, body {body:?}, id {}", result.msg_id))?;
        self.hop("stored", format!("queue {} offset {}, on the disk", queue.queue_id, result.queue_offset))?;
        self.more(format!(
            "byte {} of the log; acknowledged after {}",
            arrived.message.physical_offset,
            ms(acknowledged)
        ))?;
        self.hop("woken", self.pulled.words(RequestCode::PULL_MESSAGE, ResponseCode::SUCCESS))?;
        self.more(format!("the long poll had waited for {}", ms(arrived.waited)))?;
        let back = String::from_utf8_lossy(&arrived.message.body);
        self.hop("consumed", format!("{back:?}, the same bytes"))
    }

    async fn commit(&mut self, next: &BTreeMap<MessageQueue, i64>) -> Result<(), Failure> {
        for (queue, offset) in next {
            self.consumer.commit(GROUP, queue, *offset).await.map_err(Failure::new)?;
            let committed = self.consumer.committed(GROUP, queue).await.map_err(Failure::new)?;
            if committed != Some(*offset) {
                return Err(Failure::new(format_args!(
                    "offset {offset} was committed, and {committed:?} came back"
                )));
            }
        }
        self.hop("committed", self.pulled.words(RequestCode::UPDATE_CONSUMER_OFFSET, ResponseCode::SUCCESS))?;
        let offsets: Vec<String> =
            next.iter().map(|(queue, offset)| format!("{} at {offset}", queue.queue_id)).collect();
        self.more(format!("group {GROUP} stands in queue {}", offsets.join(", ")))
    }

    /// That the broker holds as many messages as were sent, and that none came twice.
    async fn check_once(&mut self, count: u32) -> Result<(), Failure> {
        let mut stored = 0;
        for queue in self.queues.clone() {
            stored += self.consumer.max_offset(&queue).await.map_err(Failure::new)?;
        }
        match self.arrivals.try_recv() {
            Ok(twice) => Err(Failure::new(format_args!("message {} came twice", twice.message.msg_id()))),
            Err(_) if stored != i64::from(count) => {
                Err(Failure::new(format_args!("{count} messages were sent and {stored} are stored")))
            }
            Err(_) => Ok(()),
        }
    }

    fn summary(&mut self, latencies: &mut [Duration]) -> Result<(), Failure> {
        latencies.sort_unstable();
        let count = latencies.len();
        let rank = |share: f64| {
            latencies.get(((count as f64 * share).ceil() as usize).max(1) - 1).copied().unwrap_or_default()
        };
        self.out.line("")?;
        self.out.line(format!("{count} messages, one at a time: each came back once, with equal bytes"))?;
        self.out.line(format!(
            "  from send to consumed   p50 {}   p99 {}   max {}",
            ms(rank(0.5)),
            ms(rank(0.99)),
            ms(rank(1.0))
        ))?;
        self.out.line("")?;
        self.out.line("Try next")?;
        for line in NEXT {
            self.out.line(format!("  {line}"))?;
        }
        self.out.flush()
    }

    fn hop(&mut self, name: &str, what: impl AsRef<str>) -> Result<(), Failure> {
        self.step += 1;
        self.out.line(format!("  {} {name:<10} {}", self.step, what.as_ref()))?;
        self.out.flush()
    }

    fn more(&mut self, what: impl AsRef<str>) -> Result<(), Failure> {
        self.out.line(format!("  {:>12} {}", "", what.as_ref()))?;
        self.out.flush()
    }

    async fn end(mut self) {
        self.pulls.shutdown().await;
        self.producer.close(Duration::from_secs(1)).await;
        self.consumer.close(Duration::from_secs(1)).await;
    }
}

const NEXT: [&str; 4] = [
    "rocketwire serve                              a broker that stays",
    "rocketwire send -t Greetings hello            send to it",
    "rocketwire consume -t Greetings -g readers    print what comes",
    "rocketwire bench send -t Load --duration 5s   how fast it is here",
];

/// Reads a queue for as long as somebody listens.
async fn pull(client: Client, queue: MessageQueue, arrived: mpsc::Sender<Arrived>) -> Failure {
    let mut options = PullOptions::default();
    options.group = GROUP.to_owned();
    options.wait = Duration::from_secs(15);
    let mut offset = 0;
    loop {
        let begun = Instant::now();
        let pulled = match client.pull(&queue, offset, &options).await {
            Ok(pulled) => pulled,
            Err(error) => return Failure::new(error),
        };
        offset = pulled.next_offset;
        for message in pulled.messages {
            let at = Instant::now();
            let waited = at - begun;
            if arrived.send(Arrived { message, at, waited }).await.is_err() {
                return Failure::new("nobody waits for messages any more");
            }
        }
    }
}

fn check(body: &str, result: &SendResult, arrived: &Arrived) -> Result<(), Failure> {
    let message = &arrived.message;
    if message.body != body.as_bytes() {
        let came = String::from_utf8_lossy(&message.body);
        return Err(Failure::new(format_args!("{body:?} was sent, and {came:?} came back")));
    }
    let place = (message.queue_id, message.queue_offset);
    if place != (result.message_queue.queue_id, result.queue_offset) || message.msg_id() != result.msg_id {
        return Err(Failure::new(format_args!("{body:?} came from another place than it was stored at")));
    }
    Ok(())
}

fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

//! `rocketwire bench latency`.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use rocketwire::{Client, Message, MessageQueue, Producer, PullOptions, RequestError};
use tokio::sync::{Semaphore, mpsc};

use super::load::{self, Plan, Tally, Window};
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

/// What tells a message: the run and the number, in big-endian order.
const MARK: usize = 16;
/// A byte of memory each, and few enough for 32 bits.
const MOST: u64 = 100_000_000;
/// Sends under way at the same time. Beyond it the schedule waits, and its times count on.
const INFLIGHT: usize = 1024;
/// How long messages may be under way after the last send.
const GRACE: Duration = Duration::from_secs(10);
/// How long a new topic may take until consumers see it.
const NEW_TOPIC: Duration = Duration::from_secs(30);
/// A sleep ends later than it should by about as much.
const OVERSLEEP: Duration = Duration::from_micros(150);

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
            0 => Side::Sends(producer(args, &client).await?),
            _ => Side::Reads(ends(args, &client).await?),
        };
        let flights = flights.clone();
        Ok(async move |window: Window, tally: Arc<Tally>| {
            let schedule = Schedule::new(&flights, window);
            match &mut side {
                Side::Sends(producer) => sends(args, producer, &flights, schedule, &tally).await?,
                Side::Reads(queues) => reads(args, &client, queues, &flights, schedule, &tally).await?,
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

async fn producer(args: &Args, client: &Client) -> Result<Producer, Failure> {
    let producer =
        client.producer("rocketwire-bench").options(|options| options.compress_over = None).build();
    let producer = producer.map_err(Failure::new)?;
    producer.warm_up(&[&args.topic]).await.map_err(Failure::new)?;
    Ok(producer)
}

/// The queues, each with the offset behind its last message.
async fn ends(args: &Args, client: &Client) -> Result<Vec<(MessageQueue, i64)>, Failure> {
    let mut ends = Vec::new();
    for queue in client.queues(&args.topic).await.map_err(Failure::new)? {
        let end = client.max_offset(&queue).await.map_err(Failure::new)?;
        ends.push((queue, end.max(0)));
    }
    Ok(ends)
}

const STORED: u8 = 1;
const CONSUMED: u8 = 2;
const FAILED: u8 = 4;

/// What became of each message of the run.
struct Flights {
    /// Tells this run's messages from others in the topic.
    run: u64,
    interval: Duration,
    /// So many of the first are warm-up.
    warm_up: usize,
    states: Box<[AtomicU8]>,
}

impl Flights {
    fn new(rate: u32, plan: &Plan) -> Result<Flights, Failure> {
        let count = |time: Duration| (time.as_secs_f64() * f64::from(rate)).ceil() as u64;
        let (warm_up, counted) = (count(plan.warm_up), count(plan.duration));
        if warm_up.saturating_add(counted) > MOST {
            return Err(Failure::new(format_args!(
                "that would be {counted} messages, {MOST} are the most: use a lower --rate or a shorter --duration"
            )));
        }
        Ok(Flights {
            // The standard library's hashers are seeded at random.
            run: RandomState::new().build_hasher().finish(),
            interval: Duration::from_secs(1) / rate,
            warm_up: warm_up as usize,
            states: (0..warm_up + counted).map(|_| AtomicU8::new(0)).collect(),
        })
    }

    fn body(&self, number: usize, size: usize) -> Bytes {
        let mut body = BytesMut::with_capacity(size);
        body.put_u64(self.run);
        body.put_u64(number as u64);
        body.resize(size, b'x');
        body.freeze()
    }

    /// The number of a message, if it is one of this run.
    fn number(&self, body: &[u8]) -> Option<usize> {
        let (run, rest) = body.split_first_chunk()?;
        let number = u64::from_be_bytes(*rest.first_chunk()?);
        let ours = u64::from_be_bytes(*run) == self.run && number < self.states.len() as u64;
        ours.then_some(number as usize)
    }

    /// The send ended.
    fn sent(&self, number: usize, how: u8) {
        if let Some(state) = self.states.get(number) {
            state.fetch_or(how, Relaxed);
        }
    }

    /// Whether the message is to be counted: not twice, and not in the warm-up.
    fn consumed(&self, number: usize) -> bool {
        let before = self.states.get(number).map(|state| state.fetch_or(CONSUMED, Relaxed));
        number >= self.warm_up && before.is_some_and(|state| state & CONSUMED == 0)
    }

    /// Those that count.
    fn counted(&self) -> impl Iterator<Item = u8> {
        self.states.iter().skip(self.warm_up).map(|state| state.load(Relaxed))
    }

    /// Whether a send has not ended, or what it stored is not consumed.
    fn under_way(&self) -> bool {
        self.counted().any(|state| state == 0 || state == STORED)
    }

    /// How many were stored and not consumed.
    fn missing(&self) -> u64 {
        self.counted().filter(|state| *state == STORED).count() as u64
    }
}

/// When each message is to be sent.
#[derive(Clone, Copy)]
struct Schedule {
    begin: Instant,
    interval: Duration,
    end: Instant,
}

impl Schedule {
    /// The first message that counts is due when the window starts.
    fn new(flights: &Flights, window: Window) -> Schedule {
        let warm_up = flights.interval * flights.warm_up as u32;
        let begin = window.start.checked_sub(warm_up).unwrap_or(window.start);
        Schedule { begin, interval: flights.interval, end: window.end }
    }

    fn due(&self, number: usize) -> Instant {
        self.begin + self.interval * number as u32
    }
}

/// Sends by the schedule; ends when each send has.
async fn sends(
    args: &Args,
    producer: &Producer,
    flights: &Arc<Flights>,
    schedule: Schedule,
    tally: &Arc<Tally>,
) -> Result<(), Failure> {
    let (hand_over, mut due) = mpsc::channel(INFLIGHT);
    let total = flights.states.len();
    // A runtime's timers are in whole milliseconds, a thread sleeps more exactly.
    let clock = tokio::task::spawn_blocking(move || {
        for number in 0..total {
            sleep_until(schedule.due(number));
            if hand_over.blocking_send(number).is_err() {
                break;
            }
        }
    });
    let inflight = Arc::new(Semaphore::new(INFLIGHT));
    while let Some(number) = due.recv().await {
        let Ok(permit) = inflight.clone().acquire_owned().await else { break };
        let message = Message::new(args.topic.as_str(), flights.body(number, args.body));
        let (producer, flights, tally) = (producer.clone(), flights.clone(), tally.clone());
        tokio::spawn(async move {
            match producer.send(message).await {
                Ok(_) => flights.sent(number, STORED),
                Err(error) => {
                    flights.sent(number, FAILED);
                    tally.failed(error);
                }
            }
            drop((tally, flights, permit));
        });
    }
    let all = inflight.acquire_many(INFLIGHT as u32).await;
    all.map(drop).map_err(|_| panicked())?;
    clock.await.map_err(|_| panicked())
}

fn sleep_until(due: Instant) {
    let early = due.saturating_duration_since(Instant::now()).saturating_sub(OVERSLEEP);
    if !early.is_zero() {
        thread::sleep(early);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}

/// Reads all queues until the window has ended and nothing is under way any more.
async fn reads(
    args: &Args,
    client: &Client,
    queues: &mut Vec<(MessageQueue, i64)>,
    flights: &Arc<Flights>,
    schedule: Schedule,
    tally: &Arc<Tally>,
) -> Result<(), Failure> {
    let mut options = PullOptions::default();
    options.group.clone_from(&args.group);
    options.wait = Duration::from_secs(15);
    let mut tasks = tokio::task::JoinSet::new();
    for (queue, end) in queues.drain(..) {
        let reader = Reader {
            client: client.clone(),
            queue,
            options: options.clone(),
            flights: flights.clone(),
            tally: tally.clone(),
            schedule,
        };
        tasks.spawn(reader.run(end));
    }
    tokio::time::sleep_until(schedule.end.into()).await;
    while flights.under_way() && schedule.end.elapsed() < GRACE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err_and(|error| error.is_panic()) {
            return Err(panicked());
        }
    }
    Ok(())
}

fn panicked() -> Failure {
    Failure::new("a task of the load panicked: please report it")
}

struct Reader {
    client: Client,
    queue: MessageQueue,
    options: PullOptions,
    flights: Arc<Flights>,
    tally: Arc<Tally>,
    schedule: Schedule,
}

impl Reader {
    async fn run(self, mut offset: i64) {
        loop {
            if let Err(error) = self.once(&mut offset).await {
                self.tally.failed(error);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn once(&self, offset: &mut i64) -> Result<(), RequestError> {
        let pulled = self.client.pull(&self.queue, *offset, &self.options).await?;
        let now = Instant::now();
        *offset = pulled.next_offset;
        for number in pulled.messages.iter().filter_map(|message| self.flights.number(&message.body)) {
            if self.flights.consumed(number) {
                self.tally.latencies.record(now.saturating_duration_since(self.schedule.due(number)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flights() -> Flights {
        // A quarter of four seconds is warm-up: 10 messages of 50.
        Flights::new(10, &Plan::new(2, Duration::from_secs(4), Format::Json)).unwrap()
    }

    #[test]
    fn messages_of_other_runs_and_other_bodies_are_told() {
        let (one, other) = (flights(), Flights { run: 7, ..flights() });
        assert_eq!(one.number(&one.body(49, 16)), Some(49));
        assert_eq!(one.number(&one.body(3, 4096)), Some(3));
        assert_eq!(one.number(&one.body(50, 16)), None);
        assert_eq!(one.number(&other.body(3, 16)), None);
        assert_eq!(one.number(b"!"), None);
    }

    #[test]
    fn warm_up_and_repetitions_do_not_count_and_what_is_lost_is_missing() {
        let flights = flights();
        (8..50).for_each(|number| flights.sent(number, if number < 14 { STORED } else { FAILED }));
        assert_eq!(flights.missing(), 4);
        assert!(!flights.consumed(9));
        assert!(flights.consumed(10));
        assert!(!flights.consumed(10));
        // A send that failed may have stored the message all the same.
        assert!(flights.consumed(20));
        assert_eq!(flights.missing(), 3);
        assert!(flights.under_way());
        assert!((11..14).all(|number| flights.consumed(number)));
        assert!(!flights.under_way());
    }

    #[test]
    fn the_first_counted_message_is_due_when_the_window_starts() {
        let start = Instant::now() + Duration::from_secs(100);
        let window = Window { start, end: start + Duration::from_secs(4) };
        let schedule = Schedule::new(&flights(), window);
        assert_eq!(schedule.due(0), start - Duration::from_secs(1));
        assert_eq!(schedule.due(10), start);
        assert_eq!(schedule.due(50), window.end);
    }

    #[test]
    fn too_many_messages_are_refused() {
        assert!(Flights::new(100_000, &Plan::new(2, Duration::from_secs(3600), Format::Json)).is_err());
    }
}

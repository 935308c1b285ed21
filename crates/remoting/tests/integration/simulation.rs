//! A seeded network between client and server: delays, splits, cuts, black holes, restarts. Whatever it does, each
//! call has exactly one outcome, by its deadline, and an answer is the answer to its own request.

use std::{
    cell::RefCell,
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    net::SocketAddr,
    rc::Rc,
    sync::atomic::Ordering::SeqCst,
    time::Duration,
};

use rocketwire_protocol::{Command, Encoding, RequestCode, ResponseCode};
use rocketwire_remoting::{
    Answer, ClientOptions, Connection, ConnectionOptions, Lane, RemotingClient, Router, RpcError, Server,
    ServerOptions, processor_fn,
};
use rocketwire_testkit::{Random, for_each_seed};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    task::{LocalSet, spawn_local},
    time::{Instant, sleep},
};

const SLOW_ECHO: RequestCode = RequestCode(9200);
/// A deadline is kept to two ticks.
const SLACK: Duration = Duration::from_millis(20);

/// What happened under the seeds: a simulation without faults proves nothing.
#[derive(Default)]
struct Met {
    answered: usize,
    timeouts: usize,
    closed: usize,
    /// Cuts and restarts while calls were in flight.
    faults_in_flight: usize,
    restarts: usize,
    black_holes: usize,
    late: usize,
    /// When which call of whom ended how, in this order.
    trace: DefaultHasher,
}

impl Met {
    fn add(&mut self, other: &Met) {
        self.answered += other.answered;
        self.timeouts += other.timeouts;
        self.closed += other.closed;
        self.faults_in_flight += other.faults_in_flight;
        self.restarts += other.restarts;
        self.black_holes += other.black_holes;
        self.late += other.late;
    }
}

/// ROCKETWIRE_ROUNDS=100 simulates a day or so.
#[test]
fn every_call_has_one_outcome_by_its_deadline() {
    let mut all = Met::default();
    let (mut seeds, mut with_faults) = (0, 0);
    let whole = for_each_seed("simulation", "", 300, |seed| {
        let met = run(seed);
        if seed.is_multiple_of(10) {
            assert_eq!(met.trace.finish(), run(seed).trace.finish(), "a seed says all that happens");
        }
        seeds += 1;
        with_faults += usize::from(met.faults_in_flight > 0);
        all.add(&met);
    });
    let calls = all.answered + all.timeouts + all.closed;
    assert_eq!(calls, seeds * CALLERS as usize * CALLS as usize, "one outcome a call");
    if whole {
        assert!(with_faults * 100 >= seeds * 95, "{with_faults} of {seeds} seeds met a fault in flight");
        assert!(all.answered > calls / 4, "hardly anything gets through");
        assert!(all.timeouts > calls / 100 && all.closed > calls / 100, "too quiet a network");
        assert!(
            all.black_holes > 10 && all.late > 10 && all.restarts > 10,
            "no holes, late answers, restarts"
        );
    }
}

fn run(seed: u64) -> Met {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let world = Rc::new(World::new(seed));
        world.link();
        let calling: Vec<_> =
            (0..CALLERS).map(|caller| spawn_local(world.clone().call_again_and_again(caller))).collect();
        let faults = spawn_local(world.clone().break_again_and_again());
        for caller in calling {
            caller.await.unwrap();
        }
        faults.abort();
        assert_eq!(world.connection().in_flight(), 0, "seed {seed}: a slot is left over");
        world.met.borrow_mut().late = world.client.counters().strays.load(SeqCst) as usize;
        world.met.take()
    })
}

const CALLERS: u64 = 6;
const CALLS: u64 = 15;

/// A client, a server, and the network between them.
struct World {
    seed: u64,
    random: RefCell<Random>,
    options: ConnectionOptions,
    client: RemotingClient,
    /// It is restarted now and then.
    server: RefCell<Server>,
    /// The client's connection, open or not.
    connection: RefCell<Option<Connection>>,
    met: RefCell<Met>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut options = ConnectionOptions::default();
        // Looking goes by the real clock; here only the simulated one counts.
        options.look = Duration::ZERO;
        options.encoding = if seed.is_multiple_of(2) { Encoding::Json } else { Encoding::Binary };
        let mut of_client = ClientOptions::default();
        of_client.connection = options.clone();
        World {
            seed,
            random: RefCell::new(Random::new(seed)),
            client: RemotingClient::new(of_client, Router::new()),
            server: RefCell::new(serve(&options)),
            options,
            connection: RefCell::default(),
            met: RefCell::default(),
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }

    fn millis(&self, below: u64) -> Duration {
        Duration::from_millis(self.below(below))
    }

    fn connection(&self) -> Connection {
        self.connection.borrow().clone().expect("there has been one since the start")
    }

    /// A new pair of pipes between both, with weather in the middle.
    fn link(self: &Rc<Self>) {
        let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let (client_end, client_wire) = duplex(1 << 16);
        let (server_end, server_wire) = duplex(1 << 16);
        self.connection.replace(Some(self.client.adopt("net", client_end, nowhere, nowhere)));
        self.server.borrow().adopt(server_end, nowhere, nowhere).unwrap();
        let hole = self.below(12) == 0;
        self.met.borrow_mut().black_holes += usize::from(hole);
        let (client_read, client_write) = tokio::io::split(client_wire);
        let (server_read, server_write) = tokio::io::split(server_wire);
        spawn_local(self.clone().carry(client_read, server_write, hole));
        spawn_local(self.clone().carry(server_read, client_write, false));
    }

    /// Cuts and restarts come as they please, and a new link some time after each.
    async fn break_again_and_again(self: Rc<Self>) {
        loop {
            sleep(self.millis(900)).await;
            self.met.borrow_mut().faults_in_flight += usize::from(self.connection().in_flight() > 0);
            if self.below(4) == 0 {
                self.met.borrow_mut().restarts += 1;
                let old = self.server.replace(serve(&self.options));
                old.shutdown(self.millis(50)).await;
            } else {
                let connections = self.server.borrow().connections();
                connections.iter().for_each(|connection| connection.close("cut"));
            }
            sleep(self.millis(100)).await;
            self.link();
        }
    }

    async fn call_again_and_again(self: Rc<Self>, caller: u64) {
        let start = Instant::now();
        for n in 0..CALLS {
            let timeout = self.millis(700) + Duration::from_millis(1);
            let begun = Instant::now();
            let ended = self.call(caller, n, timeout).await;
            let took = begun.elapsed();
            assert!(took <= timeout + SLACK, "seed {}: {took:?} for a call of {timeout:?}", self.seed);
            {
                let mut met = self.met.borrow_mut();
                match ended {
                    Ended::Answered => met.answered += 1,
                    Ended::TimedOut => met.timeouts += 1,
                    Ended::Closed => met.closed += 1,
                }
                (start.elapsed(), caller, n, ended).hash(&mut met.trace);
            }
            sleep(self.millis(60)).await;
        }
    }

    async fn call(&self, caller: u64, n: u64, timeout: Duration) -> Ended {
        let size = [1, 100, 5_000, 100_000][self.below(4) as usize];
        let mut body = format!("{caller}-{n}-").into_bytes();
        body.resize(body.len() + size, self.below(256) as u8);
        // A dial would ask the real network, and take real time.
        if !self.connection().is_open() {
            return Ended::Closed;
        }
        let request = Command::request(SLOW_ECHO).with_body(body.clone());
        match self.client.invoke("net", request, timeout).await {
            Ok(answer) => {
                assert_eq!(answer.body, body, "seed {}: another call's answer", self.seed);
                Ended::Answered
            }
            Err(RpcError::Timeout { .. }) => Ended::TimedOut,
            Err(RpcError::Closed { .. }) => Ended::Closed,
            Err(other) => panic!("seed {}: {other}", self.seed),
        }
    }

    /// Bytes arrive in pieces of any size after a while; in a black hole never.
    async fn carry(
        self: Rc<Self>,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        hole: bool,
    ) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let most = 1 + self.below(buffer.len() as u64) as usize;
            match from.read(&mut buffer[..most]).await {
                Ok(0) | Err(_) => break,
                Ok(_) if hole => {}
                Ok(n) => {
                    sleep(self.millis(30)).await;
                    if to.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            }
        }
        let _ = to.shutdown().await;
    }
}

/// How a call ended.
#[derive(Hash)]
enum Ended {
    Answered,
    TimedOut,
    Closed,
}

fn serve(connection: &ConnectionOptions) -> Server {
    let mut options = ServerOptions::default();
    options.connection = connection.clone();
    Server::bind_nothing(Router::new().route(SLOW_ECHO, processor_fn(slow_echo), Lane::inline()), options)
}

fn slow_echo(request: rocketwire_remoting::Request) -> Answer {
    let body = request.command.body;
    let delay = body.last().copied().unwrap_or(0);
    let response = Command::response(ResponseCode::SUCCESS).with_body(body);
    match delay % 4 {
        0 => Answer::Now(response),
        n => Answer::later(async move {
            sleep(Duration::from_millis(u64::from(delay) * u64::from(n))).await;
            response
        }),
    }
}

//! A seeded network between client and server: delays, splits, cuts, black holes, restarts. Whatever it does, each
//! call has exactly one outcome, by its deadline, and an answer is the answer to its own request.

use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use rocketwire_protocol::{Command, Encoding, RequestCode, ResponseCode};
use rocketwire_remoting::{
    Answer, ClientOptions, ConnectionOptions, Lane, RemotingClient, Router, RpcError, Server, ServerOptions,
    processor_fn,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    task::LocalSet,
    time::{Instant, sleep},
};

const SLOW_ECHO: RequestCode = RequestCode(9200);
/// A deadline is kept to two ticks.
const SLACK: Duration = Duration::from_millis(20);

/// xorshift: the same numbers for the same seed, for ever.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    fn millis(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.below(below))
    }
}

/// What the seeds met: a simulation without faults proves nothing.
#[derive(Default)]
struct Met {
    answered: AtomicUsize,
    timeouts: AtomicUsize,
    closed: AtomicUsize,
    cuts_in_flight: AtomicUsize,
    black_holes: AtomicUsize,
    late: AtomicUsize,
}

#[test]
fn every_call_has_one_outcome_by_its_deadline() {
    const SEEDS: u64 = 150;
    let met = Arc::new(Met::default());
    for seed in 0..SEEDS {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, simulate(seed, met.clone()));
    }
    let count = |counter: &AtomicUsize| counter.load(SeqCst);
    let calls = count(&met.answered) + count(&met.timeouts) + count(&met.closed);
    assert_eq!(calls, SEEDS as usize * CALLERS as usize * CALLS as usize, "one outcome a call");
    assert!(count(&met.answered) > calls / 4, "hardly anything gets through");
    assert!(count(&met.timeouts) > calls / 100 && count(&met.closed) > calls / 100, "too quiet a network");
    assert!(count(&met.cuts_in_flight) > SEEDS as usize / 2, "cuts hit nothing");
    assert!(count(&met.black_holes) > 10 && count(&met.late) > 10, "no black holes, no late answers");
}

const CALLERS: u64 = 6;
const CALLS: u64 = 15;

async fn simulate(seed: u64, met: Arc<Met>) {
    let random = Rc::new(RefCell::new(Random::new(seed)));
    // Looking goes by the real clock; here only the simulated one counts.
    let mut connection = ConnectionOptions::default();
    connection.look = Duration::ZERO;
    connection.encoding = if seed.is_multiple_of(2) { Encoding::Json } else { Encoding::Binary };
    let mut options = ServerOptions::default();
    options.connection = connection.clone();
    let router = Router::new().route(SLOW_ECHO, processor_fn(slow_echo), Lane::inline());
    let server = Rc::new(Server::bind_nothing(router, options));
    let mut options = ClientOptions::default();
    options.connection = connection;
    let client = RemotingClient::new(options, Router::new());

    link(&client, &server, &random, &met);
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        callers.push(tokio::task::spawn_local(call(
            caller,
            client.clone(),
            random.clone(),
            met.clone(),
            seed,
        )));
    }
    // Cuts come as they please, and a new link some time after each.
    let cutter = tokio::task::spawn_local({
        let (client, server, random, met) = (client.clone(), server.clone(), random.clone(), met.clone());
        async move {
            loop {
                let pause = random.borrow_mut().millis(1_500);
                sleep(pause).await;
                if let Ok(connection) = client.connect("net", Duration::ZERO).await {
                    met.cuts_in_flight.fetch_add(usize::from(connection.in_flight() > 0), SeqCst);
                }
                for connection in server.connections() {
                    connection.close("cut");
                }
                let pause = random.borrow_mut().millis(100);
                sleep(pause).await;
                link(&client, &server, &random, &met);
            }
        }
    });
    for caller in callers {
        caller.await.unwrap();
    }
    cutter.abort();
    met.late.fetch_add(client.counters().strays.load(SeqCst) as usize, SeqCst);
    if let Ok(connection) = client.connect("net", Duration::ZERO).await {
        assert_eq!(connection.in_flight(), 0, "seed {seed}: a slot is left over");
    }
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

async fn call(caller: u64, client: RemotingClient, random: Rc<RefCell<Random>>, met: Arc<Met>, seed: u64) {
    for n in 0..CALLS {
        let (timeout, pause, size, delay) = {
            let mut random = random.borrow_mut();
            let sizes = [1, 100, 5_000, 100_000];
            let size = sizes[random.below(4) as usize];
            (random.millis(700) + Duration::from_millis(1), random.millis(60), size, random.below(256) as u8)
        };
        let mut body = format!("{caller}-{n}-").into_bytes();
        body.resize(body.len() + size, delay);
        let begun = Instant::now();
        let request = Command::request(SLOW_ECHO).with_body(body.clone());
        let outcome = client.invoke("net", request, timeout).await;
        let took = begun.elapsed();
        assert!(took <= timeout + SLACK, "seed {seed}: {took:?} for a call of {timeout:?}");
        match outcome {
            Ok(answer) => {
                assert_eq!(answer.body, body, "seed {seed}: another call's answer");
                met.answered.fetch_add(1, SeqCst);
            }
            Err(RpcError::Timeout { .. }) => drop(met.timeouts.fetch_add(1, SeqCst)),
            Err(RpcError::Closed { .. } | RpcError::Connect { .. }) => drop(met.closed.fetch_add(1, SeqCst)),
            Err(other) => panic!("seed {seed}: {other}"),
        }
        sleep(pause).await;
    }
}

/// A new pair of pipes between both, with weather in the middle.
fn link(client: &RemotingClient, server: &Server, random: &Rc<RefCell<Random>>, met: &Arc<Met>) {
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let (client_end, client_wire) = duplex(1 << 16);
    let (server_end, server_wire) = duplex(1 << 16);
    client.adopt("net", client_end, nowhere, nowhere);
    server.adopt(server_end, nowhere, nowhere).unwrap();
    let hole = random.borrow_mut().below(12) == 0;
    met.black_holes.fetch_add(usize::from(hole), SeqCst);
    let (client_read, client_write) = tokio::io::split(client_wire);
    let (server_read, server_write) = tokio::io::split(server_wire);
    tokio::task::spawn_local(carry(client_read, server_write, random.clone(), hole));
    tokio::task::spawn_local(carry(server_read, client_write, random.clone(), false));
}

/// Bytes arrive in pieces of any size after a while; in a black hole never.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    random: Rc<RefCell<Random>>,
    hole: bool,
) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let most = 1 + random.borrow_mut().below(buffer.len() as u64) as usize;
        match from.read(&mut buffer[..most]).await {
            Ok(0) | Err(_) => break,
            Ok(_) if hole => {}
            Ok(n) => {
                let delay = random.borrow_mut().millis(30);
                sleep(delay).await;
                if to.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = to.shutdown().await;
}

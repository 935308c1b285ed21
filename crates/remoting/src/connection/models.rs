//! The connection's own code under a scheduler that chooses who runs next at every lock and every counter.
//!
//! `cargo test -p rocketwire-remoting --features models --lib models::`; `ROCKETWIRE_SCHEDULES` sets how many
//! interleavings each model is run with (half of them at random, half by few but well-placed changes of the running
//! thread). Time stands still and nothing but the code wakes anybody: who waits for a wake that does not come is a
//! deadlock, which the scheduler reports with the schedule that leads there.

#![allow(clippy::unwrap_used)] // tests may

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use rocketwire_protocol::{Command, RequestCode, ResponseCode};
use shuttle::{
    Config, Runner,
    future::{block_on, spawn},
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
    sync::mpsc,
    thread,
};
use tokio::io::{DuplexStream, duplex};

use super::{Connection, Endpoint, Shared, run};
use crate::sync::atomic::Ordering;
use crate::{Answer, CloseCause, ConnectionOptions, Lane, Responder, Router, RpcError, processor_fn};

const ECHO: RequestCode = RequestCode(9001);
const PARKED: RequestCode = RequestCode(9002);
const LONG: Duration = Duration::from_secs(3_600);

/// Runs `body` with many schedules, half of them with few changes of the running thread: most bugs need no more.
fn explore(body: fn()) {
    let schedules = std::env::var("ROCKETWIRE_SCHEDULES").map_or(2_000, |text| text.parse().unwrap());
    let seed = 0x5eed;
    with_scheduler(RandomScheduler::new_from_seed(seed, schedules / 2), body);
    with_scheduler(PctScheduler::new_from_seed(seed, 3, schedules / 2), body);
}

fn with_scheduler(scheduler: impl Scheduler + 'static, body: fn()) {
    // Its clock stands still, and it is never driven: it is here because timers want one.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _entered = runtime.enter();
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    Runner::new(scheduler, config).run(body);
}

/// Two connections that talk to each other, and their tasks.
struct Pair {
    client: Connection,
    server: Connection,
    tasks: Vec<shuttle::future::JoinHandle<Arc<CloseCause>>>,
}

impl Pair {
    fn new(options: ConnectionOptions, router: Router) -> Pair {
        // Smaller than two frames: writes and reads come in pieces.
        let (ours, theirs) = duplex(200);
        let mut tasks = Vec::new();
        let client = open(ours, Router::new(), options.clone(), &mut tasks);
        let server = open(theirs, router, options, &mut tasks);
        Pair { client, server, tasks }
    }

    /// Closes both ends; nothing is left over.
    fn end(self) {
        self.end_with(None);
    }

    fn end_with(self, parked: Option<Parked>) {
        self.client.close("the model ends");
        for task in self.tasks {
            block_on(task).unwrap();
        }
        if let Some(parked) = parked {
            parked.park.send(None).unwrap();
            parked.answering.join().unwrap();
        }
        for connection in [self.client, self.server] {
            let shared = connection.shared();
            assert_eq!((shared.in_flight(), shared.served(), shared.is_busy()), (0, 0, false));
        }
    }
}

fn open(
    io: DuplexStream,
    router: Router,
    options: ConnectionOptions,
    tasks: &mut Vec<shuttle::future::JoinHandle<Arc<CloseCause>>>,
) -> Connection {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let shared = Shared::new(Endpoint::new(options, router, None, 1), nowhere, nowhere, Vec::new(), 0);
    let connection = Connection::new(shared.clone());
    tasks.push(spawn(run(io, BytesMut::new(), shared)));
    connection
}

fn options() -> ConnectionOptions {
    // Looking goes by the real clock.
    ConnectionOptions { look: Duration::ZERO, ..ConnectionOptions::default() }
}

fn echo_router() -> Router {
    let echo = processor_fn(|request| {
        Command::response(ResponseCode::SUCCESS).with_body(request.command.body).into()
    });
    Router::new().route(ECHO, echo, Lane::inline())
}

/// A thread that answers requests which were parked, until it is told to end.
struct Parked {
    park: mpsc::Sender<Option<(Bytes, Responder)>>,
    /// How many there were.
    answering: thread::JoinHandle<usize>,
}

fn parking_router() -> (Router, Parked) {
    let (park, parked) = mpsc::channel::<Option<(Bytes, Responder)>>();
    let shared = crate::sync::Mutex::new(park.clone());
    let processor = processor_fn(move |request| {
        let (command, responder) = request.into_responder();
        shared.lock().unwrap().send(Some((command.body, responder))).unwrap();
        Answer::Taken
    });
    let answering = thread::spawn(move || {
        let mut count = 0;
        while let Some((body, responder)) = parked.recv().unwrap() {
            responder.send(Command::response(ResponseCode::SUCCESS).with_body(body));
            count += 1;
        }
        count
    });
    (Router::new().route(PARKED, processor, Lane::inline()), Parked { park, answering })
}

fn call(connection: &Connection, code: RequestCode, body: &str) -> Result<Command, RpcError> {
    let request = Command::request(code).with_body(body.to_owned());
    block_on(connection.invoke(request, LONG))
}

/// A thread that asks, and has to be answered with what it asked.
fn asks(
    connection: &Connection,
    code: RequestCode,
    body: &'static str,
    times: usize,
) -> thread::JoinHandle<()> {
    let connection = connection.clone();
    thread::spawn(move || {
        for _ in 0..times {
            assert_eq!(call(&connection, code, body).unwrap().body, body);
        }
    })
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// The output buffer, its swap, and waking the task only if it sleeps.
#[test]
fn every_caller_is_answered_whoever_runs_when() {
    explore(|| {
        let pair = Pair::new(options(), echo_router());
        join([asks(&pair.client, ECHO, "one", 2), asks(&pair.client, ECHO, "two", 2)]);
        pair.end();
    });
}

/// Both directions at once, with a call and a one-way request from the server's side.
#[test]
fn both_ends_ask_at_once() {
    explore(|| {
        let pair = Pair::new(options(), echo_router());
        let server = pair.server.clone();
        let asking = thread::spawn(move || {
            server.invoke_oneway(Command::request(ECHO)).unwrap();
            assert_eq!(call(&server, ECHO, "back").unwrap().code, ResponseCode::REQUEST_CODE_NOT_SUPPORTED.0);
        });
        join([asks(&pair.client, ECHO, "forth", 2), asking]);
        pair.end();
    });
}

/// The permits of callers: a table of one slot.
#[test]
fn a_slot_that_comes_free_is_found_by_who_waits_for_it() {
    explore(|| {
        let pair = Pair::new(ConnectionOptions { max_in_flight: 1, ..options() }, echo_router());
        join(["one", "two", "three"].map(|body| asks(&pair.client, ECHO, body, 1)));
        pair.end();
    });
}

/// A slot that is given back by a call that was dropped, or by one whose answer came and was not taken.
#[test]
fn a_call_that_is_given_up_makes_room_and_harms_nobody() {
    explore(|| {
        let pair = Pair::new(ConnectionOptions { max_in_flight: 1, ..options() }, echo_router());
        let connection = pair.client.clone();
        let fickle = thread::spawn(move || {
            let mut call = Box::pin(connection.invoke(Command::request(ECHO).with_body("given up"), LONG));
            let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            thread::yield_now();
        });
        join([asks(&pair.client, ECHO, "one", 2), asks(&pair.client, ECHO, "two", 1), fickle]);
        pair.end();
    });
}

/// Bytes that wait to be written hold callers back.
#[test]
fn a_full_output_buffer_that_empties_is_noticed_by_who_waits() {
    explore(|| {
        let options = ConnectionOptions { high_water: 1, low_water: 0, ..options() };
        let pair = Pair::new(options, echo_router());
        join(["one", "two", "three"].map(|body| asks(&pair.client, ECHO, body, 1)));
        pair.end();
    });
}

/// Answers from another thread, and a peer that is not read while too many of its requests are in work.
#[test]
fn reading_goes_on_once_enough_is_answered() {
    explore(|| {
        let (router, parked) = parking_router();
        let pair = Pair::new(ConnectionOptions { max_served: 1, ..options() }, router);
        join(["one", "two"].map(|body| asks(&pair.client, PARKED, body, 2)));
        pair.end_with(Some(parked));
    });
}

/// Closing against callers: each call ends, answered or by the one cause.
#[test]
fn a_close_ends_every_call() {
    explore(|| {
        let (router, parked) = parking_router();
        let pair = Pair::new(ConnectionOptions { max_in_flight: 1, ..options() }, router);
        let calling: Vec<_> = ["one", "two", "three"]
            .map(|body| {
                let connection = pair.client.clone();
                thread::spawn(move || match call(&connection, PARKED, body) {
                    Ok(answer) => assert_eq!(answer.body, body),
                    Err(RpcError::Closed { .. }) => assert!(!connection.is_open()),
                    Err(other) => panic!("{other}"),
                })
            })
            .into();
        pair.server.close("in the middle");
        join(calling);
        let client = pair.client.clone();
        pair.end_with(Some(parked));
        assert!(matches!(call(&client, PARKED, "late"), Err(RpcError::Closed { .. })));
    });
}

/// A server that drains: what it took on is answered, what it did not take on was not handled.
#[test]
fn a_server_that_drains_answers_all_that_it_took_on() {
    explore(|| {
        let (router, parked) = parking_router();
        let pair = Pair::new(ConnectionOptions { max_served: 2, ..options() }, router);
        let calling: Vec<_> = ["one", "two", "three"]
            .map(|body| {
                let connection = pair.client.clone();
                thread::spawn(move || usize::from(call(&connection, PARKED, body).is_ok()))
            })
            .into();
        pair.server.shared().endpoint.draining.store(true, Ordering::SeqCst);
        pair.server.shared().rouse();
        let answered: usize = calling.into_iter().map(|thread| thread.join().unwrap()).sum();
        // Nobody closes them: they end by themselves.
        for task in pair.tasks {
            block_on(task).unwrap();
        }
        parked.park.send(None).unwrap();
        assert_eq!(parked.answering.join().unwrap(), answered);
    });
}

/// After GO_AWAY a connection closes with its last call, answered or given up, and not before.
#[test]
fn a_retired_connection_answers_what_it_has_and_closes() {
    explore(|| {
        let pair = Pair::new(options(), echo_router());
        let (sent, was_sent) = mpsc::channel();
        let connection = pair.client.clone();
        let calling = thread::spawn(move || {
            let mut call = Box::pin(connection.invoke(Command::request(ECHO).with_body("pending"), LONG));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            sent.send(()).unwrap();
            assert_eq!(block_on(call).unwrap().body, "pending");
        });
        let connection = pair.client.clone();
        let fickle = thread::spawn(move || {
            let mut call = Box::pin(connection.invoke(Command::request(ECHO), LONG));
            let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        was_sent.recv().unwrap();
        pair.client.retire();
        join([calling, fickle]);
        // Nobody closes it: it ends by itself.
        for task in pair.tasks {
            block_on(task).unwrap();
        }
    });
}

/// The threads of a lane: whatever was queued is run, by a thread that was idle, or busy, or not there yet.
#[test]
fn a_job_that_was_queued_is_run() {
    explore(|| {
        let lane = Lane::blocking("model", 1, 4);
        let (ran, runs) = mpsc::channel();
        let submitting: Vec<_> = (0..2)
            .map(|_| {
                let (lane, ran) = (lane.clone(), ran.clone());
                thread::spawn(move || {
                    for _ in 0..2 {
                        let ran = ran.clone();
                        let pool = lane.pool().unwrap();
                        assert!(
                            pool.submit(Box::new(move |_| ran.send(()).unwrap())),
                            "there is room for four"
                        );
                    }
                })
            })
            .collect();
        join(submitting);
        (0..4).for_each(|_| runs.recv().unwrap());
    });
}

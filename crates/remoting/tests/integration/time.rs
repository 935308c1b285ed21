//! What depends on time, with a paused clock over a memory pipe.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rocketwire_protocol::{Command, Encoding, ResponseCode, frame};
use rocketwire_remoting::{
    Answer, ClientOptions, CloseCause, ConnectionEvent, ConnectionListener, Lane, RemotingClient, Router,
    RpcError, Server, ServerOptions, processor_fn,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::Instant,
};

use crate::peer::{ECHO, echo, echo_router};

fn nowhere() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

fn pipe(options: ClientOptions) -> (RemotingClient, DuplexStream) {
    let (ours, theirs) = duplex(1 << 16);
    let client = RemotingClient::new(options, Router::new());
    client.adopt("pipe", ours, nowhere(), nowhere());
    (client, theirs)
}

// spec: remoting I3 I11
#[tokio::test(start_paused = true)]
async fn a_deadline_is_kept_to_the_tick() {
    let (client, _theirs) = pipe(ClientOptions::default());
    for ms in [5, 100, 3_000] {
        let begun = Instant::now();
        let error = client.invoke("pipe", echo("x"), Duration::from_millis(ms)).await.unwrap_err();
        let took = begun.elapsed();
        assert!(matches!(error, RpcError::Timeout { .. }));
        let allowed = Duration::from_millis(ms)..Duration::from_millis(ms + 20);
        assert!(allowed.contains(&took), "{ms} ms took {took:?}");
    }
}

#[derive(Default)]
struct Log(std::sync::Mutex<Vec<&'static str>>);

impl ConnectionListener for Log {
    fn on_event(&self, event: ConnectionEvent) {
        self.0.lock().unwrap().push(match event {
            ConnectionEvent::Active(_) => "active",
            ConnectionEvent::Idle(_) => "idle",
            ConnectionEvent::Closed(..) => "closed",
            _ => "other",
        });
    }
}

// spec: remoting N12 S12
#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_an_event_of_its_own_before_it_closes_on_both_sides() {
    let (log, servers) = (Arc::new(Log::default()), Arc::new(Log::default()));
    let mut options = ServerOptions::default();
    options.listener = Some(servers.clone());
    options.connection.idle = Duration::from_secs(60);
    let server = Server::bind_nothing(echo_router(), options);
    let mut options = ClientOptions::default();
    options.listener = Some(log.clone());
    let client = RemotingClient::new(options, Router::new());
    // One that the server gives up, and one whose other end nobody has.
    let (ours, theirs) = duplex(1 << 16);
    client.adopt("served", ours, nowhere(), nowhere());
    server.adopt(theirs, nowhere(), nowhere()).unwrap();
    client.invoke("served", echo("x"), Duration::from_secs(1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(*servers.0.lock().unwrap(), ["active", "idle", "closed"]);
    assert_eq!(*log.0.lock().unwrap(), ["active", "closed"]);
    let (ours, _theirs) = duplex(1 << 16);
    client.adopt("silent", ours, nowhere(), nowhere());
    tokio::time::sleep(Duration::from_secs(121)).await;
    assert_eq!(log.0.lock().unwrap()[2..], ["active", "idle", "closed"]);
}

// spec: remoting N12
#[tokio::test(start_paused = true)]
async fn an_idle_connection_closes_after_120_seconds_and_not_before() {
    let (client, mut theirs) = pipe(ClientOptions::default());
    let connection = client.connect("pipe", Duration::from_secs(1)).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(110)).await;
        assert!(connection.is_open());
        client.invoke_oneway("pipe", echo("alive"), Duration::from_secs(1)).await.unwrap();
        let mut buffer = [0; 4096];
        assert_ne!(theirs.read(&mut buffer).await.unwrap(), 0);
    }
    tokio::time::sleep(Duration::from_secs(119)).await;
    assert!(connection.is_open());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(matches!(*connection.close_cause().unwrap(), CloseCause::Idle(_)));
    assert_eq!(theirs.read(&mut [0; 16]).await.unwrap(), 0);
}

// spec: remoting S12
#[tokio::test(start_paused = true)]
async fn a_server_closes_idle_connections_and_slow_frames() {
    let server = Server::bind("127.0.0.1:0", echo_router(), ServerOptions::default()).await.unwrap();
    let (ours, theirs) = duplex(1 << 16);
    let idle = server.adopt(ours, nowhere(), nowhere()).unwrap();
    let (ours, mut slow) = duplex(1 << 16);
    let slow_connection = server.adopt(ours, nowhere(), nowhere()).unwrap();
    let mut out = Vec::new();
    frame::encode(&echo("slow"), Encoding::Json, &mut out).unwrap();
    // One byte a second: never idle, never done.
    for byte in &out {
        if slow.write_all(std::slice::from_ref(byte)).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(matches!(*slow_connection.close_cause().unwrap(), CloseCause::SlowFrame(_)));
    tokio::time::sleep(Duration::from_secs(125)).await;
    assert!(matches!(*idle.close_cause().unwrap(), CloseCause::Idle(_)));
    drop(theirs);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_nobody_reads_on_is_not_a_slow_one() {
    let parked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let park = parked.clone();
    let hold = processor_fn(move |request| {
        park.lock().unwrap().push(request.into_responder().1);
        Answer::Taken
    });
    let mut options = ServerOptions::default();
    options.connection.max_served = 1;
    let server = Server::bind_nothing(Router::new().route(ECHO, hold, Lane::inline()), options);
    let (ours, mut theirs) = duplex(1 << 16);
    let connection = server.adopt(ours, nowhere(), nowhere()).unwrap();
    let mut out = Vec::new();
    frame::encode(&echo("parked"), Encoding::Json, &mut out).unwrap();
    let (half, rest) = (out.len() / 2, out[out.len() / 2..].to_vec());
    // The peer sends all of the second request; the server stops reading in the middle of it.
    theirs.write_all(&[&out[..], &out[..half]].concat()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    theirs.write_all(&rest).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((connection.close_cause().map(|cause| cause.to_string()), connection.served()), (None, 1));
    let first = parked.lock().unwrap().pop().unwrap();
    first.send(Command::response(ResponseCode::SUCCESS));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(parked.lock().unwrap().len(), 1, "the second one is read to its end");
    // A frame whose rest does not come is slow from now on.
    theirs.write_all(&out[..half]).await.unwrap();
    parked.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(connection.is_open());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(matches!(*connection.close_cause().unwrap(), CloseCause::SlowFrame(_)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_is_given_up() {
    let (client, theirs) = pipe(ClientOptions::default());
    let connection = client.connect("pipe", Duration::from_secs(1)).await.unwrap();
    let big = Command::request(ECHO).with_body(vec![0; 200_000]);
    let call = tokio::spawn(connection.invoke(big, Duration::from_secs(600)));
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(connection.is_open());
    let error = call.await.unwrap().unwrap_err();
    match error {
        RpcError::Closed { cause, .. } => assert!(matches!(*cause, CloseCause::Stalled { .. }), "{cause}"),
        other => panic!("{other}"),
    }
    drop(theirs);
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_kept_on_a_connection_that_is_always_busy() {
    let (client, theirs) = pipe(ClientOptions::default());
    let connection = client.connect("pipe", Duration::from_secs(1)).await.unwrap();
    let (mut read, mut write) = tokio::io::split(theirs);
    let answering = tokio::spawn(async move {
        let mut input = bytes::BytesMut::new();
        loop {
            while let Some(request) = frame::decode(&mut input, &Default::default()).unwrap() {
                if request.body == "silence" {
                    continue;
                }
                let mut out = Vec::new();
                frame::encode(&crate::peer::response_to(&request), Encoding::Json, &mut out).unwrap();
                write.write_all(&out).await.unwrap();
            }
            if read.read_buf(&mut input).await.unwrap_or(0) == 0 {
                return;
            }
        }
    });
    let begun = Instant::now();
    let silent = tokio::spawn(connection.invoke(echo("silence"), Duration::from_millis(500)));
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let busy = tokio::spawn({
        let (connection, done) = (connection.clone(), done.clone());
        async move {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                connection.invoke(echo("busy"), Duration::from_secs(60)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    assert!(matches!(silent.await.unwrap(), Err(RpcError::Timeout { .. })));
    assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    busy.await.unwrap();
    drop(connection);
    client.shutdown().await;
    answering.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn unfinished_frames_hold_so_much_and_no_more() {
    let mut options = ServerOptions::default();
    options.connection.max_partial = 1 << 20;
    let server = Server::bind_nothing(echo_router(), options);
    let mut out = Vec::new();
    frame::encode(&echo("big").with_body(vec![7; 200_000]), Encoding::Json, &mut out).unwrap();
    let half = &out[..100_000];
    let mut begun = Vec::new();
    for n in 0..20 {
        let (ours, mut theirs) = duplex(1 << 18);
        let connection = server.adopt(ours, nowhere(), nowhere()).unwrap();
        theirs.write_all(half).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let fits = (n + 1) * half.len() <= 1 << 20;
        match connection.close_cause() {
            None => assert!(fits, "number {n} is over the budget"),
            Some(cause) => {
                assert!(!fits && matches!(*cause, CloseCause::PartialFrames { .. }), "number {n}: {cause}");
                continue;
            }
        }
        begun.push(theirs);
    }
    assert_eq!((begun.len(), server.counters().stalled.load(std::sync::atomic::Ordering::SeqCst)), (10, 10));
    // A frame that is finished, and a connection that closes, give back what they held.
    begun.pop();
    let mut first = begun.remove(0);
    first.write_all(&out[half.len()..]).await.unwrap();
    assert_ne!(first.read(&mut [0; 16]).await.unwrap(), 0);
    for _ in 0..2 {
        let (ours, mut theirs) = duplex(1 << 18);
        let connection = server.adopt(ours, nowhere(), nowhere()).unwrap();
        theirs.write_all(half).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(connection.is_open());
        begun.push(theirs);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_answers_is_not_taken_for_a_silent_one() {
    let server = Server::bind_nothing(Router::new(), ServerOptions::default());
    let client = RemotingClient::new(ClientOptions::default(), echo_router());
    let connections = [0, 1].map(|n| {
        let (ours, theirs) = duplex(1 << 16);
        client.adopt(&n.to_string(), ours, nowhere(), nowhere());
        server.adopt(theirs, nowhere(), nowhere()).unwrap()
    });
    let [asked, silent] = connections;
    assert_eq!(asked.invoke(echo("there?"), Duration::from_secs(1)).await.unwrap().body, "there?");
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(matches!(&*silent.close_cause().unwrap(), CloseCause::Idle(after) if after.as_secs() == 10));
    tokio::time::sleep(Duration::from_secs(105)).await;
    assert!(asked.is_open());
}

#[derive(Clone, Copy, Debug)]
enum Slow {
    /// A byte a second: never idle, never done.
    Drips,
    /// Half of the first eight bytes.
    Half,
    /// Not a byte.
    Silent,
    /// Sends requests and reads no answer.
    Deaf,
}

impl Slow {
    /// Does so until the server hangs up; says when that was.
    async fn live(self, mut io: DuplexStream) -> Instant {
        let mut out = Vec::new();
        frame::encode(&echo("slow").with_body(vec![7; 300]), Encoding::Json, &mut out).unwrap();
        match self {
            Slow::Drips => {
                for byte in out.chunks(1).cycle() {
                    if io.write_all(byte).await.is_err() {
                        return Instant::now();
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            Slow::Half => io.write_all(&out[..4]).await.unwrap(),
            Slow::Silent => {}
            Slow::Deaf => {
                while io.write_all(&out).await.is_ok() {}
                return Instant::now();
            }
        }
        assert_eq!(io.read(&mut [0; 16]).await.unwrap(), 0);
        Instant::now()
    }

    /// How long it may live, and whether that is why it was closed.
    fn ended_well(self, cause: &CloseCause) -> (u64, bool) {
        match self {
            Slow::Drips | Slow::Half => (30, matches!(cause, CloseCause::SlowFrame(_))),
            Slow::Silent => (10, matches!(cause, CloseCause::Idle(_))),
            Slow::Deaf => (30, matches!(cause, CloseCause::Stalled { .. })),
        }
    }
}

// spec: remoting S12
#[tokio::test(start_paused = true)]
async fn two_thousand_slow_peers_are_closed_by_their_deadlines_and_a_good_one_is_served() {
    let mut options = ServerOptions::default();
    options.connection.high_water = 16 << 10;
    options.connection.low_water = 8 << 10;
    let server = Server::bind_nothing(echo_router(), options);
    let (ours, theirs) = duplex(1 << 12);
    let client = RemotingClient::new(ClientOptions::default(), Router::new());
    client.adopt("good", ours, nowhere(), nowhere());
    let good = server.adopt(theirs, nowhere(), nowhere()).unwrap();
    let begun = Instant::now();
    let crowd: Vec<_> = [Slow::Drips, Slow::Half, Slow::Silent, Slow::Deaf]
        .into_iter()
        .flat_map(|slow| std::iter::repeat_n(slow, 500))
        .map(|slow| {
            let (ours, theirs) = duplex(1 << 10);
            let connection = server.adopt(ours, nowhere(), nowhere()).unwrap();
            (slow, connection, tokio::spawn(slow.live(theirs)))
        })
        .collect();
    assert_eq!(server.connections().len(), 2_001);
    while begun.elapsed() < Duration::from_secs(125) {
        let asked = Instant::now();
        assert_eq!(client.invoke("good", echo("good"), Duration::from_secs(1)).await.unwrap().body, "good");
        assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for (slow, connection, living) in crowd {
        let cause = connection.close_cause().expect("it is closed");
        let (seconds, well) = slow.ended_well(&cause);
        assert!(well, "{slow:?}: {cause}");
        let lived = living.await.unwrap() - begun;
        // Who drips notices with its next byte.
        let deadline = Duration::from_secs(seconds);
        assert!((deadline..=deadline + Duration::from_secs(2)).contains(&lived), "{slow:?}: {lived:?}");
    }
    assert_eq!((server.connections().len(), good.is_open()), (1, true));
    assert_eq!(server.counters().stalled.load(std::sync::atomic::Ordering::SeqCst), 1_500);
}

#[tokio::test(start_paused = true)]
async fn durations_without_end_are_no_deadlines() {
    let never = Duration::MAX;
    let mut options = ServerOptions::default();
    (options.connection.idle, options.connection.first_byte) = (never, never);
    (options.connection.write_stall, options.connection.frame_timeout) = (never, never);
    let server = Server::bind_nothing(echo_router(), options);
    let mut options = ClientOptions::default();
    (options.connection.idle, options.connection.max_in_flight) = (never, 1);
    let client = RemotingClient::new(options, Router::new());
    let (ours, theirs) = duplex(1 << 10);
    client.adopt("pipe", ours, nowhere(), nowhere());
    server.adopt(theirs, nowhere(), nowhere()).unwrap();
    // Larger than the pipe, and more than may be under way.
    let calls = [0; 2].map(|_| client.invoke("pipe", echo("x").with_body(vec![7; 1 << 16]), never));
    for call in calls {
        assert_eq!(call.await.unwrap().body.len(), 1 << 16);
    }
    let connection = client.connect("pipe", never).await.unwrap();
    assert_eq!(connection.invoke(echo("x"), never).await.unwrap().body, "x");
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert!(connection.is_open());
    server.shutdown(never).await;
    assert!(client.invoke("nowhere.invalid:1", echo("x"), never).await.is_err());
}

//! Cut connections, crowds, and things done many times.

use std::{
    collections::HashSet,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use rocketwire_protocol::{Command, Encoding, ResponseCode, frame};
use rocketwire_remoting::{ClientOptions, Lane, RemotingClient, Router, RpcError, processor_fn};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::peer::{ECHO, LONG, Peer, client, echo, echo_router, listen, response_to, serve, until, within};

#[tokio::test]
async fn a_request_cut_at_any_byte_harms_nobody() {
    let server = serve(echo_router()).await;
    let mut out = Vec::new();
    frame::encode(&echo("cut"), Encoding::Json, &mut out).unwrap();
    for cut in 0..out.len() {
        let mut peer = Peer::dial(&server).await;
        peer.write(&out[..cut]).await;
    }
    let mut peer = Peer::dial(&server).await;
    peer.write(&out).await;
    assert_eq!(peer.request().await.body, "cut");
    until(|| server.connections().len() == 1).await;
    assert_eq!(server.counters().requests.load(SeqCst), 1);
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_a_lost_connection_and_the_next_call_gets_a_new_one() {
    let (listener, addr) = listen().await;
    let client = client();
    let mut length = 1;
    let mut cut = 0;
    while cut < length {
        let call = tokio::spawn({
            let (client, addr) = (client.clone(), addr.clone());
            async move { client.invoke(&addr, echo("x"), LONG).await }
        });
        let mut peer = Peer::accept(&listener).await;
        let request = peer.request().await;
        let mut out = Vec::new();
        frame::encode(&response_to(&request).with_body("x"), Encoding::Json, &mut out).unwrap();
        length = out.len();
        peer.write(&out[..cut]).await;
        drop(peer);
        let error = within(call).await.unwrap().unwrap_err();
        assert!(matches!(error, RpcError::Closed { .. }), "cut at {cut}: {error}");
        cut += 1;
    }
    assert_eq!(client.counters().connections.load(SeqCst), length as u64);
}

/// A stream that can be read to its end, and whose writes fail once it is told so. As a socket of which the runtime has
/// not heard yet that something came, it has nothing to read at the first look after that.
struct HalfDead {
    stream: tokio::io::DuplexStream,
    is_dead: Arc<AtomicBool>,
    was_looked_at: bool,
}

impl HalfDead {
    fn new(stream: tokio::io::DuplexStream, is_dead: Arc<AtomicBool>) -> HalfDead {
        HalfDead { stream, is_dead, was_looked_at: false }
    }
}

impl AsyncRead for HalfDead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_dead.load(SeqCst) {
            return Poll::Pending;
        }
        if !std::mem::replace(&mut self.was_looked_at, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for HalfDead {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_dead.load(SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn an_answer_that_came_before_the_end_is_an_answer() {
    // Bytes that are no frame follow at once.
    let (listener, addr) = listen().await;
    let client = client();
    let connection = client.connect(&addr, LONG).await.unwrap();
    let mut peer = Peer::accept(&listener).await;
    let call = tokio::spawn(connection.invoke(echo("x"), LONG));
    let request = peer.request().await;
    let mut out = Vec::new();
    frame::encode(&response_to(&request).with_body("just in time"), Encoding::Json, &mut out).unwrap();
    out.extend_from_slice(b"GET / HTTP/1.1");
    peer.write(&out).await;
    assert_eq!(within(call).await.unwrap().unwrap().body, "just in time");
    until(|| !connection.is_open()).await;

    // The next write fails before anybody has read.
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let dead = Arc::new(AtomicBool::new(false));
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let connection = client.adopt("pipe", HalfDead::new(ours, dead.clone()), nowhere, nowhere);
    // More than one turn handles.
    const CALLS: usize = 200;
    let calls: Vec<_> = (0..CALLS).map(|_| tokio::spawn(connection.invoke(echo("x"), LONG))).collect();
    let mut theirs = tokio::io::BufStream::new(theirs);
    let mut input = bytes::BytesMut::new();
    let mut out = Vec::new();
    for _ in 0..CALLS {
        let request = loop {
            if let Some(request) = frame::decode(&mut input, &Default::default()).unwrap() {
                break request;
            }
            assert_ne!(within(theirs.read_buf(&mut input)).await.unwrap(), 0);
        };
        frame::encode(&response_to(&request).with_body("just in time"), Encoding::Json, &mut out).unwrap();
    }
    theirs.write_all(&out).await.unwrap();
    theirs.flush().await.unwrap();
    dead.store(true, SeqCst);
    let lost = connection.invoke(echo("lost"), LONG);
    assert!(matches!(within(lost).await, Err(RpcError::Closed { .. })));
    for call in calls {
        assert_eq!(within(call).await.unwrap().unwrap().body, "just in time");
    }
}

#[tokio::test]
async fn a_one_way_request_that_came_before_the_end_is_handled() {
    let handled = Arc::new(AtomicUsize::new(0));
    let told = handled.clone();
    let count = processor_fn(move |_| {
        told.fetch_add(1, SeqCst);
        Command::response(ResponseCode::SUCCESS).into()
    });
    let router = Router::new().route(ECHO, count, Lane::inline());
    let client = RemotingClient::new(ClientOptions::default(), router);
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let dead = Arc::new(AtomicBool::new(false));
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let connection = client.adopt("pipe", HalfDead::new(ours, dead.clone()), nowhere, nowhere);
    let mut out = Vec::new();
    // More than one turn handles; and one whose answer nobody would read.
    for _ in 0..200 {
        frame::encode(&echo("how far I came").oneway(), Encoding::Json, &mut out).unwrap();
    }
    frame::encode(&echo("x"), Encoding::Json, &mut out).unwrap();
    theirs.write_all(&out).await.unwrap();
    dead.store(true, SeqCst);
    // This write fails before anybody has read.
    let lost = connection.invoke(echo("lost"), LONG);
    assert!(matches!(within(lost).await, Err(RpcError::Closed { .. })));
    until(|| !connection.is_open()).await;
    assert_eq!(handled.load(SeqCst), 200);
}

#[tokio::test]
async fn what_is_put_off_until_a_turn_ends_is_done_however_it_ends() {
    let turns = Arc::new(AtomicUsize::new(0));
    let told = turns.clone();
    let count = move || {
        told.fetch_add(1, SeqCst);
    };
    let server = serve(echo_router().after_turn(Arc::new(count))).await;
    let mut out = Vec::new();
    frame::encode(&echo("x").oneway(), Encoding::Json, &mut out).unwrap();
    out.extend_from_slice(b"GET / HTTP/1.1");
    let mut peer = Peer::dial(&server).await;
    peer.write(&out).await;
    assert!(peer.is_closed().await, "those bytes are no frame");
    until(|| server.connections().is_empty()).await;
    assert_eq!(turns.load(SeqCst), 1);
}

#[tokio::test]
async fn crowds_of_calls_on_one_connection_are_all_answered() {
    let server = serve(echo_router()).await;
    let client = client();
    let addr = server.local_addr().to_string();
    let connection = client.connect(&addr, LONG).await.unwrap();
    for crowd in [513, 65_535] {
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..crowd {
            let call = connection.invoke(Command::request(ECHO).with_body(n.to_string()), LONG * 4);
            calls.spawn(async move { call.await.unwrap().body });
        }
        let mut bodies = HashSet::new();
        while let Some(body) = calls.join_next().await {
            bodies.insert(body.unwrap());
        }
        assert_eq!(bodies.len(), crowd);
    }
    assert_eq!((connection.in_flight(), client.counters().strays.load(SeqCst)), (0, 0));
}

#[tokio::test]
async fn a_one_way_request_that_was_queued_before_a_shutdown_is_written() {
    let server = serve(echo_router()).await;
    let addr = server.local_addr().to_string();
    for count in 1..=20 {
        let client = client();
        client.invoke_oneway(&addr, echo("the last word"), LONG).await.unwrap();
        client.shutdown().await;
        until(|| server.connections().is_empty()).await;
        assert_eq!(server.counters().requests.load(SeqCst), count);
    }
}

/// Room that comes just as a call begins to wait for it, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn crowds_of_calls_that_wait_for_room_on_several_threads_are_all_answered() {
    let server = serve(echo_router()).await;
    let mut options = ClientOptions::default();
    options.connection.max_in_flight = 2;
    let client = RemotingClient::new(options, Router::new());
    let connection = client.connect(&server.local_addr().to_string(), LONG).await.unwrap();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let connection = connection.clone();
        crowd.spawn(async move {
            for _ in 0..1_000 {
                assert_eq!(within(connection.invoke(echo("x"), LONG)).await.unwrap().body, "x");
            }
        });
    }
    crowd.join_all().await;
    assert_eq!(connection.in_flight(), 0);
}

#[tokio::test]
async fn a_thousand_open_and_close_cycles_leave_nothing_behind() {
    let server = serve(echo_router()).await;
    let addr = server.local_addr().to_string();
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    for _ in 0..1_000 {
        let client = client();
        client.invoke(&addr, echo("x"), LONG).await.unwrap();
        client.shutdown().await;
    }
    until(|| server.connections().is_empty()).await;
    until(|| tasks.num_alive_tasks() <= before).await;
    assert_eq!(server.counters().connections.load(SeqCst), 1_000);
}

/// Polls a future as it wants to be, and gives it up when it waits for the `waits`th time.
async fn gives_up<F: Future>(future: F, waits: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut waited = 0;
    poll_fn(move |cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if waited == waits => Poll::Ready(None),
        Poll::Pending => {
            waited += 1;
            Poll::Pending
        }
    })
    .await
}

/// Each future of the client is dropped at its first wait, at its second, and so on until it ends by itself.
#[tokio::test]
async fn futures_dropped_at_every_await_point_leave_nothing_behind() {
    type Step = fn(RemotingClient, String) -> Pin<Box<dyn Future<Output = bool>>>;
    let steps: [(&str, Step); 5] = [
        ("invoke", |client, addr| {
            Box::pin(async move { client.invoke(&addr, echo("x"), LONG).await.unwrap().body == "x" })
        }),
        ("connect", |client, addr| {
            Box::pin(async move { client.connect(&addr, LONG).await.unwrap().is_open() })
        }),
        ("one-way", |client, addr| {
            Box::pin(async move { client.invoke_oneway(&addr, echo("x"), LONG).await.is_ok() })
        }),
        ("name server", |client, addr| {
            client.set_name_servers(vec![addr]);
            Box::pin(async move { client.invoke_name_server(echo("x"), LONG).await.unwrap().body == "x" })
        }),
        ("full table", |client, addr| {
            Box::pin(async move {
                let (one, two) = tokio::join!(
                    client.invoke(&addr, echo("x"), LONG),
                    client.invoke(&addr, echo("y"), LONG)
                );
                one.unwrap().body == "x" && two.unwrap().body == "y"
            })
        }),
    ];
    let server = serve(echo_router()).await;
    let addr = server.local_addr().to_string();
    for (name, step) in steps {
        let mut ended = false;
        let mut waits = 0;
        while !ended {
            let mut options = ClientOptions::default();
            options.connection.max_in_flight = 1;
            let client = RemotingClient::new(options, Router::new());
            let given_up = within(gives_up(step(client.clone(), addr.clone()), waits)).await;
            ended = given_up.is_some();
            assert_ne!(given_up, Some(false), "{name}");
            let connection = client.connect(&addr, LONG).await.unwrap();
            let answer = within(connection.invoke(echo("sound"), LONG)).await.unwrap();
            assert_eq!(
                (&answer.body[..], connection.in_flight()),
                (&b"sound"[..], 0),
                "{name}, {waits} waits"
            );
            assert_eq!(
                client.counters().connections.load(SeqCst),
                1,
                "{name}: one attempt, whoever waits for it"
            );
            waits += 1;
            client.shutdown().await;
        }
        assert!(waits > 1, "{name} never waits");
    }
    until(|| server.connections().is_empty()).await;
    let mut waits = 0;
    // A shutdown that is given up has stopped listening, and can be asked for again by dropping everything.
    loop {
        let server = serve(echo_router()).await;
        let addr = server.local_addr().to_string();
        let client = client();
        client.invoke(&addr, echo("x"), LONG).await.unwrap();
        let ended = within(gives_up(server.shutdown(LONG), waits)).await.is_some();
        let refused = || std::net::TcpStream::connect(&addr).is_err();
        until(refused).await;
        if ended {
            break;
        }
        waits += 1;
    }
    assert!(waits > 0, "the shutdown never waits");
}

#[tokio::test]
async fn calls_dropped_at_any_moment_leave_the_connection_sound() {
    let server = serve(echo_router()).await;
    let client = client();
    let connection = client.connect(&server.local_addr().to_string(), LONG).await.unwrap();
    for round in 0..300u64 {
        let call = connection.invoke(Command::request(ECHO).with_body(vec![7; 10_000]), LONG);
        let _ = tokio::time::timeout(Duration::from_micros(round % 60 * 10), call).await;
    }
    let answer = connection.invoke(echo("sound"), LONG).await.unwrap();
    assert_eq!(answer.body, "sound");
    assert_eq!((connection.in_flight(), connection.is_open()), (0, true));
}

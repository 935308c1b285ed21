//! Listening, bad bytes, limits, shutdown.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use rocketwire_protocol::{Command, Encoding, RequestCode, ResponseCode};
use rocketwire_remoting::{
    Answer, ConnectionEvent, ConnectionListener, Lane, Router, Server, ServerOptions, processor_fn,
};
use tokio::io::AsyncWriteExt;

use crate::peer::{LONG, Peer, client, echo, echo_router, serve, until, within};

// spec: remoting S1
#[tokio::test]
async fn a_port_in_use_is_an_error_that_says_what_to_do() {
    let server = serve(echo_router()).await;
    assert_ne!(server.local_addr().port(), 0);
    let addr = server.local_addr().to_string();
    let error = Server::bind(&addr, echo_router(), ServerOptions::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&addr) && text.contains("another port"), "{text}");
}

// spec: remoting F6 F8 F9 F10 F11 F12 F15 S2
#[tokio::test]
async fn bytes_that_are_no_frames_close_that_connection_and_no_other() {
    let server = serve(echo_router()).await;
    let mut good = Peer::dial(&server).await;
    let bad: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x01\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\0\0\0\0\0\0\0\0",
        b"\0\0\0\x03\0\0\0",
        b"\0\0\0\x19\x02\0\0\x15",
        b"\0\0\0\x19\x01\0\0\x00",
        b"\0\0\0\x19\0\0\0\x16",
        b"\0\0\0\x06\0\0\0\x02[]",
    ];
    for (n, bytes) in bad.iter().enumerate() {
        let mut peer = Peer::dial(&server).await;
        peer.write(bytes).await;
        assert!(peer.is_closed().await, "{bytes:?}");
        until(|| server.counters().protocol_errors.load(SeqCst) == n as u64 + 1).await;
    }
    // Four bytes of a good frame: neither closed nor answered, and then served.
    let mut out = Vec::new();
    rocketwire_protocol::frame::encode(&echo("slow"), Encoding::Json, &mut out).unwrap();
    let mut slow = Peer::dial(&server).await;
    slow.write(&out[..4]).await;
    good.send(&echo("good"), Encoding::Json).await;
    assert_eq!(good.request().await.body, "good");
    slow.write(&out[4..]).await;
    assert_eq!(slow.request().await.body, "slow");
}

// spec: remoting F4 F5
#[tokio::test]
async fn frames_come_in_any_pieces() {
    let server = serve(echo_router()).await;
    let mut peer = Peer::dial(&server).await;
    let mut out = Vec::new();
    for body in ["one", "two"] {
        rocketwire_protocol::frame::encode(&echo(body), Encoding::Binary, &mut out).unwrap();
    }
    for byte in &out {
        peer.write(std::slice::from_ref(byte)).await;
        peer.stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    peer.write(&out).await;
    for body in ["one", "two", "one", "two"] {
        assert_eq!(peer.request().await.body, body);
    }
}

// spec: remoting S11
#[tokio::test]
async fn a_peer_that_does_not_read_is_not_read_either_and_loses_nothing() {
    const REQUESTS: usize = 3_500;
    let server = serve(echo_router()).await;
    let peer = Peer::dial(&server).await;
    let (read, mut write) = peer.stream.into_split();
    let body = vec![b'x'; 4096];
    let sending = tokio::spawn(async move {
        for opaque in 0..REQUESTS {
            let request = Command { opaque: opaque as i32, ..Command::request(RequestCode(9001)) };
            let mut out = Vec::new();
            let request = request.with_body(body.clone());
            rocketwire_protocol::frame::encode(&request, Encoding::Binary, &mut out).unwrap();
            write.write_all(&out).await.unwrap();
        }
        write
    });
    // Long enough for the server to fill every buffer there is.
    until(|| server.counters().requests.load(SeqCst) > 200).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let handled = server.counters().requests.load(SeqCst) as usize;
    assert!(handled < REQUESTS, "the server read on although nobody takes its answers");
    let mut input = bytes::BytesMut::new();
    let mut read = read;
    for expected in 0..REQUESTS {
        let answer = loop {
            let limits = rocketwire_protocol::Limits::default();
            if let Some(answer) = rocketwire_protocol::frame::decode(&mut input, &limits).unwrap() {
                break answer;
            }
            assert_ne!(within(tokio::io::AsyncReadExt::read_buf(&mut read, &mut input)).await.unwrap(), 0);
        };
        assert_eq!(answer.opaque as usize, expected);
    }
    within(sending).await.unwrap();
}

#[tokio::test]
async fn too_many_connections_are_closed_at_once() {
    let mut options = ServerOptions::default();
    options.max_connections_per_ip = 2;
    let server = Server::bind("127.0.0.1:0", echo_router(), options).await.unwrap();
    let mut first = Peer::dial(&server).await;
    let mut second = Peer::dial(&server).await;
    for peer in [&mut first, &mut second] {
        peer.send(&echo("x"), Encoding::Json).await;
        peer.request().await;
    }
    let mut third = Peer::dial(&server).await;
    assert!(third.is_closed().await);
    assert_eq!(server.counters().connections_refused.load(SeqCst), 1);
    drop(first);
    until(|| server.connections().len() == 1).await;
    let mut fourth = Peer::dial(&server).await;
    fourth.send(&echo("x"), Encoding::Json).await;
    assert_eq!(fourth.request().await.body, "x");
}

// spec: remoting S15
#[tokio::test]
async fn shutdown_waits_for_what_is_in_work_and_then_closes_all() {
    let router = echo_router().route(
        RequestCode(1),
        processor_fn(|_| {
            Answer::later(async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Command::response(ResponseCode::SUCCESS).with_body("done")
            })
        }),
        Lane::inline(),
    );
    let server = serve(router).await;
    let addr = server.local_addr().to_string();
    let client = client();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (client, addr) = (client.clone(), addr.clone());
            tokio::spawn(async move { client.invoke(&addr, Command::request(RequestCode(1)), LONG).await })
        })
        .collect();
    until(|| server.counters().requests.load(SeqCst) == 20).await;
    assert!(within(server.shutdown(LONG)).await);
    for call in calls {
        assert_eq!(within(call).await.unwrap().unwrap().body, "done");
    }
    // The client may see the end of its connection only when it uses it; then nobody listens any more.
    let _ = client.invoke(&addr, echo("x"), LONG).await.unwrap_err();
    let error = client.invoke(&addr, echo("x"), LONG).await.unwrap_err();
    assert_eq!(error.kind(), rocketwire_remoting::RpcErrorKind::Connect, "{error}");
}

/// Inline answers, answers that come later, and answers of threads, while the clients go on asking.
#[tokio::test]
async fn shutdown_under_load_loses_nothing_that_was_taken_on() {
    for round in 0..10 {
        let handled = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = handled.clone();
        let now = processor_fn(move |request| {
            count.fetch_add(1, SeqCst);
            Command::response(ResponseCode::SUCCESS).with_body(request.command.body).into()
        });
        let count = handled.clone();
        let later = processor_fn(move |_| {
            count.fetch_add(1, SeqCst);
            Answer::later(async {
                tokio::time::sleep(Duration::from_millis(3)).await;
                Command::response(ResponseCode::SUCCESS)
            })
        });
        let router = Router::new()
            .route(RequestCode(1), now.clone(), Lane::inline())
            .route(RequestCode(2), later, Lane::inline())
            .route(RequestCode(3), now, Lane::blocking("load", 2, 1000));
        let server = serve(router).await;
        let addr = server.local_addr().to_string();
        let clients = [client(), client(), client()];
        let asking: Vec<_> = (0..30)
            .map(|n| {
                let (client, addr) = (clients[n % 3].clone(), addr.clone());
                tokio::spawn(async move {
                    let mut answered = 0;
                    let request = Command::request(RequestCode(1 + n as i32 % 3)).with_body(vec![1; n * 100]);
                    while client.invoke(&addr, request.clone(), LONG).await.is_ok() {
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        until(|| handled.load(SeqCst) > 200 + round * 50).await;
        assert!(within(server.shutdown(LONG)).await);
        let mut answered = 0;
        for asking in asking {
            answered += within(asking).await.unwrap();
        }
        assert_eq!(answered, handled.load(SeqCst), "round {round}");
    }
}

#[tokio::test]
async fn shutdown_does_not_wait_for_parked_requests_beyond_its_grace() {
    let router = echo_router().route(
        RequestCode(1),
        processor_fn(|request| {
            std::mem::forget(request.into_responder());
            Answer::Taken
        }),
        Lane::inline(),
    );
    let server = serve(router).await;
    let mut peer = Peer::dial(&server).await;
    peer.send(&Command::request(RequestCode(1)), Encoding::Json).await;
    until(|| server.counters().requests.load(SeqCst) == 1).await;
    assert!(!within(server.shutdown(Duration::from_millis(50))).await);
    assert!(peer.is_closed().await);
}

// spec: remoting S16
#[tokio::test]
async fn a_second_server_is_a_port_of_its_own_and_goes_without_the_first() {
    let main = serve(echo_router()).await;
    let own = processor_fn(|_| Command::response(ResponseCode::SUCCESS).with_body("sub-server").into());
    let sub = serve(Router::new().route(RequestCode(1), own, Lane::inline())).await;
    let mut there = Peer::dial(&main).await;
    let mut here = Peer::dial(&sub).await;
    for (peer, known, unknown) in [(&mut there, 9001, 1), (&mut here, 1, 9001)] {
        for (code, expected) in [(known, 0), (unknown, 3)] {
            peer.send(&Command::request(RequestCode(code)), Encoding::Json).await;
            assert_eq!(peer.request().await.code, expected, "code {code}");
        }
    }
    let addr = sub.local_addr();
    within(sub.shutdown(LONG)).await;
    assert!(here.is_closed().await);
    let error = tokio::net::TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    there.send(&echo("still here"), Encoding::Json).await;
    assert_eq!(there.request().await.body, "still here");
}

/// One line an event.
#[derive(Default)]
struct Log(std::sync::Mutex<Vec<String>>);

impl ConnectionListener for Log {
    fn on_event(&self, event: ConnectionEvent) {
        self.0.lock().unwrap().push(match event {
            ConnectionEvent::Active(connection) => format!("active {}", connection.id()),
            ConnectionEvent::Closed(connection, cause) => format!("closed {}: {cause}", connection.id()),
            other => format!("{other:?}"),
        });
    }
}

// spec: remoting S19
#[tokio::test]
async fn a_listener_hears_of_every_connection_that_comes_and_goes() {
    let log = std::sync::Arc::new(Log::default());
    let mut options = ServerOptions::default();
    options.listener = Some(log.clone());
    let server = Server::bind("127.0.0.1:0", echo_router(), options).await.unwrap();
    for n in 1..=2 {
        let mut peer = Peer::dial(&server).await;
        peer.send(&echo("x"), Encoding::Json).await;
        peer.request().await;
        drop(peer);
        until(|| log.0.lock().unwrap().len() == 2 * n).await;
    }
    let heard = log.0.lock().unwrap().clone();
    assert_eq!(
        heard,
        ["active 1", "closed 1: closed by the peer", "active 2", "closed 2: closed by the peer"]
    );
}

#[tokio::test]
async fn connections_are_handed_to_the_runtimes_in_turn() {
    let runtimes: Vec<_> = (0..2)
        .map(|_| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
        .collect();
    let mut options = ServerOptions::default();
    options.runtimes = runtimes.iter().map(|runtime| runtime.handle().clone()).collect();
    let names: std::sync::Arc<std::sync::Mutex<Vec<_>>> = Default::default();
    let seen = names.clone();
    let router = echo_router().route(
        RequestCode(1),
        processor_fn(move |_| {
            seen.lock().unwrap().push(std::thread::current().id());
            Command::response(ResponseCode::SUCCESS).into()
        }),
        Lane::inline(),
    );
    let server = Server::bind("127.0.0.1:0", router, options).await.unwrap();
    for _ in 0..4 {
        let mut peer = Peer::dial(&server).await;
        peer.send(&Command::request(RequestCode(1)), Encoding::Json).await;
        peer.request().await;
    }
    let ids = names.lock().unwrap().clone();
    assert!(ids[0] == ids[2] && ids[1] == ids[3] && ids[0] != ids[1], "{ids:?}");
    server.shutdown(LONG).await;
    runtimes.into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
}

// spec: remoting S3 S4 S6
#[tokio::test]
async fn a_listed_balancer_speaks_for_its_clients_and_others_do_not() {
    let who = processor_fn(|request| {
        let connection = request.connection();
        let text =
            format!("{} {:?}", connection.remote_addr(), connection.attribute("proxy_protocol_tlv_0xea"));
        Command::response(ResponseCode::SUCCESS).with_body(text).into()
    });
    let router = || echo_router().route(RequestCode(1), who.clone(), Lane::inline());
    let mut options = ServerOptions::default();
    options.proxy_from = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Server::bind("127.0.0.1:0", router(), options).await.unwrap();
    let golden =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x12\x0a\x09\x08\x07\x0a\0\0\x01\x15\xb3\x26\x94\xea\0\x03vpc";
    let mut frame = Vec::new();
    rocketwire_protocol::frame::encode(&Command::request(RequestCode(1)), Encoding::Json, &mut frame)
        .unwrap();

    let mut peer = Peer::dial(&server).await;
    peer.write(&[&golden[..], &frame].concat()).await;
    assert_eq!(peer.request().await.body, "10.9.8.7:5555 Some(\"vpc\")");

    let mut plain = Peer::dial(&server).await;
    plain.write(&frame).await;
    let own = plain.stream.local_addr().unwrap();
    assert_eq!(plain.request().await.body, format!("{own} None"));

    let mut bad = Peer::dial(&server).await;
    bad.write(b"PROXY TCP4 nonsense\r\n").await;
    assert!(bad.is_closed().await);
    until(|| server.connections().len() == 2).await;

    let server = serve(router()).await;
    let mut unlisted = Peer::dial(&server).await;
    unlisted.write(&[&golden[..], &frame].concat()).await;
    assert!(unlisted.is_closed().await);
}

#[tokio::test]
async fn a_balancer_that_has_said_nothing_does_not_hold_up_a_shutdown() {
    let mut options = ServerOptions::default();
    options.proxy_from = vec!["127.0.0.0/8".parse().unwrap()];
    options.proxy_timeout = 10 * LONG;
    let server = Server::bind("127.0.0.1:0", echo_router(), options).await.unwrap();
    let mut silent = Peer::dial(&server).await;
    let mut balancer = Peer::dial(&server).await;
    balancer.write(b"PROXY UNKNOWN\r\n").await;
    balancer.send(&echo("x"), Encoding::Json).await;
    assert_eq!(balancer.request().await.body, "x", "the silent one was accepted before");
    drop(balancer);
    assert!(within(server.shutdown(10 * LONG)).await);
    assert!(silent.is_closed().await);
}

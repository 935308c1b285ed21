//! Requests of a client and how they end.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use rocketwire_protocol::{Command, Encoding, Flag, RequestCode, ResponseCode};
use rocketwire_remoting::{
    Answer, ClientOptions, ConnectionEvent, ConnectionListener, HookError, Lane, Phase, RemotingClient,
    Router, RpcError, RpcErrorKind, RpcHook, processor_fn,
};

use crate::peer::{ECHO, LONG, Peer, client, echo, echo_router, listen, response_to, serve, until, within};

// spec: remoting D7 D19 F13 H11
#[tokio::test]
async fn a_call_is_answered_in_the_encoding_of_its_request() {
    let server = serve(echo_router()).await;
    let addr = server.local_addr().to_string();
    for encoding in [Encoding::Json, Encoding::Binary] {
        let mut options = ClientOptions::default();
        options.connection.encoding = encoding;
        let client = RemotingClient::new(options, Router::new());
        let request = echo("hello").with_field("unknown", "kept");
        let answer = client.invoke(&addr, request, LONG).await.unwrap();
        assert_eq!((&answer.body[..], answer.encoding), (&b"hello"[..], encoding));
        assert_eq!(answer.fields.get("unknown").as_deref(), Some("kept"));
        assert!(answer.is_response());
    }
}

// spec: remoting I1 D12
#[tokio::test]
async fn answers_may_come_in_any_order() {
    let (listener, addr) = listen().await;
    let client = client();
    let calls: Vec<_> = ["a", "b", "c"]
        .map(|body| {
            let (client, addr) = (client.clone(), addr.clone());
            tokio::spawn(async move { client.invoke(&addr, echo(body), LONG).await.unwrap().body })
        })
        .into();
    let mut peer = Peer::accept(&listener).await;
    let mut requests = Vec::new();
    for _ in 0..3 {
        requests.push(peer.request().await);
    }
    for request in requests.iter().rev() {
        peer.send(&response_to(request).with_body(request.body.clone()), Encoding::Json).await;
    }
    for (call, body) in calls.into_iter().zip(["a", "b", "c"]) {
        assert_eq!(within(call).await.unwrap(), body);
    }
}

// spec: remoting I2 I13
#[tokio::test]
async fn a_stray_answer_is_dropped_and_the_connection_lives() {
    let (listener, addr) = listen().await;
    let client = client();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.invoke(&addr, echo("x"), LONG).await }
    });
    let mut peer = Peer::accept(&listener).await;
    let request = peer.request().await;
    let mut stray = response_to(&request);
    stray.opaque ^= 0x7fff_0001;
    peer.send(&stray, Encoding::Json).await;
    peer.answer(&request, "x").await;
    peer.answer(&request, "again").await;
    assert_eq!(within(call).await.unwrap().unwrap().body, "x");
    until(|| client.counters().strays.load(SeqCst) == 2).await;
}

// spec: remoting I3 I8
#[tokio::test]
async fn a_late_answer_is_a_timeout_and_no_reason_to_close() {
    let (listener, addr) = listen().await;
    let client = client();
    let late = tokio::spawn({
        let (client, addr) = (client.clone(), addr.clone());
        async move { client.invoke(&addr, echo("late"), Duration::from_millis(50)).await }
    });
    let mut peer = Peer::accept(&listener).await;
    let first = peer.request().await;
    let error = within(late).await.unwrap().unwrap_err();
    assert!(
        matches!(&error, RpcError::Timeout { phase: Phase::Answer, addr: at, .. } if *at == addr),
        "{error}"
    );
    peer.answer(&first, "late").await;
    let next = tokio::spawn({
        let client = client.clone();
        async move { client.invoke(&addr, echo("next"), LONG).await }
    });
    let second = peer.request().await;
    peer.answer(&second, "next").await;
    assert_eq!(within(next).await.unwrap().unwrap().body, "next");
    assert_eq!(client.counters().strays.load(SeqCst), 1);
    assert_eq!(client.counters().connections.load(SeqCst), 1);
}

// spec: remoting I2 I3
#[tokio::test]
async fn a_late_answer_is_not_given_to_the_next_owner_of_its_slot() {
    let (listener, addr) = listen().await;
    let mut options = ClientOptions::default();
    options.connection.max_in_flight = 1;
    let client = RemotingClient::new(options, Router::new());
    let call = |body, timeout| {
        let (client, addr) = (client.clone(), addr.clone());
        tokio::spawn(async move { client.invoke(&addr, echo(body), timeout).await })
    };
    let late = call("late", Duration::from_millis(50));
    let mut peer = Peer::accept(&listener).await;
    let first = peer.request().await;
    assert_eq!(within(late).await.unwrap().unwrap_err().kind(), RpcErrorKind::Timeout);
    let next = call("next", LONG);
    let second = peer.request().await;
    assert_eq!(first.opaque as u16, second.opaque as u16, "there is one slot");
    assert_ne!(first.opaque, second.opaque);
    peer.answer(&first, "late").await;
    peer.answer(&second, "next").await;
    assert_eq!(within(next).await.unwrap().unwrap().body, "next");
    assert_eq!(client.counters().strays.load(SeqCst), 1);
}

// spec: remoting I7
#[tokio::test]
async fn a_timeout_closes_the_connection_where_that_is_wanted() {
    let (listener, addr) = listen().await;
    let mut options = ClientOptions::default();
    options.close_on_timeout = true;
    let client = RemotingClient::new(options, Router::new());
    let call = tokio::spawn(async move { client.invoke(&addr, echo("x"), Duration::from_millis(50)).await });
    let mut peer = Peer::accept(&listener).await;
    peer.request().await;
    assert_eq!(within(call).await.unwrap().unwrap_err().kind(), RpcErrorKind::Timeout);
    assert!(peer.is_closed().await);
}

// spec: remoting I9
#[tokio::test]
async fn a_lost_connection_ends_its_calls_at_once_with_one_cause() {
    let (listener, addr) = listen().await;
    let client = client();
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let (client, addr) = (client.clone(), addr.clone());
            tokio::spawn(async move { client.invoke(&addr, echo("x"), LONG * 100).await })
        })
        .collect();
    let mut peer = Peer::accept(&listener).await;
    for _ in 0..10 {
        peer.request().await;
    }
    drop(peer);
    let mut causes = Vec::new();
    for call in calls {
        match within(call).await.unwrap() {
            Err(error) => {
                let text = error.to_string();
                assert!(
                    text.contains(&addr) && text.contains("while waiting for the answer, after "),
                    "{text}"
                );
                assert!(
                    text.ends_with("s of 3000.0s: closed by the peer") && !error.was_not_sent(),
                    "{text}"
                );
                let RpcError::Closed { cause, .. } = error else { panic!("{error}") };
                causes.push(cause);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(causes.iter().all(|cause| Arc::ptr_eq(cause, &causes[0])));
}

#[tokio::test]
async fn a_call_on_a_connection_that_is_gone_was_certainly_not_sent() {
    let server = serve(echo_router()).await;
    let client = client();
    let connection = client.connect(&server.local_addr().to_string(), LONG).await.unwrap();
    connection.close("by the test");
    until(|| !connection.is_open()).await;
    for error in [
        connection.invoke(echo("x"), LONG).await.unwrap_err(),
        connection.invoke_oneway(echo("x")).unwrap_err(),
    ] {
        assert!(matches!(error, RpcError::Closed { phase: Phase::Queue, .. }), "{error}");
        assert!(error.was_not_sent() && error.is_retryable());
        assert!(error.to_string().ends_with(": closed by this side: by the test"), "{error}");
    }
}

// spec: client 6
#[tokio::test]
async fn a_remark_does_not_make_a_success_a_failure() {
    let router = Router::new().route(
        ECHO,
        processor_fn(|_| Command::error(ResponseCode::SUCCESS, "by the way").into()),
        Lane::inline(),
    );
    let server = serve(router).await;
    let answer = client().invoke(&server.local_addr().to_string(), echo("x"), LONG).await.unwrap();
    assert_eq!((answer.code, answer.remark.as_deref()), (0, Some("by the way")));
}

// spec: remoting I5
#[tokio::test]
async fn nobody_listening_is_a_connect_error_that_names_the_address() {
    let (listener, addr) = listen().await;
    drop(listener);
    let error = client().invoke(&addr, echo("x"), LONG).await.unwrap_err();
    assert_eq!(error.kind(), RpcErrorKind::Connect);
    assert!(error.to_string().contains(&addr) && error.was_not_sent(), "{error}");
}

// spec: remoting I4 N18
#[tokio::test]
async fn a_connect_that_eats_the_budget_is_a_timeout_of_that_phase() {
    // Nobody takes connections from this queue of one, so that a later connect hangs.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    let hung = loop {
        let dial = tokio::net::TcpStream::connect(addr);
        match tokio::time::timeout(Duration::from_millis(300), dial).await {
            Ok(stream) => filling.push(stream),
            Err(_) => break true,
        }
        assert!(filling.len() < 100, "the queue never fills");
    };
    assert!(hung);
    let mut options = ClientOptions::default();
    options.connect_timeout = Duration::from_millis(200);
    let client = RemotingClient::new(options, Router::new());
    let addr = addr.to_string();
    let error = client.invoke(&addr, echo("x"), Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, RpcError::Timeout { phase: Phase::Connect, .. }), "{error}");
    let error = client.invoke(&addr, echo("x"), LONG).await.unwrap_err();
    assert!(matches!(error, RpcError::Connect { .. }), "{error}");
}

// spec: remoting I12 I14
#[tokio::test]
async fn a_full_table_makes_callers_wait_until_their_deadline() {
    let (listener, addr) = listen().await;
    let mut options = ClientOptions::default();
    options.connection.max_in_flight = 1;
    let client = RemotingClient::new(options, Router::new());
    let first = tokio::spawn({
        let (client, addr) = (client.clone(), addr.clone());
        async move { client.invoke(&addr, echo("first"), LONG).await }
    });
    let mut peer = Peer::accept(&listener).await;
    let request = peer.request().await;
    let error = client.invoke(&addr, echo("x"), Duration::from_millis(30)).await.unwrap_err();
    assert!(matches!(error, RpcError::Timeout { phase: Phase::Queue, .. }), "{error}");
    assert!(error.was_not_sent());
    let error = client.invoke(&addr, echo("x"), Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, RpcError::TooManyRequests { limit: 1, .. }), "{error}");
    let second = tokio::spawn({
        let (client, addr) = (client.clone(), addr.clone());
        async move { client.invoke(&addr, echo("second"), LONG).await }
    });
    peer.answer(&request, "1").await;
    assert_eq!(within(first).await.unwrap().unwrap().body, "1");
    let request = peer.request().await;
    assert_eq!(request.body, "second", "those that gave up are not sent");
    peer.answer(&request, "2").await;
    assert_eq!(within(second).await.unwrap().unwrap().body, "2");
}

// spec: remoting I13
#[tokio::test]
async fn a_dropped_call_frees_its_slot_and_its_frame_is_whole() {
    let (listener, addr) = listen().await;
    let client = client();
    let connection = client.connect(&addr, LONG).await.unwrap();
    let mut peer = Peer::accept(&listener).await;
    for _ in 0..50 {
        let mut call = Box::pin(connection.invoke(echo("dropped"), LONG));
        // Polled once: the frame is in the output buffer.
        assert!(futures_poll(&mut call).await.is_none());
        drop(call);
    }
    assert_eq!(connection.in_flight(), 0);
    for _ in 0..50 {
        let request = peer.request().await;
        assert_eq!(request.body, "dropped");
        peer.answer(&request, "late").await;
    }
    until(|| client.counters().strays.load(SeqCst) == 50).await;
    let call = tokio::spawn(connection.invoke(echo("kept"), LONG));
    let request = peer.request().await;
    peer.answer(&request, "kept").await;
    assert_eq!(within(call).await.unwrap().unwrap().body, "kept");
}

async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

// spec: remoting I15 I6
#[tokio::test]
async fn a_oneway_request_carries_the_bit_and_an_answer_to_it_ends_no_call() {
    let (listener, addr) = listen().await;
    let client = client();
    client.invoke_oneway(&addr, echo("oneway"), LONG).await.unwrap();
    let mut peer = Peer::accept(&listener).await;
    let oneway = peer.request().await;
    assert_eq!(oneway.flag, Flag::ONEWAY);
    let call = tokio::spawn({
        let (client, addr) = (client.clone(), addr.clone());
        async move { client.invoke(&addr, echo("call"), LONG).await }
    });
    let request = peer.request().await;
    // 4.9 brokers answer one-way requests that they do not support.
    peer.answer(&oneway, "not yours").await;
    peer.answer(&request, "yours").await;
    assert_eq!(within(call).await.unwrap().unwrap().body, "yours");
    drop(listener);
    drop(peer);
    until(|| client.counters().strays.load(SeqCst) == 1).await;
}

// spec: remoting I16
#[tokio::test]
async fn what_does_not_fit_a_frame_is_not_sent() {
    let (listener, addr) = listen().await;
    let client = client();
    let request = Command::request(ECHO).with_body(vec![0; 17 << 20]);
    let error = client.invoke(&addr, request, LONG).await.unwrap_err();
    assert_eq!(error.kind(), RpcErrorKind::Encode);
    assert!(!error.is_retryable());
    let mut peer = Peer::accept(&listener).await;
    let call = tokio::spawn(async move { client.invoke(&addr, echo("small"), LONG).await });
    let request = peer.request().await;
    assert_eq!(request.body, "small");
    peer.answer(&request, "ok").await;
    within(call).await.unwrap().unwrap();
}

// spec: remoting I17 I18
#[tokio::test]
async fn a_callback_is_called_once_whatever_happens() {
    let server = serve(echo_router()).await;
    let client = client();
    let calls = Arc::new(AtomicUsize::new(0));
    let results = Arc::new(Mutex::new(Vec::new()));
    for addr in [server.local_addr().to_string(), "127.0.0.1:1".to_owned()] {
        let (calls, results) = (calls.clone(), results.clone());
        client.invoke_with(&addr, echo("x"), LONG, move |result| {
            calls.fetch_add(1, SeqCst);
            results.lock().unwrap().push(result.map_err(|e| e.kind()).map(|c| c.body));
        });
    }
    until(|| calls.load(SeqCst) == 2).await;
    let results = results.lock().unwrap();
    assert!(
        results.contains(&Ok("x".into())) && results.contains(&Err(RpcErrorKind::Connect)),
        "{results:?}"
    );
}

/// Java counts one-way requests that are not written yet; here their bytes count.
// spec: remoting I15
#[tokio::test]
async fn oneway_requests_are_refused_while_too_many_wait_to_be_written() {
    let (listener, addr) = listen().await;
    let mut options = ClientOptions::default();
    options.connection.max_pending = 1 << 20;
    let client = RemotingClient::new(options, Router::new());
    let connection = client.connect(&addr, LONG).await.unwrap();
    let mut peer = Peer::accept(&listener).await;
    let mut sent = 0;
    let error = loop {
        match connection.invoke_oneway(Command::request(ECHO).with_body(vec![1; 10_000])) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 10_000, "there is no bound");
    };
    assert_eq!(error.kind(), RpcErrorKind::Unwritten);
    assert!(error.was_not_sent() && connection.is_open() && sent >= 100, "{sent}: {error}");
    for _ in 0..sent {
        assert_eq!(peer.request().await.flag, Flag::ONEWAY);
    }
    until(|| connection.invoke_oneway(echo("room again")).is_ok()).await;
    assert_eq!(peer.request().await.body, "room again");
}

#[derive(Default)]
struct Hooked(AtomicUsize);

impl RpcHook for Hooked {
    fn before(&self, _: &str, _: &mut Command) -> Result<(), HookError> {
        self.0.fetch_add(1, SeqCst);
        Ok(())
    }
}

// spec: remoting I20
#[tokio::test]
async fn requests_of_a_server_run_none_of_its_hooks_and_have_permits_of_their_own() {
    let hooked = Arc::new(Hooked::default());
    let server = serve(echo_router().hook(hooked.clone())).await;
    let mut client = Peer::dial(&server).await;
    client.send(&echo("here I am"), Encoding::Json).await;
    client.request().await;
    let [connection] = &server.connections()[..] else { panic!("there is one connection") };
    let asking: Vec<_> = (0..64).map(|_| tokio::spawn(connection.invoke(echo("there?"), LONG))).collect();
    let mut requests = Vec::new();
    for _ in 0..64 {
        requests.push(client.request().await);
    }
    let error = connection.invoke(echo("one too many"), Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, RpcError::TooManyRequests { limit: 64, .. }), "{error}");
    for request in &requests {
        client.answer(request, "yes").await;
    }
    for asking in asking {
        assert_eq!(within(asking).await.unwrap().unwrap().body, "yes");
    }
    assert_eq!(hooked.0.load(SeqCst), 1, "the client's request and nothing else");
}

// spec: remoting I20 D15
#[tokio::test]
async fn a_server_asks_its_client_over_the_same_connection() {
    let ask = RequestCode(9100);
    let back = RequestCode(9101);
    let router = Router::new().route(
        ask,
        processor_fn(move |request| {
            let connection = request.connection().clone();
            Answer::later(async move {
                let known = connection.invoke(Command::request(back), LONG).await.unwrap();
                let unknown = connection.invoke(Command::request(RequestCode(77)), LONG).await.unwrap();
                let text = format!("{} {}", known.code, unknown.code);
                Command::response(ResponseCode::SUCCESS).with_body(text)
            })
        }),
        Lane::inline(),
    );
    let server = serve(router).await;
    let answers = processor_fn(|_| Command::response(ResponseCode(42)).into());
    let client =
        RemotingClient::new(ClientOptions::default(), Router::new().route(back, answers, Lane::inline()));
    let addr = server.local_addr().to_string();
    let answer = client.invoke(&addr, Command::request(ask), LONG).await.unwrap();
    assert_eq!(answer.body, "42 3");
}

// spec: remoting N1
#[tokio::test]
async fn concurrent_first_calls_share_one_connect() {
    let server = serve(echo_router()).await;
    let client = client();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (client, addr) = (client.clone(), server.local_addr().to_string());
            tokio::spawn(async move { client.invoke(&addr, echo("x"), LONG).await.unwrap() })
        })
        .collect();
    for call in calls {
        within(call).await.unwrap();
    }
    assert_eq!(server.counters().connections.load(SeqCst), 1);
}

// spec: remoting N8 N10
// spec: client 8
#[tokio::test]
async fn go_away_moves_new_calls_to_a_new_connection_and_ends_the_old_ones_there() {
    let (listener, addr) = listen().await;
    let client = client();
    let call = |body: &'static str| {
        let (client, addr) = (client.clone(), addr.clone());
        tokio::spawn(async move { client.invoke(&addr, echo(body).with_field("k", "v"), LONG).await })
    };
    let pending = call("pending");
    let mut old = Peer::accept(&listener).await;
    let pending_request = old.request().await;
    let moved = call("moved");
    let request = old.request().await;
    let mut go_away = response_to(&request);
    go_away.code = ResponseCode::GO_AWAY.0;
    old.send(&go_away, Encoding::Json).await;
    let mut new = Peer::accept(&listener).await;
    let again = new.request().await;
    assert_eq!((again.body.clone(), again.fields.get("k").as_deref()), ("moved".into(), Some("v")));
    new.answer(&again, "there").await;
    assert_eq!(within(moved).await.unwrap().unwrap().body, "there");
    old.answer(&pending_request, "still here").await;
    assert_eq!(within(pending).await.unwrap().unwrap().body, "still here");
    assert!(old.is_closed().await, "it is closed when its last call has ended");
}

// spec: remoting N9
// spec: client 8
#[tokio::test]
async fn go_away_twice_is_an_error() {
    let router = Router::new()
        .fallback(processor_fn(|_| Command::response(ResponseCode::GO_AWAY).into()), Lane::inline());
    let server = serve(router).await;
    let addr = server.local_addr().to_string();
    let error = client().invoke(&addr, echo("x"), LONG).await.unwrap_err();
    assert_eq!(error.kind(), RpcErrorKind::GoAway);
    assert_eq!(server.counters().requests.load(SeqCst), 2, "one more attempt, not two");
    let mut options = ClientOptions::default();
    options.reconnect_on_go_away = false;
    let client = RemotingClient::new(options, Router::new());
    let answer = client.invoke(&addr, echo("x"), LONG).await;
    assert!(matches!(&answer, Ok(a) if a.response_code() == ResponseCode::GO_AWAY), "{answer:?}");
}

#[derive(Default)]
struct Log(Mutex<Vec<&'static str>>);

impl ConnectionListener for Log {
    fn on_event(&self, event: ConnectionEvent) {
        self.0.lock().unwrap().push(match event {
            ConnectionEvent::Connecting(_) => "connecting",
            ConnectionEvent::Active(_) => "active",
            ConnectionEvent::Idle(_) => "idle",
            ConnectionEvent::Closed(..) => "closed",
            _ => "other",
        });
    }
}

// spec: remoting N14 N11
#[tokio::test]
async fn events_tell_of_the_attempt_the_success_and_the_end() {
    let (listener, addr) = listen().await;
    let log = Arc::new(Log::default());
    let mut options = ClientOptions::default();
    options.listener = Some(log.clone());
    let client = RemotingClient::new(options, Router::new());
    let first = client.connect(&addr, LONG).await.unwrap();
    drop(Peer::accept(&listener).await);
    until(|| log.0.lock().unwrap().len() == 3).await;
    assert_eq!(*log.0.lock().unwrap(), ["connecting", "active", "closed"]);
    assert!(!first.is_open());
    let second = client.connect(&addr, LONG).await.unwrap();
    assert_ne!(first.id(), second.id());
    // Closing the old one again leaves the new one in the table.
    first.close("again");
    assert_eq!(client.connect(&addr, LONG).await.unwrap().id(), second.id());
    client.shutdown().await;
    until(|| log.0.lock().unwrap().len() == 6).await;
}

#[tokio::test]
async fn the_last_handle_closes_the_connections() {
    let server = serve(echo_router()).await;
    let client = client();
    client.invoke(&server.local_addr().to_string(), echo("x"), LONG).await.unwrap();
    let other = client.clone();
    drop(client);
    assert_eq!(other.counters().connections.load(SeqCst), 1);
    assert_eq!(server.connections().len(), 1);
    drop(other);
    until(|| server.connections().is_empty()).await;
}

//! How requests are handled, refused and answered.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use rocketwire_protocol::{Command, Encoding, Flag, LanguageCode, RequestCode, ResponseCode, Version};
use rocketwire_remoting::{
    Answer, ClientOptions, HookError, Lane, Processor, RemotingClient, Request, Responder, Router, RpcHook,
    Server, ServerOptions, processor_fn,
};

use crate::peer::{ECHO, LONG, Peer, client, echo, echo_router, serve, until};

// spec: remoting D1 D7 J11 D17
// spec: client 3 4
#[tokio::test]
async fn unknown_codes_are_answered_and_opaques_echoed_whatever_they_are() {
    let mut options = ServerOptions::default();
    options.connection.language = LanguageCode::JAVA;
    let server = Server::bind("127.0.0.1:0", echo_router(), options).await.unwrap();
    let mut peer = Peer::dial(&server).await;
    for encoding in [Encoding::Json, Encoding::Binary] {
        let request = Command { opaque: -5, ..Command::request(RequestCode(12345)) };
        peer.send(&request, encoding).await;
        let answer = peer.request().await;
        assert_eq!(
            (answer.code, answer.opaque, answer.flag, answer.encoding),
            (3, -5, Flag::RESPONSE, encoding)
        );
        assert_eq!(answer.remark.as_deref(), Some(" request type 12345 not supported"));
        assert_eq!((answer.language, answer.version), (LanguageCode::JAVA, Version::V5_3_3));
    }
    let twice = Command { opaque: 7, ..echo("twice") };
    peer.send(&twice, Encoding::Json).await;
    peer.send(&twice, Encoding::Json).await;
    assert_eq!([peer.request().await.opaque, peer.request().await.opaque], [7, 7]);
}

struct Rejecting;

impl Processor for Rejecting {
    fn process(&self, _: Request) -> Answer {
        unreachable!("it rejects")
    }
    fn rejects(&self) -> bool {
        true
    }
}

// spec: remoting D2 D3 D4 D6 D8
// spec: client 3
#[tokio::test]
async fn refusals_have_javas_texts_and_oneway_requests_get_none() {
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let blocked = processor_fn(move |_| {
        gate.lock().unwrap().recv().unwrap();
        Command::response(ResponseCode::SUCCESS).into()
    });
    let router = echo_router()
        .route(RequestCode(1), Arc::new(Rejecting), Lane::inline())
        .route(RequestCode(2), blocked, Lane::blocking("blocked", 1, 1))
        .route(RequestCode(3), processor_fn(|_| panic!("boom")), Lane::inline())
        .route(RequestCode(4), processor_fn(|_| Answer::later(async { panic!("later") })), Lane::inline())
        .route(RequestCode(5), processor_fn(|_| Answer::Taken), Lane::inline());
    let server = serve(router).await;
    let client = client();
    let addr = server.local_addr().to_string();
    let ask = async |code| {
        let answer = client.invoke(&addr, Command::request(RequestCode(code)), LONG).await.unwrap();
        (answer.code, answer.remark.unwrap_or_default().to_string())
    };
    assert_eq!(ask(1).await, (2, "[REJECTREQUEST]system busy, start flow control for a while".into()));
    let (code, remark) = ask(3).await;
    assert!(code == 1 && remark.contains("boom"), "{remark}");
    let (code, remark) = ask(4).await;
    assert!(code == 1 && remark.contains("later"), "{remark}");

    let mut peer = Peer::dial(&server).await;
    for opaque in 1..=3 {
        peer.send(&Command { opaque, ..Command::request(RequestCode(2)) }, Encoding::Json).await;
    }
    // One runs or is about to, at most one waits: at least one of three is refused.
    let refused = peer.request().await;
    assert_eq!(refused.code, 2);
    assert!(refused.remark.unwrap().starts_with("[OVERLOAD]system busy"));
    drop(go);
    let mut peer = Peer::dial(&server).await;
    for code in [1, 3, 4, 99] {
        peer.send(&Command::request(RequestCode(code)).oneway(), Encoding::Json).await;
    }
    peer.send(&Command { opaque: 5, ..Command::request(RequestCode(5)) }, Encoding::Json).await;
    peer.send(&Command { opaque: 6, ..echo("last") }, Encoding::Json).await;
    let only = peer.request().await;
    assert_eq!((only.opaque, only.body), (6, "last".into()), "nothing before was answered");
}

// spec: remoting D4
#[tokio::test]
async fn a_panic_is_an_answer_and_the_connection_lives() {
    let router = echo_router().route(RequestCode(3), processor_fn(|_| panic!("boom")), Lane::inline());
    let server = serve(router).await;
    let mut peer = Peer::dial(&server).await;
    for n in 0..3 {
        peer.send(&Command { opaque: n, ..Command::request(RequestCode(3)) }, Encoding::Json).await;
        peer.send(&Command { opaque: n + 10, ..echo("alive") }, Encoding::Json).await;
        let (panicked, echoed) = (peer.request().await, peer.request().await);
        assert_eq!((panicked.code, panicked.opaque), (1, n));
        assert!(panicked.remark.unwrap().contains("boom"));
        assert_eq!((echoed.opaque, echoed.body), (n + 10, "alive".into()));
    }
}

struct Panics(&'static str);

impl RpcHook for Panics {
    fn before(&self, _: &str, _: &mut Command) -> Result<(), HookError> {
        if self.0 == "before" { panic!("hook boom") } else { Ok(()) }
    }

    fn after(&self, _: &str, _: &Command, _: Option<&mut Command>) -> Result<(), HookError> {
        if self.0 == "after" { panic!("hook boom") } else { Ok(()) }
    }
}

impl Processor for Panics {
    fn process(&self, _: Request) -> Answer {
        unreachable!("nobody knows whether it rejects")
    }

    fn rejects(&self) -> bool {
        panic!("rejects boom")
    }
}

#[tokio::test]
async fn hooks_that_panic_have_failed_on_either_side_and_nothing_else_has() {
    let server = serve(echo_router().route(RequestCode(1), Arc::new(Panics("")), Lane::inline())).await;
    let mut peer = Peer::dial(&server).await;
    for (code, expected) in [(1, 1), (9001, 0)] {
        peer.send(&Command::request(RequestCode(code)), Encoding::Json).await;
        assert_eq!(peer.request().await.code, expected);
    }
    for when in ["before", "after"] {
        for lane in [Lane::inline(), Lane::blocking("hooked", 1, 10)] {
            let success = processor_fn(|_| Command::response(ResponseCode::SUCCESS).into());
            let router = Router::new().route(ECHO, success, lane).hook(Arc::new(Panics(when)));
            let server = serve(router).await;
            let mut peer = Peer::dial(&server).await;
            for _ in 0..2 {
                peer.send(&echo("x"), Encoding::Json).await;
                let answer = peer.request().await;
                assert_eq!((answer.code, answer.remark.as_deref()), (1, Some("hook: panicked: hook boom")));
            }
        }
        let server = serve(echo_router()).await;
        let router = Router::new().hook(Arc::new(Panics(when)));
        let client = RemotingClient::new(ClientOptions::default(), router);
        let error = client.invoke(&server.local_addr().to_string(), echo("x"), LONG).await.unwrap_err();
        assert!(error.to_string().contains("panicked: hook boom"), "{error}");
        let handled = server.counters().requests.load(SeqCst) == 1;
        assert_eq!((error.was_not_sent(), handled), (when == "before", when == "after"), "{error}");
    }
}

// spec: remoting D13 D14
#[tokio::test]
async fn a_request_that_waited_too_long_in_its_lane_is_answered_and_never_run() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let processor = processor_fn(move |_| {
        count.fetch_add(1, SeqCst);
        Command::response(ResponseCode::SUCCESS).into()
    });
    // Whatever has to wait at all has waited too long.
    let late = Lane::blocking_with("late", 1, 10, Duration::ZERO);
    let router = Router::new().route(RequestCode(1), processor.clone(), late).route(
        RequestCode(2),
        processor,
        Lane::blocking_with("patient", 1, 10, LONG),
    );
    let server = serve(router).await;
    let mut peer = Peer::dial(&server).await;
    peer.send(&Command { opaque: 1, ..Command::request(RequestCode(1)) }.oneway(), Encoding::Json).await;
    peer.send(&Command { opaque: 2, ..Command::request(RequestCode(1)) }, Encoding::Json).await;
    let answer = peer.request().await;
    assert_eq!((answer.code, answer.opaque), (2, 2), "the one-way request has no answer");
    let remark = answer.remark.unwrap();
    let text = "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: ";
    let (waited, behind) = remark.strip_prefix(text).unwrap().split_once("ms, size of queue: ").unwrap();
    assert!(waited.parse::<u64>().is_ok() && behind == "0", "{remark}");
    assert_eq!(runs.load(SeqCst), 0);
    peer.send(&Command::request(RequestCode(2)), Encoding::Json).await;
    assert_eq!((peer.request().await.code, runs.load(SeqCst)), (0, 1));
}

// spec: remoting D11
#[tokio::test]
async fn a_frame_with_both_bits_is_a_response() {
    let server = serve(echo_router()).await;
    let mut peer = Peer::dial(&server).await;
    peer.send(&Command { flag: Flag(3), ..echo("both") }, Encoding::Json).await;
    peer.send(&Command { flag: Flag(4), opaque: 9, ..echo("unknown bit") }, Encoding::Json).await;
    assert_eq!(peer.request().await.opaque, 9);
    assert_eq!(server.counters().strays.load(SeqCst), 1);
}

// spec: remoting D18
#[tokio::test]
async fn a_parked_request_is_answered_from_elsewhere_and_later() {
    let parked: Arc<Mutex<Vec<(Command, Responder)>>> = Arc::default();
    let park = parked.clone();
    let router = echo_router().route(
        RequestCode(11),
        processor_fn(move |request| {
            park.lock().unwrap().push(request.into_responder());
            Answer::Taken
        }),
        Lane::inline(),
    );
    let server = serve(router).await;
    let mut peer = Peer::dial(&server).await;
    peer.send(&Command { opaque: 1, ..Command::request(RequestCode(11)) }, Encoding::Binary).await;
    peer.send(&Command { opaque: 2, ..echo("overtakes") }, Encoding::Json).await;
    assert_eq!(peer.request().await.opaque, 2);
    until(|| !parked.lock().unwrap().is_empty()).await;
    let (request, responder) = parked.lock().unwrap().pop().unwrap();
    assert_eq!(request.opaque, 1);
    std::thread::spawn(move || responder.send(Command::response(ResponseCode::SUCCESS).with_body("at last")))
        .join()
        .unwrap();
    let answer = peer.request().await;
    assert_eq!((answer.opaque, answer.body, answer.encoding), (1, "at last".into(), Encoding::Binary));
}

#[derive(Default)]
struct Hook {
    fail_before: bool,
    abort_before: bool,
    fail_after: bool,
    seen: Arc<Mutex<Vec<String>>>,
}

impl RpcHook for Hook {
    fn before(&self, _: &str, request: &mut Command) -> Result<(), HookError> {
        self.seen.lock().unwrap().push(format!("before {}", request.code));
        if self.abort_before {
            return Err(HookError::Abort { code: ResponseCode::NO_PERMISSION, remark: "no".into() });
        }
        if self.fail_before { Err(HookError::Failed("before".into())) } else { Ok(()) }
    }
    fn after(&self, _: &str, _: &Command, response: Option<&mut Command>) -> Result<(), HookError> {
        self.seen.lock().unwrap().push(format!("after {:?}", response.map(|r| r.code)));
        if self.fail_after { Err(HookError::Failed("after".into())) } else { Ok(()) }
    }
}

// spec: remoting D5 D9 D10 A12
#[tokio::test]
async fn hooks_run_in_javas_order_and_may_end_a_request() {
    for (hook, code, remark, seen) in [
        (Hook::default(), 0, None, vec!["before 50", "after Some(0)"]),
        (Hook { abort_before: true, ..Hook::default() }, 16, Some("no"), vec!["before 50"]),
        (
            Hook { fail_before: true, ..Hook::default() },
            1,
            Some("hook: before"),
            vec!["before 50", "after Some(1)"],
        ),
        (
            Hook { fail_after: true, ..Hook::default() },
            1,
            Some("hook: after"),
            vec!["before 50", "after Some(0)"],
        ),
    ] {
        let log = hook.seen.clone();
        let handled = Arc::new(AtomicBool::new(false));
        let mark = handled.clone();
        let processor = processor_fn(move |_| {
            mark.store(true, SeqCst);
            Command::response(ResponseCode::SUCCESS).into()
        });
        let fails_before = hook.fail_before || hook.abort_before;
        let hook = Arc::new(hook);
        let router =
            Router::new().route(RequestCode(50), processor, Lane::inline()).hook(hook.clone()).hook(hook);
        let server = serve(router).await;
        let mut peer = Peer::dial(&server).await;
        peer.send(&Command::request(RequestCode(50)), Encoding::Json).await;
        let answer = peer.request().await;
        assert_eq!((answer.code, answer.remark.as_deref()), (code, remark));
        assert_eq!(*log.lock().unwrap(), seen);
        assert_eq!(handled.load(SeqCst), !fails_before);
    }
}

// spec: remoting S13 S14
// spec: client 7
#[tokio::test]
async fn a_server_that_goes_away_says_so_to_those_who_understand() {
    let server = serve(echo_router()).await;
    server.go_away();
    let mut peer = Peer::dial(&server).await;
    for (version, code, expected) in [(479, 9001, 1500), (476, 9001, 1500), (475, 9001, 0), (479, 99, 3)] {
        let request = Command { version: Version(version), code, ..Command::request(ECHO) };
        peer.send(&request, Encoding::Json).await;
        assert_eq!(peer.request().await.code, expected, "version {version}, code {code}");
    }
}

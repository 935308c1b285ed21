//! How long requests took, as a server tells.

use std::time::Duration;

use rocketwire_protocol::{Command, Encoding, RequestCode, ResponseCode, frame};
use rocketwire_remoting::{Answer, AnswerEnd, LATENCY_BOUNDS, Lane, Latency, Router, processor_fn};
use tokio::io::AsyncWriteExt;

use crate::peer::{ECHO, Peer, echo, echo_router, serve, until};

const SLOW: RequestCode = RequestCode(9002);
const NEVER: RequestCode = RequestCode(9003);
const REST: Duration = Duration::from_millis(20);

/// One route answers at once, one after a rest, one never.
fn router() -> Router {
    let slow = processor_fn(|request| {
        let (_, mut responder) = request.into_responder();
        responder.suspended();
        std::thread::spawn(move || {
            std::thread::sleep(REST);
            responder.send(Command::response(ResponseCode::PULL_NOT_FOUND));
        });
        Answer::Taken
    });
    let never = processor_fn(|request| {
        drop(request.into_responder());
        Answer::Taken
    });
    echo_router().route(SLOW, slow, Lane::inline()).route(NEVER, never, Lane::inline())
}

fn kind(latency: &Latency) -> (Option<i32>, Option<i32>, bool, &'static str, u64) {
    let codes = (latency.request.map(|code| code.0), latency.response.map(|code| code.0));
    (codes.0, codes.1, latency.is_long_polling, latency.end.name(), latency.counts.iter().sum())
}

// spec: remoting A11
#[tokio::test]
async fn each_answer_is_counted_when_it_was_written() {
    let server = serve(router()).await;
    let mut peer = Peer::dial(&server).await;
    for _ in 0..5 {
        peer.send(&echo("x"), Encoding::Json).await;
    }
    peer.send(&echo("x").oneway(), Encoding::Json).await;
    peer.send(&Command::request(SLOW), Encoding::Binary).await;
    peer.send(&Command::request(SLOW).oneway(), Encoding::Binary).await;
    peer.send(&Command::request(NEVER), Encoding::Binary).await;
    peer.send(&Command::request(RequestCode(77)), Encoding::Binary).await;
    for _ in 0..7 {
        peer.request().await;
    }
    let (echo, slow) = (Some(ECHO.0), Some(SLOW.0));
    let expected = [
        (echo, Some(0), false, "success", 5),
        (echo, Some(0), false, "oneway", 1),
        (slow, Some(19), true, "oneway", 1),
        (slow, Some(19), true, "success", 1),
        (None, Some(3), false, "success", 1),
    ];
    until(|| server.latencies().len() == expected.len()).await;
    let mut sorted: Vec<_> = server.latencies().iter().map(kind).collect();
    sorted[..4].sort_by_key(|kind| (kind.0, kind.2, kind.3 == "oneway"));
    let mut wanted = expected.to_vec();
    wanted[..4].sort_by_key(|kind| (kind.0, kind.2, kind.3 == "oneway"));
    assert_eq!(sorted, wanted);

    let rested = server.latencies().into_iter().find(|latency| latency.request == Some(SLOW)).unwrap();
    assert!(rested.total >= REST, "{rested:?}");
    let below = LATENCY_BOUNDS.iter().filter(|bound| **bound < REST).count();
    assert!(rested.counts[..below].iter().all(|count| *count == 0), "{rested:?}");
}

// spec: remoting A11
#[tokio::test]
async fn an_answer_whose_connection_is_gone_is_lost() {
    let server = serve(router()).await;
    let peer = Peer::dial(&server).await;
    // It reads nothing: what does not fit into the sockets' buffers is never written.
    let mut frames = Vec::new();
    for _ in 0..16 {
        let request = Command::request(ECHO).with_body(vec![b'x'; 1 << 20]);
        frame::encode(&request, Encoding::Json, &mut frames).unwrap();
    }
    let (_unread, mut sending) = peer.stream.into_split();
    let sent = tokio::spawn(async move { sending.write_all(&frames).await });
    until(|| server.connections().iter().any(|connection| connection.pending_bytes() > 1 << 20)).await;
    server.connections().into_iter().for_each(|connection| connection.close("test"));
    until(|| server.latencies().iter().any(|latency| latency.end == AnswerEnd::Lost)).await;
    assert!(server.latencies().iter().all(|latency| latency.request == Some(ECHO)));
    let _ = sent.await;
}

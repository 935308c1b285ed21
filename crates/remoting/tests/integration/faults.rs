//! Cut connections, crowds, and things done many times.

use std::{collections::HashSet, sync::atomic::Ordering::SeqCst, time::Duration};

use rocketwire_protocol::{Command, Encoding, frame};
use rocketwire_remoting::RpcError;

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

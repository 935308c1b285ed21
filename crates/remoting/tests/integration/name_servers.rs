//! Which name server is asked, and what is said when none answers.

use std::time::Duration;

use rocketwire_protocol::Command;
use rocketwire_remoting::RpcError;

use crate::peer::{ECHO, LONG, client, echo, echo_router, listen, serve};

// spec: remoting N2 N3 N5
// spec: client 10
#[tokio::test]
async fn a_dead_name_server_costs_a_call_only_its_share_and_the_next_is_pinned() {
    let (dead, gone) = listen().await;
    drop(dead);
    let server = serve(echo_router()).await;
    let client = client();
    client.set_name_servers(vec![gone, server.local_addr().to_string()]);
    for _ in 0..5 {
        assert_eq!(client.invoke_name_server(echo("x"), LONG).await.unwrap().body, "x");
    }
    assert_eq!(server.counters().connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_silent_name_server_does_not_use_up_the_budget() {
    let (_silent, addr) = listen().await;
    let server = serve(echo_router()).await;
    let list = vec![addr, server.local_addr().to_string()];
    // Each client begins at an address of its own choice: some of these begin at the silent one.
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let (client, list) = (client(), list.clone());
        calls.spawn(async move {
            client.set_name_servers(list);
            client.invoke_name_server(echo("x"), Duration::from_secs(4)).await
        });
    }
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap().unwrap().body, "x");
    }
}

#[tokio::test]
async fn the_error_says_which_addresses_were_tried_and_how() {
    let client = client();
    let error = client.invoke_name_server(Command::request(ECHO), LONG).await.unwrap_err();
    assert!(error.to_string().contains("none is configured"), "{error}");
    let (a, first) = listen().await;
    let (b, second) = listen().await;
    drop((a, b));
    client.set_name_servers(vec![first.clone(), second.clone()]);
    let error = client.invoke_name_server(Command::request(ECHO), LONG).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&first) && text.contains(&second) && text.contains("once"), "{text}");
    assert!(matches!(error, RpcError::NoNameServer { tried } if tried.len() == 2));
}

#[tokio::test]
async fn a_call_whose_time_is_over_does_not_say_that_none_is_configured() {
    let (_listener, addr) = listen().await;
    let client = client();
    client.set_name_servers(vec![addr.clone()]);
    let error = client.invoke_name_server(echo("x"), Duration::ZERO).await.unwrap_err();
    assert!(error.to_string().contains(&addr), "{error}");
}

// spec: remoting N6 N7
// spec: client 11
#[tokio::test]
async fn a_list_without_the_one_in_use_closes_its_connection() {
    let server = serve(echo_router()).await;
    let other = serve(echo_router()).await;
    let client = client();
    let addr = server.local_addr().to_string();
    client.set_name_servers(vec![addr.clone()]);
    client.invoke_name_server(echo("x"), LONG).await.unwrap();
    let connection = client.connect(&addr, LONG).await.unwrap();
    client.set_name_servers(Vec::new());
    client.set_name_servers(vec![addr]);
    assert!(connection.is_open() && client.name_servers().len() == 1);
    client.set_name_servers(vec![other.local_addr().to_string()]);
    crate::peer::until(|| !connection.is_open()).await;
    client.invoke_name_server(echo("x"), LONG).await.unwrap();
}

//! A client that outlives the runtime which it was first used in.

use std::time::Duration;

use rocketwire_remoting::{ClientOptions, RemotingClient, Router, SocksProxy};
use tokio::runtime::{Builder, Runtime};

use crate::peer::{LONG, client, echo, echo_router, listen, serve, within};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn a_connection_whose_runtime_has_ended_is_closed() {
    let (first, second) = (runtime(), runtime());
    let server = second.block_on(serve(echo_router()));
    let (client, addr) = (client(), server.local_addr().to_string());
    let connection = first.block_on(async {
        client.invoke(&addr, echo("x"), LONG).await.unwrap();
        client.connect(&addr, LONG).await.unwrap()
    });
    drop(first);
    assert!(!connection.is_open(), "nobody is left to serve it");
    second.block_on(async {
        let answer = within(client.invoke(&addr, echo("again"), LONG)).await.unwrap();
        assert_eq!(answer.body, "again");
        within(client.shutdown()).await;
    });
}

#[test]
fn a_dial_whose_runtime_has_ended_is_taken_over() {
    let (first, second) = (runtime(), runtime());
    // A proxy that never says a word: the dial hangs.
    let (_listener, proxy) = second.block_on(listen());
    let mut options = ClientOptions::default();
    options.connect_timeout = LONG;
    options.proxies = vec![SocksProxy {
        network: "0.0.0.0/0".parse().unwrap(),
        addr: proxy,
        username: None,
        password: None,
    }];
    let client = RemotingClient::new(options, Router::new());
    let short = Duration::from_millis(50);
    first.block_on(client.invoke("broker:1", echo("x"), short)).unwrap_err();
    drop(first);
    // On a thread of its own: a caller that never comes back must not hang the test.
    let call = second.spawn(async move { client.invoke("broker:1", echo("x"), short).await });
    let timer = runtime();
    let ended = timer.block_on(async { tokio::time::timeout(LONG, call).await });
    let ended = ended.is_ok();
    second.shutdown_background();
    assert!(ended, "the call ends by its deadline");
}

//! Connections by way of a SOCKS5 proxy, which does just what a test tells it.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use rocketwire_remoting::{ClientOptions, RemotingClient, Router, RpcError, SocksProxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::peer::{LONG, echo, echo_router, listen, serve, within};

const GRANTED: &[u8] = &[5, 0, 0, 1, 127, 0, 0, 1, 0, 80];

/// Expects and answers, in turn; then leads to `target`, or closes.
fn proxy(
    listener: TcpListener,
    script: Vec<(&'static [u8], &'static [u8])>,
    target: Option<SocketAddr>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (mut stream, _) = within(listener.accept()).await.unwrap();
        for (expected, answer) in script {
            let mut bytes = vec![0; expected.len()];
            within(stream.read_exact(&mut bytes)).await.unwrap();
            assert_eq!(bytes, expected);
            stream.write_all(answer).await.unwrap();
        }
        if let Some(target) = target {
            let mut onward = TcpStream::connect(target).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
}

fn entry(network: &str, addr: &str, login: Option<(&str, &str)>) -> SocksProxy {
    SocksProxy {
        network: network.parse().unwrap(),
        addr: addr.to_owned(),
        username: login.map(|(name, _)| name.to_owned()),
        password: login.map(|(_, password)| password.to_owned()),
    }
}

fn client(proxies: Vec<SocksProxy>) -> RemotingClient {
    let mut options = ClientOptions::default();
    options.connect_timeout = LONG;
    options.proxies = proxies;
    RemotingClient::new(options, Router::new())
}

// spec: remoting N17
#[tokio::test]
async fn a_target_is_reached_by_way_of_its_proxy_which_resolves_the_name() {
    const NAME: &[u8] = b"\x05\x01\0\x03\x0ebroker.invalid\x26\x94";
    let server = serve(echo_router()).await;
    for (login, script) in [
        (None, vec![(&[5, 1, 0][..], &[5, 0][..]), (NAME, GRANTED)]),
        (
            Some(("user", "pw")),
            vec![(&[5, 2, 0, 2], &[5, 2]), (b"\x01\x04user\x02pw", &[1, 0]), (NAME, GRANTED)],
        ),
        // A login is offered; who does not want it does not get it.
        (Some(("user", "pw")), vec![(&[5, 2, 0, 2], &[5, 0]), (NAME, GRANTED)]),
    ] {
        let (listener, addr) = listen().await;
        let proxied = proxy(listener, script, Some(server.local_addr()));
        let client = client(vec![entry("0.0.0.0/0", &addr, login)]);
        let answer = client.invoke("broker.invalid:9876", echo("through"), LONG).await.unwrap();
        assert_eq!(answer.body, "through");
        let connection = client.connect("broker.invalid:9876", LONG).await.unwrap();
        assert_eq!(connection.remote_addr().to_string(), addr, "the proxy's");
        client.shutdown().await;
        within(proxied).await.unwrap();
    }
}

// spec: remoting N17
#[tokio::test]
async fn the_first_proxy_that_matches_is_taken_and_without_one_the_way_is_direct() {
    let server = serve(echo_router()).await;
    let target = server.local_addr().to_string();
    let (first, first_addr) = listen().await;
    let (second, second_addr) = listen().await;
    let client = client(vec![
        entry("10.0.0.0/8", "127.0.0.1:1", None),
        entry("127.0.0.0/8", &first_addr, None),
        entry("0.0.0.0/0", &second_addr, None),
    ]);
    let port = server.local_addr().port().to_be_bytes();
    let request: &'static [u8] = [&[5, 1, 0, 1, 127, 0, 0, 1][..], &port].concat().leak();
    let proxied = proxy(first, vec![(&[5, 1, 0], &[5, 0]), (request, GRANTED)], Some(server.local_addr()));
    assert_eq!(client.invoke(&target, echo("first"), LONG).await.unwrap().body, "first");
    client.shutdown().await;
    within(proxied).await.unwrap();
    drop(second);

    let client = self::client(vec![entry("10.0.0.0/8", "127.0.0.1:1", None)]);
    assert_eq!(client.invoke(&target, echo("direct"), LONG).await.unwrap().body, "direct");
}

async fn failure(client: &RemotingClient) -> Arc<std::io::Error> {
    match client.invoke("broker.invalid:1", echo("x"), LONG).await.unwrap_err() {
        RpcError::Connect { addr, source, .. } => {
            assert_eq!(addr, "broker.invalid:1");
            source
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_error_names_the_proxy_and_the_step() {
    const NAME: &[u8] = b"\x05\x01\0\x03\x0ebroker.invalid\0\x01";
    let user = Some(("user", "hunter2"));
    let logs_in = (&[5, 2, 0, 2][..], &[5, 2][..]);
    let says = |answer: &'static [u8]| vec![(&[5, 1, 0][..], &[5, 0][..]), (NAME, answer)];
    for (login, script, kind, words) in [
        (
            None,
            vec![(&[5, 1, 0][..], &[5, 0xff][..])],
            ErrorKind::PermissionDenied,
            "set username and password",
        ),
        (
            user,
            vec![logs_in, (b"\x01\x04user\x07hunter2", &[1, 1])],
            ErrorKind::PermissionDenied,
            "logging in",
        ),
        (None, says(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]), ErrorKind::ConnectionRefused, "refused"),
        (None, says(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]), ErrorKind::HostUnreachable, "asking it for the target"),
        (None, vec![(&[5, 1, 0], b"HTTP/1.1 400 Bad Request\r\n\r\n")], ErrorKind::InvalidData, "not SOCKS5"),
        (None, says(&[5, 0, 0]), ErrorKind::UnexpectedEof, "asking it for the target"),
        (None, vec![(&[5, 1, 0], &[])], ErrorKind::UnexpectedEof, "agreeing on how to log in"),
        (user, vec![logs_in, (b"\x01\x04user\x07hunter2", &[])], ErrorKind::UnexpectedEof, "logging in"),
    ] {
        let (listener, addr) = listen().await;
        let proxied = proxy(listener, script, None);
        let error = failure(&client(vec![entry("0.0.0.0/0", &addr, login)])).await;
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(&format!("SOCKS5 proxy {addr}")) && text.contains(words), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        within(proxied).await.unwrap();
    }
    let (listener, addr) = listen().await;
    drop(listener);
    let error = failure(&client(vec![entry("0.0.0.0/0", &addr, None)])).await;
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains("connecting to it"), "{error}");
}

#[tokio::test]
async fn a_silent_proxy_is_given_up_after_the_connect_timeout() {
    let (listener, addr) = listen().await;
    let mut options = ClientOptions::default();
    options.connect_timeout = Duration::from_secs(1);
    options.proxies = vec![entry("0.0.0.0/0", &addr, None)];
    let error = failure(&RemotingClient::new(options, Router::new())).await;
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let text = error.to_string();
    assert!(text.contains(&addr) && text.contains("agreeing"), "{text}");
    drop(listener);
}

#[tokio::test]
async fn a_connection_that_comes_behind_a_shutdown_is_closed() {
    let (listener, addr) = listen().await;
    let client = client(vec![entry("0.0.0.0/0", &addr, None)]);
    let calling = tokio::spawn({
        let client = client.clone();
        async move { client.invoke("broker.invalid:9876", echo("x"), LONG).await }
    });
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    within(stream.read_exact(&mut [0; 3])).await.unwrap();
    client.shutdown().await;
    stream.write_all(&[5, 0]).await.unwrap();
    within(stream.read_exact(&mut [0; 21])).await.unwrap();
    stream.write_all(GRANTED).await.unwrap();
    assert!(matches!(within(calling).await.unwrap(), Err(RpcError::Closed { .. })));
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.unwrap();
}

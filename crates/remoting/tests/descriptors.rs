//! Running out of file descriptors, and what an idle connection costs. One test: the limits are the process's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // tests may

use std::{alloc::System, sync::atomic::Ordering::SeqCst, time::Duration};

use rocketwire_protocol::{Command, RequestCode, ResponseCode};
use rocketwire_remoting::{ClientOptions, Lane, RemotingClient, Router, Server, ServerOptions, processor_fn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::{io::AsyncWriteExt, net::TcpStream};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ECHO: RequestCode = RequestCode(9001);
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_idle_connection_is_cheap_and_a_server_outlives_having_no_descriptors() {
    let before = getrlimit(Resource::Nofile);
    idle_connections_give_their_buffers_back().await;
    an_announced_length_is_no_memory().await;
    a_server_without_descriptors_recovers(before).await;
}

async fn serve() -> Server {
    let echo = processor_fn(|request| {
        Command::response(ResponseCode::SUCCESS).with_body(request.command.body).into()
    });
    let router = Router::new().route(ECHO, echo, Lane::inline());
    Server::bind("127.0.0.1:0", router, ServerOptions::default()).await.unwrap()
}

async fn until(mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect("it takes too long");
}

async fn idle_connections_give_their_buffers_back() {
    const CONNECTIONS: usize = 400;
    let server = serve().await;
    let addr = server.local_addr().to_string();
    let region = Region::new(GLOBAL);
    let held = || {
        let change = region.change();
        change.bytes_allocated.saturating_sub(change.bytes_deallocated)
    };
    let (mut clients, mut busiest) = (Vec::new(), 0);
    for _ in 0..CONNECTIONS {
        let (client, before) = (RemotingClient::new(ClientOptions::default(), Router::new()), held());
        client.invoke(&addr, Command::request(ECHO).with_body(vec![1; 1000]), LONG).await.unwrap();
        clients.push(client);
        // Meanwhile the first may have given theirs back.
        busiest = busiest.max(held().saturating_sub(before));
    }
    assert!(busiest > 16 << 10, "{busiest} bytes: the buffers are not there while they are in use");
    // Both ends, the client of each, and the tables.
    until(|| held() / CONNECTIONS < 8 << 10).await;
    println!("an idle connection holds {} bytes, both ends with their tables", held() / CONNECTIONS);
}

/// Each announces a frame just within the limit and sends the first bytes of it.
async fn an_announced_length_is_no_memory() {
    const CONNECTIONS: usize = 50;
    let server = serve().await;
    let region = Region::new(GLOBAL);
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut peer = TcpStream::connect(server.local_addr()).await.unwrap();
        let mut begun = vec![0x00, 0xff, 0xff, 0xfc, 0x01, 0x00, 0x00, 0x15];
        begun.resize(50_000, 0);
        peer.write_all(&begun).await.unwrap();
        peers.push(peer);
    }
    until(|| server.connections().len() == CONNECTIONS).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let change = region.change();
    let held = change.bytes_allocated.saturating_sub(change.bytes_deallocated) / CONNECTIONS;
    assert!((50_000..256 << 10).contains(&held), "{held} bytes for 50,000 that came");
}

async fn a_server_without_descriptors_recovers(before: Rlimit) {
    let server = serve().await;
    let addr = server.local_addr();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(1_256), maximum: before.maximum }).unwrap();
    assert_eq!(ServerOptions::default().max_connections, 1_000, "some are left for everything else");
    setrlimit(Resource::Nofile, Rlimit { current: Some(open + 21), maximum: before.maximum }).unwrap();
    // Each takes one descriptor here and would take another one at the server.
    let mut crowd = Vec::new();
    while let Ok(stream) = TcpStream::connect(addr).await {
        crowd.push(stream);
        assert!(crowd.len() < 100, "the limit does not hold");
    }
    until(|| server.counters().accept_errors.load(SeqCst) > 0).await;
    drop(crowd);
    until(|| server.connections().is_empty()).await;
    setrlimit(Resource::Nofile, before).unwrap();
    let client = RemotingClient::new(ClientOptions::default(), Router::new());
    let answer =
        client.invoke(&addr.to_string(), Command::request(ECHO).with_body("back"), LONG).await.unwrap();
    assert_eq!(answer.body, "back");
}

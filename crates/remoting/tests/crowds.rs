//! Crowds of connections, and what each costs. One test, one part after the other: memory and descriptors are the
//! process's. `ROCKETWIRE_ROUNDS=5` makes the thousands that a broker meets out of the hundreds of a quick run:
//! 10,000 idle connections, 5,000 that announce 16 MiB each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)] // tests may

use std::{
    alloc::System,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use rocketwire_protocol::{Command, Encoding, RequestCode, ResponseCode, frame};
use rocketwire_remoting::{ClientOptions, Lane, RemotingClient, Router, Server, ServerOptions, processor_fn};
use rocketwire_testkit::rounds;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ECHO: RequestCode = RequestCode(9001);
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn crowds_are_cheap_and_leave_nothing_behind() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    // Both ends are here, and there are files besides.
    let most = limit.maximum.map_or(usize::MAX, |most| (most as usize - 300) / 2);
    let crowd = |usual: u64| (rounds(usual) as usize).min(most);
    idle_connections(crowd(2_000)).await;
    idle_clients(crowd(2_000)).await;
    half_a_header(crowd(2_000)).await;
    sixteen_mebibytes_announced(crowd(1_000)).await;
    connect_and_reset(rounds(2_000) as usize).await;
    open_and_close(rounds(1_000)).await;
}

async fn serve() -> Server {
    let echo = processor_fn(|request| {
        Command::response(ResponseCode::SUCCESS).with_body(request.command.body).into()
    });
    let router = Router::new().route(ECHO, echo, Lane::inline());
    let mut options = ServerOptions::default();
    options.max_connections_per_ip = usize::MAX;
    options.max_connections = usize::MAX;
    let server = Server::bind("127.0.0.1:0", router, options).await.unwrap();
    // Now it has everything that it has without a crowd.
    a_good_client_is_served(&server).await;
    until("closing", || server.connections().is_empty()).await;
    server
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("it takes too long: {what}"));
}

fn request() -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(&Command::request(ECHO).with_body(vec![1; 1000]), Encoding::Json, &mut out).unwrap();
    out
}

/// The other ends are sockets and nothing more, so that all memory is the server's.
async fn crowd(server: &Server, size: usize, first: &[u8]) -> Vec<TcpStream> {
    let mut crowd = Vec::with_capacity(size);
    for n in 0..size {
        let mut peer = TcpStream::connect(server.local_addr()).unwrap();
        peer.write_all(first).unwrap();
        crowd.push(peer);
        // Let the server take them before its queue is full.
        if n % 100 == 99 {
            until("accepting", || server.connections().len() == crowd.len()).await;
        }
    }
    until("accepting the last", || server.connections().len() == crowd.len()).await;
    assert!(server.connections().len() * 100 >= size * 99, "the crowd met a limit of its own");
    crowd
}

/// Whoever else is served as if nobody were there.
async fn a_good_client_is_served(server: &Server) {
    let client = RemotingClient::new(ClientOptions::default(), Router::new());
    let addr = server.local_addr().to_string();
    for _ in 0..10 {
        let request = Command::request(ECHO).with_body("good");
        assert_eq!(client.invoke(&addr, request, LONG).await.unwrap().body, "good");
    }
    client.shutdown().await;
}

async fn gone(server: &Server, files: usize) {
    until("closing", || server.connections().is_empty()).await;
    until("giving descriptors back", || open_files() <= files).await;
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn held(region: &Region<System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

async fn idle_connections(size: usize) {
    let server = serve().await;
    let files = open_files();
    let region = Region::new(GLOBAL);
    let mut crowd = crowd(&server, size, &request()).await;
    for peer in &mut crowd {
        // Waiting in `read` would keep the server, which is on the same thread, from answering.
        peer.set_nonblocking(true).unwrap();
        until("answering", || peer.read(&mut [0; 2000]).is_ok_and(|bytes| bytes > 0)).await;
    }
    until("giving buffers back", || held(&region) / size < 4 << 10).await;
    println!("{size} idle connections: {} bytes each on the server's side", held(&region) / size);
    a_good_client_is_served(&server).await;
    drop(crowd);
    gone(&server, files).await;
}

/// The client's side of the same.
async fn idle_clients(size: usize) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let files = open_files();
    let region = Region::new(GLOBAL);
    let client = RemotingClient::new(ClientOptions::default(), Router::new());
    let (mut peers, mut connections) = (Vec::with_capacity(size), Vec::with_capacity(size));
    for n in 0..size {
        let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        peers.push(listener.accept().await.unwrap().0.into_std().unwrap());
        let connection = client.adopt(&format!("peer {n}"), stream, addr, addr);
        connection.invoke_oneway(Command::request(ECHO).with_body(vec![1; 1000])).unwrap();
        connections.push(connection);
    }
    until("giving buffers back", || held(&region) / size < 4 << 10).await;
    println!("{size} idle connections: {} bytes each on the client's side", held(&region) / size);
    client.shutdown().await;
    assert!(connections.iter().all(|connection| !connection.is_open()));
    drop((peers, connections));
    until("giving descriptors back", || open_files() <= files).await;
}

async fn half_a_header(size: usize) {
    let server = serve().await;
    let files = open_files();
    let region = Region::new(GLOBAL);
    let crowd = crowd(&server, size, &request()[..7]).await;
    until("giving buffers back", || held(&region) / size < 4 << 10).await;
    println!("{size} half headers: {} bytes each", held(&region) / size);
    a_good_client_is_served(&server).await;
    drop(crowd);
    gone(&server, files).await;
}

/// Each announces a frame just within the limit and sends the first bytes of it.
async fn sixteen_mebibytes_announced(size: usize) {
    let server = serve().await;
    let files = open_files();
    let region = Region::new(GLOBAL);
    let mut begun = vec![0x00, 0xff, 0xff, 0xfc, 0x01, 0x00, 0x00, 0x15];
    begun.resize(300, 0);
    let crowd = crowd(&server, size, &begun).await;
    until("holding what came", || held(&region) / size < 4 << 10).await;
    println!("{size} times 16 MiB announced: {} bytes each", held(&region) / size);
    a_good_client_is_served(&server).await;
    drop(crowd);
    gone(&server, files).await;
}

/// Gone as soon as they are there, with a reset and not with an orderly end.
async fn connect_and_reset(times: usize) {
    let server = serve().await;
    let files = open_files();
    for n in 0..times {
        let peer = socket2::Socket::from(TcpStream::connect(server.local_addr()).unwrap());
        peer.set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        if n % 50 == 49 {
            tokio::task::yield_now().await;
        }
    }
    a_good_client_is_served(&server).await;
    gone(&server, files).await;
}

async fn open_and_close(cycles: u64) {
    let server = serve().await;
    let addr = server.local_addr().to_string();
    let tasks = tokio::runtime::Handle::current().metrics();
    let cycle = async |times| {
        for _ in 0..times {
            let client = RemotingClient::new(ClientOptions::default(), Router::new());
            client.invoke(&addr, Command::request(ECHO), LONG).await.unwrap();
            client.shutdown().await;
        }
        until("closing", || server.connections().is_empty()).await;
    };
    cycle(100).await;
    let (files, alive) = (open_files(), tasks.num_alive_tasks());
    let region = Region::new(GLOBAL);
    cycle(cycles).await;
    until("ending the tasks", || tasks.num_alive_tasks() <= alive && open_files() <= files).await;
    assert!(held(&region) < 16 << 10, "{cycles} cycles left {} bytes", held(&region));
}

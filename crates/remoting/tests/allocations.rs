//! What a request costs in allocations, both ends together, once everything is warm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // tests may

use std::{alloc::System, time::Duration};

use bytes::Bytes;
use rocketwire_protocol::{Command, Encoding, RequestCode, ResponseCode};
use rocketwire_remoting::{
    ClientOptions, Connection, Lane, RemotingClient, Router, Server, ServerOptions, processor_fn,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ECHO: RequestCode = RequestCode(9001);
const CALLERS: usize = 16;

async fn ask(connection: &Connection, body: &Bytes, times: usize) {
    for _ in 0..times {
        let request = Command::request(ECHO).with_body(body.clone());
        let answer = connection.invoke(request, Duration::from_secs(30)).await.unwrap();
        assert_eq!(answer.body.len(), body.len());
    }
}

async fn crowd(connection: &Connection, times: usize) {
    let body = Bytes::from_static(&[b'x'; 128]);
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (connection, body) = (connection.clone(), body.clone());
            tokio::spawn(async move { ask(&connection, &body, times).await })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

/// Read buffers are cut into frames and used again once these are gone; calls wait in a slab.
#[tokio::test]
async fn a_warm_request_costs_no_allocation() {
    for encoding in [Encoding::Json, Encoding::Binary] {
        let echo = processor_fn(|request| {
            Command::response(ResponseCode::SUCCESS).with_body(request.command.body).into()
        });
        let router = Router::new().route(ECHO, echo, Lane::inline());
        let server = Server::bind("127.0.0.1:0", router, ServerOptions::default()).await.unwrap();
        let mut options = ClientOptions::default();
        options.connection.encoding = encoding;
        let client = RemotingClient::new(options, Router::new());
        let addr = server.local_addr().to_string();
        let connection = client.connect(&addr, Duration::from_secs(30)).await.unwrap();
        crowd(&connection, 500).await;

        let region = Region::new(GLOBAL);
        crowd(&connection, 2_000).await;
        let cost = region.change();
        let probe = vec![1u8; 1 << 20];
        let counted = region.change().bytes_allocated - cost.bytes_allocated;
        assert!(counted >= probe.len(), "the allocator is not counted");

        let requests = (2_000 * CALLERS) as f64;
        let allocations = (cost.allocations + cost.reallocations) as f64 / requests;
        let bytes = cost.bytes_allocated as f64 / requests;
        assert!(allocations < 0.05, "{encoding}: {allocations} allocations a request");
        assert!(bytes < 64.0, "{encoding}: {bytes} bytes a request");
        println!("{encoding}: {allocations:.3} allocations, {bytes:.0} bytes a request, both ends");
    }
}

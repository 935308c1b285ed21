//! `rocketwire bench rpc`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rocketwire_protocol::Command;
use rocketwire_remoting::{ClientOptions, Connection, RemotingClient, Router};

use super::{
    ECHO,
    load::{self, Plan, Tally, Window},
};
use crate::{
    args::{self, HeaderEncoding},
    failure::Failure,
    output::Format,
};

/// Load a `bench rpc-server` with requests in a closed loop
///
/// Each connection has INFLIGHT tasks that send a request, wait for its answer and send the next. A warm-up of a
/// quarter of the duration (one second at most) is not counted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire bench rpc-server --port 9001 &
  rocketwire bench rpc --connections 8 --inflight 32 --body 1k -o json

Fields of the JSON: rps, p50_us, p99_us, p999_us, max_us, errors, requests, seconds,
cpu_us (CPU time of this side for each request).")]
pub(crate) struct Args {
    /// The server
    #[arg(long, default_value = "127.0.0.1:9001", value_name = "HOST:PORT", value_parser = args::address)]
    addr: String,

    /// Connections, in all threads together
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,

    /// Requests in flight on each connection
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    inflight: u32,

    /// How long to measure
    #[arg(short, long, default_value = "3s", value_parser = args::duration)]
    duration: Duration,

    /// Bytes of each body, as 128 or 64k
    #[arg(short, long, default_value = "128", value_parser = args::size, value_name = "BYTES")]
    body: usize,

    /// How headers are written
    #[arg(long, value_enum, default_value_t = HeaderEncoding::Binary)]
    encoding: HeaderEncoding,

    /// How long the connection's task looks for more before it sleeps, as 50us; 0 to sleep at once
    #[arg(long, value_parser = args::duration)]
    look: Option<Duration>,

    /// Threads, each with a runtime and its share of the connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// No call of a healthy run takes so long.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let threads = usize::from(args.threads.min(args.connections));
    load::run(&Plan::new(threads, args.duration, args.output), async |number| {
        let mut clients = Vec::new();
        for _ in (number..usize::from(args.connections)).step_by(threads) {
            clients.push(connect(args).await?);
        }
        Ok(async move |window, tally| calls(args, clients, window, tally).await)
    })
}

/// A client of its own for each connection: one client has one connection to an address.
async fn connect(args: &Args) -> Result<(RemotingClient, Connection), Failure> {
    let mut options = ClientOptions::default();
    options.connection.encoding = args.encoding.into();
    if let Some(look) = args.look {
        options.connection.look = look;
    }
    let client = RemotingClient::new(options, Router::new());
    let connection = client.connect(&args.addr, Duration::from_secs(3)).await.map_err(|error| {
        Failure::new(format_args!("{error}; is `rocketwire bench rpc-server` running at {}?", args.addr))
    })?;
    Ok((client, connection))
}

async fn calls(
    args: &Args,
    clients: Vec<(RemotingClient, Connection)>,
    window: Window,
    tally: Arc<Tally>,
) -> Result<(), Failure> {
    let body = Bytes::from(vec![b'x'; args.body]);
    let mut tasks = Vec::new();
    for (_, connection) in &clients {
        for _ in 0..args.inflight {
            let (connection, body) = (connection.clone(), body.clone());
            let one = move || {
                let request = Command::request(ECHO).with_body(body.clone());
                let (call, expected) = (connection.invoke(request, TIMEOUT), body.len());
                async move {
                    match call.await {
                        Ok(answer) if answer.code == 0 && answer.body.len() == expected => Ok(()),
                        Ok(answer) => {
                            Err(format!("the answer is {}: {:?}", answer.response_code(), answer.remark))
                        }
                        Err(error) => Err(error.to_string()),
                    }
                }
            };
            tasks.push(tokio::spawn(load::closed_loop(window, tally.clone(), one)));
        }
    }
    for task in tasks {
        task.await.map_err(|_| load::panicked())?;
    }
    for (client, _) in clients {
        client.shutdown().await;
    }
    Ok(())
}

//! `rocketwire health`.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use crate::{args, failure::Failure, output::Output};

/// More than any verdict has.
const MAX_ANSWER: usize = 64 << 10;

/// Ask a node whether it is well: for health checks of containers
///
/// Succeeds if the node answers 200 at `/healthz`, or with --ready at `/readyz`. The node has to be started with
/// --metrics.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire health                                  a node with --metrics 127.0.0.1:9877
  rocketwire health --ready 10.0.0.5:9877            also: it takes messages

Exit codes: 0 it is well, 1 it is not, or does not answer.")]
pub(crate) struct Args {
    /// Where the node serves its metrics
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:9877", value_parser = args::address)]
    address: String,

    /// Ask whether it takes messages, too: the disk is not full, and it is not about to stop
    #[arg(long)]
    ready: bool,

    /// How long that may take
    #[arg(long, default_value = "3s", value_parser = args::duration)]
    timeout: Duration,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let answer = get(&args.address, path, args.timeout).map_err(|error| {
        Failure::new(format_args!(
            "{} does not answer: {error}; does the node run with --metrics {0}?",
            args.address
        ))
    })?;
    let verdict = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim_end());
    if !answer.starts_with("HTTP/1.") {
        return Err(Failure::new(format_args!(
            "what listens at {} does not speak HTTP; the address after --metrics is wanted",
            args.address
        )));
    }
    if !answer.starts_with("HTTP/1.1 200 ") {
        return Err(Failure::new(format_args!("{} is not well: {verdict}", args.address)));
    }
    let mut out = Output::new();
    out.line(verdict)?;
    out.flush()
}

fn get(address: &str, path: &str, timeout: Duration) -> io::Result<String> {
    let begun = Instant::now();
    let left = || {
        let left = timeout.saturating_sub(begun.elapsed());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    };
    let mut failed: io::Error = io::ErrorKind::AddrNotAvailable.into();
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left()?) {
            Ok(stream) => return exchange(stream, path, left),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn exchange(
    mut stream: TcpStream,
    path: &str,
    left: impl Fn() -> io::Result<Duration>,
) -> io::Result<String> {
    stream.set_write_timeout(Some(left()?))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while answer.len() < MAX_ANSWER {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(part.get(..n).unwrap_or_default()),
            // What a read says when its time is over, on Unix.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => left().map(drop)?,
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

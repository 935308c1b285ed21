use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::support::{Ended, Serve, command, run, signal, wait};

/// A report with work done and no failure. Nothing is asserted about speed.
fn check(ended: Ended) {
    let report = ended.ok().json().remove(0);
    assert!(report["requests"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["errors"], 0, "{report}");
    for field in ["rps", "p50_us", "p99_us", "p999_us", "max_us"] {
        assert!(report[field].as_f64().unwrap() > 0.0, "{field}: {report}");
    }
    assert!(report["p50_us"].as_f64() <= report["p99_us"].as_f64(), "{report}");
}

#[test]
fn requests_are_measured() {
    let mut server = command(&["bench", "rpc-server", "--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let addr = ready.split_whitespace().last().unwrap();
    for more in [
        &["--connections", "1", "--inflight", "1"][..],
        &["-c", "3", "-i", "8", "--threads", "2", "--encoding", "json"],
    ] {
        let args = ["bench", "rpc", "--addr", addr, "--duration", "300ms", "--body", "1k", "-o", "json"];
        check(run(&[&args[..], more].concat(), b""));
    }
    signal(&server, "TERM");
    assert_eq!(wait(&mut server).code(), Some(0));
}

#[test]
fn sends_and_consumes_are_measured() {
    let serve = Serve::memory();
    let args = ["-n", &serve.address, "-t", "Load", "--duration", "500ms", "-o", "json"];
    check(run(&[&["bench", "send", "--inflight", "16"], &args[..]].concat(), b""));
    check(run(&[&["bench", "consume"], &args[..]].concat(), b""));
}

#[test]
fn the_time_to_the_consumer_is_measured() {
    let serve = Serve::memory();
    let args = ["bench", "latency", "-n", &serve.address, "-t", "Load", "--duration", "600ms", "-o", "json"];
    // The second run finds the messages of the first one in the topic.
    for more in [&["--rate", "50"][..], &["--rate", "400", "--body", "16", "--encoding", "binary"]] {
        let ended = run(&[&args[..], more].concat(), b"");
        let report = ended.json().remove(0);
        check(ended);
        assert_eq!(report["missing"], 0, "{report}");
        // Each message of the schedule once, whatever the machine does meanwhile.
        let rate: u64 = more[1].parse().unwrap();
        assert_eq!(report["requests"], rate * 6 / 10, "{report}");
    }
}

#[test]
fn the_time_to_the_consumer_has_limits() {
    let serve = Serve::memory();
    let short = run(&["bench", "latency", "-n", &serve.address, "-t", "Load", "--body", "15"], b"");
    assert_eq!(short.code, Some(2));
    assert!(short.stderr.contains("16 bytes are the least"), "{}", short.stderr);
    let args = ["bench", "latency", "-n", &serve.address, "-t", "Load", "--rate", "100000"];
    run(&[&args[..], &["--duration", "1h"]].concat(), b"").failed(1, &["--rate", "--duration"]);
}

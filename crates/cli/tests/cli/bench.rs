use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::Instant,
};

use crate::support::{Ended, PATIENCE, Serve, command, run, signal, wait};

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
fn a_topic_is_read_to_its_end_and_by_a_group_once() {
    let serve = Serve::memory();
    let lines: Vec<u8> = (0..1000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    run(&["send", "-n", &serve.address, "-t", "Load", "-"], &lines).ok();
    // The hour is for the test to fail by, not to wait for.
    let args = ["bench", "consume", "-n", &serve.address, "-t", "Load", "--end", "-d", "1h", "-o", "json"];
    let read = |more: &[&str]| run(&[&args[..], more].concat(), b"");
    for more in [&[][..], &["--pull-batch", "7"], &["--push", "-g", "one"], &["--push", "-g", "two"]] {
        let ended = read(more);
        assert_eq!(ended.json()[0]["requests"], 1000, "{more:?}");
        check(ended);
    }
    read(&["--push", "-g", "one"]).failed(1, &["one", "Load", "--group"]);
    read(&["--from", "latest"]).failed(1, &["nothing to read in Load"]);
    assert_eq!(read(&["--pull-batch", "1025"]).code, Some(2));
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

#[test]
fn a_group_shares_out_its_queues_anew_with_each_change() {
    let serve = Serve::memory();
    run(&["send", "-n", &serve.address, "-t", "Load", "-"], b"one\n").ok();
    let args = ["bench", "rebalance", "-n", &serve.address, "-t", "Load", "--watch", "10ms", "-o", "json"];
    let report = run(&[&args[..], &["--members", "3"]].concat(), b"").ok().json().remove(0);
    assert_eq!((&report["members"], &report["queues"]), (&3.into(), &4.into()), "{report}");
    for (phase, members) in [("all_join", 3), ("one_joins", 4), ("one_leaves", 3)] {
        let phase = &report[phase];
        // Each asks at least once who the others are.
        assert!(phase["member_lists"].as_u64().unwrap() >= members, "{report}");
        assert!(phase["requests"].as_u64() >= phase["requests_most"].as_u64(), "{report}");
    }
    assert!(report["one_joins"]["notices"].as_u64().unwrap() >= 3, "{report}");

    let there =
        ["bench", "consume", "-n", &serve.address, "-t", "Load", "--push", "-g", "shared", "-d", "1h"];
    let mut other = command(&there).stdout(Stdio::null()).spawn().unwrap();
    // It may take a while until the other one is there.
    let patience = Instant::now() + PATIENCE;
    let late = loop {
        let ended = run(&[&args[..], &["-g", "shared", "--members", "1", "--timeout", "2s"]].concat(), b"");
        if ended.code != Some(0) || Instant::now() > patience {
            break ended;
        }
    };
    other.kill().unwrap();
    other.wait().unwrap();
    late.failed(1, &["members do not have the queues", "--timeout"]);
}

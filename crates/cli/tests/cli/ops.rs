//! What those who run a node rely on.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::support::*;

/// Status and body of a GET.
fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn metrics_are_served_where_the_ready_line_says() {
    let serve = Serve::start(&["--memory", "--metrics", "127.0.0.1:0"]);
    let metrics =
        serve.ready.split("metrics on ").nth(1).unwrap().trim_end().trim_end_matches(')').to_owned();
    serve.send(&["-t", "T", "a", "b", "c"], b"").ok();
    let (status, text) = get(&metrics, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let line =
        text.lines().find(|line| line.starts_with("rocketmq_messages_in_total{") && line.contains("\"T\""));
    assert!(line.expect(&text).ends_with(" 3"), "{line:?}");
    assert_eq!(get(&metrics, "/healthz"), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    run(&["health", &metrics], b"").ok();
    assert_eq!(run(&["health", "--ready", &metrics], b"").ok().stdout, "ok\n");
    assert_eq!(serve.log(), "");
    run(&["health", &serve.address], b"").failed(1, &[&serve.address, "does not speak HTTP"]);
    drop(serve);
    run(&["health", &metrics], b"").failed(1, &[&metrics, "--metrics"]);
}

#[test]
fn what_does_not_answer_is_not_well() {
    // The system takes the connection, and nobody else does.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    run(&["health", "--timeout", "200ms", &address], b"").failed(1, &[&address, "timed out"]);
}

#[test]
fn a_node_on_a_full_disk_is_well_but_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    // More than any disk has.
    let serve = Serve::start(&["--data", data, "--metrics", "127.0.0.1:0", "--min-free-bytes", "1048576t"]);
    let metrics =
        serve.ready.split("metrics on ").nth(1).unwrap().trim_end().trim_end_matches(')').to_owned();
    until("the disk is seen to be full", || {
        let _ = serve.send(&["-t", "T", "--timeout", "1s", "x"], b"");
        run(&["health", "--ready", &metrics], b"").code == Some(1)
    });
    run(&["health", "--ready", &metrics], b"").failed(1, &["disk is full", "have to be"]);
    run(&["health", &metrics], b"").ok();
    let sent = serve.send(&["-t", "T", "x"], b"");
    assert!(sent.stderr.contains("min_free_bytes") && sent.stderr.contains(data), "{}", sent.stderr);
}

#[test]
fn it_ends_with_code_4_after_a_failed_write_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut serve = Serve::start(&["--data", data.to_str().unwrap(), "--exit-on-io-error"]);
    serve.send(&["-t", "T", "x"], b"").ok();
    std::fs::remove_dir_all(&data).unwrap();
    // The store looks at its folder once a second, when it writes.
    until("the node has ended", || {
        let _ = serve.send(&["-t", "T", "--timeout", "1s", "x"], b"");
        serve.child.try_wait().unwrap().is_some()
    });
    assert_eq!(wait(&mut serve.child).code(), Some(4));
    until("it says why", || serve.log().contains("--exit-on-io-error"));
    assert!(serve.log().contains("is gone"), "{}", serve.log());
}

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
};

use crate::support::{Serve, command, run, signal, until, wait};

#[test]
fn serve_stops_in_order() {
    for name in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut serve = Serve::in_folder(folder.path());
        serve.send(&["-t", "T", "kept"], b"").ok();
        serve.consume(&["-t", "T", "-g", "g", "-c", "1"]).ok();
        serve.send(&["-t", "T", "new"], b"").ok();
        serve.signal(name);
        assert_eq!(wait(&mut serve.child).code(), Some(0), "SIG{name}");
        assert_eq!(serve.log(), "");
        // Messages and offsets are there the next time.
        let serve = Serve::in_folder(folder.path());
        let rest = serve.consume(&["-t", "T", "-g", "g", "-e"]).ok();
        assert_eq!(rest.stdout, "new\n", "SIG{name}");
    }
}

#[test]
fn serve_goes_on_when_nobody_reads_that_it_is_ready() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let args = ["serve", "--memory", "--port", &free.port().to_string()];
    let mut serve = command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(serve.stdout.take());
    let mut ended = None;
    until("it serves, or has ended", || {
        ended = serve.try_wait().unwrap();
        ended.is_some() || run(&["send", "-n", &free.to_string(), "-t", "T", "x"], b"").code == Some(0)
    });
    assert_eq!(ended, None);
    signal(&serve, "TERM");
    assert_eq!(wait(&mut serve).code(), Some(0));
}

#[test]
fn serve_stops_while_consumers_wait() {
    let mut serve = Serve::memory();
    serve.send(&["-t", "T", "x"], b"").ok();
    let args = ["consume", "-n", &serve.address, "-t", "T", "-g", "g"];
    let mut consumer = command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(consumer.stdout.take().unwrap()).read_line(&mut line).unwrap();
    // Its long polls are parked at the broker now, or soon.
    serve.signal("TERM");
    assert_eq!(wait(&mut serve.child).code(), Some(0));
    assert!(!serve.log().contains("got no answer"), "{}", serve.log());
    consumer.kill().unwrap();
    consumer.wait().unwrap();
}

#[test]
fn consume_commits_when_it_is_stopped() {
    let serve = Serve::memory();
    serve.send(&["-t", "T", "one", "two"], b"").ok();
    let args = ["consume", "-n", &serve.address, "-t", "T", "-g", "g"];
    let mut consumer = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(consumer.stdout.take().unwrap()).lines();
    assert!(lines.next().is_some() && lines.next().is_some());
    signal(&consumer, "INT");
    assert_eq!(wait(&mut consumer).code(), Some(0));
    let mut said = String::new();
    consumer.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    assert_eq!(serve.consume(&["-t", "T", "-g", "g", "-e"]).ok().stdout, "");
}

#[test]
fn consume_can_be_stopped_before_it_has_found_its_queues() {
    // The system takes the connection, and nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let args = ["consume", "-n", &address, "-t", "T", "-g", "g"];
    let mut consumer = command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let _connected = silent.accept().unwrap();
    signal(&consumer, "INT");
    assert_eq!(wait(&mut consumer).code(), Some(0));
    let mut said = String::new();
    consumer.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn send_tells_what_it_has_sent_when_it_is_stopped() {
    for name in ["INT", "TERM"] {
        let serve = Serve::memory();
        let args = ["send", "-n", &serve.address, "-t", "T", "-"];
        let mut send = command(&args);
        let send = send.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut send = send.spawn().unwrap();
        // More may come at any time: the standard input stays open.
        let mut input = send.stdin.take().unwrap();
        input.write_all(b"one\ntwo\nthree\n").unwrap();
        let mut stored = 0;
        until("all are stored", || {
            // The topic is there with the first of them.
            stored += serve.consume(&["-t", "T", "-g", "g", "-e"]).stdout.lines().count();
            stored == 3
        });
        signal(&send, name);
        assert_eq!(wait(&mut send).code(), Some(1), "SIG{name}");
        let (mut told, mut said) = (String::new(), String::new());
        send.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        send.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(told.contains("3 "), "the report is printed: {told}");
        assert!(said.contains("stopped by a signal"), "{said}");
        drop(input);
    }
}

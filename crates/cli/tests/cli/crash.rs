use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    process::Stdio,
    thread,
};

use serde_json::Value;

use crate::support::{Serve, command, wait};

/// `kill -9` in the middle of a send: every line that was reported as stored is there afterwards, at its offset.
#[test]
fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::in_folder(folder.path());
    let args = ["send", "-n", &serve.address, "-t", "Crash", "-", "-o", "json"];
    let mut sender = command(&args);
    let sender = sender.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut sender = sender.spawn().unwrap();
    let mut input = sender.stdin.take().unwrap();
    let errors = BufReader::new(sender.stderr.take().unwrap());
    thread::spawn(move || errors.lines().map_while(Result::ok).count());
    // It goes on until the sender gives up and closes the pipe.
    let writing = thread::spawn(move || (1..).take_while(|n| writeln!(input, "line {n}").is_ok()).count());
    let mut stored = HashMap::new();
    let mut refused = 0;
    for line in BufReader::new(sender.stdout.take().unwrap()).lines() {
        let result: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if result["status"] == "SEND_OK" {
            let place = (result["queueId"].as_i64().unwrap(), result["queueOffset"].as_i64().unwrap());
            assert_eq!(
                stored.insert(place, format!("line {}", result["line"])),
                None,
                "one place, one message"
            );
        } else {
            refused += 1;
        }
        if stored.len() == 2_000 {
            serve.child.kill().unwrap();
        }
    }
    assert_eq!(wait(&mut sender).code(), Some(1), "lines that were not stored are a failure");
    assert!(refused > 0);
    writing.join().unwrap();
    serve.child.wait().unwrap();

    let serve = Serve::in_folder(folder.path());
    let got = serve.consume(&["-t", "Crash", "-g", "g", "-e", "-o", "json"]).ok().json();
    let there: HashMap<(i64, i64), &str> = got
        .iter()
        .map(|m| {
            (
                (m["queueId"].as_i64().unwrap(), m["queueOffset"].as_i64().unwrap()),
                m["body"].as_str().unwrap(),
            )
        })
        .collect();
    for (place, body) in &stored {
        assert_eq!(there.get(place), Some(&body.as_str()), "queue and offset {place:?}");
    }
    assert!(stored.len() >= 2_000);
}

/// A sender that is waiting for its broker goes on when that is back, and loses nothing.
#[test]
fn a_consumer_outlives_its_broker() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::in_folder(folder.path());
    serve.send(&["-t", "T", "before"], b"").ok();
    let port = serve.port().to_owned();
    let args = ["consume", "-n", &serve.address, "-t", "T", "-g", "g", "-c", "2"];
    let mut consumer = command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut printed = BufReader::new(consumer.stdout.take().unwrap()).lines();
    assert_eq!(printed.next().unwrap().unwrap(), "before");
    drop(serve); // kill -9
    let serve = Serve::at_port(&port, &["--data", folder.path().to_str().unwrap()]);
    serve.send(&["-t", "T", "after"], b"").ok();
    assert_eq!(printed.next().unwrap().unwrap(), "after");
    assert_eq!(wait(&mut consumer).code(), Some(0));
}

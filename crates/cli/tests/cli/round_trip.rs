use std::{
    collections::{BTreeMap, HashSet},
    io::{Read, Write},
    process::Stdio,
};

use crate::support::{self, Serve, command, wait};

fn lines(count: usize) -> Vec<u8> {
    (1..=count).flat_map(|n| format!("line {n}\n").into_bytes()).collect()
}

#[test]
fn ten_thousand_lines_come_back_once_and_in_the_order_of_their_queues() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::in_folder(folder.path());
    let sent = serve.send(&["-t", "Lines", "-", "-o", "json"], &lines(10_000)).ok().json();
    assert_eq!(sent.len(), 10_000);
    let numbers: HashSet<u64> = sent.iter().map(|result| result["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), 10_000);
    assert!(sent.iter().all(|result| result["status"] == "SEND_OK"));

    let got = serve.consume(&["-t", "Lines", "-g", "readers", "-e", "-o", "json"]).ok().json();
    let mut queues: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    for message in &got {
        let body = message["body"].as_str().unwrap();
        let number = body.strip_prefix("line ").unwrap().parse().unwrap();
        queues.entry(message["queueId"].as_i64().unwrap()).or_default().push(number);
    }
    assert_eq!(got.len(), 10_000);
    assert!(queues.len() > 1, "they are spread over queues");
    for (queue, numbers) in queues {
        // Increasing means: in the order of the input, and none twice.
        assert!(numbers.is_sorted_by(|a, b| a < b), "queue {queue} is out of order");
    }
    // What was printed is committed.
    let again = serve.consume(&["-t", "Lines", "-g", "readers", "-e"]).ok();
    assert_eq!(again.stdout, "");
    // Another group begins at the beginning.
    let other = serve.consume(&["-t", "Lines", "-g", "others", "-e"]).ok();
    assert_eq!(other.stdout.lines().count(), 10_000);
}

#[test]
fn one_message_in_flight_for_each_queue_is_possible() {
    let serve = Serve::memory();
    let sent = serve.send(&["-t", "T", "-", "--ordered", "-o", "json"], &lines(500)).ok().json();
    let mut last: BTreeMap<i64, (i64, u64)> = BTreeMap::new();
    for result in &sent {
        let (offset, line) = (result["queueOffset"].as_i64().unwrap(), result["line"].as_u64().unwrap());
        // Answers of one queue come in the order of the input, too.
        let before = last.insert(result["queueId"].as_i64().unwrap(), (offset, line));
        assert!(
            before.is_none_or(|before| before.0 + 1 == offset && before.1 < line),
            "{result} behind {before:?}"
        );
    }
    assert_eq!((sent.len(), last.len() > 1), (500, true));
}

#[test]
fn all_is_sent_even_if_nobody_reads_the_results() {
    let serve = Serve::memory();
    let args = ["send", "-n", &serve.address, "-t", "Unread", "-", "-o", "json"];
    let mut sender = command(&args);
    let mut sender =
        sender.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = sender.stdin.take().unwrap();
    input.write_all(b"line 0\n").unwrap();
    let mut some = [0; 10];
    let mut results = sender.stdout.take().unwrap();
    results.read_exact(&mut some).unwrap();
    // The pipe is closed now, as by `head`.
    drop(results);
    input.write_all(&lines(2000)).unwrap();
    drop(input);
    assert_eq!(wait(&mut sender).code(), Some(0));
    let got = serve.consume(&["-t", "Unread", "-g", "g", "-e"]).ok();
    assert_eq!(got.stdout.lines().collect::<HashSet<_>>().len(), 2001);
}

#[test]
fn an_input_that_breaks_is_told_with_what_was_sent() {
    let serve = Serve::memory();
    let mut sender = command(&["send", "-n", &serve.address, "-t", "T", "one", "two", "three", "-"]);
    // A folder can be opened, and not be read.
    let folder = tempfile::tempdir().unwrap();
    let input = std::fs::File::open(folder.path()).unwrap();
    let sender = sender.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = sender.spawn().unwrap().wait_with_output().unwrap();
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{told}{said}");
    assert!(told.starts_with("3 messages sent"), "{told}");
    assert!(said.contains("cannot read the standard input"), "{said}");
}

#[test]
fn a_count_ends_and_commits_just_that_many() {
    let serve = Serve::memory();
    serve.send(&["-t", "Some", "-", "--queue", "1"], &lines(100)).ok();
    let first = serve.consume(&["-t", "Some", "-g", "g", "-c", "7"]).ok();
    assert_eq!(first.stdout, String::from_utf8(lines(7)).unwrap());
    let rest = serve.consume(&["-t", "Some", "-g", "g", "-e"]).ok();
    assert_eq!(first.stdout + &rest.stdout, String::from_utf8(lines(100)).unwrap());
}

#[test]
fn latest_waits_for_what_comes() {
    let serve = Serve::memory();
    serve.send(&["-t", "News", "old"], b"").ok();
    let args = ["consume", "-n", &serve.address, "-t", "News", "-g", "g", "--from", "latest", "-c", "1"];
    let mut consumer = command(&args).stdout(Stdio::piped()).spawn().unwrap();
    // Until it has begun it may miss one, so there are many.
    let mut number = 0;
    while consumer.try_wait().unwrap().is_none() {
        number += 1;
        assert!(number < 1000);
        serve.send(&["-t", "News", &format!("new {number}")], b"").ok();
    }
    assert_eq!(wait(&mut consumer).code(), Some(0));
    let mut printed = String::new();
    consumer.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(printed.starts_with("new "), "{printed}");
}

#[test]
fn tags_keys_and_properties_travel() {
    let serve = Serve::memory();
    serve.send(&["-t", "T", "--tag", "a", "-k", "k1", "--prop", "city=Hangzhou", "one", "two"], b"").ok();
    serve.send(&["-t", "T", "--tag", "b", "--encoding", "binary", "three"], b"").ok();
    let got = serve.consume(&["-t", "T", "-g", "g", "--tag", "a", "-e", "-o", "json"]).ok().json();
    assert_eq!(got.len(), 2);
    for message in &got {
        assert_eq!((&message["tags"], &message["keys"][0]), (&"a".into(), &"k1".into()));
        assert_eq!(message["properties"]["city"], "Hangzhou");
        assert_eq!(message["topic"], "T");
    }
    let all = serve.consume(&["-t", "T", "-g", "g2", "--encoding", "binary", "-e"]).ok();
    assert_eq!(all.stdout.lines().collect::<HashSet<_>>(), HashSet::from(["one", "two", "three"]));
}

#[test]
fn bytes_that_are_no_text_survive() {
    let serve = Serve::memory();
    let body: Vec<u8> = (0..=255).filter(|b| *b != b'\n').collect();
    serve.send(&["-t", "Bytes", "-"], &body).ok();
    let got = serve.consume(&["-t", "Bytes", "-g", "g", "-e", "-o", "json"]).ok().json();
    let hex: String = body.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(got[0]["bodyHex"], hex.as_str());
}

#[test]
fn nobody_who_reads_is_no_error() {
    let serve = Serve::memory();
    serve.send(&["-t", "Pipe", "--count", "5000", &"x".repeat(100)], b"").ok();
    let args = ["consume", "-n", &serve.address, "-t", "Pipe", "-g", "g", "-e"];
    let mut consumer = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 1000];
    consumer.stdout.take().unwrap().read_exact(&mut some).unwrap();
    // The pipe is closed now, as by `head`.
    assert_eq!(wait(&mut consumer).code(), Some(0));
    let mut said = String::new();
    consumer.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    // What nobody got is not committed.
    let rest = support::run(&["consume", "-n", &serve.address, "-t", "Pipe", "-g", "g", "-e"], b"").ok();
    assert!(rest.stdout.lines().count() > 1000, "{}", rest.stdout.lines().count());
}

use std::{net::TcpListener, os::unix::fs::PermissionsExt};

use crate::support::{Serve, run};

#[test]
fn a_wrong_command_line_is_code_2() {
    for args in [
        &["nonsense"][..],
        &["send", "-t", "T"],
        &["serve", "--port", "x"],
        &["send", "-n", "nohost", "-t", "T", "b"],
    ] {
        let ended = run(args, b"");
        assert_eq!(ended.code, Some(2), "{args:?}");
        assert!(ended.stderr.contains("error: "), "{}", ended.stderr);
    }
    let serve = Serve::memory();
    // `WAIT` belongs to RocketMQ.
    serve.send(&["-t", "T", "--prop", "WAIT=false", "x"], b"").failed(2, &["WAIT"]);
}

#[test]
fn every_command_has_help_with_examples() {
    for args in [
        &["serve"][..],
        &["send"],
        &["consume"],
        &["decode"],
        &["completion"],
        &["health"],
        &["bench", "rpc"],
        &["store", "check"],
        &["store", "dump"],
        &["store", "repair"],
        &["store", "import"],
    ] {
        let ended = run(&[args, &["--help"]].concat(), b"").ok();
        assert!(ended.stdout.contains("Examples:"), "{args:?}");
    }
    assert!(run(&["completion", "bash"], b"").ok().stdout.contains("rocketwire"));
}

#[test]
fn nobody_listens() {
    // Taken and given back: nobody listens there, most probably.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    run(&["send", "-n", &free, "-t", "T", "x"], b"").failed(1, &[&free, "refused", "is the address right"]);
    run(&["consume", "-n", &free, "-t", "T", "-g", "g"], b"").failed(1, &[&free, "refused"]);
    run(&["bench", "rpc", "--addr", &free], b"").failed(1, &[&free, "rpc-server"]);
}

#[test]
fn the_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = run(&["serve", "--memory", "--port", &port], b"");
    ended.failed(1, &[&port, "choose another port"]);
}

#[test]
fn the_folder_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Serve::in_folder(folder.path());
    let path = folder.path().to_str().unwrap();
    run(&["serve", "--port", "0", "--data", path], b"").failed(1, &[path, "in use by another process"]);
}

#[test]
fn the_folder_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let inside = file.join("data");
    let path = inside.to_str().unwrap();
    run(&["serve", "--port", "0", "--data", path], b"").failed(1, &[path, "cannot create"]);
    // Whoever may do everything is not stopped by permissions.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o500)).unwrap();
    let forbidden = folder.path().join("data");
    if std::fs::create_dir(&forbidden).is_err() {
        let path = forbidden.to_str().unwrap();
        run(&["serve", "--port", "0", "--data", path], b"").failed(1, &[path, "ermission denied"]);
    }
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn a_damaged_store_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::in_folder(folder.path());
    serve.send(&["-t", "T", "--count", "500", &"x".repeat(200)], b"").ok();
    serve.signal("TERM");
    serve.child.wait().unwrap();
    let log = largest_file(folder.path());
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let path = folder.path().to_str().unwrap();
    run(&["serve", "--port", "0", "--data", path], b"").failed(3, &["damaged", log.to_str().unwrap()]);
    assert!(std::fs::read(&log).unwrap() == bytes, "nothing was changed");
}

fn largest_file(folder: &std::path::Path) -> std::path::PathBuf {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.push((entry.metadata().unwrap().len(), entry.path()));
            }
        }
    }
    files.into_iter().max().unwrap().1
}

#[test]
fn a_message_is_too_large_or_empty() {
    let serve = Serve::memory();
    let large = "x".repeat((4 << 20) + 1);
    let input = format!("first\n{large}\n\nlast\n");
    let ended = serve.send(&["-t", "T", "-", "-o", "json"], input.as_bytes());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("message 2 was not sent") && ended.stderr.contains("4194304"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("message 3 was not sent") && ended.stderr.contains("length is zero"));
    assert!(ended.stderr.contains("2 of 4 messages were not sent"), "{}", ended.stderr);
    let results = ended.json();
    let status_of = |line: u64| &results.iter().find(|result| result["line"] == line).unwrap()["status"];
    assert_eq!((status_of(1), status_of(2)), (&"SEND_OK".into(), &"FAILED".into()));
    assert_eq!((status_of(3), status_of(4)), (&"FAILED".into(), &"SEND_OK".into()));
    serve.send(&["-t", "T", ""], b"").failed(1, &["message 1", "length is zero"]);
}

#[test]
fn a_topic_has_a_bad_name_or_does_not_exist() {
    let serve = Serve::start(&["--memory", "--no-auto-create-topic"]);
    let ended = serve.send(&["-t", "no spaces", "x"], b"");
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("no spaces") && ended.stderr.contains("illegal characters"),
        "{}",
        ended.stderr
    );
    serve.send(&["-t", "Unknown", "x"], b"").failed(1, &["Unknown", "create the topic"]);
    serve.consume(&["-t", "Unknown", "-g", "g"]).failed(1, &["Unknown", "TOPIC_NOT_EXIST"]);
}

#[test]
fn beyond_loopback_there_is_a_warning() {
    let mut child = crate::support::command(&["serve", "--memory", "--port", "0", "--host", "0.0.0.0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut ready).unwrap();
    assert!(ready.starts_with("rocketwire is ready on 0.0.0.0:"), "{ready}");
    crate::support::signal(&child, "TERM");
    assert_eq!(crate::support::wait(&mut child).code(), Some(0));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("there is no authentication"), "{said}");
}

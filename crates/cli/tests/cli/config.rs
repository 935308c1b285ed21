//! Where settings come from, and what is said of them.

use std::{fs, path::PathBuf, process::Stdio};

use serde_json::Value;

use crate::support::*;

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path: PathBuf = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn check_config_prints_a_file_with_the_source_of_each_value() {
    let folder = tempfile::tempdir().unwrap();
    let first = file(&folder, "node.toml", "port = 1111\nbroker_name = \"from-file\"\nretention = \"7d\"\n");
    let mut check = command(&["serve", "--check-config", "--broker-name", "from-flag", "-c", &first]);
    check.env("ROCKETWIRE_PORT", "2222").env("ROCKETWIRE_BROKER_NAME", "from-environment");
    let printed = run_command(check, b"").ok().stdout;
    for (line, source) in [
        ("port = 2222", "ROCKETWIRE_PORT"),
        ("broker_name = \"from-flag\"", "--broker-name"),
        ("retention = \"7d\"", first.as_str()),
        ("flush = \"sync\"", "default"),
    ] {
        let found = printed.lines().find(|found| found.starts_with(line)).expect(&printed);
        assert!(found.ends_with(&format!("# {source}")), "{found}");
    }
    // What is printed is a configuration, and means the same.
    let second = file(&folder, "printed.toml", &printed);
    let again = run(&["serve", "--check-config", "--config", &second], b"").ok().stdout;
    let values = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.rsplit_once(" # ")?.0.trim_end().to_owned())).collect()
    };
    assert_eq!(values(&again), values(&printed));
    assert!(values(&printed).len() > 40, "{printed}");
}

#[test]
fn a_node_runs_on_javas_broker_conf() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("store");
    let text = format!(
        "# as in the distribution\nbrokerClusterName = C1\nbrokerName = b1\nbrokerId = 0\ndeleteWhen = 04\n\
         fileReservedTime = 48\nbrokerRole = ASYNC_MASTER\nflushDiskType = ASYNC_FLUSH\nlistenPort = 1\n\
         storePathRootDir = {}\nautoCreateTopicEnable = false\n",
        data.display()
    );
    // The flag of the port beats the file.
    let serve = Serve::start(&["-c", &file(&folder, "broker.conf", &text)]);
    assert!(data.join("log").is_dir());
    let sent = serve.send(&["-t", "Unknown", "x"], b"");
    assert_eq!(sent.code, Some(1), "topics are not created");
    let log = serve.log();
    for name in ["`deleteWhen`", "`brokerRole`"] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(name)).collect();
        assert_eq!(lines.len(), 1, "{log}");
        assert!(lines[0].contains("broker.conf") && lines[0].contains("ignored"), "{log}");
    }
    assert!(!log.contains("flushDiskType"), "{log}");
}

#[test]
fn what_is_wrong_in_a_configuration_is_named_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |name: &str, text: &str| run(&["serve", "-c", &file(&folder, name, text)], b"");
    serve("a.toml", "retenton = \"1h\"").failed(2, &["a.toml", "`retenton`", "`retention`"]);
    serve("b.toml", "port = \"http\"").failed(2, &["b.toml", "`port`", "`http`"]);
    serve("c.toml", "port = [").failed(2, &["c.toml", "TOML", "line 1"]);
    serve("d.conf", "brokerRole=SLAVE").failed(2, &["d.conf", "brokerRole", "SLAVE"]);
    serve("e.yaml", "").failed(2, &["e.yaml", ".toml"]);
    serve("f.toml", "log_level = \"a=b=c\"").failed(2, &["f.toml", "log_level", "a=b=c"]);
    serve("g.toml", "log_level = \"wran\"").failed(2, &["g.toml", "wran", "warn"]);
    // What is seen only when topics are made.
    run(&["serve", "--memory", "--port", "0", "--max-topics", "1"], b"").failed(2, &["max_topics"]);
    run(&["serve", "-c", "/does/not/exist.toml"], b"").failed(2, &["/does/not/exist.toml"]);
    let mut bad = command(&["serve"]);
    bad.env("ROCKETWIRE_FLUSH", "never");
    run_command(bad, b"").failed(2, &["ROCKETWIRE_FLUSH", "never", "sync, async"]);
}

#[test]
fn logs_are_json_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let java = file(&folder, "broker.conf", "deleteWhen = 04\n");
    let flags = ["--memory", "--metrics", "0.0.0.0:0", "--log-format", "json", "--log-level", "info"];
    let mut serve = Serve::start(&[&["-c", &java], &flags[..]].concat());
    serve.signal("TERM");
    wait(&mut serve.child);
    until("the node was logged", || serve.log().contains("the node is ready"));
    let log = serve.log();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for warning in ["`deleteWhen` is ignored", "is not only this machine"] {
        let is_it = |event: &&Value| event["message"].as_str().is_some_and(|text| text.contains(warning));
        assert_eq!(events.iter().find(is_it).expect(&log)["level"], "WARN");
    }
    let ready = events.iter().find(|event| event["message"] == "the node is ready").expect(&log);
    assert_eq!(
        (ready["level"].as_str(), ready["addr"].as_str()),
        (Some("INFO"), Some(serve.address.as_str()))
    );
}

#[test]
fn a_flag_beats_rust_log_too() {
    for (args, level, is_said) in [
        (&["-v"][..], "error", true),
        (&[], "info", true),
        (&[], "error", false),
        (&["--log-level", "error"], "info", false),
    ] {
        let args = [&["serve", "--memory", "--port", "0"], args].concat();
        let mut serve = command(&args);
        let serve = serve.env("RUST_LOG", level).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = serve.spawn().unwrap();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(child.stdout.as_mut().unwrap()),
            &mut String::new(),
        )
        .unwrap();
        signal(&child, "TERM");
        let ended = child.wait_with_output().unwrap();
        let log = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(log.contains("the node is ready"), is_said, "{args:?} RUST_LOG={level}: {log}");
    }
}

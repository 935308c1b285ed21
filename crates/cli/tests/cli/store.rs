use std::path::{Path, PathBuf};

use rocketwire_protocol::message::record::{self, NewRecord};

use crate::support::{Serve, run};

/// A folder with 500 messages, some of them with tags and keys, of a node that was stopped in order.
fn stopped_node() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::in_folder(folder.path());
    serve.send(&["-t", "Orders", "--tag", "paid", "--key", "k1", "first\nline"], b"").ok();
    serve.send(&["-t", "Orders", "--count", "499", &"x".repeat(200)], b"").ok();
    serve.signal("TERM");
    serve.child.wait().unwrap();
    folder
}

fn path(folder: &tempfile::TempDir) -> &str {
    folder.path().to_str().unwrap()
}

fn segment(folder: &Path) -> PathBuf {
    let segments = std::fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path());
    segments.min().unwrap()
}

fn damage(folder: &tempfile::TempDir) -> PathBuf {
    let log = segment(folder.path());
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    log
}

#[test]
fn a_sound_folder_is_checked_and_printed() {
    let folder = stopped_node();
    let text = run(&["store", "check", path(&folder)], b"").ok().stdout;
    assert!(text.contains("Orders") && text.ends_with("sound\n"), "{text}");
    let report = &run(&["store", "check", path(&folder), "-o", "json"], b"").ok().json()[0];
    assert_eq!(report["sound"], true);
    let of_orders = report["queues"].as_array().unwrap().iter().filter(|queue| queue["topic"] == "Orders");
    assert_eq!(of_orders.map(|queue| queue["records"].as_u64().unwrap()).sum::<u64>(), 500);

    let dump = ["store", "dump", path(&folder), "--topic", "Orders"];
    let first = run(&[&dump[..], &["--limit", "1"]].concat(), b"").ok().stdout;
    assert!(first.contains(" tags=paid keys=k1: first\\nline\n"), "{first}");
    let all = run(&[&dump[..], &["-o", "json"]].concat(), b"").ok().json();
    assert_eq!(all.len(), 500);
    assert_eq!((&all[0]["body"], &all[0]["tags"]), (&"first\nline".into(), &"paid".into()));
    let queue = all[0]["queueId"].to_string();
    let some = run(&[&dump[..], &["-q", &queue, "--from", "3", "-o", "json"]].concat(), b"").ok().json();
    assert_eq!(some[0]["queueOffset"], 3);
    assert!(some.iter().all(|message| message["queueId"] == all[0]["queueId"]));
}

#[test]
fn a_damaged_folder_is_refused_repaired_and_served() {
    let folder = stopped_node();
    let log = damage(&folder);
    run(&["serve", "--port", "0", "--data", path(&folder)], b"").failed(3, &["damaged", "store repair"]);
    let check =
        run(&["store", "check", path(&folder), "-o", "json"], b"").failed(3, &["is damaged in 1 place"]);
    let finding = &check.json()[0]["findings"][0];
    assert_eq!((&finding["kind"], &finding["file"]), (&"log".into(), &log.to_str().unwrap().into()));
    let lost: i64 = finding["lost"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| of["to"].as_i64().unwrap() - of["from"].as_i64().unwrap())
        .sum();
    assert!(lost > 0);
    let dumped = run(&["store", "dump", path(&folder), "-t", "Orders", "-o", "json"], b"")
        .failed(3, &["1 damaged place"]);
    assert_eq!(dumped.json().len() as i64, 500 - lost);

    // Nothing is done without the word.
    assert_eq!(run(&["store", "repair", path(&folder)], b"").code, Some(2));
    let repaired = run(&["store", "repair", path(&folder), "--quarantine", "-o", "json"], b"").ok().json();
    assert_eq!(repaired[0]["damaged"][0]["lost"], finding["lost"]);
    assert!(Path::new(repaired[0]["kept"][0].as_str().unwrap()).exists());
    let again = run(&["store", "repair", path(&folder), "--quarantine"], b"").ok().stdout;
    assert!(again.contains("nothing is damaged"), "{again}");

    let serve = Serve::in_folder(folder.path());
    serve.send(&["-t", "Orders", "behind the hole"], b"").ok();
    let got = serve.consume(&["-t", "Orders", "-g", "g", "-e", "-o", "json"]).ok().json();
    assert_eq!(got.len() as i64, 501 - lost, "a consumer gets all others, and new ones");
    assert!(serve.log().contains("holes that were repaired"), "{}", serve.log());
}

#[test]
fn a_folder_in_use_and_an_empty_one_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(&["store", "check", path(&folder)], b"").failed(1, &["no store"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
    let _serve = Serve::in_folder(folder.path());
    for args in [&["check"][..], &["dump"], &["repair", "--quarantine"]] {
        let args = [&["store"], args, &[path(&folder)]].concat();
        run(&args, b"").failed(1, &[path(&folder), "in use by another process"]);
    }
}

/// What Apache's broker leaves of ten messages in one queue, which begins at 100.
fn apache_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["commitlog", "config"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let host = ([127, 0, 0, 1], 10911).into();
    let mut log = Vec::new();
    for n in 0..10 {
        let body = format!("old {n}");
        let new = NewRecord {
            topic: "Orders",
            queue_id: 1,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: body.as_bytes(),
            properties: "",
        };
        let start = log.len();
        record::encode(&new, &mut log).unwrap();
        record::patch(&mut log[start..], 100 + n, start as i64, 1_700_000_000_000 + n);
    }
    log.resize(4096, 0);
    std::fs::write(folder.path().join(format!("commitlog/{:020}", 0)), log).unwrap();
    let topics = r#"{"topicConfigTable":{"Orders":{"perm":6,"readQueueNums":2,"topicName":"Orders","writeQueueNums":2}}}"#;
    std::fs::write(folder.path().join("config/topics.json"), topics).unwrap();
    std::fs::write(
        folder.path().join("config/consumerOffset.json"),
        r#"{"offsetTable":{"Orders@readers":{1:104}}}"#,
    )
    .unwrap();
    folder
}

#[test]
fn a_folder_of_apache_is_imported_and_served() {
    let (source, home) = (apache_folder(), tempfile::tempdir().unwrap());
    let into = home.path().join("data");
    let args = ["store", "import", path(&source), "--into", into.to_str().unwrap()];
    let report = &run(&[&args[..], &["-o", "json"]].concat(), b"").ok().json()[0];
    assert_eq!((&report["records"], &report["queues"][0]["minOffset"]), (&10.into(), &100.into()));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left beside it");
    // It is not done over what is there.
    run(&args, b"").failed(1, &["not an empty folder"]);

    let serve = Serve::in_folder(&into);
    let bodies = |args: &[&str]| serve.consume(&[&["-t", "Orders", "-e"], args].concat()).ok().stdout;
    let rest: Vec<String> = (4..10).map(|n| format!("old {n}\n")).collect();
    assert_eq!(bodies(&["-g", "readers"]), rest.concat(), "the group goes on where it was");
    assert_eq!(bodies(&["-g", "new", "--from", "earliest"]).lines().count(), 10);
}

#[test]
fn an_empty_folder_is_imported_into_wherever_it_is() {
    let (source, home) = (apache_folder(), tempfile::tempdir().unwrap());
    let (real, link) = (home.path().join("real"), home.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let into = link.to_str().unwrap();
    run(&["store", "import", path(&tempfile::tempdir().unwrap()), "--into", into], b"")
        .failed(1, &["no store folder of Apache's broker"]);
    assert_eq!(std::fs::read_dir(&real).unwrap().count(), 0, "it is there, and empty");
    run(&["store", "import", path(&source), "--into", into], b"").ok();
    assert!(link.is_symlink() && real.join("log").is_dir());
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 2, "nothing is left beside it");
}

#[test]
fn a_folder_that_cannot_be_imported_leaves_nothing() {
    let (source, home) = (apache_folder(), tempfile::tempdir().unwrap());
    let into = home.path().join("data");
    let import = |source: &tempfile::TempDir| {
        let ended = run(&["store", "import", path(source), "--into", into.to_str().unwrap()], b"");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
        ended
    };
    import(&tempfile::tempdir().unwrap()).failed(1, &["no store folder of Apache's broker", "commitlog"]);
    let log = source.path().join(format!("commitlog/{:020}", 0));
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[293] ^= 1; // in a body
    std::fs::write(&log, bytes).unwrap();
    import(&source).failed(3, &["damaged at byte", log.to_str().unwrap()]);
}

use std::path::{Path, PathBuf};

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

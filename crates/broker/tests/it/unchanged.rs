//! Input that nobody should send, one table: each is answered as it should be, and nothing on the disk changes.

use std::{path::Path, time::Duration};

use rocketwire_protocol::{
    Command, RequestCode,
    body::{self, SubscriptionGroupConfig},
    header::*,
    message::batch,
};
use rocketwire_store::Storage;

use crate::support::*;

/// All files with their bytes, but the lock and the checkpoint.
fn contents(node: &Node) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in ["/", "/store", "/store/log", "/store/index", "/store/tables"] {
        let folder = Path::new(folder);
        for name in node.storage.list(folder).unwrap_or_default() {
            // How far the log is flushed is noted by a thread of the store, when it gets to it.
            if name == "checkpoint" {
                continue;
            }
            let Ok(file) = node.storage.open(&folder.join(&name)) else { continue };
            let mut bytes = vec![0; file.size().unwrap() as usize];
            file.read_at(&mut bytes, 0).unwrap();
            found.push((folder.join(name).display().to_string(), bytes));
        }
    }
    found.sort();
    found
}

/// What it is, the request, and the codes that it may be answered with.
type Row = (String, Command, &'static [i32]);

const INVALID: &[i32] = &[29];

fn names() -> Vec<String> {
    let retry = format!("%RETRY%{}", "g".repeat(300));
    let mut names: Vec<String> = ["../x", "..", "a/b", "a\\b", "a\0", "a b", " ", "", "\u{fffd}", "é", "a.b"]
        .map(String::from)
        .to_vec();
    names.extend(["t".repeat(128), retry]);
    names
}

fn topics() -> Vec<Row> {
    let mut rows = Vec::new();
    for name in names() {
        let mut row =
            |what: &str, command: Command, codes| rows.push((format!("{what} {name:?}"), command, codes));
        row("send to", send(&name, "x", ""), INVALID);
        row("pull from", pull(&name, 0, 0, "*", None), INVALID);
        row("create", Command::of(&create_header(&name, 1)), INVALID);
        row("commit in", commit("CG", &name, 0, 1), &[17]);
    }
    rows
}

fn groups() -> Vec<Row> {
    let mut rows = Vec::new();
    for name in names() {
        let mut row =
            |what: &str, command: Command, codes| rows.push((format!("{what} {name:?}"), command, codes));
        let mut header = pull_header("T", 0, 0);
        header.consumer_group = name.as_str().into();
        row("pull by", Command::of(&header), INVALID);
        row("heartbeat of", heartbeat(&consumer("c", &name, vec![])), &[0]);
        let back =
            ConsumerSendMsgBackRequestHeader { offset: 0, group: name.as_str().into(), ..Default::default() };
        row("send back by", Command::of(&back), &[26, 29]);
        let config = SubscriptionGroupConfig { group_name: name.as_str().into(), ..Default::default() };
        let create = Command::request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP)
            .with_body(body::encode(&config));
        row("create group", create, INVALID);
        row("commit by", commit(&name, "T", 0, 1), &[26]);
    }
    rows
}

fn numbers() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |what: String, command: Command, codes| rows.push((what, command, codes));
    for queue_id in [4, i32::MAX] {
        let mut header = send_header("T", "");
        header.queue_id = queue_id;
        row(format!("send to queue {queue_id}"), Command::of(&header).with_body("x"), INVALID);
    }
    for queue_id in [-1, 4, i32::MAX, i32::MIN] {
        row(format!("pull from queue {queue_id}"), pull("T", queue_id, 0, "*", None), INVALID);
        let commit = commit("CG", "T", queue_id, 1);
        row(format!("commit in queue {queue_id}"), commit, INVALID);
    }
    for (offset, codes) in [(i64::MIN, &[21]), (-1, &[21]), (2, &[21]), (i64::MAX, &[21])] {
        row(format!("pull at {offset}"), pull("T", 0, offset, "*", None), codes);
    }
    for offset in [-1, i64::MIN] {
        let commit = commit("CG", "T", 0, offset);
        row(format!("commit {offset}"), commit, &[0]);
    }
    for at in [i64::MAX, START_MS + 4 * 86_400_000] {
        row(format!("a moment at {at}"), send("T", "x", &format!("TIMER_DELIVER_MS\u{1}{at}\u{2}")), &[13]);
    }
    for offset in [1, 1 << 40, i64::MAX, -1, i64::MIN] {
        let view = ViewMessageRequestHeader { offset, ..Default::default() };
        row(format!("view {offset}"), Command::of(&view), &[1]);
        let back = ConsumerSendMsgBackRequestHeader {
            offset,
            group: "CG".into(),
            delay_level: 1_000_000_000,
            ..Default::default()
        };
        row(format!("send back {offset}"), Command::of(&back), &[1]);
        let end = EndTransactionRequestHeader {
            producer_group: "PG".into(),
            commit_or_rollback: 8,
            commit_log_offset: offset,
            msg_id: "id".into(),
            ..Default::default()
        };
        row(format!("end of a transaction {offset}"), Command::of(&end), &[1]);
    }
    for (read, write) in [(-1, 1), (1, -1), (1 << 20, 1), (1, i32::MAX)] {
        let create = CreateTopicRequestHeader {
            read_queue_nums: read,
            write_queue_nums: write,
            ..create_header("Numbers", 1)
        };
        row(format!("create with {read} and {write} queues"), Command::of(&create), INVALID);
    }
    rows
}

fn messages() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |what: &str, command: Command| rows.push((what.to_owned(), command, &[13][..]));
    row("an empty body", send("T", "", ""));
    row("a body that is too long", send("T", &"x".repeat((4 << 20) + 1), ""));
    row("properties that are too long", send("T", "x", &format!("k\u{1}{}\u{2}", "v".repeat(32_767))));
    let mut header = send_header("T", "");
    header.batch = Some(true);
    row("an empty batch", Command::of(&header));
    let mut good = Vec::new();
    for text in [&b"a"[..], b"b"] {
        batch::encode_item(0, text, "k\u{1}v\u{2}", &mut good).unwrap();
    }
    // Total length, length of the body, of the properties, of the first item and of the second.
    let item = good.len() / 2;
    for field in [3, 19, 22, item + 3, item + 19, item + 22] {
        for change in [1_i8, -1, 100] {
            let mut bad = good.clone();
            bad[field] = bad[field].wrapping_add_signed(change);
            row(
                &format!("a batch with byte {field} changed by {change}"),
                Command::of(&header).with_body(bad),
            );
        }
    }
    for length in [1, item - 1, item + 1, good.len() - 1] {
        row(&format!("a batch cut to {length}"), Command::of(&header).with_body(good[..length].to_vec()));
    }
    rows
}

fn crowds() -> Vec<Row> {
    let groups = |count: usize| {
        let mut data = consumer("c", "g", vec![]);
        let one = data.consumer_data_set[0].clone();
        let named = |n: usize| {
            let mut group = one.clone();
            group.group_name = format!("g{n}").into();
            group
        };
        data.consumer_data_set = (0..count).map(named).collect();
        heartbeat(&data)
    };
    let topics = |count: usize| (0..count).map(|n| subscription(&format!("t{n}"), "*", 1)).collect();
    let long = "n".repeat(1 << 20);
    let deep = format!("{}a = 1{}", "(".repeat(10_000), ")".repeat(10_000));
    let filter = |expression: &str| {
        let mut header = pull_header("T", 0, 0);
        header.sys_flag = 4;
        header.subscription = Some(expression.into());
        header.expression_type = Some("SQL92".into());
        Command::of(&header)
    };
    let config = |text: String| Command::request(RequestCode::UPDATE_BROKER_CONFIG).with_body(text);
    vec![
        ("a heartbeat of 50,000 groups".into(), groups(50_000), INVALID),
        ("a heartbeat of 50,000 topics".into(), heartbeat(&consumer("c", "CG", topics(50_000))), INVALID),
        ("a group of 1 MiB".into(), heartbeat(&consumer("c", &long, vec![])), &[0]),
        ("a client of 1 MiB".into(), heartbeat(&consumer(&long, "CG", vec![])), INVALID),
        ("a filter nested 10,000 times".into(), filter(&deep), &[23]),
        ("a filter that is too long".into(), filter(&format!("a = '{}'", "x".repeat(60_000))), &[23]),
        ("a path as a setting".into(), config("storePathRootDir=/tmp/x".into()), &[16]),
        ("an unknown setting".into(), config("nobody=knows".into()), &[16]),
        ("a setting with a line in its value".into(), config("a=b\\nstorePathRootDir=/x\0".into()), &[16]),
        ("1 MiB of settings".into(), config("a=b\n".repeat(1 << 18)), &[16]),
    ]
}

#[tokio::test]
async fn what_nobody_should_send_is_answered_and_changes_nothing() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    client.heartbeat(&consumer("c", "CG", vec![])).await;
    // What is saved now and then is saved by then.
    node.clock.advance(Duration::from_secs(20));
    let is_saved = || contents(&node).iter().any(|(path, _)| path.starts_with("/store/tables/transactions"));
    eventually("all tables are saved", is_saved).await;
    let before = contents(&node);
    assert!(before.iter().any(|(path, _)| path.starts_with("/store/log/")), "there is something to change");
    let rows: Vec<Row> = [topics(), groups(), numbers(), messages(), crowds()].concat();
    let mut wrong = Vec::new();
    for (what, command, codes) in rows {
        let answer = client.call(command).await;
        let code = answer.code;
        let has_reason =
            code == 0 || answer.remark.as_deref().is_some_and(|remark| !remark.trim().is_empty());
        if !codes.contains(&code) || !has_reason {
            wrong.push(format!("{what}: {code} instead of {codes:?}: {:?}", answer.remark));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Whatever is only written now and then would be by now.
    node.clock.advance(Duration::from_secs(20));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = contents(&node);
    let changed: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    let paths = |files: &[(String, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&before), paths(&after), "no file is new, and none is gone");
    assert!(changed.is_empty(), "{:?}", changed.iter().map(|(before, _)| &before.0).collect::<Vec<_>>());
    // The connection lives, and so does the topic.
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    node.stop().await;
}

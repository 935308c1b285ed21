use std::time::Duration;

use rocketwire_protocol::{Command, header::*};

use crate::support::*;

fn by_key(topic: &str, key: &str, max_num: i32, begin: i64, end: i64) -> Command {
    Command::of(&QueryMessageRequestHeader {
        topic: topic.into(),
        key: key.into(),
        max_num,
        begin_timestamp: begin,
        end_timestamp: end,
        ..Default::default()
    })
}

fn bodies(response: Command) -> Vec<String> {
    assert_eq!(response.code, 0, "{:?}", response.remark);
    decode(response.body).iter().map(|record| String::from_utf8(record.body().to_vec()).unwrap()).collect()
}

fn keys(keys: &str, unique: &str) -> String {
    format!("KEYS\u{1}{keys}\u{2}UNIQ_KEY\u{1}{unique}\u{2}")
}

// spec: broker B.6
#[tokio::test]
async fn messages_are_found_by_key_and_the_newest_come_first_into_the_answer() {
    let node = Node::start().await;
    let client = node.client();
    for n in 0..70 {
        node.clock.advance(Duration::from_secs(1));
        client.send("T", &format!("m{n}"), &keys(&format!("all k-{n}"), &format!("U{n}"))).await;
    }
    client.send("Other", "of another topic", &keys("all", "U0")).await;

    assert_eq!(bodies(client.call(by_key("T", "k-7", 10, 0, i64::MAX)).await), ["m7"]);
    assert_eq!(bodies(client.call(by_key("T", "U7", 10, 0, i64::MAX)).await), ["m7"]);
    assert_eq!(bodies(client.call(by_key("T", "all", 3, 0, i64::MAX)).await), ["m67", "m68", "m69"]);
    assert_eq!(bodies(client.call(by_key("T", "all", 1000, 0, i64::MAX)).await).len(), 64, "maxMsgsNumBatch");
    let (from, to) = (START_MS + 3_000, START_MS + 5_000);
    assert_eq!(bodies(client.call(by_key("T", "all", 10, from, to)).await), ["m2", "m3", "m4"]);

    let response = client.call(by_key("T", "k-7", 10, 0, i64::MAX)).await;
    let header: QueryMessageResponseHeader = response.response_header().unwrap();
    assert_eq!(header.index_last_update_timestamp, START_MS + 70_000);
    assert!(header.index_last_update_phyoffset > 0);
    node.stop().await;
}

// spec: broker B.6
#[tokio::test]
async fn what_is_not_there_is_22() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "m", &keys("k", "U")).await;
    let misses = [
        by_key("T", "other", 10, 0, i64::MAX),
        by_key("NoSuchTopic", "k", 10, 0, i64::MAX),
        by_key("T", "k", 10, 0, START_MS - 1),
        by_key("T", "k", 10, START_MS + 1, i64::MAX),
        by_key("T", "k", 0, 0, i64::MAX),
        by_key("T", "k", -1, 0, i64::MAX),
        by_key("T", "", 10, i64::MIN, i64::MAX),
    ];
    for miss in misses {
        let response = client.call(miss).await;
        assert_eq!(response.code, 22);
        assert_eq!(response.remark.as_deref(), Some("can not find message, maybe time range not correct"));
        let header: QueryMessageResponseHeader = response.response_header().unwrap();
        assert_eq!(header.index_last_update_timestamp, START_MS);
    }
    node.stop().await;
}

// spec: broker B.6
#[tokio::test]
async fn a_query_for_a_unique_key_gets_up_to_32_whatever_it_asks_for() {
    let node = Node::start().await;
    let client = node.client();
    for n in 0..40 {
        client.send("T", &format!("m{n}"), &keys("k", "7F0001")).await;
    }
    let query = |max_num| by_key("T", "7F0001", max_num, 0, i64::MAX);
    let unique = |max_num| query(max_num).with_field("_UNIQUE_KEY_QUERY", "true");
    assert_eq!(bodies(client.call(unique(0)).await).len(), 32);
    assert_eq!(bodies(client.call(unique(1)).await).len(), 32);
    assert_eq!(bodies(client.call(query(1)).await), ["m39"]);
    assert_eq!(bodies(client.call(query(1).with_field("_UNIQUE_KEY_QUERY", "false")).await), ["m39"]);
    node.stop().await;
}

#[tokio::test]
async fn keys_are_found_after_a_restart_and_not_after_the_topic_was_deleted() {
    let node = Node::start().await;
    node.client().send("T", "m", &keys("k", "U")).await;
    let node = node.restart().await;
    let client = node.client();
    assert_eq!(bodies(client.call(by_key("T", "k", 10, 0, i64::MAX)).await), ["m"]);
    let delete = Command::of(&DeleteTopicRequestHeader { topic: "T".into(), ..Default::default() });
    client.ok(delete).await;
    client.send("T", "of a new life", &keys("k2", "U")).await;
    assert_eq!(client.call(by_key("T", "k", 10, 0, i64::MAX)).await.code, 22);
    assert_eq!(bodies(client.call(by_key("T", "U", 10, 0, i64::MAX)).await), ["of a new life"]);
    node.stop().await;
}

#[tokio::test]
async fn an_answer_is_bounded_in_bytes() {
    let node = Node::start().await;
    let client = node.client();
    for n in 0..3 {
        client.send("T", &format!("{n}").repeat(2 << 20), &keys("k", "")).await;
    }
    let found = bodies(client.call(by_key("T", "k", 10, 0, i64::MAX)).await);
    assert_eq!(found.len(), 1, "two of 2 MiB and their headers are above 4 MiB");
    assert!(found[0].starts_with('2'));
    node.stop().await;
}

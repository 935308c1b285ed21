use std::time::Duration;

use rocketwire_protocol::{
    Command,
    body::{self, ResetOffsetBody},
    header::*,
};

use crate::support::*;

fn query(topic: &str, queue_id: i32, set_zero: Option<bool>) -> Command {
    Command::of(&QueryConsumerOffsetRequestHeader {
        consumer_group: "CG".into(),
        topic: topic.into(),
        queue_id,
        set_zero_if_not_found: set_zero,
        ..Default::default()
    })
}

async fn offset(client: &Client, topic: &str) -> i64 {
    let response = client.ok(query(topic, 0, Some(false))).await;
    response.response_header::<QueryConsumerOffsetResponseHeader>().unwrap().offset
}

#[tokio::test]
async fn a_new_group_begins_with_a_young_queues_first_message() {
    // spec: client 153
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    let response = client.ok(query("T", 0, None)).await;
    assert_eq!(response.fields.get("offset").unwrap(), "0");
    assert_eq!(client.call(query("T", 0, Some(false))).await.code, 22);
    assert_eq!(client.call(query("T", 1, None)).await.code, 22, "an empty queue has no first message");
    assert_eq!(client.call(query("unknown", 0, None)).await.code, 22);
    node.stop().await;
}

#[tokio::test]
async fn commits_overwrite_and_negative_ones_are_ignored() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    assert_eq!(client.call(commit("CG", "T", 0, 5)).await.code, 26, "the group is unknown");
    client.heartbeat(&consumer("c", "CG", vec![])).await;
    assert_eq!(client.call(commit("CG", "unknown", 0, 5)).await.code, 17);
    assert_eq!(client.call(commit("CG", "T", 4, 5)).await.code, 29);
    assert_eq!(client.call(commit("CG", "T", -1, 5)).await.code, 29);
    client.ok(commit("CG", "T", 0, 5)).await;
    client.ok(commit("CG", "T", 0, 3)).await;
    assert_eq!(offset(&client, "T").await, 3);
    client.ok(commit("CG", "T", 0, -1)).await;
    assert_eq!(offset(&client, "T").await, 3);
    client.ok(commit("CG", "T", 1, -1)).await;
    assert_eq!(client.call(query("T", 1, Some(false))).await.code, 22);
    // Beyond the end: stored, and the next pull is told where the end is.
    client.ok(commit("CG", "T", 0, 99)).await;
    assert_eq!(client.pull("T", 0, 99, "*").await.code, 21);
    node.stop().await;
}

#[tokio::test]
async fn queues_can_be_asked_for_their_ends_and_by_time() {
    let node = Node::start().await;
    let client = node.client();
    for n in 0..3 {
        client.send("T", &n.to_string(), "").await;
        node.clock.advance(Duration::from_secs(10));
    }
    let max =
        |topic: &str| Command::of(&GetMaxOffsetRequestHeader { topic: topic.into(), ..Default::default() });
    let min =
        |topic: &str| Command::of(&GetMinOffsetRequestHeader { topic: topic.into(), ..Default::default() });
    let text = |response: Command, field: &str| response.fields.get(field).unwrap().to_string();
    assert_eq!(text(client.ok(max("T")).await, "offset"), "3");
    assert_eq!(text(client.ok(max("unknown")).await, "offset"), "0");
    assert_eq!(text(client.ok(min("T")).await, "offset"), "0");
    assert_eq!(text(client.ok(min("unknown")).await, "offset"), "-1");
    let search = |timestamp: i64, boundary_type| {
        Command::of(&SearchOffsetRequestHeader {
            topic: "T".into(),
            timestamp,
            boundary_type,
            ..Default::default()
        })
    };
    assert_eq!(text(client.ok(search(START_MS, None)).await, "offset"), "0");
    assert_eq!(text(client.ok(search(START_MS + 1, None)).await, "offset"), "1");
    assert_eq!(text(client.ok(search(START_MS + 15_000, Some(BoundaryType::Upper))).await, "offset"), "1");
    assert_eq!(text(client.ok(search(START_MS + 99_000, None)).await, "offset"), "3");
    assert_eq!(text(client.ok(search(0, None)).await, "offset"), "0");
    let earliest = |topic: &str| {
        Command::of(&GetEarliestMsgStoretimeRequestHeader { topic: topic.into(), ..Default::default() })
    };
    assert_eq!(text(client.ok(earliest("T")).await, "timestamp"), START_MS.to_string());
    assert_eq!(text(client.ok(earliest("unknown")).await, "timestamp"), "-1");
    node.stop().await;
}

#[tokio::test]
async fn a_reset_reaches_whoever_pulls_next() {
    // spec: client 167 168
    let node = Node::start().await;
    let client = node.client();
    for n in 0..5 {
        client.send("T", &n.to_string(), "").await;
    }
    let reset = |queue_id: i32, offset: Option<i64>, timestamp: i64| {
        Command::of(&ResetOffsetRequestHeader {
            group: "CG".into(),
            topic: "T".into(),
            queue_id,
            offset,
            timestamp,
            force: true,
            ..Default::default()
        })
    };
    assert_eq!(client.call(reset(-1, None, 0)).await.code, 26);
    client.heartbeat(&consumer("c", "CG", vec![])).await;
    client.ok(commit("CG", "T", 0, 5)).await;
    assert_eq!(client.call(reset(0, Some(6), 0)).await.code, 1);
    let response = client.ok(reset(0, Some(2), 0)).await;
    let table: ResetOffsetBody = body::decode(&response.body).unwrap();
    assert_eq!(table.offset_table.into_values().collect::<Vec<_>>(), [2]);
    assert_eq!(offset(&client, "T").await, 2);

    let response = client.ok(commit("CG", "T", 0, 5)).await;
    assert_eq!(response.remark.as_deref(), Some("Offset has been previously reset"));
    assert_eq!(offset(&client, "T").await, 2);
    let moved = client.pull("T", 0, 5, "*").await;
    assert_eq!(moved.code, 21);
    assert_eq!(moved.response_header::<PullMessageResponseHeader>().unwrap().next_begin_offset, 2);
    assert_eq!(client.pull("T", 0, 2, "*").await.code, 0, "it is told once");
    client.ok(commit("CG", "T", 0, 4)).await;
    assert_eq!(offset(&client, "T").await, 4);

    // All queues, to the end.
    let table: ResetOffsetBody = body::decode(&client.ok(reset(-1, None, -1)).await.body).unwrap();
    assert_eq!(table.offset_table.into_values().collect::<Vec<_>>(), [5, 0, 0, 0]);
    node.stop().await;
}

#[tokio::test]
async fn a_queue_is_young_after_a_restart_too() {
    // spec: client 153
    let node = Node::start().await;
    node.client().send("T", "x", "").await;
    let node = node.restart().await;
    let response = node.client().ok(query("T", 0, None)).await;
    assert_eq!(response.fields.get("offset").unwrap(), "0");
    node.stop().await;
}

use std::time::Duration;

use rocketwire_broker::BrokerOptions;
use rocketwire_protocol::{Command, header::*};

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

fn offsets(response: &Command) -> (i32, i64, i64, i64) {
    let header: PullMessageResponseHeader = response.response_header().unwrap();
    (response.code, header.next_begin_offset, header.min_offset, header.max_offset)
}

#[tokio::test]
async fn every_answer_says_where_the_queue_is() {
    // spec: client 147 148
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    assert_eq!(offsets(&client.pull("T", 0, 1, "*").await), (19, 1, 0, 1));
    assert_eq!(offsets(&client.pull("T", 0, 2, "*").await), (21, 1, 0, 1));
    assert_eq!(offsets(&client.pull("T", 0, i64::MAX, "*").await), (21, 1, 0, 1));
    assert_eq!(offsets(&client.pull("T", 0, -1, "*").await), (21, 0, 0, 1));
    // Queue 1 is empty.
    assert_eq!(offsets(&client.pull("T", 1, 0, "*").await), (19, 0, 0, 0));
    assert_eq!(offsets(&client.pull("T", 1, 5, "*").await), (21, 0, 0, 0));
    node.stop().await;
}

#[tokio::test]
async fn unwanted_messages_are_stepped_over() {
    // spec: client 149
    let node = Node::start().await;
    let client = node.client();
    for tag in ["a", "b", "a", "b"] {
        client.send("T", tag, &format!("TAGS\u{1}{tag}\u{2}")).await;
    }
    let none = client.pull("T", 0, 0, "c").await;
    assert_eq!(offsets(&none), (20, 4, 0, 4));
    let some = client.pull("T", 0, 0, "b || c").await;
    assert_eq!(offsets(&some), (0, 4, 0, 4));
    assert_eq!(decode(some.body).len(), 2);
    let response = client.pull("T", 0, 0, "||").await;
    assert_eq!(response.code, 23);
    node.stop().await;
}

#[tokio::test]
async fn a_parked_pull_wakes_for_its_tag_only() {
    // spec: client 150
    let node = Node::start().await;
    let (client, waiting) = (node.client(), node.client());
    client.send("T", "x", "").await;
    let request = pull("T", 0, 1, "b", Some(MINUTE));
    let parked = tokio::spawn(async move { waiting.call(request).await });
    eventually("the pull is parked", || node.broker.parked_pulls() == 1).await;
    client.send("T", "not wanted", "TAGS\u{1}a\u{2}").await;
    client.send("T", "wanted", "TAGS\u{1}b\u{2}").await;
    let response = parked.await.unwrap();
    assert_eq!(offsets(&response), (0, 3, 0, 3));
    let messages = decode(response.body);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].body(), "wanted");
    assert_eq!(node.broker.parked_pulls(), 0);
    node.stop().await;
}

#[tokio::test]
async fn a_pull_whose_queue_grew_without_a_match_is_moved_on_by_the_sweep() {
    let node = Node::start().await;
    let (client, waiting) = (node.client(), node.client());
    client.send("T", "x", "").await;
    let request = pull("T", 0, 1, "b", Some(MINUTE));
    let parked = tokio::spawn(async move { waiting.call(request).await });
    eventually("the pull is parked", || node.broker.parked_pulls() == 1).await;
    client.send("T", "not wanted", "TAGS\u{1}a\u{2}").await;
    assert_eq!(node.broker.parked_pulls(), 1);
    node.clock.advance(Duration::from_secs(5));
    assert_eq!(offsets(&parked.await.unwrap()), (20, 2, 0, 2));
    node.stop().await;
}

#[tokio::test]
async fn a_parked_pull_ends_with_its_time() {
    let node = Node::start().await;
    let (client, waiting) = (node.client(), node.client());
    client.send("T", "x", "").await;
    // A year is more than anybody waits: the broker's own limit of a minute counts.
    let request = pull("T", 0, 1, "*", Some(Duration::from_secs(31_536_000)));
    let parked = tokio::spawn(async move { waiting.call(request).await });
    eventually("the pull is parked", || node.broker.parked_pulls() == 1).await;
    node.clock.advance(Duration::from_secs(59));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(node.broker.parked_pulls(), 1);
    node.clock.advance(Duration::from_secs(2));
    assert_eq!(offsets(&parked.await.unwrap()), (19, 1, 0, 1));
    node.stop().await;
}

#[tokio::test]
async fn parked_pulls_are_dropped_with_their_connection_and_answered_at_the_end() {
    let node = Node::start().await;
    let (client, leaving, staying) = (node.client(), node.client(), node.client());
    client.send("T", "x", "").await;
    let connection = leaving.remoting.connect(&leaving.addr, PATIENCE).await.unwrap();
    let lost = tokio::spawn(connection.invoke(pull("T", 0, 1, "*", Some(MINUTE)), PATIENCE));
    let kept = tokio::spawn(async move { staying.call(pull("T", 0, 1, "*", Some(MINUTE))).await });
    eventually("both are parked", || node.broker.parked_pulls() == 2).await;
    connection.close("test");
    assert!(lost.await.unwrap().is_err());
    eventually("one is dropped", || node.broker.parked_pulls() == 1).await;
    node.broker.drain();
    assert_eq!(kept.await.unwrap().code, 19);
    assert_eq!(client.call(pull("T", 0, 1, "*", Some(MINUTE))).await.code, 19, "none is parked any more");
    node.stop().await;
}

#[tokio::test]
async fn a_full_table_answers_at_once() {
    let mut options = BrokerOptions::default();
    options.max_holds = 0;
    let node = Node::with(options).await;
    let client = node.client();
    client.send("T", "x", "").await;
    assert_eq!(client.call(pull("T", 0, 1, "*", Some(MINUTE))).await.code, 19);
    node.stop().await;
}

fn committing(topic: &str, offset: i64, flags: i32) -> Command {
    let mut header = pull_header(topic, 0, 1);
    header.sys_flag = 4 | 1 | flags;
    header.commit_offset = offset;
    header.suspend_timeout_millis = 60_000;
    Command::of(&header)
}

async fn committed(client: &Client, topic: &str) -> Option<i64> {
    let header = QueryConsumerOffsetRequestHeader {
        consumer_group: "CG".into(),
        topic: topic.into(),
        queue_id: 0,
        set_zero_if_not_found: Some(false),
        ..Default::default()
    };
    let response = client.call(Command::of(&header)).await;
    (response.code == 0)
        .then(|| response.response_header::<QueryConsumerOffsetResponseHeader>().unwrap().offset)
}

#[tokio::test]
async fn a_pull_commits_on_its_first_pass_only() {
    // spec: client 151
    let node = Node::start().await;
    let (client, waiting) = (node.client(), node.client());
    client.send("T", "x", "").await;
    let parked = tokio::spawn(async move { waiting.call(committing("T", 7, 2)).await });
    eventually("the pull is parked", || node.broker.parked_pulls() == 1).await;
    assert_eq!(committed(&client, "T").await, Some(7), "at once, not when it wakes");
    client.ok(commit("CG", "T", 0, 9)).await;
    client.send("T", "y", "").await;
    assert_eq!(parked.await.unwrap().code, 0);
    assert_eq!(committed(&client, "T").await, Some(9), "waking does not commit again");
    node.stop().await;
}

#[tokio::test]
async fn a_pull_without_its_own_subscription_needs_the_heartbeats() {
    // spec: client 152
    let node = Node::start().await;
    let client = node.client();
    for topic in ["T", "U", "V"] {
        client.send(topic, "x", "TAGS\u{1}a\u{2}").await;
    }
    let request = |topic: &str, version: i64| {
        let mut header = pull_header(topic, 0, 0);
        header.sub_version = version;
        Command::of(&header)
    };
    let response = client.call(request("T", 0)).await;
    assert_eq!(response.code, 24);
    assert!(response.remark.unwrap().starts_with("the consumer's group info not exist"));
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "a", 5), subscription("U", "*", 5)])).await;
    assert_eq!(client.call(request("V", 0)).await.code, 24);
    assert_eq!(client.call(request("T", 5)).await.code, 0);
    assert_eq!(client.call(request("T", 4)).await.code, 0);
    let response = client.call(request("T", 6)).await;
    assert_eq!(
        (response.code, response.remark.as_deref()),
        (25, Some("the consumer's subscription not latest"))
    );
    assert_eq!(client.call(request("U", 6)).await.code, 0, "nothing could change: everything is wanted");
    node.stop().await;
}

#[tokio::test]
async fn numbers_are_clamped_not_obeyed() {
    let node = Node::start().await;
    let client = node.client();
    for n in 0..40 {
        client.send("T", &n.to_string(), "").await;
    }
    for (asked, expected) in [(0, 1), (-1, 1), (5, 5), (i32::MAX, 32)] {
        let mut header = pull_header("T", 0, 0);
        header.sys_flag = 4;
        header.max_msg_nums = asked;
        let response = client.call(Command::of(&header)).await;
        assert_eq!(decode(response.body).len(), expected, "asked for {asked}");
    }
    node.stop().await;
}

#[tokio::test]
async fn the_broker_sets_how_much_a_pull_gets() {
    for (max_pull_messages, max_pull_bytes, expected) in
        [(35, 1 << 20, 35), (1000, 1 << 20, 40), (1000, 1, 1)]
    {
        let mut options = BrokerOptions::default();
        (options.max_pull_messages, options.max_pull_bytes) = (max_pull_messages, max_pull_bytes);
        let node = Node::with(options).await;
        let client = node.client();
        for n in 0..40 {
            client.send("T", &n.to_string(), "").await;
        }
        let mut header = pull_header("T", 0, 0);
        header.sys_flag = 4;
        header.max_msg_nums = 1024;
        let response = client.call(Command::of(&header)).await;
        assert_eq!(decode(response.body).len(), expected, "{max_pull_messages} {max_pull_bytes}");
        node.stop().await;
    }
}

#[tokio::test]
async fn lite_pull_is_the_same() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    let mut request = pull("T", 0, 0, "*", None);
    request.code = 361;
    assert_eq!(client.call(request).await.code, 0);
    node.stop().await;
}

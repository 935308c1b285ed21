use std::time::Duration;

use rocketwire_broker::BrokerOptions;
use rocketwire_protocol::{
    Command,
    header::*,
    message::{OffsetMessageId, RecordView},
};

use crate::support::*;

#[tokio::test]
async fn a_delayed_message_arrives_with_its_time_and_not_before() {
    // spec: client 160
    let node = Node::start().await;
    let client = node.client();
    let answer = client.send("T", "x", "DELAY\u{1}1\u{2}TAGS\u{1}a\u{2}").await;
    assert_eq!(answer.queue_id, 0, "the queue that was asked for");
    let waiting = client.messages("SCHEDULE_TOPIC_XXXX", 0, 0).await;
    assert_eq!(waiting.len(), 1);
    node.clock.advance(Duration::from_millis(999));
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert!(client.messages("T", 0, 0).await.is_empty());
    node.clock.advance(Duration::from_millis(1));
    let arrived = client.wait_for("T", 0, 1).await;
    let message = &arrived[0];
    assert_eq!(message.body(), "x");
    assert_eq!(message.store_timestamp(), START_MS + 1_000);
    assert_eq!(message.property("TAGS"), Some("a"));
    assert_eq!(message.property("DELAY"), Some("1"));
    assert_eq!(message.property("REAL_TOPIC"), Some("T"));
    node.stop().await;
}

#[tokio::test]
async fn levels_are_queues_and_the_highest_takes_all_beyond() {
    // spec: client 160
    let node = Node::start().await;
    let client = node.client();
    for level in ["2", "18", "19", "1000000000"] {
        client.send("T", level, &format!("DELAY\u{1}{level}\u{2}")).await;
    }
    assert_eq!(client.messages("SCHEDULE_TOPIC_XXXX", 1, 0).await.len(), 1);
    assert_eq!(client.messages("SCHEDULE_TOPIC_XXXX", 17, 0).await.len(), 3);
    node.clock.advance(Duration::from_secs(7_200));
    assert_eq!(client.wait_for("T", 0, 4).await.len(), 4);
    node.stop().await;
}

#[tokio::test]
async fn many_messages_keep_their_order_and_none_comes_twice() {
    let node = Node::start().await;
    let client = node.client();
    let bodies: Vec<String> = (0..75).map(|n| n.to_string()).collect();
    for body in &bodies {
        client.send("T", body, "DELAY\u{1}1\u{2}").await;
    }
    node.clock.advance(Duration::from_secs(1));
    client.wait_for("T", 0, 32).await;
    let mut found = Vec::new();
    let since = std::time::Instant::now();
    while found.len() < bodies.len() {
        assert!(since.elapsed() < PATIENCE);
        let more = client.messages("T", 0, found.len() as i64).await;
        found.extend(more.iter().map(|message| String::from_utf8(message.body().to_vec()).unwrap()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(client.messages("T", 0, bodies.len() as i64).await.is_empty());
    assert_eq!(found, bodies);
    node.stop().await;
}

#[tokio::test]
async fn a_restart_neither_loses_nor_repeats_a_delay() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "early", "DELAY\u{1}1\u{2}").await;
    node.clock.advance(Duration::from_secs(1));
    client.wait_for("T", 0, 1).await;
    client.send("T", "late", "DELAY\u{1}1\u{2}").await;
    let node = node.restart().await;
    let client = node.client();
    node.clock.advance(Duration::from_secs(1));
    let arrived = client.wait_for("T", 0, 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let bodies: Vec<_> = arrived.iter().map(|message| message.body()).collect();
    assert_eq!(bodies, ["early", "late"]);
    assert_eq!(client.messages("T", 0, 0).await.len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn levels_are_as_long_as_they_are_configured_and_fewer_of_them_strand_nothing() {
    let node = Node::start().await;
    node.client().send("T", "of level 18", "DELAY\u{1}18\u{2}").await;
    let (storage, clock) = (node.storage.clone(), node.clock.clone());
    node.stop().await;

    let mut options = BrokerOptions::default();
    options.delay_levels = "5s 1m".parse().unwrap();
    let node = Node::on(options, storage, clock).await;
    let client = node.client();
    client.send("T", "of level 1", "DELAY\u{1}1\u{2}").await;
    client.send("T", "of level 3", "DELAY\u{1}3\u{2}").await;
    assert_eq!(client.messages("SCHEDULE_TOPIC_XXXX", 1, 0).await.len(), 1, "the highest takes all beyond");
    node.clock.advance(Duration::from_secs(4));
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert!(client.messages("T", 0, 0).await.is_empty());
    node.clock.advance(Duration::from_secs(1));
    let bodies = |messages: &[RecordView]| -> Vec<String> {
        messages.iter().map(|message| String::from_utf8(message.body().to_vec()).unwrap()).collect()
    };
    assert_eq!(bodies(&client.wait_for("T", 0, 1).await), ["of level 1"]);
    // What waits in a level that is none any more waits as long as those of the highest, not two hours.
    node.clock.advance(Duration::from_secs(55));
    let mut arrived = bodies(&client.wait_for("T", 0, 3).await);
    arrived.sort();
    assert_eq!(arrived, ["of level 1", "of level 18", "of level 3"]);
    node.stop().await;
}

#[tokio::test]
async fn a_delayed_message_arrives_however_long_its_properties_are() {
    let node = Node::start().await;
    let client = node.client();
    let delayed = "DELAY\u{1}1\u{2}UNIQ_KEY\u{1}id\u{2}";
    client.send("T", "short", delayed).await;
    let short = client.messages("SCHEDULE_TOPIC_XXXX", 0, 0).await;
    client.send("T", "long", &filled(delayed, &short[0])).await;
    node.clock.advance(Duration::from_secs(1));
    assert_eq!(client.wait_for("T", 0, 2).await[1].body(), "long");
    node.stop().await;
}

#[tokio::test]
async fn a_message_that_waited_is_kept_though_its_topic_has_fewer_queues_now() {
    let node = Node::start().await;
    let client = node.client();
    let create = |queues| Command::of(&create_header("T", queues));
    client.ok(create(4)).await;
    let to_the_last = async |body: &str, properties: &str| -> SendMessageResponseHeader {
        let header = SendMessageRequestHeaderV2 { queue_id: 3, ..send_header("T", properties) };
        let command = Command::of(&header).with_body(body.to_owned());
        client.ok(command).await.response_header().unwrap()
    };
    to_the_last("level", "DELAY\u{1}1\u{2}").await;
    to_the_last("timer", "TIMER_DELAY_SEC\u{1}2\u{2}").await;
    let half = to_the_last("transaction", "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}PG\u{2}").await;
    client.wait_for("rmq_sys_wheel_timer", 0, 1).await;
    client.ok(create(1)).await;
    let id: OffsetMessageId = half.msg_id.parse().unwrap();
    let commit = EndTransactionRequestHeader {
        producer_group: "PG".into(),
        tran_state_table_offset: half.queue_offset,
        commit_log_offset: id.offset,
        commit_or_rollback: 8,
        msg_id: "id".into(),
        ..Default::default()
    };
    client.ok(Command::of(&commit)).await;
    for _ in 0..2 {
        node.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(350)).await;
    }
    client.ok(create(4)).await;
    let arrived = client.wait_for("T", 3, 3).await;
    let bodies: Vec<_> = arrived.iter().map(|message| message.body()).collect();
    assert_eq!(bodies, ["transaction", "level", "timer"]);
    node.stop().await;
}

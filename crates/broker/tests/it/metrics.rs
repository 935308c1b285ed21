//! Numbers that only passing messages move; how they are written is the node's.

use std::time::Duration;

use rocketwire_broker::Broker;
use rocketwire_protocol::{
    Command,
    header::*,
    message::{OffsetMessageId, batch},
};

use crate::support::*;

/// The sample of a family that has this suffix and these labels.
fn number(broker: &Broker, name: &str, suffix: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let families = broker.metrics();
    let family = families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("no {name}"));
    let mut found = family.samples.iter().filter(|sample| {
        sample.suffix == suffix
            && labels
                .iter()
                .all(|(name, value)| sample.labels.iter().any(|label| label.0 == *name && label.1 == *value))
    });
    let value = found.next()?.value;
    assert!(found.next().is_none(), "{name} {labels:?} is not one number");
    Some(value)
}

fn of(broker: &Broker, name: &str) -> Option<f64> {
    number(broker, name, "", &[("topic", "T")])
}

/// The counts of a histogram up to each of these bounds.
fn up_to(broker: &Broker, name: &str, bounds: [&str; 3]) -> [Option<f64>; 3] {
    bounds.map(|bound| number(broker, name, "_bucket", &[("topic", "T"), ("le", bound)]))
}

#[tokio::test]
async fn sizes_of_messages_are_counted_those_of_a_batch_by_their_average() {
    let node = Node::start().await;
    let client = node.client();
    for bytes in [10, 2_000, 3_000] {
        client.send("T", &"x".repeat(bytes), "").await;
    }
    let mut items = Vec::new();
    for body in ["1", "2", "3", "4"] {
        batch::encode_item(0, body.as_bytes(), "", &mut items).unwrap();
    }
    let mut header = send_header("T", "");
    header.batch = Some(true);
    client.ok(Command::of(&header).with_body(items)).await;
    client.ok(Command::of(&send_header("%RETRY%TOOLS_CONSUMER", "")).with_body("x")).await;
    let name = "rocketmq_message_size";
    assert_eq!(up_to(&node.broker, name, ["1024", "4096", "+Inf"]), [Some(5.0), Some(7.0), Some(7.0)]);
    assert_eq!(number(&node.broker, name, "_count", &[("topic", "T")]), Some(7.0));
    assert_eq!(of(&node.broker, "rocketmq_messages_in_total"), Some(7.0));
    let bytes = of(&node.broker, "rocketmq_throughput_in_total").unwrap();
    assert_eq!(number(&node.broker, name, "_sum", &[("topic", "T")]), Some(bytes));
    assert!(bytes > 5_000.0 + 7.0 * 91.0, "{bytes}");
    let retry = number(&node.broker, "rocketmq_messages_in_total", "", &[("topic", "%RETRY%TOOLS_CONSUMER")]);
    assert_eq!(retry, None, "what is sent back is not counted twice");
    node.stop().await;
}

#[tokio::test]
async fn verdicts_are_counted_once_and_half_messages_until_then() {
    // spec: broker B.12
    let node = Node::start().await;
    let client = node.client();
    let half = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}PG\u{2}UNIQ_KEY\u{1}id\u{2}";
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(client.send("T", "x", half).await);
    }
    assert_eq!(of(&node.broker, "rocketmq_half_messages"), Some(3.0));
    node.clock.advance(Duration::from_secs(5));
    for (at, verdict) in [(0, 8), (0, 8), (1, 12)] {
        let id: OffsetMessageId = sent[at].msg_id.parse().unwrap();
        let end = EndTransactionRequestHeader {
            producer_group: "PG".into(),
            tran_state_table_offset: sent[at].queue_offset,
            commit_log_offset: id.offset,
            commit_or_rollback: verdict,
            msg_id: "id".into(),
            ..Default::default()
        };
        client.ok(Command::of(&end)).await;
    }
    assert_eq!(of(&node.broker, "rocketmq_half_messages"), Some(1.0));
    assert_eq!(of(&node.broker, "rocketmq_commit_messages_total"), Some(1.0));
    assert_eq!(of(&node.broker, "rocketmq_rollback_messages_total"), Some(1.0));
    let latency = "rocketmq_finish_message_latency";
    assert_eq!(up_to(&node.broker, latency, ["5", "60", "+Inf"]), [Some(1.0); 3]);
    assert_eq!(number(&node.broker, latency, "_sum", &[("topic", "T")]), Some(5.0));
    let node = node.restart().await;
    assert_eq!(of(&node.broker, "rocketmq_half_messages"), Some(1.0), "found again by its topic");
    node.stop().await;
}

#[tokio::test]
async fn timer_messages_are_counted_when_they_begin_to_wait_and_when_they_leave() {
    // spec: broker C.7
    let node = Node::start().await;
    let client = node.client();
    for seconds in [30, 90] {
        client
            .send("T", "x", &format!("TIMER_DELAY_SEC\u{1}{seconds}\u{2}UNIQ_KEY\u{1}id{seconds}\u{2}"))
            .await;
    }
    let broker = node.broker.clone();
    eventually("both wait", || of(&broker, "rocketmq_timer_enqueue_total") == Some(2.0)).await;
    let delays = "rocketmq_delay_message_latency";
    assert_eq!(up_to(&broker, delays, ["60", "600", "+Inf"]), [Some(1.0), Some(2.0), Some(2.0)]);
    assert_eq!(number(&broker, delays, "_sum", &[("topic", "T")]), Some(120.0));
    assert_eq!(number(&broker, "rocketmq_timing_messages", "", &[]), Some(2.0));
    node.clock.advance(Duration::from_secs(31));
    client.wait_for("T", 0, 1).await;
    eventually("one has left", || of(&broker, "rocketmq_timer_dequeue_total") == Some(1.0)).await;
    assert_eq!(number(&broker, "rocketmq_timing_messages", "", &[]), Some(1.0));
    assert_eq!(number(&broker, "rocketmq_timer_enqueue_lag", "", &[]), Some(0.0));
    node.stop().await;
}

#[tokio::test]
async fn what_a_group_has_not_pulled_has_an_age_of_its_own() {
    let node = Node::start().await;
    let client = node.client();
    for _ in 0..3 {
        client.send("T", "x", "").await;
        node.clock.advance(Duration::from_secs(10));
    }
    let mut pull = pull_header("T", 0, 0);
    (pull.sys_flag, pull.subscription, pull.max_msg_nums) = (4, Some("*".into()), 2);
    client.ok(Command::of(&pull)).await;
    client.ok(commit("CG", "T", 0, 1)).await;
    assert_eq!(of(&node.broker, "rocketmq_consumer_lag_latency"), Some(20_000.0));
    assert_eq!(of(&node.broker, "rocketmq_consumer_queueing_latency"), Some(10_000.0));
    node.stop().await;
}

#[tokio::test]
async fn creations_by_operators_are_timed_and_refused_ones_apart() {
    let node = Node::start().await;
    let client = node.client();
    let create = |queues| Command::of(&create_header("T", queues));
    client.ok(create(1)).await;
    client.ok(create(2)).await;
    assert_eq!(client.call(create(1 << 20)).await.code, 29);
    let count = |status| {
        let name = "rocketmq_topic_create_execution_time";
        number(&node.broker, name, "_count", &[("invocation_status", status)])
    };
    assert_eq!((count("success"), count("failure")), (Some(2.0), Some(1.0)));
    node.stop().await;
}

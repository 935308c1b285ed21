use std::time::Duration;

use rocketwire_broker::BrokerOptions;
use rocketwire_protocol::{
    Command, RequestCode,
    body::{self, KVTable},
    header::*,
};

use crate::support::*;

const TIMER: &str = "rmq_sys_wheel_timer";

fn at(ms: i64) -> String {
    format!("TIMER_DELIVER_MS\u{1}{ms}\u{2}UNIQ_KEY\u{1}id{ms}\u{2}")
}

/// Time for the broker's task to do what it should not do.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(350)).await;
}

fn bodies(messages: &[rocketwire_protocol::message::RecordView]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8(message.body().to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn a_timer_message_arrives_at_its_moment_and_not_before() {
    let node = Node::start().await;
    let client = node.client();
    let mut header = send_header("T", "TIMER_DELAY_SEC\u{1}90\u{2}TAGS\u{1}a\u{2}UNIQ_KEY\u{1}id\u{2}");
    header.queue_id = 2;
    let answer: SendMessageResponseHeader =
        client.ok(Command::of(&header).with_body("x")).await.response_header().unwrap();
    assert_eq!((answer.queue_id, answer.queue_offset), (2, 0), "the queue that was asked for");
    let waiting = client.wait_for(TIMER, 0, 1).await;
    assert_eq!(waiting[0].property("TIMER_OUT_MS"), Some(&*(START_MS + 89_000).to_string()));
    node.clock.advance(Duration::from_millis(89_999));
    a_while().await;
    assert!(client.messages("T", 2, 0).await.is_empty());
    node.clock.advance(Duration::from_millis(1));
    let arrived = client.wait_for("T", 2, 1).await;
    let message = &arrived[0];
    assert_eq!(message.body(), "x");
    assert_eq!(message.store_timestamp(), START_MS + 90_000);
    assert_eq!(message.property("TAGS"), Some("a"));
    assert_eq!(message.property("REAL_TOPIC"), None, "as in Java");
    assert_eq!(message.property("TIMER_DEQUEUE_MS"), Some(&*(START_MS + 90_000).to_string()));
    assert_eq!(message.property("TIMER_ROLL_TIMES"), None);
    node.stop().await;
}

#[tokio::test]
async fn messages_arrive_in_the_order_of_their_moments() {
    let node = Node::start().await;
    let client = node.client();
    for seconds in [50, 20, 40, 10, 30] {
        client.send("T", &seconds.to_string(), &at(START_MS + seconds * 1_000)).await;
    }
    node.clock.advance(Duration::from_secs(35));
    assert_eq!(bodies(&client.wait_for("T", 0, 3).await), ["10", "20", "30"]);
    let info = client.ok(Command::request(RequestCode::GET_BROKER_RUNTIME_INFO)).await;
    let info: KVTable = body::decode(&info.body).unwrap();
    assert_eq!((&*info.table["timerCongestNum"], &*info.table["timerOffsetBehind"]), ("2", "0"));
    node.clock.advance(Duration::from_secs(35));
    assert_eq!(bodies(&client.wait_for("T", 0, 5).await), ["10", "20", "30", "40", "50"]);
    a_while().await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 5, "none comes twice");
    node.stop().await;
}

#[tokio::test]
async fn the_past_is_now_and_beyond_three_days_is_refused() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "now", &at(1)).await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    for properties in [at(i64::MAX), at(START_MS + 259_201_000), "TIMER_DELAY_SEC\u{1}x\u{2}".to_owned()] {
        let refused = client.call(send("T", "x", &properties)).await;
        assert_eq!(refused.code, 13, "{properties}");
        assert!(refused.remark.unwrap().starts_with("timer message illegal"));
    }
    client.send("T", "far", &at(START_MS + 259_200_000)).await;
    let forbidden = client.call(send(TIMER, "x", &at(START_MS + 1_000))).await;
    assert_eq!(forbidden.code, 16, "what waits there was checked");
    node.stop().await;
}

#[tokio::test]
async fn clocks_that_step_bring_nothing_early_and_lose_nothing() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", &at(START_MS + 60_000)).await;
    client.wait_for(TIMER, 0, 1).await;
    node.clock.set_wall(START_MS - 3_600_000);
    node.clock.advance(Duration::from_secs(60));
    a_while().await;
    assert!(client.messages("T", 0, 0).await.is_empty());
    node.clock.set_wall(START_MS + 3_600_000);
    client.wait_for("T", 0, 1).await;
    node.clock.set_wall(START_MS);
    node.clock.advance(Duration::from_secs(60));
    a_while().await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn a_restart_neither_loses_nor_repeats_a_timer() {
    let node = Node::start().await;
    let client = node.client();
    for seconds in [3_600, 10, 20, 7_200] {
        client.send("T", &seconds.to_string(), &at(START_MS + seconds * 1_000)).await;
    }
    node.clock.advance(Duration::from_secs(15));
    client.wait_for("T", 0, 1).await;
    let node = node.restart().await;
    let client = node.client();
    node.clock.advance(Duration::from_secs(15));
    client.wait_for("T", 0, 2).await;
    let node = node.restart().await;
    let client = node.client();
    a_while().await;
    assert_eq!(bodies(&client.messages("T", 0, 0).await), ["10", "20"]);
    node.clock.advance(Duration::from_secs(7_200));
    assert_eq!(bodies(&client.wait_for("T", 0, 4).await), ["10", "20", "3600", "7200"]);
    node.stop().await;
}

#[tokio::test]
async fn a_kill_loses_no_timer() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", &at(START_MS + 60_000)).await;
    // What a kill leaves: the files as they are, without the last snapshots.
    let files = node.storage.snapshot();
    let killed = Node::on(BrokerOptions::default(), files, node.clock.clone()).await;
    node.stop().await;
    killed.clock.advance(Duration::from_secs(60));
    assert_eq!(bodies(&killed.client().wait_for("T", 0, 1).await), ["x"]);
    killed.stop().await;
}

#[tokio::test]
async fn a_kill_repeats_at_most_what_was_delivered_since_the_last_snapshot() {
    let node = Node::start().await;
    let client = node.client();
    for seconds in [10, 20, 60] {
        client.send("T", &seconds.to_string(), &at(START_MS + seconds * 1_000)).await;
    }
    node.clock.advance(Duration::from_secs(20));
    client.wait_for("T", 0, 2).await;
    // Every five seconds there is a snapshot; after the second of these it is of now.
    for _ in 0..2 {
        node.clock.advance(Duration::from_secs(6));
        a_while().await;
    }
    let files = node.storage.snapshot();
    let killed = Node::on(BrokerOptions::default(), files, node.clock.clone()).await;
    node.stop().await;
    let client = killed.client();
    killed.clock.advance(Duration::from_secs(40));
    client.wait_for("T", 0, 3).await;
    a_while().await;
    assert_eq!(bodies(&client.messages("T", 0, 0).await), ["10", "20", "60"]);
    killed.stop().await;
}

#[tokio::test]
async fn a_message_far_away_is_stored_anew_before_retention_takes_it() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", &at(START_MS + 3 * 24 * 3_600_000)).await;
    client.wait_for(TIMER, 0, 1).await;
    node.clock.advance(Duration::from_secs(36 * 3600));
    let waiting = client.wait_for(TIMER, 0, 2).await;
    assert_eq!(waiting[1].property("TIMER_ROLL_TIMES"), Some("1"));
    assert_eq!(waiting[1].property("REAL_TOPIC"), Some("T"));
    node.clock.advance(Duration::from_secs(36 * 3600 - 1));
    a_while().await;
    assert!(client.messages("T", 0, 0).await.is_empty());
    node.clock.advance(Duration::from_secs(1));
    client.wait_for("T", 0, 1).await;
    a_while().await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn too_many_timers_are_refused_until_some_are_out() {
    let mut options = BrokerOptions::default();
    options.max_timers = 2;
    let node = Node::with(options).await;
    let client = node.client();
    for second in 1..=2 {
        client.send("T", "x", &at(START_MS + second * 1_000)).await;
    }
    let refused = client.call(send("T", "x", &at(START_MS + 3_000))).await;
    assert_eq!(refused.code, 1);
    assert!(refused.remark.unwrap().starts_with("timer message is under flow control"));
    client.send("T", "at once", "").await;
    node.clock.advance(Duration::from_secs(2));
    client.wait_for("T", 0, 3).await;
    client.send("T", "x", &at(START_MS + 3_000)).await;
    node.stop().await;
}

#[tokio::test]
async fn a_recalled_message_does_not_arrive() {
    let mut options = BrokerOptions::default();
    options.recall_message = true;
    let node = Node::with(options).await;
    let client = node.client();
    let recalled = client.send("T", "recalled", &at(START_MS + 10_000)).await;
    let kept = client.send("T", "kept", &format!("TIMER_DELIVER_MS\u{1}{}\u{2}", START_MS + 10_000)).await;
    assert_ne!(kept.recall_handle, recalled.recall_handle);
    let recall = |topic: &str, handle: &str| {
        Command::of(&RecallMessageRequestHeader {
            topic: topic.into(),
            recall_handle: handle.into(),
            ..Default::default()
        })
    };
    let handle = recalled.recall_handle.unwrap();
    let answer: RecallMessageResponseHeader =
        client.ok(recall("T", &handle)).await.response_header().unwrap();
    assert_eq!(answer.msg_id, format!("id{}", START_MS + 10_000));
    node.clock.advance(Duration::from_secs(10));
    assert_eq!(bodies(&client.wait_for("T", 0, 1).await), ["kept"]);
    a_while().await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    for (topic, handle, code) in [("T", &*handle, 604), ("T", "x", 604), ("none", &*handle, 17)] {
        assert_eq!(client.call(recall(topic, handle)).await.code, code, "{topic} {handle}: it is too late");
    }
    assert_eq!(client.send("T", "x", "").await.recall_handle, None);
    node.stop().await;

    let node = Node::start().await;
    assert_eq!(node.client().call(recall("T", &handle)).await.code, 16, "it is an option");
    node.stop().await;
}

#[tokio::test]
async fn a_committed_timer_message_waits_for_its_moment() {
    let node = Node::start().await;
    let client = node.client();
    let properties = format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}PG\u{2}{}", at(START_MS + 10_000));
    let answer = client.send("T", "x", &properties).await;
    let id: rocketwire_protocol::message::OffsetMessageId = answer.msg_id.parse().unwrap();
    let commit = EndTransactionRequestHeader {
        producer_group: "PG".into(),
        tran_state_table_offset: answer.queue_offset,
        commit_log_offset: id.offset,
        commit_or_rollback: 8,
        msg_id: "id".into(),
        ..Default::default()
    };
    client.ok(Command::of(&commit)).await;
    client.wait_for(TIMER, 0, 1).await;
    assert!(client.messages("T", 0, 0).await.is_empty());
    node.clock.advance(Duration::from_secs(10));
    client.wait_for("T", 0, 1).await;
    node.stop().await;
}

#[tokio::test]
async fn a_dead_letter_and_a_message_with_a_delay_level_wait_for_no_moment() {
    let node = Node::start().await;
    let client = node.client();
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1)])).await;
    let mut header = send_header("%RETRY%CG", &at(START_MS + 60_000));
    (header.reconsume_times, header.max_reconsume_times) = (Some(4), Some(3));
    client.ok(Command::of(&header).with_body("dead")).await;
    assert_eq!(bodies(&client.messages("%DLQ%CG", 0, 0).await), ["dead"]);
    client.send("T", "level", &format!("DELAY\u{1}1\u{2}{}", at(START_MS + 60_000))).await;
    node.clock.advance(Duration::from_secs(1));
    assert_eq!(bodies(&client.wait_for("T", 0, 1).await), ["level"]);
    assert!(client.messages(TIMER, 0, 0).await.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_timer_message_arrives_however_long_its_properties_are() {
    let node = Node::start().await;
    let client = node.client();
    let far = at(START_MS + 3 * 24 * 3_600_000);
    client.send("T", "short", &far).await;
    let short = client.wait_for(TIMER, 0, 1).await;
    client.send("T", "long", &filled(&far, &short[0])).await;
    client.wait_for(TIMER, 0, 2).await;
    // Both are stored anew before retention takes them.
    node.clock.advance(Duration::from_secs(36 * 3600));
    client.wait_for(TIMER, 0, 4).await;
    node.clock.advance(Duration::from_secs(36 * 3600));
    assert_eq!(bodies(&client.wait_for("T", 0, 2).await), ["short", "long"]);
    node.stop().await;
}

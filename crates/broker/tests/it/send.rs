use rocketwire_broker::BrokerOptions;
use rocketwire_protocol::{
    Command, RequestCode, Version,
    body::{self, LockBatchRequestBody, MessageQueue},
    header::*,
    message::{OffsetMessageId, SysFlag, batch, properties},
};

use crate::support::*;

#[tokio::test]
async fn a_message_comes_back_as_it_was_sent() {
    // spec: client 143
    let node = Node::start().await;
    let client = node.client();
    let response = client.ok(send("T", "hello", "TAGS\u{1}a\u{2}UNIQ_KEY\u{1}id\u{2}")).await;
    assert_eq!(response.fields.get("MSG_REGION").unwrap(), "DefaultRegion");
    assert_eq!(response.fields.get("TRACE_ON").unwrap(), "true");
    let answer: SendMessageResponseHeader = response.response_header().unwrap();
    assert_eq!((answer.queue_id, answer.queue_offset), (0, 0));
    assert_eq!(answer.transaction_id.unwrap(), "id");

    let pulled = client.pull("T", 0, 0, "*").await;
    let header: PullMessageResponseHeader = pulled.response_header().unwrap();
    assert_eq!((header.min_offset, header.max_offset, header.next_begin_offset), (0, 1, 1));
    assert_eq!(pulled.remark.as_deref(), Some("FOUND"));
    let messages = decode(pulled.body);
    let message = &messages[0];
    assert_eq!((message.topic(), &message.body()[..]), ("T", &b"hello"[..]));
    assert_eq!(message.property("TAGS"), Some("a"));
    assert_eq!(message.property("CLUSTER"), Some("DefaultCluster"));
    assert_eq!(message.store_timestamp(), START_MS);
    assert_eq!(message.born_timestamp(), START_MS);
    message.check_crc().unwrap();
    let id: OffsetMessageId = answer.msg_id.parse().unwrap();
    assert_eq!(id.offset, message.physical_offset());
    assert_eq!(id, message.offset_message_id());
    node.stop().await;
}

#[tokio::test]
async fn an_unknown_topic_is_created_from_its_template() {
    // spec: client 140
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    let config = node.broker.topics().into_iter().find(|topic| topic.topic_name == "T").unwrap();
    assert_eq!((config.read_queue_nums, config.write_queue_nums, config.perm), (4, 4, 6));
    node.stop().await;
}

#[tokio::test]
async fn without_automatic_creation_it_is_17() {
    // spec: client 141
    let mut options = BrokerOptions::default();
    options.auto_create_topic = false;
    let node = Node::with(options).await;
    let client = node.client();
    let response = client.call(send("T", "x", "")).await;
    assert_eq!(response.code, 17);
    assert!(response.remark.unwrap().starts_with("topic[T] not exist, apply first please!"));
    assert_eq!(response.fields.get("MSG_REGION").unwrap(), "DefaultRegion", "errors carry it, too");
    node.stop().await;
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_29_and_a_negative_one_is_any() {
    // spec: client 142
    let node = Node::start().await;
    let client = node.client();
    let mut header = send_header("T", "");
    header.queue_id = 4;
    let response = client.call(Command::of(&header).with_body("x")).await;
    assert_eq!(response.code, 29);
    assert!(response.remark.unwrap().starts_with("request queueId[4] is illegal"));
    header.queue_id = -1;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let answer = client.ok(Command::of(&header).with_body("x")).await;
        seen.insert(answer.response_header::<SendMessageResponseHeader>().unwrap().queue_id);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    node.stop().await;
}

#[tokio::test]
async fn nobody_sends_to_where_messages_wait() {
    let node = Node::start().await;
    let client = node.client();
    for topic in ["SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "SELF_TEST_TOPIC"] {
        assert_eq!(client.call(send(topic, "x", "")).await.code, 16, "{topic}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_message_without_an_id_gets_one() {
    let node = Node::start().await;
    let client = node.client();
    let answer = client.send("T", "x", "").await;
    let id = answer.transaction_id.unwrap();
    let messages = client.messages("T", 0, 0).await;
    assert_eq!(messages[0].property("UNIQ_KEY"), Some(&*id));
    assert_eq!(id.len(), 32);
    node.stop().await;
}

fn batch_of(items: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (body, properties) in items {
        batch::encode_item(0, body.as_bytes(), properties, &mut out).unwrap();
    }
    out
}

#[tokio::test]
async fn a_batch_is_chosen_by_its_flag_and_stored_as_a_whole() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "first", "").await;
    let mut header = send_header("T", "UNIQ_KEY\u{1}batch\u{2}");
    header.batch = Some(true);
    let body = batch_of(&[("a", "TAGS\u{1}x\u{2}"), ("b", ""), ("c", "")]);
    for code in [RequestCode::SEND_BATCH_MESSAGE, RequestCode::SEND_MESSAGE_V2] {
        let mut command = Command::of(&header).with_body(body.clone());
        command.code = code.0;
        let answer: SendMessageResponseHeader = client.ok(command).await.response_header().unwrap();
        let ids: Vec<OffsetMessageId> = answer.msg_id.split(',').map(|id| id.parse().unwrap()).collect();
        assert_eq!(ids.len(), 3);
        let messages = client.messages("T", 0, answer.queue_offset).await;
        let found: Vec<_> = messages.iter().take(3).map(|m| m.body()).collect();
        assert_eq!(found, ["a", "b", "c"]);
        for (id, message) in ids.iter().zip(&messages) {
            assert_eq!(id.offset, message.physical_offset());
        }
        assert_eq!(messages[0].property("TAGS"), Some("x"));
        assert_eq!(messages[1].property("UNIQ_KEY"), None, "the batch's own properties are not the items'");
    }
    // The code of batches without the flag: one message, whatever its body.
    header.batch = None;
    let mut command = Command::of(&header).with_body(body.clone());
    command.code = RequestCode::SEND_BATCH_MESSAGE.0;
    let answer: SendMessageResponseHeader = client.ok(command).await.response_header().unwrap();
    let messages = client.messages("T", 0, answer.queue_offset).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].body(), body);
    node.stop().await;
}

#[tokio::test]
async fn retries_that_were_too_many_go_to_the_dead_letters() {
    let node = Node::start().await;
    let client = node.client();
    let old = node.client_of(Version(120));
    let retry = |times: i32, max: Option<i32>| {
        let mut header = send_header("%RETRY%CG", "DELAY\u{1}3\u{2}");
        header.reconsume_times = Some(times);
        header.max_reconsume_times = max;
        Command::of(&header).with_body("x")
    };
    let response = client.call(retry(1, None)).await;
    assert_eq!(response.code, 26, "the group is unknown");
    client.heartbeat(&consumer("c", "CG", vec![])).await;
    client.ok(retry(3, Some(3))).await;
    assert!(client.messages("%DLQ%CG", 0, 0).await.is_empty());
    client.ok(retry(4, Some(3))).await;
    let dead = client.messages("%DLQ%CG", 0, 0).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].property("DELAY"), Some("-1"));
    // Old clients' own limit is not believed: the group's 16 counts.
    old.ok(retry(4, Some(3))).await;
    assert_eq!(client.messages("%DLQ%CG", 0, 0).await.len(), 1);
    old.ok(retry(17, Some(3))).await;
    assert_eq!(client.messages("%DLQ%CG", 0, 0).await.len(), 2);
    node.stop().await;
}

#[tokio::test]
async fn retries_of_an_orderly_group_go_to_the_dead_letters() {
    // spec: client 146
    let node = Node::start().await;
    let client = node.client();
    client.heartbeat(&consumer("c", "CG", vec![])).await;
    let request = LockBatchRequestBody {
        client_id: "c".into(),
        consumer_group: "CG".into(),
        mq_set: vec![MessageQueue::new("T", "broker-a", 0)],
        ..Default::default()
    };
    client.ok(Command::of(&LockBatchMqRequestHeader::default()).with_body(body::encode(&request))).await;
    client.send("%RETRY%CG", "x", "").await;
    assert_eq!(client.messages("%DLQ%CG", 0, 0).await.len(), 1);
    assert!(client.messages("%RETRY%CG", 0, 0).await.is_empty());
    node.stop().await;
}

async fn send_back(client: &Client, offset: i64, level: i32, max: Option<i32>) -> Command {
    let header = ConsumerSendMsgBackRequestHeader {
        offset,
        group: "CG".into(),
        delay_level: level,
        max_reconsume_times: max,
        ..Default::default()
    };
    client.call(Command::of(&header)).await
}

#[tokio::test]
async fn a_message_that_is_sent_back_waits_and_returns_with_its_history() {
    // spec: client 144 145
    let node = Node::start().await;
    let client = node.client();
    let sent = client.send("T", "x", "TAGS\u{1}a\u{2}").await;
    let id: OffsetMessageId = sent.msg_id.parse().unwrap();
    assert_eq!(send_back(&client, id.offset, 0, None).await.code, 26, "the group is unknown");
    client.heartbeat(&consumer("c", "CG", vec![])).await;

    let response = send_back(&client, id.offset + 1, 0, None).await;
    assert_eq!(response.code, 1, "inside a record");
    assert_eq!(response.remark.unwrap(), format!("look message by offset failed, {}", id.offset + 1));
    assert_eq!(send_back(&client, i64::MAX, 0, None).await.code, 1);
    assert_eq!(send_back(&client, -1, 0, None).await.code, 1);

    assert_eq!(send_back(&client, id.offset, 0, None).await.code, 0);
    // Level 3 waits in queue 2.
    let waiting = client.wait_for("SCHEDULE_TOPIC_XXXX", 2, 1).await;
    assert_eq!(waiting[0].property("REAL_TOPIC"), Some("%RETRY%CG"));
    node.clock.advance(std::time::Duration::from_secs(10));
    let retried = client.wait_for("%RETRY%CG", 0, 1).await;
    let message = &retried[0];
    assert_eq!(message.reconsume_times(), 1);
    assert_eq!(message.property("RETRY_TOPIC"), Some("T"));
    assert_eq!(message.property("ORIGIN_MESSAGE_ID"), Some(&*sent.msg_id));
    assert_eq!(message.property("TAGS"), Some("a"));
    assert_eq!(message.body(), "x");

    // At the limit it is dead.
    assert_eq!(send_back(&client, message.physical_offset(), 0, Some(1)).await.code, 0);
    let dead = client.wait_for("%DLQ%CG", 0, 1).await;
    assert_eq!(dead[0].property("RETRY_TOPIC"), Some("T"));
    assert_eq!(send_back(&client, message.physical_offset(), -1, None).await.code, 0);
    client.wait_for("%DLQ%CG", 0, 2).await;
    node.stop().await;
}

#[tokio::test]
async fn properties_that_do_not_fit_are_13_and_nothing_is_stored() {
    // spec: client 162
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    let long = format!("k\u{1}{}\u{2}", "v".repeat(32_767));
    assert_eq!(client.call(send("T", "x", &long)).await.code, 13);
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn moments_far_away_are_refused_and_past_ones_are_now() {
    // spec: client 161
    let node = Node::start().await;
    let client = node.client();
    let at = |ms: i64| format!("TIMER_DELIVER_MS\u{1}{ms}\u{2}");
    client.send("T", "x", &at(START_MS - 1)).await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    assert_eq!(client.call(send("T", "x", &at(START_MS + 4 * 86_400_000))).await.code, 13);
    assert_eq!(client.call(send("T", "x", &at(i64::MAX))).await.code, 13);
    client.send("T", "x", &at(START_MS + 60_000)).await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 1, "it waits");
    node.stop().await;
}

#[tokio::test]
async fn a_message_is_stored_compressed_and_with_its_flags() {
    let node = Node::start().await;
    let client = node.client();
    let mut header = send_header("T", "TAGS\u{1}a\u{2}");
    header.sys_flag = 0x301;
    header.flag = 77;
    client.ok(Command::of(&header).with_body(vec![1, 2, 3])).await;
    let message = &client.messages("T", 0, 0).await[0];
    assert_eq!((message.sys_flag(), message.flag()), (SysFlag(0x301), 77));
    assert_eq!(&message.body()[..], [1, 2, 3]);
    assert_eq!(properties::get(message.properties(), "TAGS"), Some("a"));
    node.stop().await;
}

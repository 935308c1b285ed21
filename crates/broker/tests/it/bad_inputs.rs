//! What must not happen with input that nobody should send.

use rocketwire_protocol::{Command, RequestCode, header::*, message::batch};

use crate::support::*;

#[tokio::test]
async fn unusual_names_are_topics_of_their_own() {
    let node = Node::start().await;
    let client = node.client();
    for name in ["A", "a", "con", "|"] {
        client.send(name, name, "").await;
    }
    for name in ["A", "a", "con", "|"] {
        let messages = client.messages(name, 0, 0).await;
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].body(), name);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_header_without_its_fields_is_1_and_names_the_field() {
    let node = Node::start().await;
    let client = node.client();
    for code in [310, 10, 320, 11, 14, 15, 29, 30, 31, 32, 33, 35, 36, 37, 38, 17, 215, 351, 222, 307] {
        let response = client.call(Command::request(RequestCode(code))).await;
        assert_eq!(response.code, 1, "code {code}");
        assert!(response.remark.unwrap().contains("the custom field <"), "code {code}");
    }
    for number in ["x", "1e999", "NaN", "", "99999999999999999999999999999999999999999"] {
        let request = Command::of(&pull_header("T", 0, 0)).with_field("queueOffset", number);
        let response = client.call(request).await;
        assert_eq!(response.code, 1, "{number:?}");
        assert!(response.remark.unwrap().contains("queueOffset"), "{number:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn fields_with_a_few_allowed_values_have_no_others() {
    // spec: remoting H8
    let node = Node::start().await;
    let client = node.client();
    let create = |topic: &str, kind: &str| {
        Command::of(&CreateTopicRequestHeader { topic_filter_type: kind.into(), ..create_header(topic, 1) })
    };
    for kind in ["", "single_tag", "0"] {
        let response = client.call(create("Other", kind)).await;
        let remark = format!("topicFilterType = [{kind}] value invalid");
        assert_eq!((response.code, response.remark.as_deref()), (1, Some(&*remark)));
    }
    assert_eq!(client.pull("Other", 0, 0, "*").await.code, 17, "nothing was created");
    for kind in ["SINGLE_TAG", "MULTI_TAG"] {
        client.ok(create(kind, kind)).await;
    }
    for verdict in [1, -8, 4, i32::MAX] {
        let end = EndTransactionRequestHeader {
            producer_group: "PG".into(),
            commit_or_rollback: verdict,
            msg_id: "id".into(),
            ..Default::default()
        };
        let response = client.call(Command::of(&end)).await;
        assert_eq!((response.code, response.remark.as_deref()), (1, Some("commitOrRollback field wrong")));
    }
    node.stop().await;
}

#[tokio::test]
async fn bodies_that_are_none_are_answered() {
    let node = Node::start().await;
    let client = node.client();
    for code in [34, 41, 42, 200, 225, 18] {
        for text in ["", "{", "[]", "null"] {
            let response = client.call(Command::request(RequestCode(code)).with_body(text)).await;
            assert_ne!(response.code, 0, "code {code} with {text:?}");
        }
    }
    let wrong = Command::request(RequestCode::HEART_BEAT).with_body("{\"consumerDataSet\":7}");
    assert_eq!(client.call(wrong).await.code, 1);
    let deep = "[".repeat(10_000);
    assert_eq!(client.call(Command::request(RequestCode::HEART_BEAT).with_body(deep)).await.code, 1);
    // A check without a body is none.
    client.ok(Command::request(RequestCode::CHECK_CLIENT_CONFIG)).await;
    node.stop().await;
}

#[tokio::test]
async fn bodies_of_messages_have_bounds() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    assert_eq!(client.call(send("T", "", "")).await.code, 13);
    let big = "x".repeat((4 << 20) + 1);
    assert_eq!(client.call(send("T", &big, "")).await.code, 13);
    client.send("T", &big[1..], "").await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 1, "the second is a page of its own");
    node.stop().await;
}

#[tokio::test]
async fn half_a_batch_is_never_stored() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    let mut good = Vec::new();
    batch::encode_item(0, b"a", "", &mut good).unwrap();
    batch::encode_item(0, b"b", "", &mut good).unwrap();
    let mut header = send_header("T", "");
    header.batch = Some(true);
    let mut bad: Vec<Vec<u8>> = vec![good[..good.len() - 1].to_vec(), [good.as_slice(), &[0]].concat()];
    for change in [1, -1i8] {
        let mut changed = good.clone();
        changed[3] = changed[3].wrapping_add_signed(change);
        bad.push(changed);
    }
    let mut empty_item = good.clone();
    batch::encode_item(0, b"", "", &mut empty_item).unwrap();
    bad.push(empty_item);
    for body in bad {
        assert_eq!(client.call(Command::of(&header).with_body(body.clone())).await.code, 13, "{body:?}");
    }
    for properties in ["DELAY\u{1}1\u{2}", "TRAN_MSG\u{1}true\u{2}"] {
        let mut header = send_header("T", properties);
        header.batch = Some(true);
        assert_eq!(client.call(Command::of(&header).with_body(good.clone())).await.code, 13);
    }
    let mut header = send_header("%RETRY%CG", "");
    header.batch = Some(true);
    assert_eq!(client.call(Command::of(&header).with_body(good.clone())).await.code, 13);
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn queues_that_are_not_there_are_29() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    for queue_id in [-1, 4, i32::MAX, i32::MIN] {
        assert_eq!(client.pull("T", queue_id, 0, "*").await.code, 29, "{queue_id}");
    }
    assert_eq!(client.pull("unknown", 0, 0, "*").await.code, 17);
    node.stop().await;
}

#[tokio::test]
async fn an_empty_batch_is_13() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    let mut header = send_header("T", "");
    header.batch = Some(true);
    assert_eq!(client.call(Command::of(&header)).await.code, 13);
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn numbers_of_a_pull_that_nobody_can_mean_are_answered_with_where_the_queue_is() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    for (offset, code, next) in [(i64::MIN, 21, 0), (-1, 21, 0), (2, 21, 1), (i64::MAX, 21, 1)] {
        let answer = client.pull("T", 0, offset, "*").await;
        let fields = |name| answer.fields.get(name).unwrap().parse::<i64>().unwrap();
        assert_eq!((answer.code, fields("nextBeginOffset")), (code, next), "offset {offset}");
        assert_eq!((fields("minOffset"), fields("maxOffset")), (0, 1), "offset {offset}");
    }
    // Nobody is parked for longer than the broker wants, whatever he asks for.
    let asking = node.client();
    let days = std::time::Duration::from_millis(1_000_000_000_000);
    let pulled = tokio::spawn(async move { asking.call(pull("T", 0, 1, "*", Some(days))).await });
    eventually("the pull is parked", || node.broker.parked_pulls() == 1).await;
    node.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(pulled.await.unwrap().code, 19);
    node.stop().await;
}

#[tokio::test]
async fn places_of_the_log_where_no_record_begins_are_1() {
    let node = Node::start().await;
    let client = node.client();
    client.heartbeat(&consumer("c", "CG", vec![])).await;
    client.send("T", "x", "").await;
    let there = client.messages("T", 0, 0).await[0].physical_offset();
    for offset in [there + 1, there - 1, 1 << 40, i64::MAX, -1, i64::MIN] {
        let back = ConsumerSendMsgBackRequestHeader {
            offset,
            group: "CG".into(),
            delay_level: 1_000_000_000,
            ..Default::default()
        };
        assert_eq!(client.call(Command::of(&back)).await.code, 1, "send back {offset}");
        let end = EndTransactionRequestHeader {
            producer_group: "PG".into(),
            commit_or_rollback: 8,
            commit_log_offset: offset,
            msg_id: "id".into(),
            ..Default::default()
        };
        assert_eq!(client.call(Command::of(&end)).await.code, 1, "end of a transaction {offset}");
        let view = ViewMessageRequestHeader { offset, ..Default::default() };
        assert_eq!(client.call(Command::of(&view)).await.code, 1, "view {offset}");
    }
    // A record that is no half message has no transaction to end.
    let end = EndTransactionRequestHeader {
        producer_group: "PG".into(),
        commit_or_rollback: 8,
        commit_log_offset: there,
        msg_id: "id".into(),
        ..Default::default()
    };
    assert_eq!(client.call(Command::of(&end)).await.code, 1);
    assert_eq!(client.messages("T", 0, 0).await.len(), 1, "nothing was stored by any of them");
    node.stop().await;
}

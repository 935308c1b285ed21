use rocketwire_protocol::{Command, header::*, message::properties};

use crate::support::*;

#[tokio::test]
async fn a_reply_goes_to_the_client_that_waits() {
    let node = Node::start().await;
    let (requester, replier) = (node.client(), node.client());
    let reply = |properties: &str| {
        let header = SendMessageRequestHeader {
            producer_group: "replier".into(),
            topic: "DefaultCluster_REPLY_TOPIC".into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: 1,
            properties: Some(properties.into()),
            ..Default::default()
        };
        let mut command = Command::of(&header).with_body("the reply");
        command.code = 324;
        command
    };
    let response = replier.call(reply("")).await;
    assert_eq!(response.remark.unwrap(), "reply message properties[REPLY_TO_CLIENT] is null");
    let to = "REPLY_TO_CLIENT\u{1}requester\u{2}CORRELATION_ID\u{1}7\u{2}";
    let response = replier.call(reply(to)).await;
    assert_eq!(response.code, 1);
    assert_eq!(response.remark.unwrap(), "push reply message fail, channel of <requester> not found.");

    requester.heartbeat(&producer("requester", "PG")).await;
    let response = replier.ok(reply(to)).await;
    // It is answered when it is written, and seen when it is safe.
    let stored = replier.wait_for("DefaultCluster_REPLY_TOPIC", 0, 1).await;
    assert_eq!(stored.len(), 1, "only what went out is stored");
    assert_eq!(stored[0].body(), "the reply");
    assert_eq!(response.fields.get("msgId").unwrap(), &*stored[0].offset_message_id().to_string());
    assert_eq!(response.fields.get("queueOffset").unwrap(), "0");
    assert_eq!(response.fields.get("TRACE_ON").unwrap(), "true");
    let pushed = &requester.received(326)[0];
    assert_eq!(pushed.body, "the reply");
    let header: ReplyMessageRequestHeader = pushed.header().unwrap();
    let text = header.properties.unwrap();
    assert_eq!(properties::get(&text, "CORRELATION_ID"), Some("7"));
    assert_eq!(properties::get(&text, "PUSH_REPLY_TIME"), Some(&*START_MS.to_string()));
    node.stop().await;
}

#[tokio::test]
async fn replies_need_not_be_stored() {
    let mut options = rocketwire_broker::BrokerOptions::default();
    options.store_replies = false;
    let node = Node::with(options).await;
    let client = node.client();
    client.heartbeat(&producer("requester", "PG")).await;
    let mut header = send_header("DefaultCluster_REPLY_TOPIC", "REPLY_TO_CLIENT\u{1}requester\u{2}");
    header.queue_id = -1;
    let mut reply = Command::of(&header).with_body("x");
    reply.code = 325;
    assert_eq!(client.ok(reply).await.fields.get("msgId").unwrap(), "0");
    assert!(client.messages("DefaultCluster_REPLY_TOPIC", 0, 0).await.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn an_operator_reaches_a_consumer_through_the_broker() {
    let node = Node::start().await;
    let (consuming, operator) = (node.client(), node.client());
    let ask = Command::of(&GetConsumerRunningInfoRequestHeader {
        consumer_group: "CG".into(),
        client_id: "c".into(),
        ..Default::default()
    });
    let response = operator.call(ask.clone()).await;
    assert_eq!(response.remark.unwrap(), "The Consumer <CG> <c> not online");
    consuming.heartbeat(&consumer("c", "CG", vec![])).await;
    operator.ok(ask).await;
    assert_eq!(consuming.received(307)[0].fields.get("clientId").unwrap(), "c");

    let sent = operator.send("T", "consume me", "").await;
    let directly = Command::of(&ConsumeMessageDirectlyResultRequestHeader {
        consumer_group: "CG".into(),
        client_id: Some("c".into()),
        msg_id: Some(sent.msg_id),
        ..Default::default()
    });
    operator.ok(directly).await;
    let received = &consuming.received(309)[0];
    assert_eq!(received.fields.get("brokerName").unwrap(), "broker-a");
    assert_eq!(decode(received.body.clone())[0].body(), "consume me");
    node.stop().await;
}

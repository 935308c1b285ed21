use std::time::Duration;

use rocketwire_broker::BrokerOptions;
use rocketwire_protocol::{
    Command, RequestCode,
    body::{
        self, GetConsumerListByGroupResponseBody, HeartbeatData, LockBatchRequestBody, LockBatchResponseBody,
        MessageQueue, SubscriptionGroupConfig,
    },
    header::*,
};

use crate::support::*;

async fn members(client: &Client) -> Vec<String> {
    let header = GetConsumerListByGroupRequestHeader { consumer_group: "CG".into(), ..Default::default() };
    let response = client.call(Command::of(&header)).await;
    if response.code != 0 {
        assert_eq!(response.remark.unwrap(), "no consumer for this group, CG");
        return Vec::new();
    }
    let list: GetConsumerListByGroupResponseBody = body::decode(&response.body).unwrap();
    list.consumer_id_list.iter().map(|id| id.to_string()).collect()
}

#[tokio::test]
async fn a_heartbeat_creates_the_retry_topic_and_tells_everyone() {
    // spec: client 154
    let node = Node::start().await;
    let (a, b) = (node.client(), node.client());
    let response = a.heartbeat(&consumer("a", "CG", vec![subscription("T", "*", 1)])).await;
    assert_eq!(response.fields.get("IS_SUPPORT_HEART_BEAT_V2").unwrap(), "true");
    assert_eq!(response.fields.get("IS_SUB_CHANGE").unwrap(), "true");
    let retry = node.broker.topics().into_iter().find(|topic| topic.topic_name == "%RETRY%CG").unwrap();
    assert_eq!((retry.read_queue_nums, retry.perm), (1, 6));
    eventually("the first member hears of itself", || a.received(40).len() == 1).await;
    let pushed = &a.received(40)[0];
    assert!(pushed.is_oneway());
    assert_eq!(pushed.fields.get("consumerGroup").unwrap(), "CG");
    b.heartbeat(&consumer("b", "CG", vec![subscription("T", "*", 1)])).await;
    eventually("both hear of the second", || a.received(40).len() == 2 && b.received(40).len() == 1).await;
    b.heartbeat(&consumer("b", "CG", vec![subscription("T", "*", 1)])).await;
    assert_eq!(members(&a).await, ["a", "b"]);
    assert_eq!(b.received(40).len(), 1, "a repeated heartbeat changes nothing");
    node.stop().await;
}

#[tokio::test]
async fn a_closed_connection_is_a_member_that_left() {
    // spec: client 155
    let node = Node::start().await;
    let (a, b) = (node.client(), node.client());
    a.heartbeat(&consumer("a", "CG", vec![subscription("T", "*", 1)])).await;
    b.heartbeat(&consumer("b", "CG", vec![subscription("T", "*", 1)])).await;
    eventually("a knows of b", || a.received(40).len() == 2).await;
    b.remoting.shutdown().await;
    eventually("a is told", || a.received(40).len() == 3).await;
    assert_eq!(members(&a).await, ["a"]);
    node.stop().await;
}

#[tokio::test]
async fn a_member_may_leave_or_fall_silent() {
    let node = Node::start().await;
    let (a, b) = (node.client(), node.client());
    a.heartbeat(&consumer("a", "CG", vec![])).await;
    b.heartbeat(&consumer("b", "CG", vec![])).await;
    b.ok(Command::of(&UnregisterClientRequestHeader {
        client_id: "b".into(),
        producer_group: Some("".into()),
        consumer_group: Some("CG".into()),
        ..Default::default()
    }))
    .await;
    assert_eq!(members(&a).await, ["a"]);
    node.clock.advance(Duration::from_secs(121));
    let since = std::time::Instant::now();
    while !members(&a).await.is_empty() {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn the_second_kind_of_heartbeat_compares_fingerprints() {
    let node = Node::start().await;
    let client = node.client();
    let mut beat = consumer("c", "CG", vec![subscription("T", "*", 1)]);
    beat.heartbeat_fingerprint = 7;
    let changed = |response: Command| response.fields.get("IS_SUB_CHANGE").unwrap().to_string();
    assert_eq!(changed(client.heartbeat(&beat).await), "false");
    beat.without_sub = true;
    beat.consumer_data_set[0].subscription_data_set.clear();
    assert_eq!(changed(client.heartbeat(&beat).await), "false");
    beat.heartbeat_fingerprint = 8;
    assert_eq!(changed(client.heartbeat(&beat).await), "true");
    client.send("T", "x", "").await;
    assert_eq!(client.call(Command::of(&pull_header("T", 0, 0))).await.code, 0, "the subscription was kept");
    node.stop().await;
}

#[tokio::test]
async fn unknown_groups_are_left_out_where_none_is_created() {
    let mut options = BrokerOptions::default();
    options.auto_create_group = false;
    let node = Node::with(options).await;
    let client = node.client();
    client.heartbeat(&consumer("c", "CG", vec![])).await;
    assert!(members(&client).await.is_empty());
    client.send("T", "x", "").await;
    assert_eq!(client.pull("T", 0, 0, "*").await.code, 26);
    node.stop().await;
}

#[tokio::test]
async fn leases_are_exclusive_until_they_are_given_back_or_expire() {
    // spec: client 156
    let node = Node::start().await;
    let client = node.client();
    let request = |client_id: &str| {
        body::encode(&LockBatchRequestBody {
            client_id: client_id.into(),
            consumer_group: "CG".into(),
            mq_set: vec![MessageQueue::new("T", "broker-a", 0), MessageQueue::new("T", "broker-a", 1)],
            ..Default::default()
        })
    };
    let locked = async |client_id: &str| {
        let command = Command::of(&LockBatchMqRequestHeader::default()).with_body(request(client_id));
        let response = client.ok(command).await;
        body::decode::<LockBatchResponseBody>(&response.body).unwrap().lock_ok_mq_set.len()
    };
    assert_eq!(locked("a").await, 2);
    assert_eq!(locked("b").await, 0);
    assert_eq!(locked("a").await, 2);
    client.ok(Command::of(&UnlockBatchMqRequestHeader::default()).with_body(request("a"))).await;
    assert_eq!(locked("b").await, 2);
    node.clock.advance(Duration::from_secs(61));
    assert_eq!(locked("a").await, 2);
    // A lease is kept with its names. These are none.
    let long = "x".repeat(1 << 20);
    let absurd = LockBatchRequestBody {
        client_id: "c".into(),
        consumer_group: "CG".into(),
        mq_set: vec![MessageQueue::new(&*long, "broker-a", 0), MessageQueue::new("T", &*long, 0)],
        ..Default::default()
    };
    let lock = |body: &LockBatchRequestBody| {
        Command::of(&LockBatchMqRequestHeader::default()).with_body(body::encode(body))
    };
    let response = client.ok(lock(&absurd)).await;
    assert!(body::decode::<LockBatchResponseBody>(&response.body).unwrap().lock_ok_mq_set.is_empty());
    let absurd = LockBatchRequestBody { client_id: long.into(), mq_set: Vec::new(), ..absurd };
    assert_eq!(client.call(lock(&absurd)).await.code, 29);
    node.stop().await;
}

#[tokio::test]
async fn a_heartbeat_of_an_old_client_is_understood() {
    // As the C++ client writes it: ordinals, versions in quotes, a newline behind.
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "TAGS\u{1}B\u{2}").await;
    let text = r#"{"clientID":"cpp","consumerDataSet":[{"consumeFromWhere":0,"consumeType":1,"groupName":"CG","messageModel":1,
        "subscriptionDataSet":[{"codeSet":["0"],"subString":"B","subVersion":"1700000000000","tagsSet":["B"],"topic":"T"}]}],
        "producerDataSet":[]}"#;
    let command = Command::of(&HeartbeatRequestHeader::default()).with_body(format!("{text}\n"));
    client.ok(command).await;
    assert_eq!(members(&client).await, ["cpp"]);
    let response = client.call(Command::of(&pull_header("T", 0, 0))).await;
    assert_eq!(response.code, 0, "the expression counts, not the client's hash of it");
    node.stop().await;
}

#[tokio::test]
async fn heartbeats_are_bounded() {
    let node = Node::start().await;
    let client = node.client();
    let mut many_groups = HeartbeatData { client_id: "c".into(), ..Default::default() };
    many_groups.consumer_data_set =
        (0..1_025).flat_map(|n| consumer("c", &format!("g{n}"), vec![]).consumer_data_set).collect();
    assert_eq!(client.call(heartbeat(&many_groups)).await.code, 29);
    let many = (0..8_193).map(|n| subscription(&format!("t{n}"), "*", 1)).collect();
    assert_eq!(client.call(heartbeat(&consumer("c", "CG", many))).await.code, 29);
    let long = consumer(&"c".repeat(1 << 20), "CG", vec![]);
    assert_eq!(client.call(heartbeat(&long)).await.code, 29);
    node.stop().await;
}

#[tokio::test]
async fn names_that_are_none_keep_no_others_from_being_registered() {
    // spec: broker B.8
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    let mut beat = consumer("c", "CG", vec![subscription("a.b", "*", 1), subscription("T", "*", 1)]);
    for group in ["../x", "", &"g".repeat(121)] {
        beat.consumer_data_set.extend(consumer("c", group, vec![]).consumer_data_set);
    }
    client.heartbeat(&beat).await;
    assert_eq!(members(&client).await, ["c"]);
    assert_eq!(client.call(Command::of(&pull_header("T", 0, 0))).await.code, 0);
    let retries = node.broker.topics().into_iter().filter(|topic| topic.topic_name.starts_with("%RETRY%"));
    assert_eq!(retries.count(), 1, "nothing is created for the others");
    node.stop().await;
}

#[tokio::test]
async fn a_broker_that_knows_no_subscription_asks_for_it() {
    let node = Node::start().await;
    let client = node.client();
    let mut beat = consumer("c", "CG", vec![subscription("T", "*", 1)]);
    beat.heartbeat_fingerprint = 7;
    client.heartbeat(&beat).await;
    let node = node.restart().await;
    let client = node.client();
    beat.without_sub = true;
    beat.consumer_data_set[0].subscription_data_set.clear();
    let changed = |response: Command| response.fields.get("IS_SUB_CHANGE").unwrap().to_string();
    assert_eq!(changed(client.heartbeat(&beat).await), "true", "it comes with the next heartbeat");
    beat.without_sub = false;
    beat.consumer_data_set = consumer("c", "CG", vec![subscription("T", "*", 1)]).consumer_data_set;
    assert_eq!(changed(client.heartbeat(&beat).await), "false");
    node.stop().await;
}

#[tokio::test]
async fn a_group_without_queues_for_retries_is_a_group() {
    // spec: broker B.4
    let node = Node::start().await;
    let client = node.client();
    for (group, retry_queue_nums) in [("none", 0), ("fewer", -1)] {
        let config = SubscriptionGroupConfig { retry_queue_nums, ..SubscriptionGroupConfig::new(group) };
        let update = Command::request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP);
        client.ok(update.with_body(body::encode(&config))).await;
        client.heartbeat(&consumer("c", group, vec![subscription("T", "*", 1)])).await;
    }
    node.stop().await;
}

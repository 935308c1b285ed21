use std::time::{Duration, Instant};

use rocketwire_protocol::{
    Command, RequestCode,
    body::{
        self, BrokerStatsData, ConsumeStats, ConsumerConnection, GroupForbidden, GroupList, KVTable,
        MessageQueue, QueryCorrectionOffsetBody, SubscriptionGroupConfig, SubscriptionGroupWrapper,
        TopicConfig, TopicConfigSerializeWrapper, TopicStatsTable,
    },
    header::*,
};

use crate::support::*;

fn create(topic: &str, queues: i32, perm: i32) -> Command {
    Command::of(&CreateTopicRequestHeader { perm, ..create_header(topic, queues) })
}

fn topic_config(topic: &str) -> Command {
    Command::of(&GetTopicConfigRequestHeader { topic: topic.into(), ..Default::default() })
}

#[tokio::test]
async fn topics_are_created_changed_and_deleted() {
    let node = Node::start().await;
    let client = node.client();
    assert_eq!(client.call(topic_config("T")).await.code, 17);
    client.ok(create("T", 2, 6)).await;
    client.ok(create("T", 3, 6)).await;
    let config: TopicConfig = body::decode(&client.ok(topic_config("T")).await.body).unwrap();
    assert_eq!((config.read_queue_nums, config.write_queue_nums), (3, 3));
    let all = client.ok(Command::request(RequestCode::GET_ALL_TOPIC_CONFIG)).await;
    let all: TopicConfigSerializeWrapper = body::decode(&all.body).unwrap();
    assert!(all.topic_config_table.contains_key("T") && all.topic_config_table.contains_key("TBW102"));
    assert!(all.data_version.counter > 0);

    client.send("T", "x", "").await;
    let delete =
        |topic: &str| Command::of(&DeleteTopicRequestHeader { topic: topic.into(), ..Default::default() });
    let system = client.ok(Command::request(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER)).await;
    let system: body::TopicList = body::decode(&system.body).unwrap();
    for topic in ["TBW102", "broker-a", "DefaultCluster", "DefaultCluster_REPLY_TOPIC"] {
        assert_eq!(client.call(delete(topic)).await.code, 29, "{topic}");
        assert_eq!(client.call(create(topic, 1, 6)).await.code, 29, "{topic}");
        assert!(system.topic_list.iter().any(|found| found == topic), "{topic}");
    }
    assert!(!system.topic_list.iter().any(|topic| topic == "T"));
    client.ok(delete("T")).await;
    client.ok(delete("T")).await;
    assert_eq!(client.pull("T", 0, 0, "*").await.code, 17);
    client.ok(create("T", 2, 6)).await;
    assert!(client.messages("T", 0, 0).await.is_empty(), "its messages went with it");
    node.stop().await;
}

#[tokio::test]
async fn permissions_close_a_topic() {
    let node = Node::start().await;
    let client = node.client();
    client.ok(create("T", 1, 2)).await;
    client.send("T", "x", "").await;
    let response = client.pull("T", 0, 0, "*").await;
    assert_eq!(response.code, 16);
    assert_eq!(response.remark.unwrap(), "the topic[T] pulling message is forbidden");
    node.stop().await;
}

#[tokio::test]
async fn groups_are_created_changed_and_deleted() {
    let node = Node::start().await;
    let client = node.client();
    let mut config = SubscriptionGroupConfig::new("CG");
    config.retry_max_times = 3;
    config.consume_enable = false;
    let update =
        Command::request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).with_body(body::encode(&config));
    client.ok(update).await;
    let get =
        Command::of(&GetSubscriptionGroupConfigRequestHeader { group: "CG".into(), ..Default::default() });
    let found: SubscriptionGroupConfig = body::decode(&client.ok(get.clone()).await.body).unwrap();
    assert_eq!(found, config);
    client.send("T", "x", "").await;
    assert_eq!(client.pull("T", 0, 0, "*").await.code, 16, "the group may not consume");
    let all = client.ok(Command::request(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG)).await;
    let all: SubscriptionGroupWrapper = body::decode(&all.body).unwrap();
    assert_eq!(all.subscription_group_table["CG"].retry_max_times, 3);
    assert!(all.subscription_group_table.contains_key("TOOLS_CONSUMER"), "Java's own groups are listed, too");
    client
        .ok(Command::of(&DeleteSubscriptionGroupRequestHeader {
            group_name: "CG".into(),
            clean_offset: true,
            ..Default::default()
        }))
        .await;
    assert_eq!(client.call(get).await.code, 26);
    node.stop().await;
}

#[tokio::test]
async fn tools_see_who_is_connected_and_how_far_they_are() {
    let node = Node::start().await;
    let client = node.client();
    for n in 0..3 {
        client.send("T", &n.to_string(), "").await;
    }
    let connections = Command::of(&GetConsumerConnectionListRequestHeader {
        consumer_group: "CG".into(),
        ..Default::default()
    });
    assert_eq!(client.call(connections.clone()).await.code, 206);
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1)])).await;
    client.heartbeat(&producer("p", "PG")).await;
    let found: ConsumerConnection = body::decode(&client.ok(connections).await.body).unwrap();
    assert_eq!(found.connection_set[0].client_id, "c");
    assert_eq!(found.subscription_table["T"].sub_string, "*");
    let producers = |group: &str| {
        Command::of(&GetProducerConnectionListRequestHeader {
            producer_group: group.into(),
            ..Default::default()
        })
    };
    client.ok(producers("PG")).await;
    assert_eq!(client.call(producers("other")).await.code, 1);

    client.ok(commit("CG", "T", 0, 2)).await;
    let stats =
        Command::of(&GetConsumeStatsRequestHeader { consumer_group: "CG".into(), ..Default::default() });
    let stats: ConsumeStats = body::decode(&client.ok(stats).await.body).unwrap();
    let queue = &stats.offset_table[&MessageQueue::new("T", "broker-a", 0)];
    assert_eq!((queue.broker_offset, queue.consumer_offset, queue.last_timestamp), (3, 2, START_MS));
    let who = Command::of(&QueryTopicConsumeByWhoRequestHeader { topic: "T".into(), ..Default::default() });
    let who: GroupList = body::decode(&client.ok(who).await.body).unwrap();
    assert_eq!(who.group_list, ["CG"]);
    let topic = Command::of(&GetTopicStatsInfoRequestHeader { topic: "T".into(), ..Default::default() });
    let topic: TopicStatsTable = body::decode(&client.ok(topic).await.body).unwrap();
    assert_eq!(topic.offset_table.len(), 4);
    assert_eq!(topic.offset_table[&MessageQueue::new("T", "broker-a", 0)].max_offset, 3);
    node.stop().await;
}

#[tokio::test]
async fn runtime_info_has_both_spellings_and_counts() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    let info = client.ok(Command::request(RequestCode::GET_BROKER_RUNTIME_INFO)).await;
    let info: KVTable = body::decode(&info.body).unwrap();
    assert_eq!(info.table["putMessageTimesTotal"], "1");
    for key in
        ["getTransferedTps", "getTransferredTps", "putTps", "litePullThreadPoolQueueSize", "bootTimestamp"]
    {
        assert!(info.table.contains_key(key), "{key}");
    }
    // Java's clusterList shows "N,Nms" without it; nothing waits but this request itself.
    for key in ["ackThreadPoolQueueSize", "sendThreadPoolQueueSize", "EndTransactionQueueSize"] {
        assert_eq!(info.table[key], "0", "{key}");
    }
    assert!(!info.table.contains_key("scheduleMessageOffset_18"), "the level was never used");
    assert!(info.table["putMessageAverageSize"].contains('.'), "a double");
    assert_eq!(info.table["putTps"].split(' ').count(), 3);
    assert_eq!(info.table["earliestMessageTimeStamp"], START_MS.to_string());
    let used: f64 = info.table["commitLogDiskRatio"].parse().unwrap();
    assert!((0.0..=1.0).contains(&used), "{used}");
    node.stop().await;
}

#[tokio::test]
async fn settings_can_be_read_but_not_changed() {
    let node = Node::start().await;
    let client = node.client();
    let config = client.ok(Command::request(RequestCode::GET_BROKER_CONFIG)).await;
    let text = String::from_utf8(config.body.to_vec()).unwrap();
    for line in
        ["brokerName=broker-a", "fileReservedTime=72", "flushDiskType=SYNC_FLUSH", "brokerIP1=127.0.0.1"]
    {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(text.contains("\nmessageDelayLevel=1s 5s 10s 30s 1m 2m 3m"), "{text}");
    assert!(config.fields.get("version").unwrap().contains("counter"));
    for change in ["rocketmqHome=/tmp", "brokerName=x", "unknown=1", &"a=b\n".repeat(250_000)] {
        let update = Command::request(RequestCode::UPDATE_BROKER_CONFIG).with_body(change.to_owned());
        assert_eq!(client.call(update).await.code, 16);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_message_can_be_looked_at_by_its_offset() {
    let node = Node::start().await;
    let client = node.client();
    let sent = client.send("T", "x", "").await;
    let id: rocketwire_protocol::message::OffsetMessageId = sent.msg_id.parse().unwrap();
    let view = |offset: i64| Command::of(&ViewMessageRequestHeader { offset, ..Default::default() });
    assert_eq!(decode(client.ok(view(id.offset)).await.body)[0].body(), "x");
    for offset in [id.offset + 1, i64::MAX, -1] {
        assert_eq!(client.call(view(offset)).await.code, 1, "{offset}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_queue_can_be_looked_at_entry_by_entry() {
    let node = Node::start().await;
    let client = node.client();
    for tag in ["a", "b"] {
        client.send("T", tag, &format!("TAGS\u{1}{tag}\u{2}")).await;
    }
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "b", 1)])).await;
    let query = |topic: &str, count: i32| {
        Command::of(&QueryConsumeQueueRequestHeader {
            topic: Some(topic.into()),
            count,
            consumer_group: Some("CG".into()),
            ..Default::default()
        })
    };
    let response = client.ok(query("T", i32::MAX)).await;
    let found: body::QueryConsumeQueueResponseBody = body::decode(&response.body).unwrap();
    assert_eq!((found.min_queue_index, found.max_queue_index), (0, 2));
    let entries: Vec<_> = found.queue_data.iter().map(|entry| (entry.tags_code, entry.eval)).collect();
    assert_eq!(entries, [(97, false), (98, true)]);
    assert_eq!(found.filter_data.as_deref(), Some("null"));
    for (group, filter_data) in [("other", Some("other@T is not online!")), ("", None)] {
        let query = Command::of(&QueryConsumeQueueRequestHeader {
            topic: Some("T".into()),
            count: 9,
            consumer_group: Some(group.into()),
            ..Default::default()
        });
        let found: body::QueryConsumeQueueResponseBody = body::decode(&client.ok(query).await.body).unwrap();
        assert_eq!(found.filter_data.as_deref(), filter_data);
        assert!(found.queue_data.iter().all(|entry| !entry.eval), "nothing to evaluate");
    }
    let none: body::QueryConsumeQueueResponseBody =
        body::decode(&client.ok(query("T", 0)).await.body).unwrap();
    assert!(none.queue_data.is_empty());
    assert_eq!(client.call(query("other", 1)).await.code, 1);
    client.ok(Command::request(RequestCode::DELETE_EXPIRED_COMMITLOG)).await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 2, "nothing is old enough");
    node.stop().await;
}

#[tokio::test]
async fn numbers_of_topics_and_groups_are_told_by_minute_hour_and_day() {
    let node = Node::start().await;
    let client = node.client();
    let view = |name: &str, key: &str| {
        Command::of(&ViewBrokerStatsDataRequestHeader {
            stats_name: name.into(),
            stats_key: key.into(),
            ..Default::default()
        })
    };
    let unknown = client.call(view("TOPIC_PUT_NUMS", "T")).await;
    assert_eq!(
        (unknown.code, unknown.remark.as_deref()),
        (1, Some("The stats <TOPIC_PUT_NUMS> <T> not exist"))
    );
    for _ in 0..5 {
        client.send("T", "x", "").await;
    }
    assert_eq!(client.messages("T", 0, 0).await.len(), 5);
    for (name, key) in [
        ("TOPIC_PUT_NUMS", "T"),
        ("GROUP_GET_NUMS", "T@CG"),
        ("BROKER_PUT_NUMS", "DefaultCluster"),
        ("BROKER_GET_NUMS", "DefaultCluster"),
    ] {
        let data: BrokerStatsData = body::decode(&client.ok(view(name, key)).await.body).unwrap();
        let sums = [data.stats_minute.sum, data.stats_hour.sum, data.stats_day.sum];
        assert_eq!(sums, [5, 5, 5], "{name}");
    }
    let size: BrokerStatsData = body::decode(&client.ok(view("TOPIC_PUT_SIZE", "T")).await.body).unwrap();
    assert!(size.stats_day.sum > 5 * 84 && size.stats_day.avgpt > 84.0, "{size:?}");
    // Ten seconds at a time, as the broker looks at its counters.
    let since = Instant::now();
    loop {
        let data: BrokerStatsData = body::decode(&client.ok(view("TOPIC_PUT_NUMS", "T")).await.body).unwrap();
        assert_eq!(data.stats_day.sum, 5);
        if data.stats_minute.sum == 0 {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "the minute is never over");
        node.clock.advance(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_group_can_be_forbidden_a_topic() {
    // spec: broker B.5 B.17
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    let forbid = |readable: Option<bool>| {
        Command::of(&UpdateGroupForbiddenRequestHeader {
            group: "CG".into(),
            topic: "T".into(),
            readable,
            ..Default::default()
        })
    };
    assert_eq!(client.call(forbid(Some(false))).await.code, 26, "there is no such group yet");
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1)])).await;
    let pull = Command::of(&pull_header("T", 0, 0));
    client.ok(pull.clone()).await;
    let answer: GroupForbidden = body::decode(&client.ok(forbid(Some(false))).await.body).unwrap();
    assert_eq!((answer.readable, &*answer.topic), (Some(false), "T"));
    let refused = client.call(pull.clone()).await;
    let remark = "the consumer group[CG] is forbidden for topic[T]";
    assert_eq!((refused.code, refused.remark.as_deref()), (16, Some(remark)));
    let node = node.restart().await;
    let client = node.client();
    let answer: GroupForbidden = body::decode(&client.ok(forbid(None)).await.body).unwrap();
    assert_eq!(answer.readable, Some(false), "it outlives a restart");
    let all = client.ok(Command::request(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG)).await;
    let all: SubscriptionGroupWrapper = body::decode(&all.body).unwrap();
    assert_eq!(all.forbidden_table["CG"]["T"], 1);
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1)])).await;
    client.ok(forbid(Some(true))).await;
    client.ok(pull).await;
    node.stop().await;
}

#[tokio::test]
async fn offsets_for_a_group_that_follows_others() {
    let node = Node::start().await;
    let client = node.client();
    for _ in 0..9 {
        client.send("T", "x", "").await;
    }
    for (group, offset) in [("A", 7), ("B", 3), ("C", 5)] {
        client.heartbeat(&consumer("c", group, vec![subscription("T", "*", 1)])).await;
        client.ok(commit(group, "T", 0, offset)).await;
    }
    for (compare, without, expected) in
        [("A", "", 3), ("B", "", 3), ("A", "B, x", 5), ("B", "B", i64::MAX), ("none", "A,B", 5)]
    {
        let query = QueryCorrectionOffsetHeader {
            topic: "T".into(),
            compare_group: compare.into(),
            filter_groups: Some(without.into()),
            ..Default::default()
        };
        let answer: QueryCorrectionOffsetBody =
            body::decode(&client.ok(Command::of(&query)).await.body).unwrap();
        assert_eq!(answer.correction_offsets, [(0, expected)].into(), "{compare} without {without}");
    }
    node.stop().await;
}

#[tokio::test]
async fn pop_requests_are_known_even_when_their_code_was_cut() {
    let node = Node::start().await;
    let client = node.client();
    for (code, whole) in [(3442, "200050"), (3447, "200055"), (3543, "200151")] {
        let refused = client.call(Command::request(RequestCode(code))).await;
        assert_eq!(refused.code, 3);
        let remark = refused.remark.unwrap();
        assert!(remark.starts_with(&format!(" request type {whole} not supported")), "{remark}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_group_may_be_told_to_pull_and_not_to_pop() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1)])).await;
    for (topic, group, mode, code) in [
        ("T", "CG", body::MessageRequestMode::Pull, 0),
        ("T", "CG", body::MessageRequestMode::Pop, 3),
        ("%RETRY%CG", "CG", body::MessageRequestMode::Pull, 16),
        ("none", "CG", body::MessageRequestMode::Pull, 17),
        ("T", "none", body::MessageRequestMode::Pull, 26),
    ] {
        let wanted = body::SetMessageRequestModeRequestBody {
            consumer_group: group.into(),
            mode,
            topic: topic.into(),
            ..Default::default()
        };
        let request =
            Command::request(RequestCode::SET_MESSAGE_REQUEST_MODE).with_body(body::encode(&wanted));
        assert_eq!(client.call(request).await.code, code, "{topic} {group} {mode:?}");
    }
    node.stop().await;
}

#[tokio::test]
async fn the_progress_of_all_groups_can_be_that_of_ordered_topics_only() {
    let node = Node::start().await;
    let client = node.client();
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1), subscription("O", "*", 1)])).await;
    for (topic, order) in [("T", false), ("O", true)] {
        client
            .ok(Command::of(&CreateTopicRequestHeader {
                topic: topic.into(),
                default_topic: "TBW102".into(),
                read_queue_nums: 1,
                write_queue_nums: 1,
                perm: 6,
                topic_filter_type: "SINGLE_TAG".into(),
                order: Some(order),
                ..Default::default()
            }))
            .await;
        client.send(topic, "x", "").await;
        client.ok(commit("CG", topic, 0, 0)).await;
    }
    for (order, topics) in [(false, &["O", "T"][..]), (true, &["O"])] {
        let request = Command::of(&GetConsumeStatsInBrokerHeader { order, ..Default::default() });
        let list: body::ConsumeStatsList = body::decode(&client.ok(request).await.body).unwrap();
        assert_eq!(list.broker_addr.unwrap(), client.addr);
        let of = |group: &str| list.consume_stats_list.iter().find_map(|map| map.get(group)).unwrap();
        let queues = of("CG").iter().flat_map(|stats| stats.offset_table.keys());
        assert_eq!(queues.map(|queue| &*queue.topic).collect::<Vec<_>>(), topics, "order {order}");
        assert!(of("TOOLS_CONSUMER").is_empty(), "groups without progress are listed, too");
        assert_eq!(list.total_diff, topics.len() as i64);
    }
    for topic in ["T", "O"] {
        client.ok(commit("CG", topic, 0, i64::MAX)).await;
    }
    client.ok(Command::of(&GetConsumeStatsInBrokerHeader::default())).await;
    node.stop().await;
}

#[tokio::test]
async fn a_broker_without_replicas_says_so() {
    let node = Node::start().await;
    let client = node.client();
    client.ok(Command::request(RequestCode::RESET_MASTER_FLUSH_OFFSET)).await;
    let epochs = client.call(Command::request(RequestCode::GET_BROKER_EPOCH_CACHE)).await;
    assert_eq!((epochs.code, epochs.remark.as_deref()), (1, Some("this request only for controllerMode ")));
    let status = client.ok(Command::request(RequestCode::GET_BROKER_HA_STATUS)).await;
    assert!(String::from_utf8_lossy(&status.body).contains(r#""master":true"#));
    node.stop().await;
}

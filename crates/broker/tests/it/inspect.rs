//! What tools read of topics and groups.

use std::{collections::BTreeSet, time::Duration};

use rocketwire_protocol::{
    Command, RequestCode,
    body::{
        self, ConsumeStats, CreateTopicListRequestBody, MessageQueue, QueryConsumeTimeSpanBody,
        SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroupWrapper, TopicConfig,
        TopicConfigSerializeWrapper, TopicStatsTable,
    },
    header::*,
};

use crate::support::*;

fn create(topic: &str, read: i32, write: i32, filter_type: &str) -> Command {
    Command::of(&CreateTopicRequestHeader {
        write_queue_nums: write,
        topic_filter_type: filter_type.into(),
        ..create_header(topic, read)
    })
}

async fn offset(client: &Client, group: &str, topic: &str) -> Option<i64> {
    let query = Command::of(&QueryConsumerOffsetRequestHeader {
        consumer_group: group.into(),
        topic: topic.into(),
        queue_id: 0,
        set_zero_if_not_found: Some(false),
        ..Default::default()
    });
    let response = client.call(query).await;
    let header = || response.response_header::<QueryConsumerOffsetResponseHeader>().unwrap();
    (response.code == 0).then(|| header().offset)
}

fn queue(topic: &str, id: i32) -> MessageQueue {
    MessageQueue::new(topic.to_owned(), "broker-a".to_owned(), id)
}

#[tokio::test]
async fn queues_that_are_only_read_are_in_a_topics_numbers() {
    // spec: broker B.18
    let node = Node::start().await;
    let client = node.client();
    client.ok(create("T", 3, 2, "SINGLE_TAG")).await;
    let stats = Command::of(&GetTopicStatsInfoRequestHeader { topic: "T".into(), ..Default::default() });
    let stats: TopicStatsTable = body::decode(&client.ok(stats).await.body).unwrap();
    assert_eq!(stats.offset_table.keys().cloned().collect::<Vec<_>>(), [0, 1, 2].map(|id| queue("T", id)));
    node.stop().await;
}

#[tokio::test]
async fn progress_leaves_out_what_a_live_group_does_not_read_unless_it_is_named() {
    // spec: broker B.18
    let node = Node::start().await;
    let client = node.client();
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1)])).await;
    for topic in ["T", "U"] {
        client.send(topic, "x", "").await;
        client.ok(commit("CG", topic, 0, 1)).await;
    }
    let topics = |topic: &str, list: &str| {
        let header = GetConsumeStatsRequestHeader {
            consumer_group: "CG".into(),
            topic: Some(topic.into()),
            topic_list: Some(list.into()),
            ..Default::default()
        };
        let asked = client.ok(Command::of(&header));
        async {
            let stats: ConsumeStats = body::decode(&asked.await.body).unwrap();
            assert!(
                stats.offset_table.values().all(|offsets| offsets.pull_offset >= offsets.consumer_offset)
            );
            let mut topics: Vec<_> = stats.offset_table.keys().map(|queue| queue.topic.to_string()).collect();
            topics.dedup();
            topics
        }
    };
    assert_eq!(topics("", "").await, ["T"]);
    assert_eq!(topics("U", "").await, Vec::<String>::new());
    assert_eq!(topics("", "U;T").await, ["T", "U"]);
    node.stop().await;
}

#[tokio::test]
async fn a_groups_delay_is_the_age_of_its_next_message() {
    // spec: broker B.18
    let node = Node::start().await;
    let client = node.client();
    client.ok(create("T", 1, 1, "SINGLE_TAG")).await;
    for _ in 0..3 {
        client.send("T", "x", "").await;
        node.clock.advance(Duration::from_secs(10));
    }
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1)])).await;
    client.ok(commit("CG", "T", 0, 1)).await;
    let span =
        QueryConsumeTimeSpanRequestHeader { topic: "T".into(), group: "CG".into(), ..Default::default() };
    let span: QueryConsumeTimeSpanBody = body::decode(&client.ok(Command::of(&span)).await.body).unwrap();
    let of_queue = &span.consume_time_span_set[0];
    assert_eq!((of_queue.min_time_stamp, of_queue.max_time_stamp), (START_MS, START_MS + 20_000));
    assert_eq!((of_queue.consume_time_stamp, of_queue.delay_time), (START_MS, 20_000));
    node.stop().await;
}

#[tokio::test]
async fn offsets_are_cloned_of_topics_that_are_there_and_read() {
    // spec: broker B.18
    let node = Node::start().await;
    let client = node.client();
    for (topic, at) in [("T", 1), ("U", 2)] {
        client.send(topic, "x", "").await;
        client.heartbeat(&consumer("c", "From", vec![subscription(topic, "*", at)])).await;
        client.ok(commit("From", topic, 0, at)).await;
    }
    let clone = |to: &str, topic: &str, offline| {
        Command::of(&CloneGroupOffsetRequestHeader {
            src_group: "From".into(),
            dest_group: to.into(),
            topic: Some(topic.into()),
            offline,
            ..Default::default()
        })
    };
    client.ok(clone("One", "T", true)).await;
    assert_eq!((offset(&client, "One", "T").await, offset(&client, "One", "U").await), (Some(1), None));
    client.ok(clone("Live", "", false)).await;
    let live = (offset(&client, "Live", "T").await, offset(&client, "Live", "U").await);
    assert_eq!(live, (None, Some(2)), "it reads U only by now");
    client.ok(clone("All", "", true)).await;
    assert_eq!((offset(&client, "All", "T").await, offset(&client, "All", "U").await), (Some(1), Some(2)));
    client.ok(clone("None", "gone", true)).await;
    assert_eq!(offset(&client, "None", "gone").await, None);
    node.stop().await;
}

#[tokio::test]
async fn messages_of_a_topic_of_many_tags_say_so() {
    // spec: broker C.3
    let node = Node::start().await;
    let client = node.client();
    for (topic, kind) in [("One", "SINGLE_TAG"), ("Many", "MULTI_TAG")] {
        client.ok(create(topic, 1, 1, kind)).await;
        client.send(topic, "x", "").await;
    }
    let flag = |messages: Vec<rocketwire_protocol::message::RecordView>| messages[0].sys_flag().0;
    assert_eq!(flag(client.messages("One", 0, 0).await), 0);
    assert_eq!(flag(client.messages("Many", 0, 0).await), 2);
    node.stop().await;
}

#[tokio::test]
async fn attributes_of_topics_are_checked_and_kept() {
    // spec: broker B.17
    let node = Node::start().await;
    let client = node.client();
    let with = |attributes: &str| {
        let mut header: CreateTopicRequestHeader = create("T", 1, 1, "SINGLE_TAG").header().unwrap();
        header.attributes = Some(attributes.into());
        Command::of(&header)
    };
    let refused = client.call(with("-message.type")).await;
    assert_eq!(refused.code, 1);
    let remark = "only add attribute is supported while creating topic. key: message.type";
    assert_eq!(refused.remark.unwrap(), remark);
    for (attributes, remark) in [
        ("+message.type=MIXED", "MIXED message type is not supported."),
        (
            "+cleanup.policy=COMPACTION",
            "cleanup.policy=COMPACTION is not supported: messages are deleted by age",
        ),
    ] {
        let refused = client.call(with(attributes)).await;
        assert_eq!((refused.code, refused.remark.as_deref()), (29, Some(remark)));
    }
    client.ok(with("+message.type=FIFO,+queue.type=SimpleCQ")).await;
    client.ok(with("+message.type=DELAY")).await;
    assert_eq!(client.call(with("+queue.type=SimpleCQ")).await.code, 1, "settled when it was created");
    client.ok(with("")).await;
    let node = node.restart().await;
    let client = node.client();
    let config = Command::of(&GetTopicConfigRequestHeader { topic: "T".into(), ..Default::default() });
    let config: TopicConfig = body::decode(&client.ok(config).await.body).unwrap();
    let kept: Vec<_> = config.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(kept, ["message.type=DELAY", "queue.type=SimpleCQ"]);
    node.stop().await;
}

#[tokio::test]
async fn retries_of_pop_go_with_their_topic() {
    // spec: broker B.17
    let node = Node::start().await;
    let client = node.client();
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1)])).await;
    for topic in ["T", "%RETRY%CG_T", "%RETRY%CG_TT"] {
        client.ok(create(topic, 1, 1, "SINGLE_TAG")).await;
    }
    client.ok(commit("CG", "T", 0, 0)).await;
    client.ok(Command::of(&DeleteTopicRequestHeader { topic: "T".into(), ..Default::default() })).await;
    let names: Vec<_> = node.broker.topics().into_iter().map(|topic| topic.topic_name.to_string()).collect();
    let left: Vec<_> = names.iter().filter(|name| name.contains("CG")).collect();
    assert_eq!(left, ["%RETRY%CG", "%RETRY%CG_TT"]);
    node.stop().await;
}

#[tokio::test]
async fn what_is_not_there_says_why() {
    // spec: broker 0.7
    let node = Node::start().await;
    let client = node.client();
    for (code, part) in [
        (RequestCode::UPDATE_AND_CREATE_STATIC_TOPIC, "no static topics"),
        (RequestCode::UPDATE_COLD_DATA_FLOW_CTR_CONFIG, "not slowed down"),
        (RequestCode::SET_COMMITLOG_READ_MODE, "not mapped"),
        (RequestCode::QUERY_ASSIGNMENT, "no POP"),
    ] {
        let refused = client.call(Command::request(code)).await;
        let remark = refused.remark.unwrap();
        assert_eq!(refused.code, 3, "{remark}");
        assert!(remark.starts_with(&format!(" request type {} not supported", code.0)), "{remark}");
        assert!(remark.contains(part), "{remark}");
    }
    let cold = client.ok(Command::request(RequestCode::GET_COLD_DATA_FLOW_CTR_INFO)).await;
    assert!(String::from_utf8(cold.body.to_vec()).unwrap().contains(r#""runtimeTable":{}"#));
    node.stop().await;
}

#[tokio::test]
async fn retry_topics_of_units_are_marked_and_groups_have_no_attributes() {
    // spec: broker B.3 B.17
    let node = Node::start().await;
    let client = node.client();
    let flag = |topic: &str| {
        let topics = node.broker.topics();
        topics.iter().find(|known| known.topic_name == *topic).unwrap().topic_sys_flag
    };
    let mut unit = consumer("c", "Unit", vec![subscription("T", "*", 1)]);
    unit.consumer_data_set[0].unit_mode = true;
    client.heartbeat(&unit).await;
    client.heartbeat(&consumer("c", "Plain", vec![subscription("T", "*", 1)])).await;
    assert_eq!((flag("%RETRY%Unit"), flag("%RETRY%Plain")), (2, 0));
    let mut group = SubscriptionGroupConfig::new("Unit");
    group.attributes.insert("+color".into(), "red".into());
    let update = Command::request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP);
    let refused = client.call(update.with_body(body::encode(&group))).await;
    assert_eq!((refused.code, refused.remark.as_deref()), (1, Some("unsupported key: color")));
    node.stop().await;
}

#[tokio::test]
async fn many_topics_and_groups_are_told_in_parts_to_who_asks_for_parts() {
    // spec: broker B.17
    let node = Node::start().await;
    let client = node.client();
    let mut topics = CreateTopicListRequestBody::default();
    topics.topic_config_list.extend((0..2_500).map(|n| TopicConfig::new(format!("T{n}"), 1, 1)));
    let create = Command::of(&CreateTopicListRequestHeader::default()).with_body(body::encode(&topics));
    client.ok(create).await;
    let mut groups = SubscriptionGroupList::default();
    groups.group_config_list.extend((0..2_500).map(|n| SubscriptionGroupConfig::new(format!("G{n}"))));
    let create = Command::request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST);
    client.ok(create.with_body(body::encode(&groups))).await;

    // As Java's clients do it.
    let (mut topics, mut groups, mut parts) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut version = String::new();
    let total = loop {
        let asked = GetAllTopicConfigRequestHeader {
            topic_seq: topics.len() as i32,
            data_version: Some(version.clone().into()),
            max_topic_num: Some(2_000),
            ..Default::default()
        };
        let response = client.ok(Command::of(&asked)).await;
        let part: TopicConfigSerializeWrapper = body::decode(&response.body).unwrap();
        topics.extend(part.topic_config_table.into_keys());
        version = String::from_utf8(body::encode(&part.data_version).to_vec()).unwrap();
        parts += 1;
        let total = response.response_header::<GetAllTopicConfigResponseHeader>().unwrap().total_topic_num;
        if topics.len() as i32 >= total {
            break total;
        }
    };
    assert_eq!((topics.len(), parts), (total as usize, 2));
    assert_eq!(topics.len(), node.broker.topics().len());
    version.clear();
    loop {
        let asked = GetAllSubscriptionGroupRequestHeader {
            group_seq: groups.len() as i32,
            data_version: Some(version.clone().into()),
            ..Default::default()
        };
        let response = client.ok(Command::of(&asked)).await;
        let part: SubscriptionGroupWrapper = body::decode(&response.body).unwrap();
        assert!(part.subscription_group_table.len() <= 2_000);
        groups.extend(part.subscription_group_table.into_keys());
        version = String::from_utf8(body::encode(&part.data_version).to_vec()).unwrap();
        let header = response.response_header::<GetAllSubscriptionGroupResponseHeader>().unwrap();
        if groups.len() as i32 >= header.total_group_num {
            break;
        }
    }
    assert!(groups.contains("G0") && groups.contains("G2499"));
    let all = client.ok(Command::request(RequestCode::GET_ALL_TOPIC_CONFIG)).await;
    let all: TopicConfigSerializeWrapper = body::decode(&all.body).unwrap();
    assert_eq!(all.topic_config_table.len(), topics.len(), "who asks for no part gets all");
    node.stop().await;
}

//! What the broker as a whole may do (Java: `brokerPermission`), and what else can be forbidden.

use std::sync::{Arc, Mutex};

use rocketwire_broker::{Broker, BrokerOptions, TopicListener};
use rocketwire_protocol::{
    Command, RequestCode,
    body::{self, SubscriptionGroupConfig, TopicConfig},
    header::*,
};
use rocketwire_store::{MemoryStorage, StoreOptions};
use rocketwire_testkit::ManualClock;

use crate::support::*;

fn create(topic: &str, perm: i32, is_ordered: bool) -> Command {
    Command::of(&CreateTopicRequestHeader { perm, order: Some(is_ordered), ..create_header(topic, 1) })
}

fn update(text: &str) -> Command {
    Command::request(RequestCode::UPDATE_BROKER_CONFIG).with_body(text.to_owned())
}

async fn setting(client: &Client, name: &str) -> String {
    let config = client.ok(Command::request(RequestCode::GET_BROKER_CONFIG)).await;
    let text = String::from_utf8(config.body.to_vec()).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

#[tokio::test]
async fn a_broker_that_may_not_be_written_to_is_announced_so_and_still_gives_out() {
    // spec: broker B.2 B.4 B.18
    let node = Node::start().await;
    let client = node.client();
    client.ok(create("T", 6, false)).await;
    client.ok(create("O", 6, true)).await;
    let sent = client.send("T", "x", "").await;
    assert_eq!(setting(&client, "brokerPermission").await, "6");
    let version = node.broker.topics_version();
    client.ok(update("# by an operator\nbrokerPermission=4\n")).await;
    assert_eq!(setting(&client, "brokerPermission").await, "4");
    assert_ne!(node.broker.topics_version(), version, "name servers are told");
    let announced = node.broker.announced_topics();
    let perm = |name: &str| announced.iter().find(|topic| topic.topic_name == *name).unwrap().perm;
    assert_eq!((perm("T"), perm("DefaultCluster")), (4, 4));
    // The routes keep producers away; only where order would suffer a message is refused.
    client.send("T", "y", "").await;
    let refused = client.call(send("O", "x", "")).await;
    assert_eq!(refused.code, 16);
    assert_eq!(refused.remark.unwrap(), "the broker[127.0.0.1] sending message is forbidden");
    let id: rocketwire_protocol::message::OffsetMessageId = sent.msg_id.parse().unwrap();
    let back = Command::of(&ConsumerSendMsgBackRequestHeader {
        offset: id.offset,
        group: "TOOLS_CONSUMER".into(),
        delay_level: 3,
        ..Default::default()
    });
    assert_eq!(client.call(back.clone()).await.code, 16);
    assert_eq!(client.messages("T", 0, 0).await.len(), 2);

    client.ok(update("brokerPermission=2")).await;
    let refused = client.pull("T", 0, 0, "*").await;
    assert_eq!(refused.remark.unwrap(), "the broker[127.0.0.1] pulling message is forbidden");
    assert_eq!((refused.code, &*refused.fields.get("forbiddenType").unwrap()), (16, "1"));
    client.ok(back).await;
    client.ok(update("brokerPermission: 6")).await;
    client.send("O", "x", "").await;
    assert_eq!(client.messages("O", 0, 0).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn nothing_else_can_be_set_from_afar() {
    // spec: broker B.18
    let node = Node::start().await;
    let client = node.client();
    client.ok(update("")).await;
    for (text, code) in [
        ("autoCreateTopicEnable=false", 16),
        ("brokerPermission=4\nautoCreateTopicEnable=false", 16),
        ("brokerPermission", 29),
        ("brokerPermission=7", 29),
        ("brokerPermission=all", 29),
    ] {
        assert_eq!(client.call(update(text)).await.code, code, "{text}");
    }
    let garbage = Command::request(RequestCode::UPDATE_BROKER_CONFIG).with_body(vec![0xff, 0xfe]);
    let refused = client.call(garbage).await;
    assert_eq!((refused.code, refused.remark.as_deref()), (1, Some("string2Properties error")));
    assert_eq!(setting(&client, "brokerPermission").await, "6");
    node.stop().await;
}

/// Topics as a name server heard of them.
#[derive(Default)]
struct Heard(Mutex<Vec<TopicConfig>>);

impl TopicListener for Heard {
    fn topic_changed(&self, topic: &TopicConfig) {
        self.0.lock().unwrap().push(topic.clone());
    }
    fn topic_removed(&self, _: &str) {}
}

#[tokio::test]
async fn a_broker_that_starts_without_a_permission_announces_no_topic_with_it() {
    let open = |permission| {
        let mut options = BrokerOptions::default();
        options.permission = permission;
        let heard = Arc::<Heard>::default();
        let clock = Arc::new(ManualClock::new(START_MS));
        let storage = Arc::new(MemoryStorage::new());
        (Broker::open(options, StoreOptions::new("/store"), storage, clock, heard.clone()), heard)
    };
    let (broker, heard) = open(4);
    broker.unwrap().create_topic(TopicConfig::new("T", 1, 1)).unwrap();
    let heard = heard.0.lock().unwrap();
    assert!(heard.iter().any(|topic| topic.topic_name == "T"));
    assert!(heard.iter().all(|topic| topic.perm & 2 == 0), "{heard:?}");
    let error = open(8).0.map(drop).unwrap_err().to_string();
    assert!(error.contains("8 is no permission"), "{error}");
}

#[tokio::test]
async fn a_pull_that_is_forbidden_says_by_whom() {
    // spec: broker B.5
    let node = Node::start().await;
    let client = node.client();
    client.ok(create("T", 6, false)).await;
    client.ok(create("W", 2, false)).await;
    let mut group = SubscriptionGroupConfig::new("Off");
    group.consume_enable = false;
    let groups = Command::request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP);
    client.ok(groups.clone().with_body(body::encode(&group))).await;
    let mut shared = SubscriptionGroupConfig::new("Each");
    shared.consume_broadcast_enable = false;
    client.ok(groups.with_body(body::encode(&shared))).await;
    let mut each = consumer("c", "Each", vec![subscription("T", "*", 1)]);
    each.consumer_data_set[0].message_model = rocketwire_protocol::body::MessageModel::Broadcasting;
    client.heartbeat(&each).await;
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1)])).await;
    client
        .ok(Command::of(&UpdateGroupForbiddenRequestHeader {
            group: "CG".into(),
            topic: "T".into(),
            readable: Some(false),
            ..Default::default()
        }))
        .await;
    for (group, topic, forbidden) in
        [("Off", "T", "2"), ("CG", "W", "3"), ("Each", "T", "4"), ("CG", "T", "5")]
    {
        let mut header = pull_header(topic, 0, 0);
        header.consumer_group = group.into();
        let refused = client.call(Command::of(&header)).await;
        assert_eq!(refused.code, 16, "{group} {topic}: {:?}", refused.remark);
        assert_eq!(refused.fields.get("forbiddenType").unwrap(), forbidden, "{group} {topic}");
    }
    node.stop().await;
}

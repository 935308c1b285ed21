use bytes::Bytes;
use rocketwire::{Message, MessageExt, MessageQuery, OffsetMessageId, RequestErrorKind, ResponseCode};
use rocketwire_protocol::{Command, RequestCode, header::QueryMessageRequestHeader};

use crate::support::{Cluster, PATIENCE, Reaction};

fn bodies(messages: &[MessageExt]) -> Vec<&Bytes> {
    messages.iter().map(|message| &message.body).collect()
}

/// Two brokers with a message each for `k-1`, and others that an index may take for it.
async fn cluster() -> Cluster {
    let cluster = Cluster::start(2).await;
    cluster.topic("T", 1);
    let put = |broker: &str, topic: &str, keys: &str, unique: &str, body: &str| {
        let properties = format!("KEYS\u{1}{keys}\u{2}UNIQ_KEY\u{1}{unique}\u{2}");
        cluster.state.store(broker, topic, 0, body.as_bytes(), &properties, 0, 0);
    };
    put("a", "T", "k-0 k-1", "U1", "first");
    put("a", "T", "k-2", "U2", "another key");
    put("a", "U", "k-1", "U1", "another topic");
    put("b", "T", "k-1", "U3", "second");
    put("b", "T", "K-1", "U1", "sent again");
    cluster
}

#[tokio::test]
async fn what_only_shares_a_hash_with_the_key_is_dropped() {
    // spec: client 139
    let cluster = cluster().await;
    let client = cluster.client();
    let found = client.admin().query_message(&MessageQuery::new("T", "k-1")).await.unwrap();
    let mut names = bodies(&found.messages);
    names.sort();
    assert_eq!(names, ["first", "second"]);
    assert_eq!((found.index_last_update_timestamp, found.failed.len()), (7, 0));
    let none = client.admin().query_message(&MessageQuery::new("T", "k-")).await.unwrap();
    assert!(none.messages.is_empty());

    let asked = cluster.seen(RequestCode::QUERY_MESSAGE);
    assert_eq!(asked.len(), 4, "every broker of the route, twice");
    let header: QueryMessageRequestHeader = asked[0].1.header().unwrap();
    assert_eq!((&*header.topic, &*header.key, header.max_num), ("T", "k-1", 32));
    assert_eq!((header.begin_timestamp, header.end_timestamp), (0, i64::MAX));
    assert_eq!(asked[0].1.fields.get("_UNIQUE_KEY_QUERY").as_deref(), Some("false"));
}

#[tokio::test]
async fn one_message_has_a_unique_key() {
    // spec: client 139
    let cluster = cluster().await;
    let admin = cluster.client().admin();
    let message = admin.query_message_by_unique_key("T", "U3").await.unwrap().unwrap();
    assert_eq!(
        (&message.body[..], &*message.broker_name, message.msg_id().as_str()),
        (&b"second"[..], "b", "U3")
    );
    assert!(admin.query_message_by_unique_key("T", "k-1").await.unwrap().is_none(), "a key is no unique key");
    let asked = cluster.seen(RequestCode::QUERY_MESSAGE);
    assert_eq!(asked[0].1.fields.get("_UNIQUE_KEY_QUERY").as_deref(), Some("true"));
}

#[tokio::test]
async fn a_broker_that_fails_is_named_and_the_others_count() {
    let cluster = cluster().await;
    let admin = cluster.client().admin();
    let refusal = || Reaction::Answer(Command::error(ResponseCode::SYSTEM_ERROR, "the index is broken"));
    cluster.next("a", RequestCode::QUERY_MESSAGE, refusal());
    let found = admin.query_message(&MessageQuery::new("T", "k-1")).await.unwrap();
    assert_eq!(bodies(&found.messages), ["second"]);
    assert_eq!(found.failed[0].address(), Some(&*cluster.address()));
    for broker in ["a", "b"] {
        cluster.next(broker, RequestCode::QUERY_MESSAGE, refusal());
    }
    let error = admin.query_message(&MessageQuery::new("T", "k-1")).await.unwrap_err();
    assert!(error.to_string().contains("the index is broken"), "{error}");
    let error = admin.query_message(&MessageQuery::new("NoSuchTopic", "k-1")).await.unwrap_err();
    assert!(matches!(error.kind(), RequestErrorKind::Route(_)), "{error}");
}

#[tokio::test]
async fn a_message_is_found_at_the_place_that_its_send_named() {
    let cluster = Cluster::with_topic("T", 1).await;
    let client = cluster.client();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    let sent = producer.send(Message::new("T", "body")).await.unwrap();
    let id: OffsetMessageId = sent.offset_msg_id.parse().unwrap();
    let message = client.admin().view_message("T", id).await.unwrap();
    assert_eq!((&message.body[..], message.msg_id()), (&b"body"[..], sent.msg_id));
    let beyond = OffsetMessageId { offset: 999_000, ..id };
    let error = client.admin().view_message("T", beyond).await.unwrap_err();
    assert_eq!(error.code(), Some(ResponseCode::SYSTEM_ERROR));
}

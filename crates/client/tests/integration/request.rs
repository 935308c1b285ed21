use std::time::Duration;

use rocketwire::{Message, ResponseCode, SendErrorKind, reply_to};
use rocketwire_protocol::{
    Command, RequestCode,
    header::{ReplyMessageRequestHeader, SendMessageRequestHeaderV2},
    message::{MessageExt, properties, property},
};

use crate::support::Reaction;
use crate::support::{Cluster, PATIENCE, eventually, ok};

#[tokio::test]
async fn a_request_gets_the_reply_that_belongs_to_it() {
    // spec: client 52 68 71
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.topic("c_REPLY_TOPIC", 1);
    let client = cluster.client();
    let producer = client.producer("PG").timeout(PATIENCE).build().unwrap();
    let asking = producer.request(Message::new("T", "question"), PATIENCE);
    let answering = async {
        eventually("the request", || !cluster.seen(RequestCode::SEND_MESSAGE_V2).is_empty()).await;
        // Heartbeats come first: by them the broker finds the way back.
        let connection = cluster.state.producers.lock().unwrap()["PG"].clone();
        let record = cluster.state.log.lock().unwrap().at(0).unwrap();
        let mut request = MessageExt::from_record(record);
        assert_eq!(request.property(property::REPLY_TO_CLIENT), Some(client.client_id()));
        assert_eq!(request.property(property::TTL), Some("30000"));
        let mut text = request.properties.to_string();
        properties::append(&mut text, property::CLUSTER, "c"); // brokers do
        request.properties = text.into();

        // The consumer's side: a reply is a message with a code of its own ..
        let reply = reply_to(&request, "answer").unwrap();
        cluster.next("a", RequestCode::SEND_REPLY_MESSAGE_V2, Reaction::Answer(ok()));
        let replier = client.producer("replier").timeout(PATIENCE).build().unwrap();
        // .. whose answer the scripted broker gives without a header.
        replier.send_oneway(reply).await.unwrap();
        eventually("the reply", || !cluster.seen(RequestCode::SEND_REPLY_MESSAGE_V2).is_empty()).await;
        let (_, sent) = cluster.seen(RequestCode::SEND_REPLY_MESSAGE_V2).remove(0);
        let sent_header: SendMessageRequestHeaderV2 = sent.header().unwrap();

        // The broker's side: it pushes the reply to the one who asked.
        let push = Command::of(&ReplyMessageRequestHeader {
            topic: sent_header.topic,
            properties: sent_header.properties,
            ..ReplyMessageRequestHeader::default()
        });
        let answer = connection.invoke(push.with_body(sent.body.clone()), PATIENCE).await.unwrap();
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    };
    let (reply, ()) = tokio::join!(asking, answering);
    let reply = reply.unwrap();
    assert_eq!(reply.body, "answer");
    assert!(reply.property(property::ARRIVE_TIME).is_some());
}

#[tokio::test]
async fn no_reply_is_an_error_of_its_own() {
    // spec: client 69
    let cluster = Cluster::with_topic("T", 1).await;
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let error =
        producer.request(Message::new("T", "question"), Duration::from_millis(300)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (SendErrorKind::NoReply, Some(ResponseCode(10_006))));
    let text = error.to_string();
    assert!(text.contains("send request message to <T> OK, but wait reply message timeout"), "{text}");
}

#[tokio::test]
async fn a_request_comes_behind_a_heartbeat_though_its_route_is_known() {
    // spec: client 68
    let cluster = Cluster::with_topic("T", 1).await;
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    producer.warm_up(&["T"]).await.unwrap();
    producer.request(Message::new("T", "question"), Duration::from_millis(300)).await.unwrap_err();
    let codes = cluster.codes();
    let first = |code| codes.iter().position(|seen| *seen == code);
    let heartbeat = first(RequestCode::HEART_BEAT);
    assert!(heartbeat.is_some() && heartbeat < first(RequestCode::SEND_MESSAGE_V2), "{codes:?}");
}

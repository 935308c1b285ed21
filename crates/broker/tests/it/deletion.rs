use std::time::Duration;

use rocketwire_protocol::{Command, header::*};

use crate::support::*;

fn delete(topic: &str) -> Command {
    Command::of(&DeleteTopicRequestHeader { topic: topic.into(), ..Default::default() })
}

#[tokio::test]
async fn who_waits_for_messages_of_a_deleted_topic_is_told_at_once() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    let pulls = [(0, 1, 21), (1, 0, 19)].map(|(queue_id, offset, code)| {
        let asking = node.client();
        let wait = Some(Duration::from_secs(15));
        let pulled = async move { asking.call(pull("T", queue_id, offset, "*", wait)).await.code };
        (tokio::spawn(pulled), code)
    });
    eventually("the pulls are parked", || node.broker.parked_pulls() == 2).await;
    client.ok(delete("T")).await;
    // The clock stands: none of them ends by its time.
    for (pulled, code) in pulls {
        assert_eq!(pulled.await.unwrap(), code);
    }
    assert_eq!(client.pull("T", 0, 0, "*").await.code, 17);
    node.stop().await;
}

#[tokio::test]
async fn a_topic_that_comes_back_begins_anew_and_wakes_who_waits_for_it() {
    let node = Node::start().await;
    let client = node.client();
    for round in 0..3 {
        let sent = client.send("T", &format!("first of {round}"), "").await;
        assert_eq!(sent.queue_offset, 0);
        let asking = node.client();
        let pulled =
            tokio::spawn(
                async move { asking.call(pull("T", 0, 1, "*", Some(Duration::from_secs(15)))).await },
            );
        eventually("the pull is parked", || node.broker.parked_pulls() == 1).await;
        client.send("T", &format!("second of {round}"), "").await;
        assert_eq!(decode(pulled.await.unwrap().body)[0].body(), *format!("second of {round}"));
        client.ok(delete("T")).await;
        client.ok(delete("T")).await;
    }
    node.stop().await;
}

use std::time::Duration;

use rocketwire::{ConsumeFrom, Message, MessageQueue, PullOptions, PullStatus};
use rocketwire_protocol::RequestCode;

use crate::support::{Cluster, PATIENCE};

fn bodies(messages: &[rocketwire::MessageExt]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn queues_can_be_read_one_by_one() {
    let cluster = Cluster::with_topic("T", 1).await;
    (0..5).for_each(|i| cluster.put(&Message::new("T", format!("m{i}")), 0));
    let client = cluster.client();
    let queue = client.queues("T").await.unwrap().remove(0);
    assert_eq!(queue, MessageQueue::new("T", "a", 0));
    assert_eq!(client.min_offset(&queue).await.unwrap(), 0);
    assert_eq!(client.max_offset(&queue).await.unwrap(), 5);
    assert_eq!(client.offset_for_time(&queue, 1).await.unwrap(), 2, "the scripted broker says the middle");
    let mut options = PullOptions::default();
    options.max_messages = 2;
    let outcome = client.pull(&queue, 3, &options).await.unwrap();
    assert_eq!((outcome.status, outcome.next_offset, outcome.max_offset), (PullStatus::Found, 5, 5));
    assert_eq!(bodies(&outcome.messages), ["m3", "m4"]);
    let outcome = client.pull(&queue, 5, &options).await.unwrap();
    assert_eq!((outcome.status, outcome.next_offset), (PullStatus::NoNewMessage, 5));
    let outcome = client.pull(&queue, 99, &options).await.unwrap();
    assert_eq!((outcome.status, outcome.next_offset), (PullStatus::OffsetIllegal, 5));
    assert_eq!(client.committed("G", &queue).await.unwrap(), None);
    let (_, asked) = cluster.seen(RequestCode::QUERY_CONSUMER_OFFSET).remove(0);
    assert_eq!(asked.fields.get("setZeroIfNotFound").as_deref(), Some("false"), "no 0 for a young queue");
    client.commit("G", &queue, 3).await.unwrap();
    assert_eq!(client.committed("G", &queue).await.unwrap(), Some(3));
}

#[tokio::test]
async fn a_pull_waits_for_a_message_if_it_is_told_to() {
    let cluster = Cluster::with_topic("T", 1).await;
    let client = cluster.client();
    let queue = client.queues("T").await.unwrap().remove(0);
    let mut options = PullOptions::default();
    options.wait = PATIENCE;
    let later = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cluster.put(&Message::new("T", "x"), 0);
    };
    let (outcome, ()) = tokio::join!(client.pull(&queue, 0, &options), later);
    assert_eq!(bodies(&outcome.unwrap().messages), ["x"]);
}

#[tokio::test]
async fn a_pull_consumer_goes_around_its_queues() {
    let cluster = Cluster::with_topic("T", 2).await;
    (0..4).for_each(|i| cluster.put(&Message::new("T", format!("m{i}")), i % 2));
    let client = cluster.client();
    let mut consumer = client.pull_consumer("G").unwrap().with_max_messages(1);
    consumer.assign(client.queues("T").await.unwrap());
    let mut all = Vec::new();
    while all.len() < 4 {
        all.extend(bodies(&consumer.poll(PATIENCE).await.unwrap()));
    }
    all.sort();
    assert_eq!(all, ["m0", "m1", "m2", "m3"]);
    assert_eq!(consumer.poll(Duration::from_millis(10)).await.unwrap().len(), 0);
    assert_eq!(cluster.committed("G", "T", 0), None, "nothing is committed by itself");
    consumer.commit().await.unwrap();
    assert_eq!(cluster.committed("G", "T", 0), Some(2));

    let queue = MessageQueue::new("T", "a", 1);
    assert!(consumer.seek(&queue, 1));
    assert_eq!(bodies(&consumer.poll(PATIENCE).await.unwrap()), ["m3"]);
    assert!(!consumer.seek(&MessageQueue::new("T", "a", 9), 0), "not assigned");

    // Another consumer of the group goes on where this one committed.
    let mut next = client.pull_consumer("G").unwrap();
    next.assign([MessageQueue::new("T", "a", 0)]);
    cluster.put(&Message::new("T", "new"), 0);
    assert_eq!(bodies(&next.poll(PATIENCE).await.unwrap()), ["new"]);
    let mut end = client.pull_consumer("H").unwrap().with_start(ConsumeFrom::Last);
    end.assign([queue]);
    assert_eq!(end.poll(Duration::from_millis(10)).await.unwrap().len(), 0);
}

//! What a consumer fails to handle comes again.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rocketwire::{ConsumeFrom, ConsumeResult, Message, MessageExt, ResponseCode};
use rocketwire_protocol::{
    Command, RequestCode, header::ConsumerSendMsgBackRequestHeader, message::property,
};
use tokio::sync::Semaphore;

use crate::support::{Cluster, PATIENCE, Reaction, Seen, eventually};

#[tokio::test]
async fn what_fails_comes_again_under_its_own_topic() {
    // spec: client 98 102 104
    let cluster = Cluster::with_topic("T", 2).await;
    for (queue_id, body) in [(0, "good"), (1, "fails"), (0, "panics")] {
        cluster.put(&Message::new("T", body), queue_id);
    }
    let client = cluster.client();
    let seen = Seen::default();
    let handler = seen.clone();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consume = move |message: Arc<MessageExt>| {
        let handler = handler.clone();
        async move {
            handler.add(message.clone());
            match (&message.body[..], message.reconsume_times) {
                (b"fails", 0) => Err("not now"),
                (b"panics", 0) => panic!("oh"),
                _ => Ok(()),
            }
        }
    };
    let consumer = builder.start(consume).await.unwrap();
    seen.wait(5).await;
    assert_eq!(seen.bodies(), ["fails", "fails", "good", "panics", "panics"]);
    for message in seen.0.lock().unwrap().iter() {
        assert_eq!(&*message.topic, "T", "the handler never sees the retry topic");
    }
    let times: Vec<i32> = seen.0.lock().unwrap().iter().map(|message| message.reconsume_times).collect();
    assert_eq!(times.iter().filter(|times| **times == 1).count(), 2);
    let (_, back) = cluster.seen(RequestCode::CONSUMER_SEND_MSG_BACK).remove(0);
    let back: ConsumerSendMsgBackRequestHeader = back.header().unwrap();
    assert_eq!((back.delay_level, back.max_reconsume_times, &*back.group), (0, Some(16), "CG"));
    consumer.shutdown(PATIENCE).await;
    assert_eq!(cluster.committed("CG", "T", 0), Some(2));
    assert_eq!(cluster.committed("CG", "%RETRY%CG", 0), Some(2));
}

#[tokio::test]
async fn a_batch_may_be_done_in_part() {
    // spec: client 97
    let cluster = Cluster::with_topic("T", 1).await;
    for body in ["0", "1", "2", "3"] {
        cluster.put(&Message::new("T", body), 0);
    }
    let client = cluster.client();
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let noted = sizes.clone();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consume = move |batch: Vec<Arc<MessageExt>>| {
        let noted = noted.clone();
        async move {
            noted.lock().unwrap().push(batch.len());
            if batch[0].reconsume_times == 0 { ConsumeResult::Acked(3) } else { ConsumeResult::Success }
        }
    };
    let consumer = builder.options(|options| options.consume_batch = 4).start_batch(consume).await.unwrap();
    eventually("the rest again", || sizes.lock().unwrap().len() == 2).await;
    assert_eq!(*sizes.lock().unwrap(), [4, 1]);
    assert_eq!(cluster.seen(RequestCode::CONSUMER_SEND_MSG_BACK).len(), 1);
    assert_eq!(cluster.state.log.lock().unwrap().bodies("%RETRY%CG"), ["3"]);
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_level_and_the_dead_letter_queue() {
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "dead"), 0);
    let client = cluster.client();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consumer = builder.start(async |_| ConsumeResult::ReconsumeAtLevel(-1)).await.unwrap();
    eventually("it is dead", || cluster.state.log.lock().unwrap().bodies("%DLQ%CG") == ["dead"]).await;
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_send_back_that_fails_becomes_a_message_to_the_retry_topic() {
    // spec: client 101
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "x").with_tag("A"), 0);
    let refusal = Command::error(ResponseCode::SYSTEM_ERROR, "look message by offset failed");
    cluster.next("a", RequestCode::CONSUMER_SEND_MSG_BACK, Reaction::Answer(refusal));
    let client = cluster.client();
    let seen = Seen::default();
    let handler = seen.clone();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consume = move |message: Arc<MessageExt>| {
        let handler = handler.clone();
        async move {
            handler.add(message.clone());
            if message.reconsume_times == 0 { Err(()) } else { Ok(()) }
        }
    };
    let consumer = builder.start(consume).await.unwrap();
    seen.wait(2).await;
    let again = seen.0.lock().unwrap()[1].clone();
    assert_eq!((&*again.topic, again.reconsume_times, again.delay_level()), ("T", 1, 3));
    assert_eq!(again.property(property::RETRY_TOPIC), Some("T"));
    let (_, command) = cluster.seen(RequestCode::SEND_MESSAGE_V2).remove(0);
    assert_eq!(command.fields.get("a").as_deref(), Some("CLIENT_INNER_PRODUCER"));
    assert_eq!(command.fields.get("j").as_deref(), Some("1"));
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn what_nobody_takes_back_is_consumed_again_here() {
    // spec: client 100
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "x"), 0);
    let refusal = Command::error(ResponseCode::MESSAGE_ILLEGAL, "no");
    cluster.next("a", RequestCode::CONSUMER_SEND_MSG_BACK, Reaction::Answer(refusal.clone()));
    cluster.next("a", RequestCode::SEND_MESSAGE_V2, Reaction::Answer(refusal));
    let client = cluster.client();
    let seen = Seen::default();
    let handler = seen.clone();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consume = move |message: Arc<MessageExt>| {
        handler.add(message.clone());
        std::future::ready(if message.reconsume_times == 0 { Err(()) } else { Ok(()) })
    };
    let consumer = builder.start(consume).await.unwrap();
    seen.wait(1).await;
    assert_eq!(cluster.committed("CG", "T", 0), None, "it is not done");
    seen.wait(2).await;
    let times: Vec<i32> = seen.0.lock().unwrap().iter().map(|message| message.reconsume_times).collect();
    assert_eq!(times, [0, 1]);
    eventually("the commit", || cluster.committed("CG", "T", 0) == Some(1)).await;
    assert_eq!(cluster.state.log.lock().unwrap().bodies("%RETRY%CG"), [""; 0]);
    consumer.shutdown(PATIENCE).await;
}

/// A handler that is held up until the gate opens, and fails then.
fn held(
    gate: &Arc<Semaphore>,
    begun: &Arc<AtomicUsize>,
) -> impl Fn(Arc<MessageExt>) -> BoxFuture + Send + Sync + 'static {
    let (gate, begun) = (gate.clone(), begun.clone());
    move |message| {
        let gate = gate.clone();
        begun.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if message.reconsume_times > 0 {
                return Ok(());
            }
            gate.acquire().await.unwrap().forget();
            Err(())
        })
    }
}

type BoxFuture = Pin<Box<dyn Future<Output = Result<(), ()>> + Send>>;

#[tokio::test]
async fn what_fails_in_a_queue_that_was_given_away_is_left_to_its_new_owner() {
    // spec: client 105
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "x"), 0);
    // The first by its id gets the only queue.
    let (one, other) = (cluster.client_named(Some("one")), cluster.client_named(Some("other")));
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let builder = other.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let loser = builder.start(held(&gate, &begun)).await.unwrap();
    eventually("the handler runs", || begun.load(Ordering::SeqCst) == 1).await;
    let seen = Seen::default();
    let builder = one.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let winner = builder.start(seen.collect()).await.unwrap();
    seen.wait(1).await;
    eventually("it is given away", || loser.queues().iter().all(|queue| &*queue.topic != "T")).await;
    gate.add_permits(1);
    assert_eq!(loser.shutdown(PATIENCE).await.unfinished, 0);
    assert_eq!(cluster.seen(RequestCode::CONSUMER_SEND_MSG_BACK).len(), 0, "it would come a third time");
    winner.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn what_was_sent_back_because_it_took_too_long_is_not_sent_back_again() {
    // spec: client 103
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "x"), 0);
    let client = cluster.client();
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let builder = builder.options(|options| options.consume_timeout = Duration::from_millis(100));
    let consumer = builder.start(held(&gate, &begun)).await.unwrap();
    // The queue goes on behind it, and it comes again.
    eventually("the commit", || cluster.committed("CG", "T", 0) == Some(1)).await;
    eventually("it comes again", || begun.load(Ordering::SeqCst) >= 2).await;
    gate.add_permits(1);
    assert_eq!(consumer.shutdown(PATIENCE).await.unfinished, 0);
    let sent_back = cluster.seen(RequestCode::CONSUMER_SEND_MSG_BACK);
    let offsets = sent_back.iter().map(|(_, command)| command.fields.get("offset"));
    assert_eq!(offsets.filter(|offset| offset.as_deref() == Some("0")).count(), 1);
}

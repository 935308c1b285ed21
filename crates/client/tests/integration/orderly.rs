use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rocketwire::{ConsumeFrom, Message, MessageExt, MessageQueue, OrderlyResult, ResponseCode};
use rocketwire_protocol::{Command, RequestCode};
use tokio::sync::Semaphore;

use crate::support::{Cluster, PATIENCE, Reaction, eventually};

type Seen = Arc<Mutex<Vec<(String, i32)>>>;

fn note(seen: &Seen, batch: &[Arc<MessageExt>]) {
    let mut seen = seen.lock().unwrap();
    for message in batch {
        seen.push((String::from_utf8(message.body.to_vec()).unwrap(), message.reconsume_times));
    }
}

/// A handler that only takes note.
fn collect(seen: &Seen) -> impl Fn(Vec<Arc<MessageExt>>) -> std::future::Ready<()> + Send + Sync + 'static {
    let seen = seen.clone();
    move |batch| {
        note(&seen, &batch);
        std::future::ready(())
    }
}

#[tokio::test]
async fn messages_of_a_queue_come_in_order_and_a_failure_holds_it_up() {
    // spec: client 109 113
    let cluster = Cluster::with_topic("T", 1).await;
    (0..50).for_each(|i| cluster.put(&Message::new("T", format!("{i:02}")), 0));
    let client = cluster.client();
    let seen = Seen::default();
    let noted = seen.clone();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consume = move |batch: Vec<Arc<MessageExt>>| {
        let noted = noted.clone();
        async move {
            note(&noted, &batch);
            // Others get their chance to run out of order.
            tokio::task::yield_now().await;
            match (&batch[0].body[..], batch[0].reconsume_times) {
                (b"07", 0) => OrderlyResult::SuspendFor(Duration::from_millis(10)),
                (b"13", 0) => panic!("oh"),
                _ => OrderlyResult::Success,
            }
        }
    };
    let options = |options: &mut rocketwire::PushConsumerOptions| options.suspend = Duration::from_millis(10);
    let consumer = builder.options(options).start_orderly(consume).await.unwrap();
    eventually("all", || seen.lock().unwrap().len() == 52).await;
    let mut expected: Vec<(String, i32)> = (0..50).map(|i| (format!("{i:02}"), 0)).collect();
    expected.insert(8, ("07".into(), 1));
    expected.insert(15, ("13".into(), 1));
    assert_eq!(*seen.lock().unwrap(), expected);
    let report = consumer.shutdown(PATIENCE).await;
    assert_eq!((report.unfinished, report.uncommitted), (0, 0));
    assert_eq!(cluster.committed("CG", "T", 0), Some(50));
    cluster.until("the lock is given back", |state| state.locks.lock().unwrap().is_empty()).await;
    assert!(!cluster.seen(RequestCode::UNLOCK_BATCH_MQ).is_empty());
}

#[tokio::test]
async fn a_queue_that_another_has_locked_waits() {
    // spec: client 109 116
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "x"), 0);
    let foreign = format!("!{}", MessageQueue::new("T", "a", 0));
    cluster.state.locks.lock().unwrap().insert(foreign.clone());
    let client = cluster.client();
    let seen = Seen::default();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consumer = builder.start_orderly(collect(&seen)).await.unwrap();
    let asked = || cluster.seen(RequestCode::LOCK_BATCH_MQ).len();
    eventually("the lock is tried twice", || asked() > 1).await;
    assert!(seen.lock().unwrap().is_empty());
    cluster.state.locks.lock().unwrap().remove(&foreign);
    eventually("the message", || seen.lock().unwrap().len() == 1).await;
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_queue_is_not_handed_over_while_its_handler_runs() {
    // spec: client 117
    let cluster = Cluster::with_topic("T", 2).await;
    (0..2).for_each(|queue| cluster.put(&Message::new("T", "x"), queue));
    let (one, other) = (cluster.client_named(Some("one")), cluster.client_named(Some("other")));
    let gate = Arc::new(Semaphore::new(0));
    let begun = Arc::new(AtomicUsize::new(0));
    let (closed, count) = (gate.clone(), begun.clone());
    let builder = one.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let hold = move |_: Vec<Arc<MessageExt>>| {
        let closed = closed.clone();
        count.fetch_add(1, Ordering::SeqCst);
        async move { closed.acquire().await.unwrap().forget() }
    };
    let first = builder.start_orderly(hold).await.unwrap();
    eventually("both queues have a handler", || begun.load(Ordering::SeqCst) == 2).await;
    let builder = other.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let second = builder.start_orderly(async |_| std::future::pending::<()>().await).await.unwrap();
    let rounds = |client: &str| {
        let asked = cluster.seen(RequestCode::LOCK_BATCH_MQ);
        asked.iter().filter(|(_, command)| String::from_utf8_lossy(&command.body).contains(client)).count()
    };
    eventually("the second wants its share", || rounds("other") > 0).await;
    let asked = || cluster.seen(RequestCode::GET_CONSUMER_LIST_BY_GROUP).len();
    let before = asked();
    // Both ask once for each of the two topics in a round.
    eventually("more rounds", || asked() >= before + 10).await;
    let given_back = || {
        let unlocks = cluster.seen(RequestCode::UNLOCK_BATCH_MQ);
        unlocks.iter().filter(|(_, command)| String::from_utf8_lossy(&command.body).contains("\"T\"")).count()
    };
    assert_eq!(given_back(), 0, "the handlers still run");
    gate.add_permits(1000);
    eventually("handed over", || given_back() == 1).await;
    assert_eq!(cluster.committed("CG", "T", 1), Some(1), "with what its handler has done");
    first.shutdown(PATIENCE).await;
    second.shutdown(Duration::from_millis(10)).await;
}

#[tokio::test]
async fn a_message_that_fails_too_often_makes_room() {
    // spec: client 115
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "bad"), 0);
    cluster.put(&Message::new("T", "good"), 0);
    let client = cluster.client();
    let seen = Seen::default();
    let noted = seen.clone();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let builder = builder.options(|options| {
        options.max_reconsume_times = Some(2);
        options.suspend = Duration::from_millis(10);
    });
    let consume = move |batch: Vec<Arc<MessageExt>>| {
        let noted = noted.clone();
        async move {
            note(&noted, &batch);
            if &batch[0].body[..] == b"bad" && &*batch[0].topic == "T" && batch[0].delay_level() == 0 {
                return OrderlyResult::Suspend;
            }
            OrderlyResult::Success
        }
    };
    let consumer = builder.start_orderly(consume).await.unwrap();
    eventually("the good one", || seen.lock().unwrap().iter().any(|(body, _)| body == "good")).await;
    let bad: Vec<i32> = seen.lock().unwrap().iter().take(3).map(|(_, times)| *times).collect();
    assert_eq!(bad, [0, 1, 2]);
    assert_eq!(cluster.state.log.lock().unwrap().bodies("%RETRY%CG"), ["bad"]);
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_message_that_fails_is_tried_again_without_end_unless_told_otherwise() {
    // spec: client 114
    const FAILURES: i32 = 40;
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "stubborn"), 0);
    let client = cluster.client();
    let seen = Seen::default();
    let noted = seen.clone();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let builder = builder.options(|options| options.suspend = Duration::from_millis(10));
    let consume = move |batch: Vec<Arc<MessageExt>>| {
        note(&noted, &batch);
        let fails = batch[0].reconsume_times < FAILURES;
        async move { if fails { OrderlyResult::Suspend } else { OrderlyResult::Success } }
    };
    let consumer = builder.start_orderly(consume).await.unwrap();
    eventually("it succeeds", || seen.lock().unwrap().len() as i32 == FAILURES + 1).await;
    consumer.shutdown(PATIENCE).await;
    assert_eq!(cluster.committed("CG", "T", 0), Some(1));
    assert!(cluster.state.log.lock().unwrap().bodies("%RETRY%CG").is_empty(), "it was never sent back");
}

#[tokio::test]
async fn two_shutdowns_at_once_both_wait_for_the_handlers() {
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "x"), 0);
    let client = cluster.client();
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (closed, count) = (gate.clone(), begun.clone());
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let hold = move |_: Vec<Arc<MessageExt>>| {
        let closed = closed.clone();
        count.fetch_add(1, Ordering::SeqCst);
        async move { closed.acquire().await.unwrap().forget() }
    };
    let consumer = builder.start_orderly(hold).await.unwrap();
    eventually("the handler runs", || begun.load(Ordering::SeqCst) == 1).await;
    let open = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(cluster.seen(RequestCode::UNLOCK_BATCH_MQ).is_empty(), "another client would get the queue");
        gate.add_permits(1);
    };
    tokio::join!(consumer.shutdown(PATIENCE), client.close(PATIENCE), open);
    assert_eq!(cluster.committed("CG", "T", 0), Some(1));
}

#[tokio::test]
async fn a_lock_that_could_not_be_renewed_is_held_until_it_is_too_old() {
    // spec: client 111
    let cluster = Cluster::with_topic("T", 1).await;
    let client = cluster.client();
    let seen = Seen::default();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consumer = builder.start_orderly(collect(&seen)).await.unwrap();
    cluster.put(&Message::new("T", "before"), 0);
    eventually("a message", || seen.lock().unwrap().len() == 1).await;
    let busy = Command::error(ResponseCode::SYSTEM_BUSY, "not now");
    for _ in 0..1000 {
        cluster.next("a", RequestCode::LOCK_BATCH_MQ, Reaction::Answer(busy.clone()));
    }
    let asked = || cluster.seen(RequestCode::LOCK_BATCH_MQ).len();
    let before = asked();
    eventually("it is to be renewed", || asked() > before).await;
    // Answered behind the refusal, on the same connection.
    client.max_offset(&MessageQueue::new("T", "a", 0)).await.unwrap();
    cluster.put(&Message::new("T", "after"), 0);
    eventually("another message", || seen.lock().unwrap().len() == 2).await;
    consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_lock_of_a_queue_that_was_not_taken_is_given_back() {
    let cluster = Cluster::with_topic("T", 1).await;
    let is_locked = || !cluster.state.locks.lock().unwrap().is_empty();
    let client = cluster.client();
    // Where to begin is refused at first, and then not said at all: the rebalance ends in the middle.
    let busy = Command::error(ResponseCode::SYSTEM_BUSY, "not now");
    cluster.next("a", RequestCode::QUERY_CONSUMER_OFFSET, Reaction::Answer(busy));
    (0..10).for_each(|_| cluster.next("a", RequestCode::QUERY_CONSUMER_OFFSET, Reaction::Silence));
    let builder = client.push_consumer("CG").subscribe("T", "*");
    let consumer = builder.start_orderly(collect(&Seen::default())).await.unwrap();
    let asked = |code| cluster.seen(code).len();
    eventually("given back at once", || asked(RequestCode::UNLOCK_BATCH_MQ) == 1).await;
    eventually("locked again", || asked(RequestCode::QUERY_CONSUMER_OFFSET) > 1 && is_locked()).await;
    consumer.shutdown(PATIENCE).await;
    eventually("given back by the shutdown", || !is_locked()).await;
}

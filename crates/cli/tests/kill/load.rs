//! Producers, consumers and an operator, until the node is gone.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use rocketwire::{Client, Message, MessageQueue, NewTopic, NoRetry, Producer, PullOptions, SendStatus};
use rocketwire_testkit::Random;
use tokio::task::LocalSet;

use crate::{
    book::{Book, QUEUES, Receipt, TOPIC},
    serve::Serve,
};

/// Producers, each of so many senders that wait for their own answers.
const PRODUCERS: u64 = 4;
const SENDERS: u64 = 4;
/// Longer than anything takes on a machine that works.
const PATIENCE: Duration = Duration::from_secs(30);
const GROUPS: [&str; 2] = ["readers-a", "readers-b"];

#[derive(Debug, Default)]
pub struct Loaded {
    pub acked: u64,
    /// Sends had no answer when it died.
    pub was_sending: bool,
    pub consumed: u64,
    pub again: u64,
    pub died_by_itself: bool,
}

struct Shared {
    book: RefCell<Book>,
    loaded: RefCell<Loaded>,
    /// Sends without an answer.
    in_flight: Cell<u64>,
    is_over: Cell<bool>,
}

/// Works with the node until it dies: by itself, or killed at a random moment.
pub async fn until_killed(serve: &Serve, book: &mut Book, dies: bool, random: &mut Random) -> Loaded {
    let client = client(&serve.address);
    client.admin().create_topic(&NewTopic::new(TOPIC, QUEUES)).await.ok();
    let shared = Rc::new(Shared {
        book: RefCell::new(std::mem::take(book)),
        loaded: RefCell::default(),
        in_flight: Cell::new(0),
        is_over: Cell::new(false),
    });
    let tasks = LocalSet::new();
    for producer in 0..PRODUCERS {
        let producer_handle =
            client.producer(format!("p{producer}")).retry(NoRetry).timeout(Duration::from_secs(10));
        let handle = producer_handle.build().unwrap();
        for sender in 0..SENDERS {
            let random = Random::new(random.number());
            tasks.spawn_local(send(handle.clone(), producer * SENDERS + sender, random, shared.clone()));
        }
    }
    for group in GROUPS {
        tasks.spawn_local(consume(client.clone(), group, shared.clone()));
    }
    tasks.spawn_local(operate(client.clone(), Random::new(random.number()), shared.clone()));
    let killing = async {
        // A kill before there is anything to lose says nothing.
        let since = Instant::now();
        while shared.loaded.borrow().acked == 0 && since.elapsed() < PATIENCE && !serve.has_ended() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let wait = Duration::from_millis(if dies { 1500 } else { 20 + random.below(500) });
        let since = Instant::now();
        while since.elapsed() < wait && !serve.has_ended() {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let died_by_itself = serve.has_ended();
        shared.loaded.borrow_mut().died_by_itself = died_by_itself;
        // Who dies by itself has left sends without an answer, some of which may have failed by now.
        let mut loaded = shared.loaded.borrow_mut();
        loaded.was_sending |= loaded.acked > 0 && shared.in_flight.get() > 0;
        drop(loaded);
        serve.kill();
        shared.is_over.set(true);
    };
    tasks.run_until(killing).await;
    tokio::time::timeout(PATIENCE, tasks).await.expect("every call ends when its node is gone");
    client.close(Duration::ZERO).await;
    let Ok(shared) = Rc::try_unwrap(shared) else { panic!("all tasks have ended") };
    *book = shared.book.into_inner();
    shared.loaded.into_inner()
}

pub fn client(address: &str) -> Client {
    Client::builder().name_servers(address).build().unwrap()
}

fn queue(id: i32) -> MessageQueue {
    MessageQueue { topic: TOPIC.into(), broker_name: "broker-a".into(), queue_id: id }
}

/// One message after the other, so that their order means something. Now and then a batch.
async fn send(producer: Producer, sender: u64, mut random: Random, shared: Rc<Shared>) {
    let to = queue((sender % u64::from(QUEUES.cast_unsigned())) as i32);
    while !shared.is_over.get() {
        let is_batch = random.percent(10);
        let count = if is_batch { 2 + random.below(4) } else { 1 };
        let bodies = shared.book.borrow_mut().bodies(sender, count, random.below(900) as usize);
        let messages: Vec<_> = bodies.iter().map(|body| Message::new(TOPIC, body.clone())).collect();
        shared.in_flight.update(|count| count + 1);
        let sent = match is_batch {
            true => producer.send_batch(&messages).await,
            false => producer.send_to(&to, messages.into_iter().next().unwrap()).await,
        };
        shared.in_flight.update(|count| count - 1);
        match sent {
            Ok(result) => {
                assert_eq!(result.status, SendStatus::SendOk);
                shared.loaded.borrow_mut().acked += count;
                let (id, offset) = (result.message_queue.queue_id, result.queue_offset);
                let first = result.offset_msg_id.split(',').next().unwrap_or_default();
                let physical = i64::from_str_radix(&first[first.len() - 16..], 16).unwrap();
                let receipt = |(n, body): (i64, String)| Receipt {
                    queue: id,
                    offset: offset + n,
                    body,
                    physical: (n == 0).then_some(physical),
                };
                let receipts = (0..).zip(bodies).map(receipt);
                shared.book.borrow_mut().acked.extend(receipts);
            }
            Err(_) => {
                let mut loaded = shared.loaded.borrow_mut();
                loaded.was_sending |= loaded.acked > 0 && !shared.is_over.get();
                return;
            }
        }
    }
}

/// Goes on from where its group has committed, over all queues, and commits what it was handed.
async fn consume(client: Client, group: &'static str, shared: Rc<Shared>) {
    let options = {
        let mut options = PullOptions::default();
        options.group = group.to_owned();
        options.wait = Duration::from_millis(50);
        options
    };
    let mut next = Vec::new();
    for id in 0..QUEUES {
        let Ok(committed) = client.committed(group, &queue(id)).await else { return };
        shared.book.borrow_mut().goes_on_at(group, id, committed);
        next.push(committed.unwrap_or(0));
    }
    while !shared.is_over.get() {
        for id in 0..QUEUES {
            let at = next[id as usize];
            let Ok(pulled) = client.pull(&queue(id), at, &options).await else { return };
            next[id as usize] = pulled.next_offset;
            for message in &pulled.messages {
                shared.loaded.borrow_mut().consumed += 1;
                let body = std::str::from_utf8(&message.body).unwrap();
                let is_again = shared.book.borrow_mut().delivered(group, id, message.queue_offset, body);
                shared.loaded.borrow_mut().again += u64::from(is_again);
            }
            if !pulled.messages.is_empty() {
                shared.book.borrow_mut().commits(group, id, pulled.next_offset);
                if client.commit(group, &queue(id), pulled.next_offset).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Creates topics, sends to them, deletes them.
async fn operate(client: Client, mut random: Random, shared: Rc<Shared>) {
    let producer = client.producer("operator").retry(NoRetry).build().unwrap();
    while !shared.is_over.get() {
        let topic = format!("Churn{}", random.below(4));
        shared.book.borrow_mut().topics.insert(topic.clone(), None);
        if random.percent(50) {
            if client.admin().create_topic(&NewTopic::new(&topic, 1)).await.is_err() {
                return;
            }
            shared.book.borrow_mut().topics.insert(topic.clone(), Some(true));
            let number = {
                let mut book = shared.book.borrow_mut();
                book.sent_to_topics += 1;
                book.sent_to_topics.to_string()
            };
            let _ = producer.send(Message::new(&*topic, number)).await;
        } else {
            if client.admin().delete_topic(&topic).await.is_err() {
                return;
            }
            let mut book = shared.book.borrow_mut();
            let sent = book.sent_to_topics;
            book.deleted_up_to.insert(topic.clone(), sent);
            book.topics.insert(topic, Some(false));
        }
        tokio::time::sleep(Duration::from_millis(random.below(20))).await;
    }
}

//! What was tried, acknowledged and delivered; compared with what the node has after each restart.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rocketwire::{Client, MessageQueue, NewTopic, PullOptions, PullStatus};

use crate::{load, serve::Serve};

pub const TOPIC: &str = "Kill";
pub const QUEUES: i32 = 4;

pub struct Receipt {
    pub queue: i32,
    pub offset: i64,
    pub body: String,
    /// Its place in the log, of the first message of a batch.
    pub physical: Option<i64>,
}

/// A message that was given to a sender's client, and is not found yet.
struct Tried {
    /// Number of the send: messages of a batch have the same.
    send: u64,
    size: usize,
}

#[derive(Default)]
pub struct Book {
    /// Acknowledged since the last look.
    pub acked: Vec<Receipt>,
    /// Topic -> whether it is there; `None` while nobody knows.
    pub topics: BTreeMap<String, Option<bool>>,
    /// Messages to those topics so far; each says which one it is.
    pub sent_to_topics: u64,
    /// Topic -> the last of them that can have gone with a deletion that was answered.
    pub deleted_up_to: BTreeMap<String, u64>,
    /// Body -> what it is, until it is found.
    tried: HashMap<String, Tried>,
    /// Queue -> the next offset that nobody has looked at yet.
    looked_at: BTreeMap<i32, i64>,
    /// Sender and queue -> its last message there.
    last: HashMap<(u64, i32), u64>,
    /// Group and queue -> offsets that were handed out, and the highest that was committed.
    groups: HashMap<(&'static str, i32), Group>,
    /// Queue and offset -> what a consumer was handed, until the next look.
    handed: HashMap<(i32, i64), String>,
    counter: u64,
}

#[derive(Default)]
struct Group {
    next: i64,
    committed: i64,
}

impl Book {
    /// Bodies for one send: sender, number of the send, number of the message, and something to fill it.
    pub fn bodies(&mut self, sender: u64, count: u64, padding: usize) -> Vec<String> {
        let send = self.counter;
        let mut bodies = Vec::new();
        for _ in 0..count {
            self.counter += 1;
            let body = format!("{sender} {} {}", self.counter, ".".repeat(padding));
            self.tried.insert(body.clone(), Tried { send, size: count as usize });
            bodies.push(body);
        }
        bodies
    }

    /// The group begins again here, after a restart: nothing behind it may be skipped.
    pub fn goes_on_at(&mut self, group: &'static str, queue: i32, committed: Option<i64>) {
        let of_group = self.groups.entry((group, queue)).or_default();
        let at = committed.unwrap_or(0);
        assert!(
            at <= of_group.committed,
            "{group} committed {} of queue {queue}, and is sent to {at}",
            of_group.committed
        );
    }

    /// Before it is committed: a commit without an answer may count.
    pub fn commits(&mut self, group: &'static str, queue: i32, offset: i64) {
        let of_group = self.groups.entry((group, queue)).or_default();
        of_group.committed = of_group.committed.max(offset);
    }

    /// A consumer was handed this. Whether it was before.
    pub fn delivered(&mut self, group: &'static str, queue: i32, offset: i64, body: &str) -> bool {
        let of_group = self.groups.entry((group, queue)).or_default();
        let is_again = offset < of_group.next;
        of_group.next = of_group.next.max(offset + 1);
        let before = self.handed.entry((queue, offset)).or_insert_with(|| body.to_owned());
        assert_eq!(before, body, "queue {queue} offset {offset} was handed out with another content");
        is_again
    }

    /// Reads all that is new since the last look. How many messages were too old for the log before anybody looked.
    pub async fn check(&mut self, serve: &Serve) -> u64 {
        let client = load::client(&serve.address);
        let mut options = PullOptions::default();
        options.timeout = Duration::from_secs(30);
        let mut found: HashMap<(i32, i64), (String, i64)> = HashMap::new();
        let mut sends: HashMap<u64, (usize, usize)> = HashMap::new();
        let mut begins: BTreeMap<i32, i64> = BTreeMap::new();
        let has_acks = !self.acked.is_empty();
        for id in 0..QUEUES {
            let queue = MessageQueue { topic: TOPIC.into(), broker_name: "broker-a".into(), queue_id: id };
            let mut at = self.looked_at.get(&id).copied().unwrap_or(0);
            loop {
                let pulled = match client.pull(&queue, at, &options).await {
                    Ok(pulled) => pulled,
                    // The very first kill may have come before the topic.
                    Err(error) if !has_acks && at == 0 => {
                        assert!(error.to_string().contains(TOPIC), "{error}");
                        break;
                    }
                    Err(error) => panic!("queue {id} cannot be read at {at}: {error}"),
                };
                begins.insert(id, pulled.min_offset);
                if pulled.min_offset > at {
                    at = pulled.min_offset;
                    continue;
                }
                if pulled.status != PullStatus::Found {
                    assert_eq!(
                        pulled.max_offset.max(at),
                        at,
                        "queue {id} ends where nothing more is found: {pulled:?}"
                    );
                    assert!(
                        pulled.max_offset == at || at == 0,
                        "queue {id} has lost its end: {at} was there, {pulled:?}"
                    );
                    break;
                }
                for message in pulled.messages {
                    assert_eq!(message.queue_offset, at, "offsets of queue {id} are dense");
                    at += 1;
                    let body = String::from_utf8(message.body.to_vec()).unwrap();
                    self.find(id, &body, &mut sends);
                    found.insert((id, message.queue_offset), (body, message.physical_offset));
                }
            }
            self.looked_at.insert(id, at);
        }
        for (send, (there, size)) in sends {
            assert_eq!(there, size, "send {send} was torn in two");
        }
        let deleted = self.compare(&found, &begins);
        self.compare_topics(&client).await;
        client.close(Duration::ZERO).await;
        deleted
    }

    /// A message that is there: it was sent, is there once, and behind those that its sender sent before.
    fn find(&mut self, queue: i32, body: &str, sends: &mut HashMap<u64, (usize, usize)>) {
        let tried = self.tried.remove(body);
        let tried = tried
            .unwrap_or_else(|| panic!("queue {queue} has {body:?}, which is there twice or was never sent"));
        sends.entry(tried.send).or_insert((0, tried.size)).0 += 1;
        let mut numbers = body.split(' ').map(|number| number.parse().unwrap_or_default());
        let (sender, number): (u64, u64) = (numbers.next().unwrap(), numbers.next().unwrap());
        let before = self.last.insert((sender, queue), number);
        assert!(
            before.is_none_or(|before| before < number),
            "{body:?} comes behind message {before:?} of its sender"
        );
    }

    fn compare(&mut self, found: &HashMap<(i32, i64), (String, i64)>, begins: &BTreeMap<i32, i64>) -> u64 {
        let mut deleted = 0;
        for receipt in self.acked.drain(..) {
            let Receipt { queue, offset, body, physical } = receipt;
            if begins.get(&queue).is_some_and(|begin| offset < *begin) {
                deleted += 1;
                continue;
            }
            let Some((there, at)) = found.get(&(queue, offset)) else {
                panic!("queue {queue} offset {offset} was acknowledged and is not there: {body:?}")
            };
            assert_eq!(there, &body, "queue {queue} offset {offset} was acknowledged with another content");
            assert!(
                physical.is_none_or(|physical| physical == *at),
                "{body:?} is at {at}, its receipt says {physical:?}"
            );
        }
        for ((queue, offset), body) in self.handed.drain() {
            // Older ones were compared at the look before.
            if let Some((there, _)) = found.get(&(queue, offset)) {
                assert_eq!(there, &body, "queue {queue} offset {offset} was handed out with another content");
            } else {
                let end = self.looked_at.get(&queue).copied().unwrap_or(0);
                assert!(
                    offset < end,
                    "queue {queue} offset {offset} was handed out and is not there: {body:?}"
                );
            }
        }
        // What is not there by now never comes.
        self.tried.clear();
        deleted
    }

    async fn compare_topics(&mut self, client: &Client) {
        let there = client.admin().topics().await.unwrap();
        for (topic, expected) in &mut self.topics {
            let is_there = there.iter().any(|name| **name == **topic);
            assert!(
                expected.is_none_or(|expected| expected == is_there),
                "{topic}: {expected:?}, and is {is_there}"
            );
            if !is_there {
                // What nobody can delete any more would be in the next topic of that name.
                client.admin().create_topic(&NewTopic::new(topic, 1)).await.unwrap();
            }
            let numbers = numbers_in(client, topic).await;
            assert!(is_there || numbers.is_empty(), "{topic} is new, and has {numbers:?}");
            let deleted = self.deleted_up_to.get(topic).copied().unwrap_or(0);
            assert!(
                numbers.iter().all(|number| *number > deleted),
                "{topic} was deleted after {deleted}, and has {numbers:?}"
            );
            *expected = Some(true);
        }
    }
}

/// What the messages of an operator's topic say.
async fn numbers_in(client: &Client, topic: &str) -> Vec<u64> {
    let queue = MessageQueue { topic: topic.into(), broker_name: "broker-a".into(), queue_id: 0 };
    let mut options = PullOptions::default();
    options.timeout = Duration::from_secs(30);
    let (mut found, mut at) = (Vec::new(), 0);
    loop {
        let pulled = client.pull(&queue, at, &options).await.unwrap();
        if pulled.next_offset <= at {
            return found;
        }
        at = pulled.next_offset;
        let number = |body: &[u8]| std::str::from_utf8(body).unwrap().parse::<u64>().unwrap();
        found.extend(pulled.messages.iter().map(|message| number(&message.body)));
    }
}

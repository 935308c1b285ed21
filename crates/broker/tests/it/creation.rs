use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use rocketwire_broker::BrokerOptions;
use rocketwire_protocol::{
    Command,
    body::{self, CreateTopicListRequestBody, TopicConfig},
    header::*,
};
use rocketwire_remoting::RpcError;
use rocketwire_store::MemoryStorage;
use rocketwire_testkit::{ManualClock, Step, WatchedDisk};
use tokio::task::JoinHandle;

use crate::support::*;

/// Who may save, and how many saves there were.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<Passes>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Passes {
    /// How many saves may pass; all, if there is no number.
    left: Option<usize>,
    saves: usize,
}

impl Gate {
    fn close(&self) {
        *self.state.lock().unwrap() = Passes { left: Some(0), saves: 0 };
    }

    fn let_one_pass(&self) {
        *self.state.lock().unwrap().left.as_mut().unwrap() += 1;
        self.moved.notify_all();
    }

    fn open(&self) {
        self.state.lock().unwrap().left = None;
        self.moved.notify_all();
    }

    /// Saves since it was closed, under way or done.
    fn saves(&self) -> usize {
        self.state.lock().unwrap().saves
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.saves += 1;
        let mut state = self.moved.wait_while(state, |state| state.left == Some(0)).unwrap();
        if let Some(left) = state.left.as_mut() {
            *left -= 1;
        }
    }
}

/// A broker on a disk whose saves of one table wait for a gate.
struct Slow {
    gate: Arc<Gate>,
    clock: Arc<ManualClock>,
    node: OnDisk,
}

type Asked = JoinHandle<Result<Command, RpcError>>;

impl Slow {
    async fn start(table: &'static str, options: BrokerOptions) -> Slow {
        let (gate, clock) = (Arc::<Gate>::default(), Arc::new(ManualClock::new(START_MS)));
        let at_gate = gate.clone();
        let disk = WatchedDisk::new(MemoryStorage::new(), move |step| {
            if matches!(step, Step::Create(path) if path.to_string_lossy().contains(table)) {
                at_gate.pass();
            }
            Ok(())
        });
        let node = OnDisk::with(options, disk, clock.clone(), |_| {}).await.unwrap();
        gate.close();
        Slow { gate, clock, node }
    }

    fn ask(&self, command: Command) -> Asked {
        let (client, addr) = (self.node.client.clone(), self.node.addr());
        tokio::spawn(async move { client.invoke(&addr, command, PATIENCE).await })
    }

    fn number(&self, name: &str) -> usize {
        let families = self.node.broker.metrics();
        families.iter().find(|family| family.name == name).unwrap().samples[0].value as usize
    }

    /// Requests that wait for their topics to be saved.
    fn waiting(&self) -> usize {
        self.number("rocketwire_topic_creations")
    }

    fn has(&self, topic: &str) -> bool {
        self.node.broker.topics().iter().any(|known| known.topic_name == *topic)
    }

    async fn stop(self) {
        self.gate.open();
        self.node.stop().await.unwrap();
    }
}

async fn answer(asked: Asked) -> Command {
    asked.await.unwrap().unwrap()
}

fn create(topic: &str) -> Command {
    Command::of(&create_header(topic, 2))
}

#[tokio::test]
async fn topics_that_come_together_are_saved_together_and_none_is_answered_before() {
    // spec: broker B.3 B.17
    const MANY: usize = 300;
    let node = Slow::start("topics", BrokerOptions::default()).await;
    let first = node.ask(create("first"));
    eventually("the first is being saved", || node.gate.saves() == 1).await;

    let mut others: Vec<Asked> = (0..MANY).map(|n| node.ask(create(&format!("T{n}")))).collect();
    others.extend((0..MANY).map(|n| node.ask(send(&format!("S{}", n / 2), "x", ""))));
    let mut list = CreateTopicListRequestBody::default();
    list.topic_config_list.extend(["L0", "L1"].map(|name| TopicConfig::new(name, 1, 1)));
    let list = Command::of(&CreateTopicListRequestHeader::default()).with_body(body::encode(&list));
    others.push(node.ask(list));
    eventually("all others wait", || node.waiting() == others.len() + 1).await;
    assert!(!first.is_finished());

    node.gate.let_one_pass();
    assert_eq!(answer(first).await.code, 0);
    eventually("the others are being saved", || node.gate.saves() == 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    // A crash now would take them back.
    assert!(others.iter().all(|asked| !asked.is_finished()));
    assert!(node.has("first") && !node.has("T0") && !node.has("S0") && !node.has("L0"));

    node.gate.let_one_pass();
    for asked in others {
        let response = answer(asked).await;
        assert_eq!(response.code, 0, "{:?}", response.remark);
    }
    assert_eq!(node.gate.saves(), 2, "for 602 requests");
    assert!(node.has("T0") && node.has("S149") && node.has("L1"));
    node.stop().await;
}

#[tokio::test]
async fn creations_have_their_own_bound_and_patience() {
    // spec: broker 0.7
    let mut options = BrokerOptions::default();
    options.max_topic_creations = 3;
    let node = Slow::start("topics", options).await;
    let first = node.ask(create("first"));
    eventually("the first is being saved", || node.gate.saves() == 1).await;
    let late = [node.ask(create("second")), node.ask(send("third", "x", ""))];
    eventually("two wait", || node.waiting() == 3).await;
    for request in [create("fourth"), send("fourth", "x", "")] {
        let refused = answer(node.ask(request)).await;
        let remark = refused.remark.unwrap();
        assert_eq!(refused.code, 2);
        assert!(remark.starts_with("[OVERLOAD]") && remark.contains("max_topic_creations"), "{remark}");
    }

    node.clock.advance(Duration::from_secs(6));
    node.gate.open();
    assert_eq!(answer(first).await.code, 0);
    for asked in late {
        let response = answer(asked).await;
        let remark = response.remark.unwrap();
        assert_eq!(response.code, 2);
        assert!(remark.starts_with("[TIMEOUT_CLEAN_QUEUE]broker busy"), "{remark}");
        assert!(remark.contains("period in queue: 6000ms"), "{remark}");
    }
    assert!(!node.has("second") && !node.has("third"));
    node.stop().await;
}

#[tokio::test]
async fn groups_that_come_together_are_saved_together() {
    // spec: broker B.8
    const MANY: usize = 50;
    let node = Slow::start("groups", BrokerOptions::default()).await;
    let member = |n: usize| {
        let (id, group) = (format!("c{n}"), format!("G{n}"));
        heartbeat(&consumer(&id, &group, vec![subscription("T", "*", 1)]))
    };
    let asked: Vec<Asked> = (0..MANY).map(|n| node.ask(member(n))).collect();
    eventually("all wait for the first save", || node.number("rocketmq_consumer_group_number") == MANY).await;
    assert!(asked.iter().all(|asked| !asked.is_finished()));
    node.gate.open();
    for asked in asked {
        assert_eq!(answer(asked).await.code, 0);
    }
    assert!(node.gate.saves() <= 3, "{} saves for {MANY} groups", node.gate.saves());
    node.stop().await;
}

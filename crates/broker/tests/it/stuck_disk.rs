use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rocketwire_protocol::{Command, header::*};
use rocketwire_store::MemoryStorage;
use rocketwire_testkit::{ManualClock, Step, WatchedDisk};

use crate::support::*;

/// A disk that does not come back from creating the files of one table, while the gate is closed.
struct Stuck {
    disk: WatchedDisk,
    gate: Arc<Mutex<()>>,
    entered: Arc<Mutex<bool>>,
}

impl Stuck {
    fn new(table: &'static str) -> Stuck {
        let (gate, entered) = (Arc::<Mutex<()>>::default(), Arc::<Mutex<bool>>::default());
        let (closed, has_entered) = (gate.clone(), entered.clone());
        let disk = WatchedDisk::new(MemoryStorage::new(), move |step| {
            if let Step::Create(path) = step
                && path.to_string_lossy().contains(table)
            {
                *has_entered.lock().unwrap() = true;
                drop(closed.lock().unwrap());
            }
            Ok(())
        });
        Stuck { disk, gate, entered }
    }
}

#[tokio::test]
#[allow(clippy::await_holding_lock)] // the gate is closed meanwhile
async fn a_stuck_disk_does_not_keep_parked_pulls_from_their_deadline() {
    let disk = Stuck::new("offsets");
    let clock = Arc::new(ManualClock::new(START_MS));
    let node = OnDisk::open(disk.disk.clone(), clock.clone(), |_| {}).await.unwrap();
    assert_eq!(node.call(send("T", "x", "")).await.code, 0);
    let (parked, asked) = (node.broker.clone(), (node.client.clone(), node.addr()));
    let pulled = tokio::spawn(async move {
        asked.0.invoke(&asked.1, pull("T", 0, 1, "*", Some(Duration::from_secs(15))), PATIENCE).await
    });
    eventually("the pull is parked", || parked.parked_pulls() == 1).await;

    // The snapshot of the offsets is due, and hangs.
    let closed = disk.gate.lock().unwrap();
    clock.advance(Duration::from_secs(6));
    eventually("a snapshot is under way", || *disk.entered.lock().unwrap()).await;
    clock.advance(Duration::from_secs(20));
    assert_eq!(pulled.await.unwrap().unwrap().code, 19);
    drop(closed);
    node.stop().await.unwrap();
}

#[tokio::test]
#[allow(clippy::await_holding_lock)] // the gate is closed meanwhile
async fn a_second_sender_waits_until_the_topic_is_saved() {
    let disk = Stuck::new("topics");
    let clock = Arc::new(ManualClock::new(START_MS));
    let node = OnDisk::open(disk.disk.clone(), clock.clone(), |_| {}).await.unwrap();
    *disk.entered.lock().unwrap() = false;
    let closed = disk.gate.lock().unwrap();
    let sending: Vec<_> = (0..2)
        .map(|_| {
            let (client, addr) = (node.client.clone(), node.addr());
            tokio::spawn(async move { client.invoke(&addr, send("T", "x", ""), PATIENCE).await })
        })
        .collect();
    eventually("the topic is being saved", || *disk.entered.lock().unwrap()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    // A crash now would take the topic back: nobody may have been told that a message of it is stored.
    assert!(sending.iter().all(|sending| !sending.is_finished()));
    assert!(node.broker.topics().iter().all(|topic| topic.topic_name != "T"));
    drop(closed);
    for sending in sending {
        assert_eq!(sending.await.unwrap().unwrap().code, 0);
    }
    node.stop().await.unwrap();
}

/// A runtime with one thread that may wait for the disk.
fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap()
}

#[test]
fn a_pull_that_waits_for_the_disk_does_not_commit_once_more_behind_it() {
    // spec: client 151
    one_thread().block_on(async {
        let node = Node::start().await;
        let client = node.client();
        client.send("T", "x", "").await;
        client.heartbeat(&consumer("c", "CG", vec![])).await;
        let (free, taken) = std::sync::mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || taken.recv().is_ok());
        // What an SQL92 expression costs is not for the connection's own thread.
        let mut header = pull_header("T", 0, 1);
        (header.sys_flag, header.commit_offset) = (4 | 1, 7);
        header.subscription = Some("a IS NULL".into());
        header.expression_type = Some("SQL92".into());
        let (asked, addr) = (client.remoting.clone(), client.addr.clone());
        let asking = tokio::spawn(async move { asked.invoke(&addr, Command::of(&header), PATIENCE).await });
        let committed = async || {
            let header = QueryConsumerOffsetRequestHeader {
                consumer_group: "CG".into(),
                topic: "T".into(),
                ..Default::default()
            };
            client.ok(Command::of(&header)).await.fields.get("offset").unwrap().to_string()
        };
        let since = std::time::Instant::now();
        while committed().await != "7" {
            assert!(since.elapsed() < PATIENCE, "the pull's offset counts when it comes");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        client.ok(commit("CG", "T", 0, 9)).await;
        drop(free);
        taken.await.unwrap();
        assert_eq!(asking.await.unwrap().unwrap().code, 19);
        assert_eq!(committed().await, "9");
        node.stop().await;
    });
}

#[test]
fn a_request_that_waited_too_long_for_the_disk_is_sent_away() {
    one_thread().block_on(async {
        let node = Node::start().await;
        let client = node.client();
        let waiting = |clock: Arc<ManualClock>, request: Command| {
            let (asked, addr) = (client.remoting.clone(), client.addr.clone());
            // The only thread for the disk is taken.
            let (free, taken) = std::sync::mpsc::channel::<()>();
            let taken = tokio::task::spawn_blocking(move || taken.recv().is_ok());
            async move {
                let asking = tokio::spawn(async move { asked.invoke(&addr, request, PATIENCE).await });
                tokio::time::sleep(Duration::from_millis(100)).await;
                clock.advance(Duration::from_millis(6_000));
                drop(free);
                taken.await.unwrap();
                asking.await.unwrap().unwrap()
            }
        };
        let view = Command::of(&ViewMessageRequestHeader::default());
        let viewed = waiting(node.clock.clone(), view).await;
        assert_eq!(viewed.code, 2);
        let remark = viewed.remark.unwrap();
        assert!(remark.starts_with("[TIMEOUT_CLEAN_QUEUE]broker busy"), "{remark}");
        assert!(remark.contains("period in queue: 6000ms, size of queue: 1"), "{remark}");
        // Others are more patient.
        let heartbeat = heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1)]));
        assert_eq!(waiting(node.clock.clone(), heartbeat).await.code, 0);
        node.stop().await;
    });
}

/// Where a disk can be made to wait.
#[derive(Clone, Default)]
struct Gate {
    closed: Arc<Mutex<()>>,
    entered: Arc<Mutex<bool>>,
}

impl Gate {
    fn pass(&self) {
        *self.entered.lock().unwrap() = true;
        drop(self.closed.lock().unwrap());
    }

    fn was_entered(&self) -> bool {
        *self.entered.lock().unwrap()
    }
}

/// A stop while a delayed message is being delivered from a slow disk: what the tables say must be true.
#[tokio::test]
#[allow(clippy::await_holding_lock)] // the gates are closed meanwhile
async fn a_stop_waits_for_a_delivery_that_is_under_way() {
    let (storage, clock) = (MemoryStorage::new(), Arc::new(ManualClock::new(START_MS)));
    let node = OnDisk::open(storage.clone(), clock.clone(), |_| {}).await.unwrap();
    assert_eq!(node.call(send("T", "x", "DELAY\u{1}1\u{2}")).await.code, 0);
    node.stop().await.unwrap();

    let (reads, saves) = (Gate::default(), Gate::default());
    let (at_reads, at_saves) = (reads.clone(), saves.clone());
    let disk = WatchedDisk::new(storage.clone(), move |step| {
        match step {
            Step::Read(..) if step.is_in("log") => at_reads.pass(),
            Step::Create(path) if path.to_string_lossy().contains("transactions") => at_saves.pass(),
            _ => {}
        }
        Ok(())
    });
    let node = OnDisk::open(disk, clock.clone(), |_| {}).await.unwrap();
    *reads.entered.lock().unwrap() = false;
    let (reading, saving) = (reads.closed.lock().unwrap(), saves.closed.lock().unwrap());
    clock.advance(Duration::from_secs(1));
    eventually("the message is being read", || reads.was_entered()).await;
    let stopping = tokio::spawn(node.stop());
    for _ in 0..100 {
        if saves.was_entered() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(reading);
    // Were the delays saved already, the delivery would come now and be in no table.
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(saving);
    stopping.await.unwrap().unwrap();

    let node = OnDisk::open(storage, clock.clone(), |_| {}).await.unwrap();
    clock.advance(Duration::from_secs(10));
    let messages = async || decode(node.call(pull("T", 0, 0, "*", None)).await.body).len();
    let since = std::time::Instant::now();
    while messages().await == 0 {
        assert!(since.elapsed() < PATIENCE, "it is never delivered");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(messages().await, 1);
    node.stop().await.unwrap();
}

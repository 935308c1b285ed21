//! A disk whose flushes hang or fail: what producers, consumers and operators are told.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use rocketwire_broker::{BrokerError, BrokerOptions};
use rocketwire_protocol::{
    Command,
    header::*,
    message::{OffsetMessageId, batch},
};
use rocketwire_store::{MemoryStorage, StoreOptions};
use rocketwire_testkit::{ManualClock, Step, WatchedDisk};

use crate::support::*;

/// What becomes of the next flushes of the log.
#[derive(Clone, Default)]
struct Flushes {
    /// Held: they hang.
    gate: Arc<Mutex<()>>,
    /// They fail with EIO.
    fails: Arc<Mutex<bool>>,
}

impl Flushes {
    fn disk(&self) -> WatchedDisk {
        let flushes = self.clone();
        WatchedDisk::new(MemoryStorage::new(), move |step| {
            if !matches!(step, Step::Flush(_)) || !step.is_in("log") {
                return Ok(());
            }
            drop(flushes.gate.lock().unwrap());
            match *flushes.fails.lock().unwrap() {
                true => Err(io::Error::from_raw_os_error(5)),
                false => Ok(()),
            }
        })
    }
}

struct OnBroken {
    flushes: Flushes,
    clock: Arc<ManualClock>,
    node: OnDisk,
}

impl OnBroken {
    async fn start() -> OnBroken {
        let (flushes, clock) = (Flushes::default(), Arc::new(ManualClock::new(START_MS)));
        let node = OnDisk::open(flushes.disk(), clock.clone(), |_| {}).await.unwrap();
        OnBroken { flushes, clock, node }
    }

    async fn call(&self, command: Command) -> Command {
        self.node.call(command).await
    }

    async fn stop(self) -> Result<(), BrokerError> {
        self.node.stop().await
    }
}

/// A flush that takes too long: the message is in the log and not known to be on the disk, which has a code of its own.
#[tokio::test]
#[allow(clippy::await_holding_lock)] // the gate is closed meanwhile
async fn a_flush_that_hangs_is_10_after_its_time_and_the_message_is_delivered_later() {
    let node = OnBroken::start().await;
    assert_eq!(node.call(send("T", "first", "")).await.code, 0);
    let closed = node.flushes.gate.lock().unwrap();
    let (client, addr) = (node.node.client.clone(), node.node.addr());
    let sent = tokio::spawn(async move { client.invoke(&addr, send("T", "late", ""), PATIENCE).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    node.clock.advance(Duration::from_millis(4_900));
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(!sent.is_finished(), "five seconds are not over");
    node.clock.advance(Duration::from_millis(200));
    let answer = sent.await.unwrap().unwrap();
    assert_eq!(answer.code, 10, "{:?}", answer.remark);
    let header: SendMessageResponseHeader = answer.response_header().unwrap();
    assert_eq!(header.queue_offset, 1, "it has its place");
    assert_eq!(decode(node.call(pull("T", 0, 0, "*", None)).await.body).len(), 1, "and is not delivered yet");
    drop(closed);
    let since = std::time::Instant::now();
    while decode(node.call(pull("T", 0, 0, "*", None)).await.body).len() < 2 {
        assert!(since.elapsed() < PATIENCE, "the flush came back, and so does the message");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(node.call(send("T", "next", "")).await.code, 0);
    node.stop().await.unwrap();
}

/// A half message that did not wait for the disk cannot be read until the flush; its verdict may come before that.
#[tokio::test]
#[allow(clippy::await_holding_lock)] // the gate is closed meanwhile
async fn a_verdict_that_comes_before_the_flush_of_its_half_message_counts() {
    let node = OnBroken::start().await;
    node.call(send("T", "first", "")).await;
    let closed = node.flushes.gate.lock().unwrap();
    let half = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}PG\u{2}WAIT\u{1}false\u{2}";
    let sent: SendMessageResponseHeader = node.call(send("T", "half", half)).await.response_header().unwrap();
    let id: OffsetMessageId = sent.msg_id.parse().unwrap();
    let commit = EndTransactionRequestHeader {
        producer_group: "PG".into(),
        tran_state_table_offset: sent.queue_offset,
        commit_log_offset: id.offset,
        commit_or_rollback: 8,
        msg_id: "id".into(),
        ..Default::default()
    };
    let (client, addr) = (node.node.client.clone(), node.node.addr());
    let ended = tokio::spawn(async move { client.invoke(&addr, Command::of(&commit), PATIENCE).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!ended.is_finished(), "it waits for the flush");
    drop(closed);
    let answer = ended.await.unwrap().unwrap();
    assert_eq!(answer.code, 0, "{:?}", answer.remark);
    node.stop().await.unwrap();
}

/// A half message is stored anew before its producer is asked. Until that is on the disk there is no place for a verdict, and
/// the one that the producer sends just then must not be taken for a second one.
#[tokio::test]
#[allow(clippy::await_holding_lock)] // the gate is closed meanwhile
async fn a_verdict_waits_for_the_half_message_that_is_stored_anew() {
    let node = OnBroken::start().await;
    let half = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}PG\u{2}";
    let sent: SendMessageResponseHeader = node.call(send("T", "half", half)).await.response_header().unwrap();
    let closed = node.flushes.gate.lock().unwrap();
    node.clock.advance(Duration::from_secs(30));
    let is_waiting = || {
        let families = node.node.broker.metrics();
        families.iter().any(|family| family.name == "rocketmq_half_messages" && !family.samples.is_empty())
    };
    eventually("it is stored anew", || !is_waiting()).await;
    let id: OffsetMessageId = sent.msg_id.parse().unwrap();
    let commit = EndTransactionRequestHeader {
        producer_group: "PG".into(),
        tran_state_table_offset: sent.queue_offset,
        commit_log_offset: id.offset,
        commit_or_rollback: 8,
        msg_id: "id".into(),
        ..Default::default()
    };
    let (client, addr) = (node.node.client.clone(), node.node.addr());
    let ended = tokio::spawn(async move { client.invoke(&addr, Command::of(&commit), PATIENCE).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(closed);
    assert_eq!(ended.await.unwrap().unwrap().code, 0);
    let delivered = decode(node.call(pull("T", 0, 0, "*", None)).await.body);
    assert_eq!(delivered.iter().map(|message| message.body()).collect::<Vec<_>>(), ["half"]);
    node.stop().await.unwrap();
}

/// A cancellation that cannot be read keeps its message waiting: it goes first, or nothing does.
#[tokio::test]
async fn a_recalled_message_does_not_arrive_though_its_recall_cannot_be_read_at_first() {
    let (storage, clock) = (MemoryStorage::new(), Arc::new(ManualClock::new(START_MS)));
    let reads_fail = Arc::new(Mutex::new(0));
    let left = reads_fail.clone();
    let disk = WatchedDisk::new(storage, move |step| {
        let mut left = left.lock().unwrap();
        match step {
            Step::Read(..) if step.is_in("log") && *left > 0 => {
                *left -= 1;
                Err(io::Error::from_raw_os_error(5))
            }
            _ => Ok(()),
        }
    });
    let mut options = BrokerOptions::default();
    options.recall_message = true;
    let open = || {
        // Nothing is kept in memory.
        let forgetful = |options: &mut StoreOptions| {
            (options.tail_cache_bytes, options.read_cache_bytes) = (0, 0);
        };
        OnDisk::with(options.clone(), disk.clone(), clock.clone(), forgetful)
    };
    let node = open().await.unwrap();
    let timer = |id: &str| format!("TIMER_DELIVER_MS\u{1}{}\u{2}UNIQ_KEY\u{1}{id}\u{2}", START_MS + 10_000);
    let sent: SendMessageResponseHeader =
        node.call(send("T", "recalled", &timer("a"))).await.response_header().unwrap();
    assert_eq!(node.call(send("T", "kept", &timer("b"))).await.code, 0);
    let recall = RecallMessageRequestHeader {
        topic: "T".into(),
        recall_handle: sent.recall_handle.unwrap(),
        ..Default::default()
    };
    assert_eq!(node.call(Command::of(&recall)).await.code, 0);
    node.stop().await.unwrap();
    let node = open().await.unwrap();
    let waiting = || {
        let families = node.broker.metrics();
        let family = families.iter().find(|family| family.name == "rocketmq_timing_messages").unwrap();
        family.samples[0].value as usize
    };
    eventually("the timer topic is read", || waiting() == 3).await;
    *reads_fail.lock().unwrap() = 1;
    clock.advance(Duration::from_secs(10));
    eventually("a read fails", || *reads_fail.lock().unwrap() == 0).await;
    let since = std::time::Instant::now();
    let bodies = async || -> Vec<bytes::Bytes> {
        let messages = decode(node.call(pull("T", 0, 0, "*", None)).await.body);
        messages.iter().map(|message| message.body()).collect()
    };
    while !bodies().await.iter().any(|body| body == "kept") {
        assert!(since.elapsed() < PATIENCE, "it is tried again");
        clock.advance(Duration::from_millis(100));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bodies().await, ["kept"]);
    node.stop().await.unwrap();
}

/// After a failed flush nothing is promised any more, by anyone; everybody is told why and what to do; reading goes on.
#[tokio::test]
async fn after_a_failed_flush_every_write_is_14_with_the_reason_and_reading_goes_on() {
    let node = OnBroken::start().await;
    assert_eq!(node.call(send("T", "good", "")).await.code, 0);
    let offset = decode(node.call(pull("T", 0, 0, "*", None)).await.body)[0].physical_offset();
    *node.flushes.fails.lock().unwrap() = true;
    let failed = node.call(send("T", "unknown", "")).await;
    assert_eq!(failed.code, 14);
    let remark = failed.remark.unwrap();
    for part in ["/store/log/", "os error 5", "whether the message is stored is unknown", "restarted"] {
        assert!(remark.contains(part), "{remark}");
    }
    // The disk is fine again, and is not trusted: the flush that failed has taken with it what nobody can know.
    *node.flushes.fails.lock().unwrap() = false;
    let mut items = Vec::new();
    batch::encode_item(0, b"a", "", &mut items).unwrap();
    let mut of_batch = send_header("T", "");
    of_batch.batch = Some(true);
    let back =
        ConsumerSendMsgBackRequestHeader { offset, group: "CG".into(), delay_level: 3, ..Default::default() };
    node.call(heartbeat(&consumer("c", "CG", vec![]))).await;
    let writes = [
        ("send", send("T", "refused", "")),
        ("delayed send", send("T", "refused", "DELAY\u{1}1\u{2}")),
        ("half message", send("T", "refused", "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}PG\u{2}")),
        ("batch", Command::of(&of_batch).with_body(items)),
        ("send back", Command::of(&back)),
    ];
    for (what, command) in writes {
        let answer = node.call(command).await;
        let remark = answer.remark.unwrap_or_default();
        assert!(answer.code == 14 || answer.code == 1, "{what}: {} {remark}", answer.code);
        assert!(remark.contains("os error 5") && remark.contains("restarted"), "{what}: {remark}");
    }
    let delete = DeleteTopicRequestHeader { topic: "T".into(), ..Default::default() };
    let answer = node.call(Command::of(&delete)).await;
    assert_ne!(answer.code, 0, "a deletion is a write, too");
    assert!(answer.remark.unwrap_or_default().contains("os error 5"));
    let pulled = node.call(pull("T", 0, 0, "*", None)).await;
    assert_eq!(pulled.code, 0);
    assert_eq!(decode(pulled.body)[0].body(), "good");
    assert_eq!(
        node.call(pull("T", 0, 1, "*", None)).await.code,
        19,
        "what is not known to be stored is not delivered"
    );
    let _ = node.stop().await;
}

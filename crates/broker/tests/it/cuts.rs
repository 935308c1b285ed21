//! Power cuts and kills between the log and the tables beside it.

use std::{sync::Arc, time::Duration};

use rocketwire_protocol::{Command, header::*};
use rocketwire_store::Flush;
use rocketwire_testkit::{Fault, ManualClock, SimulatedDisk, rounds};

use crate::support::*;

async fn open(disk: &SimulatedDisk, clock: &Arc<ManualClock>, flush: Flush) -> Option<OnDisk> {
    let opened = OnDisk::open(disk.clone(), clock.clone(), |options| {
        options.flush = flush;
        // Nothing is flushed but for a reason.
        options.flush_interval = Duration::from_secs(3600);
        options.min_free_bytes = 0;
    });
    opened.await.ok()
}

fn delete(topic: &str) -> Command {
    Command::of(&DeleteTopicRequestHeader { topic: topic.into(), ..Default::default() })
}

async fn committed(node: &OnDisk) -> Option<i64> {
    let query = QueryConsumerOffsetRequestHeader {
        consumer_group: "CG".into(),
        topic: "T".into(),
        queue_id: 0,
        set_zero_if_not_found: Some(false),
        ..Default::default()
    };
    let answer = node.call(Command::of(&query)).await;
    (answer.code == 0).then(|| answer.fields.get("offset").unwrap().parse().unwrap())
}

async fn bodies(node: &OnDisk) -> Vec<String> {
    let answer = node.call(pull("T", 0, 0, "*", None)).await;
    decode(answer.body).iter().map(|message| String::from_utf8_lossy(&message.body()).into_owned()).collect()
}

/// A disk with a topic of three messages, of which a group has had two; and everything of that is on the disk.
async fn with_a_topic(seed: u64, clock: &Arc<ManualClock>) -> (SimulatedDisk, OnDisk) {
    let disk = SimulatedDisk::new(seed);
    let node = open(&disk, clock, Flush::Sync).await.unwrap();
    node.call(heartbeat(&consumer("c", "CG", vec![]))).await;
    for body in ["one", "two", "three"] {
        assert_eq!(node.call(send("T", body, "")).await.code, 0);
    }
    assert_eq!(node.call(commit("CG", "T", 0, 2)).await.code, 0);
    node.stop().await.unwrap();
    disk.power_cycle();
    let node = open(&disk, clock, Flush::Sync).await.unwrap();
    (disk, node)
}

/// What a cut or a kill left of the topic, and that nothing of it stays behind once it is gone.
async fn check(disk: &SimulatedDisk, clock: &Arc<ManualClock>, was_told: bool, what: &str) -> &'static str {
    let node = open(disk, clock, Flush::Sync).await.unwrap_or_else(|| panic!("{what}: it opens"));
    let is_there = node.broker.topics().iter().any(|topic| topic.topic_name == "T");
    let bodies_before = bodies(&node).await;
    let found = match (is_there, &bodies_before[..]) {
        (false, _) => "gone",
        (true, []) => "empty",
        (true, there) => {
            assert_eq!(there, ["one", "two", "three"], "{what}: all or nothing");
            assert_eq!(committed(&node).await, Some(2), "{what}: a group's offset goes with the messages");
            "whole"
        }
    };
    assert!(found == "gone" || !was_told, "{what}: it was deleted, and is {found}");
    if is_there {
        assert_eq!(node.call(delete("T")).await.code, 0, "{what}: it can be deleted once more");
    }
    // Whoever comes with that name begins anew.
    assert_eq!(node.call(send("T", "new", "")).await.code, 0);
    assert_eq!(bodies(&node).await, ["new"], "{what}: messages of an earlier topic are there ({found})");
    assert_eq!(committed(&node).await, None, "{what}: offsets of an earlier topic are there ({found})");
    node.stop().await.unwrap();
    found
}

#[tokio::test]
async fn a_deletion_that_is_cut_off_at_any_operation_leaves_nothing_that_nobody_can_delete() {
    let clock = Arc::new(ManualClock::new(START_MS));
    let mut found = std::collections::BTreeMap::<_, u32>::new();
    let mut at = 0;
    loop {
        let mut is_reached = false;
        for seed in 0..rounds(3) {
            let (disk, node) = with_a_topic(seed * 1000 + at, &clock).await;
            disk.fail_at(disk.operations() + at, Fault::PowerCut);
            let was_told = node.call(delete("T")).await.code == 0;
            is_reached |= !disk.is_on();
            let _ = node.stop().await;
            // Every other one is a kill: what was written is there.
            disk.kill();
            if seed % 2 == 0 {
                disk.power_cycle();
            }
            let what = format!("operation {at}, seed {seed}");
            *found.entry(check(&disk, &clock, was_told, &what).await).or_default() += 1;
        }
        if !is_reached {
            break;
        }
        at += 1;
    }
    println!("{at} operations: {found:?}");
    assert!(at >= 8 && found.len() == 3, "whole, empty and gone after cuts at {at} operations: {found:?}");
}

#[tokio::test]
async fn offsets_that_were_deleted_with_their_group_stay_deleted() {
    let clock = Arc::new(ManualClock::new(START_MS));
    let (disk, node) = with_a_topic(1, &clock).await;
    let delete = DeleteSubscriptionGroupRequestHeader {
        group_name: "CG".into(),
        clean_offset: true,
        ..Default::default()
    };
    assert_eq!(committed(&node).await, Some(2));
    assert_eq!(node.call(Command::of(&delete)).await.code, 0);
    // Nothing is saved in order any more.
    disk.fail_at(disk.operations(), Fault::PowerCut);
    let _ = node.stop().await;
    disk.power_cycle();
    let node = open(&disk, &clock, Flush::Sync).await.unwrap();
    node.call(heartbeat(&consumer("c", "CG", vec![]))).await;
    assert_eq!(committed(&node).await, None, "a group of that name begins anew");
    node.stop().await.unwrap();
}

/// With async flushes the table of delays could be on the disk before the messages that it calls delivered.
#[tokio::test]
async fn a_delayed_message_survives_a_cut_right_after_its_delivery_was_noted() {
    let mut lost_in_the_log = 0;
    for seed in 0..rounds(12) {
        let (disk, clock) = (SimulatedDisk::new(seed), Arc::new(ManualClock::new(START_MS)));
        let node = open(&disk, &clock, Flush::Async).await.unwrap();
        assert_eq!(node.call(send("T", "at once", "")).await.code, 0);
        assert_eq!(node.call(send("T", "later", "DELAY\u{1}1\u{2}")).await.code, 0);
        node.stop().await.unwrap();
        let node = open(&disk, &clock, Flush::Async).await.unwrap();
        clock.advance(Duration::from_millis(1_100));
        let delivered = async |node: &OnDisk| {
            let since = std::time::Instant::now();
            while bodies(node).await.len() < 2 {
                assert!(since.elapsed() < PATIENCE, "seed {seed}: the delayed message is never delivered");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        delivered(&node).await;
        let notes = || disk.contents(std::path::Path::new("/store/tables/delays.b"));
        let (before, since) = (notes(), std::time::Instant::now());
        while notes() == before {
            clock.advance(Duration::from_secs(1));
            assert!(since.elapsed() < PATIENCE, "seed {seed}: the delivery is never noted");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // A message that nobody has flushed, to see that cuts do take what is not.
        assert_eq!(node.call(send("T", "not flushed", "")).await.code, 0);
        disk.fail_at(disk.operations(), Fault::PowerCut);
        let _ = node.stop().await;
        disk.power_cycle();
        let node = open(&disk, &clock, Flush::Async).await.unwrap();
        clock.advance(Duration::from_secs(10));
        delivered(&node).await;
        let there = bodies(&node).await;
        assert!(there.iter().any(|body| body == "later"), "seed {seed}: {there:?}");
        lost_in_the_log += u64::from(!there.iter().any(|body| body == "not flushed"));
        node.stop().await.unwrap();
    }
    assert!(rounds(12) < 12 || lost_in_the_log >= 3, "cuts lose something: {lost_in_the_log}");
}

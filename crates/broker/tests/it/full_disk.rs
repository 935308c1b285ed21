use std::{sync::Arc, time::Duration};

use rocketwire_protocol::header::DeleteTopicRequestHeader;
use rocketwire_remoting::{ClientOptions, RemotingClient, Router};
use rocketwire_store::{Clock, SystemClock};
use rocketwire_testkit::SimulatedDisk;

use crate::support::*;

#[tokio::test]
async fn a_full_disk_is_14_and_says_what_to_do() {
    // Whatever it was that said how much has to be free.
    refuses(1 << 20, 0, &["1048576 have to be", "min_free_bytes"]).await;
    refuses(0, 50, &["have to be", "min_free_percent"]).await;
}

async fn refuses(min_free_bytes: u64, min_free_percent: u8, says: &[&str]) {
    let disk = SimulatedDisk::new(7);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let opened = OnDisk::open(disk.clone(), clock, |options| {
        options.min_free_bytes = min_free_bytes;
        options.min_free_percent = min_free_percent;
    });
    let node = opened.await.unwrap();
    let call = async |body: &str| node.call(send("T", body, "")).await;
    assert_eq!(call("x").await.code, 0);

    assert_eq!(call(&"x".repeat(1 << 20)).await.code, 0);
    // Less than a mebibyte is free then, and less than the half.
    disk.set_capacity(disk.used() + (600 << 10));
    // The store looks at the disk now and then.
    let since = std::time::Instant::now();
    let refused = loop {
        let response = call("x").await;
        if response.code != 0 {
            break response;
        }
        assert!(since.elapsed() < PATIENCE, "the disk is never full");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(refused.code, 14);
    let remark = refused.remark.unwrap();
    for part in ["/store", "bytes are free"].iter().chain(says) {
        assert!(remark.contains(part), "{remark}");
    }
    assert_eq!(refused.fields.get("MSG_REGION").unwrap(), "DefaultRegion");
    assert_eq!(node.call(pull("T", 0, 0, "*", None)).await.code, 0, "reading goes on");
    let _ = node.stop().await;
}

async fn start(disk: &SimulatedDisk) -> OnDisk {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let opened = OnDisk::open(disk.clone(), clock, |options| {
        options.min_free_bytes = 200 << 10;
        options.segment_bytes = 64 << 10;
        options.max_pending_bytes = 64 << 10;
    });
    opened.await.unwrap()
}

/// What four senders were told, until each of them was told often enough that the disk is full.
#[derive(Default)]
struct Told {
    /// Offset and body of what was stored, by sender.
    stored: Vec<(usize, i64, String)>,
    refused: Vec<String>,
}

async fn fill(addr: &str, from: usize, until: fn(&Told) -> bool) -> Told {
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..4 {
        let addr = addr.to_owned();
        senders.spawn(async move {
            let client = RemotingClient::new(ClientOptions::default(), Router::new());
            let (mut told, since) = (Told::default(), std::time::Instant::now());
            for n in from.. {
                let body = format!("{sender} {n} {}", "x".repeat(500));
                let mut header = send_header("T", "");
                header.queue_id = sender as i32;
                let request = rocketwire_protocol::Command::of(&header).with_body(body.clone());
                let answer = client.invoke(&addr, request, PATIENCE).await.unwrap();
                match answer.code {
                    0 => {
                        let offset = answer.fields.get("queueOffset").unwrap().parse().unwrap();
                        told.stored.push((sender, offset, body));
                    }
                    // Busy is a reason to wait, and no sign of a full disk.
                    2 => {}
                    14 => told.refused.push(answer.remark.unwrap().to_string()),
                    code => panic!("{code}: {:?}", answer.remark),
                }
                if until(&told) {
                    break;
                }
                assert!(
                    since.elapsed() < PATIENCE,
                    "{} stored, {} refused",
                    told.stored.len(),
                    told.refused.len()
                );
                if !told.refused.is_empty() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            told
        });
    }
    let mut all = Told::default();
    while let Some(told) = senders.join_next().await {
        let told = told.unwrap();
        all.stored.extend(told.stored);
        all.refused.extend(told.refused);
    }
    all
}

/// The disk fills up under four senders; consumers and deletions go on; there is space, and so do the senders.
#[tokio::test]
async fn a_disk_that_fills_up_under_senders_harms_nothing_and_heals() {
    let disk = SimulatedDisk::new(8);
    let node = start(&disk).await;
    let call = async |command| node.call(command).await;
    assert_eq!(call(send("Old", "x", "")).await.code, 0);
    // Room for some hundred messages, and then not even for one byte beyond what is kept free.
    disk.set_capacity(disk.used() + (600 << 10));
    let mut told = fill(&node.addr(), 0, |told| told.refused.len() >= 3).await;
    assert!(told.stored.len() > 100, "{} messages found room", told.stored.len());
    for remark in &told.refused {
        for part in ["/store", "bytes are free", "204800 have to be", "min_free_bytes"] {
            assert!(remark.contains(part), "{remark}");
        }
    }
    // Full: what does not need the log goes on, and what makes room, too.
    for queue_id in 0..4 {
        assert_eq!(call(pull("T", queue_id, 0, "*", None)).await.code, 0);
    }
    assert_eq!(call(commit("CG", "T", 0, 1)).await.code, 0);
    let delete = DeleteTopicRequestHeader { topic: "Old".into(), ..Default::default() };
    assert_eq!(call(rocketwire_protocol::Command::of(&delete)).await.code, 0);
    assert_eq!(call(pull("Old", 0, 0, "*", None)).await.code, 17);

    disk.set_capacity(u64::MAX);
    // Without a restart.
    let more = fill(&node.addr(), 1_000_000, |told| told.stored.len() >= 20).await;
    told.stored.extend(more.stored);
    node.stop().await.unwrap();

    disk.power_cycle();
    let node = start(&disk).await;
    for (sender, offset, body) in told.stored {
        let answer = node.call(pull("T", sender as i32, offset, "*", None)).await;
        assert_eq!(decode(answer.body)[0].body(), *body, "queue {sender}, offset {offset}");
    }
    node.stop().await.unwrap();
}

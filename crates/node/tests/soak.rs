//! A node that is used for long: what comes and goes leaves nothing behind. Tasks, descriptors and memory at the end are
//! those of the beginning. `ROCKETWIRE_ROUNDS=36` makes it 1,800 connections, 1,008 members of a group, 10 restarts.
#![cfg(target_os = "linux")] // it reads /proc
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)] // tests

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rocketwire::{Client, ConsumeFrom, Message, PushConsumer};
use rocketwire_node::Node;
use rocketwire_testkit::rounds;

const PATIENCE: Duration = Duration::from_secs(30);
const QUEUES: usize = 16;

/// What this process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    tasks: usize,
    descriptors: usize,
    resident: usize,
}

impl Held {
    fn now() -> Held {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
        Held {
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().filter(is_counted).count(),
            resident: pages * 4096,
        }
    }

    /// Waits until nothing more has come for a second: on a busy machine a member begins to pull late.
    async fn quiet() -> Held {
        let (mut most, mut since) = (Held::now(), Instant::now());
        while since.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let Held { tasks, descriptors, resident } = Held::now();
            if tasks > most.tasks || descriptors > most.descriptors {
                since = Instant::now();
            }
            let (tasks, descriptors) = (tasks.max(most.tasks), descriptors.max(most.descriptors));
            most = Held { tasks, descriptors, resident };
        }
        most
    }

    /// Waits until there are no more tasks and descriptors than before, and looks at the memory then.
    async fn settled(before: Held, what: &str) -> Held {
        let since = Instant::now();
        loop {
            let held = Held::now();
            if held.tasks <= before.tasks && held.descriptors <= before.descriptors {
                return held;
            }
            assert!(since.elapsed() < PATIENCE, "{what} leave something behind: {before:?}, then {held:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Two percent, and what an allocator may keep for itself.
    fn has_grown_since(self, before: Held) -> bool {
        self.resident > before.resident + before.resident / 50 + (2 << 20)
    }
}

/// Not the files of the store, which keeps a bounded number of them open.
fn is_counted(descriptor: &std::io::Result<std::fs::DirEntry>) -> bool {
    let target = std::fs::read_link(descriptor.as_ref().unwrap().path());
    !target.is_ok_and(|target| target.starts_with(std::env::temp_dir()))
}

async fn start(folder: &Path) -> Node {
    let node = Node::builder().data_dir(folder).options(|options| {
        // Caches that grow to their limits would hide a leak.
        options.store.tail_cache_bytes = 256 << 10;
        options.store.read_cache_bytes = 256 << 10;
        options.store.segment_bytes = 256 << 10;
        options.store.max_log_bytes = Some(1 << 20);
    });
    node.start().await.unwrap()
}

fn client(node: &Node) -> Client {
    Client::builder().name_servers(&node.addr().to_string()).build().unwrap()
}

/// Waits until the queues of the topic are divided fairly.
async fn divided(members: &[&PushConsumer]) {
    let since = Instant::now();
    while members.iter().any(|member| queues(member) != QUEUES / members.len()) {
        let shares: Vec<_> = members.iter().map(|member| queues(member)).collect();
        assert!(since.elapsed() < PATIENCE, "the members have {shares:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many queues of the topic a member has; that of its group's retries is not among them.
fn queues(member: &PushConsumer) -> usize {
    member.queues().iter().filter(|queue| queue.topic == "T").count()
}

/// Does something so often, twice: the first half warms up, the second one must leave nothing.
async fn repeat(what: &str, times: u64, mut once: impl AsyncFnMut(u64)) {
    let before = Held::quiet().await;
    for n in 0..times.div_ceil(2) {
        once(n).await;
    }
    let half = Held::settled(before, what).await;
    for n in times.div_ceil(2)..times {
        once(n).await;
    }
    let end = Held::settled(before, what).await;
    println!("{times} {what}: {before:?}, {half:?}, {end:?}");
    assert!(!end.has_grown_since(half), "{what} cost memory: {half:?}, then {end:?}");
}

#[tokio::test]
async fn what_comes_and_goes_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path()).await;
    node.create_topic("T", QUEUES as u16).await.unwrap();
    repeat("connections", rounds(50), async |n| {
        let client = client(&node);
        let producer = client.producer("p").timeout(PATIENCE).build().unwrap();
        producer.send(Message::new("T", format!("{n}"))).await.unwrap();
        client.close(Duration::from_secs(5)).await;
    })
    .await;

    let stays = client(&node);
    let member = stays.push_consumer("g").subscribe("T", "*").consume_from(ConsumeFrom::Last);
    let member = member.start(async |_| ()).await.unwrap();
    divided(&[&member]).await;
    repeat("times that seven members join a group and leave it", rounds(4), async |_| {
        let (mut clients, mut members) = (Vec::new(), Vec::new());
        for _ in 0..7 {
            let comes = client(&node);
            members.push(comes.push_consumer("g").subscribe("T", "*").start(async |_| ()).await.unwrap());
            clients.push(comes);
        }
        divided(&members.iter().chain([&member]).collect::<Vec<_>>()).await;
        for (member, client) in members.into_iter().zip(clients) {
            member.shutdown(Duration::from_secs(5)).await;
            client.close(Duration::from_secs(5)).await;
        }
        divided(&[&member]).await;
    })
    .await;
    member.shutdown(Duration::from_secs(5)).await;
    stays.close(Duration::from_secs(5)).await;
    node.shutdown(Duration::from_secs(5)).await.unwrap();

    repeat("restarts", rounds(4).min(10), async |_| {
        let node = start(folder.path()).await;
        let client = client(&node);
        client.producer("p").timeout(PATIENCE).build().unwrap().send(Message::new("T", "x")).await.unwrap();
        client.close(Duration::from_secs(5)).await;
        node.shutdown(Duration::from_secs(5)).await.unwrap();
    })
    .await;
}

//! Queues that change hands.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rocketwire::Message;
use rocketwire_protocol::{RequestCode, header::PullMessageRequestHeader};

use crate::support::{Cluster, PATIENCE, Seen, eventually};

#[tokio::test]
async fn a_queue_of_a_new_group_that_moves_at_once_goes_on_where_the_group_began() {
    // spec: client 83 105
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "before"), 0);
    // The first by its id gets the only queue.
    let (one, other) = (cluster.client_named(Some("one")), cluster.client_named(Some("other")));
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let stuck = move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>()
    };
    let loser = other.push_consumer("CG").subscribe("T", "*").start(stuck).await.unwrap();
    let pulls_at_the_end = || {
        let pulls = cluster.seen(RequestCode::PULL_MESSAGE);
        let mut headers = pulls.iter().map(|(_, pull)| pull.header::<PullMessageRequestHeader>().unwrap());
        headers.any(|header| &*header.topic == "T" && header.queue_offset == 1)
    };
    eventually("it pulls at the end", pulls_at_the_end).await;
    cluster.put(&Message::new("T", "after"), 0);
    eventually("it has the message", || begun.load(Ordering::SeqCst) == 1).await;
    let seen = Seen::default();
    let winner = one.push_consumer("CG").subscribe("T", "*").start(seen.collect()).await.unwrap();
    seen.wait(1).await;
    assert_eq!(seen.bodies(), ["after"]);
    winner.shutdown(PATIENCE).await;
    loser.shutdown(Duration::from_millis(10)).await;
}

//! A wall clock that jumps. Deadlines, leases and rejections go by the monotonic clock; what is stored never goes back
//! in time; nothing waits for years.

use std::time::Duration;

use crate::support::*;

const HOUR_MS: i64 = 3_600_000;
const YEAR_MS: i64 = 365 * 24 * HOUR_MS;
const STEPS: [i64; 4] = [HOUR_MS, -HOUR_MS, YEAR_MS, -YEAR_MS];

#[tokio::test]
async fn a_parked_pull_ends_by_the_time_that_passes_and_not_by_the_one_that_is_shown() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    let asking = node.client();
    let pulled =
        tokio::spawn(async move { asking.call(pull("T", 0, 1, "*", Some(Duration::from_secs(15)))).await });
    eventually("the pull is parked", || node.broker.parked_pulls() == 1).await;
    for step in STEPS {
        node.clock.set_wall(START_MS + step);
        // Deadlines are looked at every second of the monotonic clock.
        node.clock.advance(Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(node.broker.parked_pulls(), 1, "after a step of {step} ms");
    }
    node.clock.advance(Duration::from_secs(15));
    assert_eq!(pulled.await.unwrap().code, 19);
    node.stop().await;
}

/// A clock that is set back ten times a second while messages are sent, delayed and pulled.
#[tokio::test]
async fn a_clock_that_jumps_about_refuses_nothing_and_loses_nothing() {
    let node = Node::start().await;
    let (client, asking) = (node.client(), node.client());
    client.send("T", "first", "").await;
    let parked =
        tokio::spawn(async move { asking.call(pull("T", 1, 0, "*", Some(Duration::from_secs(600)))).await });
    eventually("the pull is parked", || node.broker.parked_pulls() == 1).await;
    let mut shown = START_MS;
    for n in 0..40 {
        shown += if n % 10 == 0 { STEPS[n / 10] } else { -100 - n as i64 };
        node.clock.set_wall(shown);
        node.clock.advance(Duration::from_millis(10));
        client.send("T", &format!("{n}"), "").await;
        client.send("T", &format!("late {n}"), "DELAY\u{1}1\u{2}").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(node.broker.parked_pulls(), 1, "nobody was waiting for a time of day");
    let mut header = send_header("T", "");
    header.queue_id = 1;
    client.ok(rocketwire_protocol::Command::of(&header).with_body("awaited")).await;
    assert_eq!(parked.await.unwrap().code, 0, "a message wakes it as ever");
    // The clock stays in the past. By far the most of the delayed messages were stored with a later time.
    for _ in 0..20 {
        node.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut bodies = Vec::new();
    let mut last = i64::MIN;
    let since = std::time::Instant::now();
    while bodies.len() < 81 {
        for message in client.messages("T", 0, bodies.len() as i64).await {
            assert!(message.store_timestamp() >= last, "store times of a queue do not go back");
            last = message.store_timestamp();
            bodies.push(String::from_utf8(message.body().to_vec()).unwrap());
        }
        assert!(since.elapsed() < PATIENCE, "{} messages, {bodies:?}", bodies.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let sent: Vec<_> = bodies.iter().filter(|body| !body.starts_with("late")).cloned().collect();
    let expected: Vec<_> =
        std::iter::once("first".to_owned()).chain((0..40).map(|n| n.to_string())).collect();
    assert_eq!(sent, expected, "in the order in which they were sent");
    let mut late: Vec<_> = bodies.iter().filter(|body| body.starts_with("late")).collect();
    late.sort_unstable();
    late.dedup();
    assert_eq!(late.len(), 40, "each of the delayed ones once");
    node.stop().await;
}

/// Members of a group are not lost, and locks are not given away, because somebody sets the clock.
#[tokio::test]
async fn leases_do_not_end_by_a_step_of_the_clock() {
    let node = Node::start().await;
    let client = node.client();
    client.heartbeat(&consumer("c", "CG", vec![subscription("T", "*", 1)])).await;
    for step in STEPS {
        node.clock.set_wall(START_MS + step);
        node.clock.advance(Duration::from_secs(11));
        tokio::time::sleep(Duration::from_millis(250)).await;
        let members = rocketwire_protocol::header::GetConsumerListByGroupRequestHeader {
            consumer_group: "CG".into(),
            ..Default::default()
        };
        let answer = client.ok(rocketwire_protocol::Command::of(&members)).await;
        assert!(String::from_utf8_lossy(&answer.body).contains("\"c\""), "after a step of {step} ms");
    }
    node.stop().await;
}

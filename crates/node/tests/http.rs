//! What a monitoring system and a load balancer see of a node.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests

use std::{net::SocketAddr, time::Duration};

use rocketwire::{Client, Message, MessageQueue, PullOptions, PushConsumer};
use rocketwire_node::{Node, NodeBuilder, NodeError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longer than anything takes on a machine that works.
const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(5);

fn monitored() -> NodeBuilder {
    Node::builder().metrics("127.0.0.1:0").cluster("C").broker_name("b")
}

fn client(node: &Node) -> Client {
    Client::builder().name_servers(&node.addr().to_string()).build().unwrap()
}

/// Sends these bytes; everything that comes back until the other side closes.
async fn raw(addr: SocketAddr, request: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("an answer")
}

/// Status and body of a GET.
async fn get(node: &Node, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nAccept: */*\r\n\r\n");
    let answer = raw(node.metrics_addr().unwrap(), request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    let length: usize =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    assert_eq!(length, body.len());
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The number of the family that has all of these labels.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut found = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))
            && labels.iter().all(|label| line.contains(label))
    });
    let line = found.next()?;
    assert!(found.next().is_none(), "{name} {labels:?} is not one line:\n{text}");
    Some(line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

/// Asks again until it is so.
async fn until(node: &Node, path: &str, is_so: impl Fn(u16, &str) -> bool) -> String {
    for _ in 0..PATIENCE.as_millis() / 50 {
        let (status, body) = get(node, path).await;
        if is_so(status, &body) {
            return body;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} never said what is waited for: {:?}", get(node, path).await);
}

async fn pull(client: &Client, queue: &MessageQueue, offset: i64, max: i32) -> usize {
    let mut options = PullOptions::default();
    options.group = "readers".to_owned();
    options.max_messages = max;
    client.pull(queue, offset, &options).await.unwrap().messages.len()
}

#[tokio::test]
async fn what_was_sent_and_consumed_is_counted() {
    let node = monitored().start().await.unwrap();
    node.create_topic("Orders", 1).await.unwrap();
    let client = client(&node);
    let producer = client.producer("producers").timeout(PATIENCE).build().unwrap();
    let queue = MessageQueue::new("Orders", "b", 0);
    for n in 0..5 {
        producer.send_to(&queue, Message::new("Orders", format!("{n}"))).await.unwrap();
    }
    let batch: Vec<_> = (0..3).map(|n| Message::new("Orders", format!("{n}"))).collect();
    producer.send_batch(&batch).await.unwrap();
    producer.send(Message::new("Orders", "later").with_delay_level(18)).await.unwrap();
    let mut ordered = Message::new("Orders", "one of many");
    ordered.properties_mut().set("__SHARDINGKEY", "k");
    producer.send(ordered).await.unwrap();

    let (status, text) = get(&node, "/metrics").await;
    assert_eq!(status, 200);
    let base = [r#"cluster="C""#, r#"node_type="broker""#, r#"node_id="b""#];
    assert!(text.lines().all(|line| line.starts_with('#') || base.iter().all(|label| line.contains(label))));
    let messages_in = |kind: &str| {
        let kind = format!(r#"message_type="{kind}""#);
        value(&text, "rocketmq_messages_in_total", &[r#"topic="Orders""#, r#"is_system="false""#, &kind])
    };
    assert_eq!(messages_in("normal"), Some(8.0));
    assert_eq!((messages_in("delay"), messages_in("fifo")), (Some(1.0), Some(1.0)));
    assert_eq!(messages_in("transaction"), None);
    let of_orders = [r#"topic="Orders""#, r#"message_type="normal""#, r#"le="1024""#];
    assert_eq!(value(&text, "rocketmq_message_size_bucket", &of_orders), Some(8.0));
    // spec: remoting A11
    let sends = |labels: &[&str], suffix: &str| {
        let labels = [labels, &[r#"request_code="send_message_v2""#, r#"response_code="success""#]].concat();
        value(&text, &format!("rocketmq_rpc_latency{suffix}"), &labels)
    };
    let written = [r#"protocol_type="remoting""#, r#"is_long_polling="false""#, r#"result="success""#];
    assert_eq!(sends(&written, "_count"), Some(7.0), "{text}");
    assert_eq!(sends(&[r#"le="+Inf""#], "_bucket"), Some(7.0));
    let bytes =
        value(&text, "rocketmq_throughput_in_total", &[r#"topic="Orders""#, r#"message_type="normal""#]);
    assert!(bytes.unwrap() > 8.0 * 91.0, "{bytes:?}");
    assert_eq!(value(&text, "rocketmq_messages_out_total", &[]), None, "nothing was pulled");
    assert_eq!(value(&text, "rocketmq_topic_number", &[]).map(|n| n > 5.0), Some(true));

    // Nine are there: the delayed one is not. Four are consumed, two more are pulled.
    assert_eq!(pull(&client, &queue, 0, 4).await, 4);
    client.commit("readers", &queue, 4).await.unwrap();
    assert_eq!(pull(&client, &queue, 4, 2).await, 2);
    let of = [r#"consumer_group="readers""#, r#"topic="Orders""#];
    let (_, text) = get(&node, "/metrics").await;
    assert_eq!(value(&text, "rocketmq_messages_out_total", &of), Some(6.0));
    assert!(value(&text, "rocketmq_throughput_out_total", &of).unwrap() > 6.0 * 91.0);
    assert_eq!(value(&text, "rocketmq_consumer_lag_messages", &of), Some(5.0));
    assert_eq!(value(&text, "rocketmq_consumer_inflight_messages", &of), Some(2.0));
    assert_eq!(value(&text, "rocketmq_consumer_ready_messages", &of), Some(3.0));
    let late = value(&text, "rocketmq_consumer_lag_latency", &of).unwrap();
    assert!((0.0..3_600_000.0).contains(&late), "{late}");
    client.commit("readers", &queue, 9).await.unwrap();
    let (_, text) = get(&node, "/metrics").await;
    assert_eq!(value(&text, "rocketmq_consumer_lag_messages", &of), Some(0.0));
    assert_eq!(value(&text, "rocketmq_consumer_lag_latency", &of), Some(0.0));
    // Settings of the topic change, what was counted does not.
    node.create_topic("Orders", 2).await.unwrap();
    let (_, text) = get(&node, "/metrics").await;
    let kinds = [r#"topic="Orders""#, r#"message_type="normal""#];
    assert_eq!(value(&text, "rocketmq_messages_in_total", &kinds), Some(8.0));
    client.close(GRACE).await;
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn clients_and_bounds_are_shown() {
    let node = monitored().start().await.unwrap();
    node.create_topic("Orders", 2).await.unwrap();
    let client = client(&node);
    let consumer: PushConsumer = client
        .push_consumer("readers")
        .subscribe("Orders", "*")
        .start(|_| async { Ok::<(), std::io::Error>(()) })
        .await
        .unwrap();
    let parked = |_: u16, text: &str| value(text, "rocketwire_parked_pulls", &[]) >= Some(2.0);
    let text = until(&node, "/metrics", parked).await;
    let labels = [r#"consumer_group="readers""#, r#"consume_mode="push""#, r#"language="#, r#"version="#];
    assert_eq!(value(&text, "rocketmq_consumer_connections", &labels), Some(1.0));
    let served = value(&text, "rocketwire_requests_served", &[]).unwrap();
    assert!(served >= 2.0, "{served}");
    assert!(value(&text, "rocketwire_connections", &[]).unwrap() >= 1.0);
    assert!(value(&text, "rocketwire_requests_total", &[]).unwrap() >= 3.0);
    let reference = include_str!("../../../docs/operations.md");
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = family.split(' ').next().unwrap();
        assert!(reference.contains(&format!("`{name}`")), "docs/operations.md does not know {name}");
    }
    for (name, expected) in [
        ("rocketwire_store_poisoned", 0.0),
        ("rocketwire_disk_full", 0.0),
        ("rocketwire_connections_refused_total", 0.0),
        ("rocketwire_parked_pulls_limit", 100_000.0),
        ("rocketmq_timing_messages", 0.0),
        ("rocketmq_broker_permission", 6.0),
        ("rocketwire_build_info", 1.0),
    ] {
        assert_eq!(value(&text, name, &[]), Some(expected), "{name}");
    }
    for name in [
        "rocketmq_storage_size",
        "rocketmq_storage_flush_behind_bytes",
        "rocketmq_storage_message_reserve_time",
    ] {
        assert!(value(&text, name, &[r#"storage_medium="disk""#]).is_some(), "{name}");
    }
    consumer.shutdown(GRACE).await;
    client.close(GRACE).await;
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_poisoned_store_is_ill_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = monitored().data_dir(&data).start().await.unwrap();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&node, path).await, (200, "ok\n".to_owned()));
    }
    let client = client(&node);
    let producer = client.producer("producers").timeout(PATIENCE).build().unwrap();
    producer.send(Message::new("T", "x")).await.unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    // The store looks at its folder once a second.
    for _ in 0..PATIENCE.as_millis() / 50 {
        if node.poisoned().is_some() {
            break;
        }
        let _ = producer.send(Message::new("T", "x")).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for path in ["/healthz", "/readyz"] {
        let (status, body) = get(&node, path).await;
        assert_eq!(status, 503);
        assert!(body.contains("is gone") && body.contains(data.to_str().unwrap()), "{body}");
    }
    let (status, text) = get(&node, "/metrics").await;
    assert_eq!((status, value(&text, "rocketwire_store_poisoned", &[])), (200, Some(1.0)));
    client.close(GRACE).await;
    let _ = node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_full_disk_is_not_ready_but_well() {
    let folder = tempfile::tempdir().unwrap();
    let node = monitored().data_dir(folder.path()).options(|options| options.store.min_free_bytes = 1 << 60);
    let node = node.start().await.unwrap();
    let client = client(&node);
    let producer = client.producer("producers").timeout(PATIENCE).build().unwrap();
    // The store looks at the disk when it writes.
    let _ = producer.send(Message::new("T", "x")).await;
    let full = until(&node, "/readyz", |status, _| status == 503).await;
    assert!(full.contains("full") && full.contains(&(1_u64 << 60).to_string()), "{full}");
    assert_eq!(get(&node, "/healthz").await.0, 200);
    let (_, text) = get(&node, "/metrics").await;
    assert_eq!(value(&text, "rocketwire_disk_full", &[]), Some(1.0));
    client.close(GRACE).await;
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn whatever_comes_is_answered_or_cut_off() {
    let node = monitored().start().await.unwrap();
    let addr = node.metrics_addr().unwrap();
    for (request, status) in [
        (&b"GET /nothing HTTP/1.1\r\n\r\n"[..], "404"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\n", "405"),
        (b"\x16\x03\x01\x02\x00\n", "400"),
        (b"GET /metrics HTTP/2.0\r\n\r\n", "400"),
        (&[b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(3_000)].concat(), "431"),
    ] {
        let answer = raw(addr, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    let head = raw(addr, b"HEAD /healthz HTTP/1.1\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Length: 3\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "no body: {head}");
    // Half a request, and nothing more: it does not keep the others from being answered.
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"GET /met").await.unwrap();
        idle.push(stream);
    }
    assert_eq!(get(&node, "/healthz").await.0, 200);
    node.shutdown(GRACE).await.unwrap();
}

/// The clock jumps when nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_cut_off_and_gives_way_to_others() {
    let node = monitored().start().await.unwrap();
    let addr = node.metrics_addr().unwrap();
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(TcpStream::connect(addr).await.unwrap());
    }
    // More than there are places for.
    assert_eq!(get(&node, "/healthz").await.0, 200);
    for mut stream in idle {
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "it is closed");
    }
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn it_is_off_unless_asked_for_and_a_port_that_is_taken_is_named() {
    let node = Node::builder().start().await.unwrap();
    assert_eq!(node.metrics_addr(), None);
    let folder = tempfile::tempdir().unwrap();
    let taken = node.addr().to_string();
    let refused = Node::builder().data_dir(folder.path()).metrics(&taken).start().await;
    let Err(NodeError::Bind(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.addr, taken);
    Node::builder().data_dir(folder.path()).start().await.unwrap().shutdown(GRACE).await.unwrap();
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_being_watched_stops_in_order() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let node = monitored().data_dir(folder.path()).start().await.unwrap();
        let addr = node.metrics_addr().unwrap();
        let scrapes: Vec<_> = (0..4)
            .map(|_| {
                tokio::spawn(async move {
                    loop {
                        let Ok(mut stream) = TcpStream::connect(addr).await else { return };
                        let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await;
                        let mut answer = String::new();
                        if asked.is_err() || stream.read_to_string(&mut answer).await.is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        let connected = TcpStream::connect(node.addr()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        node.shutdown(GRACE).await.unwrap();
        // It is the server that was shut down, not only the port: its connections are closed, too.
        let mut connected = connected;
        let closed = tokio::time::timeout(PATIENCE, connected.read(&mut [0; 1])).await;
        assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
        for scrape in scrapes {
            scrape.await.unwrap();
        }
    }
}

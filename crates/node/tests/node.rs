//! Nodes as their users start them, with the SDK as their client.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests

use std::{future::poll_fn, net::TcpListener, path::Path, task::Poll, time::Duration};

use rocketwire::{Client, ConsumeFrom, FilterExpression, Message, MessageQuery, MessageQueue, PullOptions};
use rocketwire_node::{Flush, Node, NodeBuilder, NodeError};

/// Longer than anything takes on a machine that works.
const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(5);

fn client(addr: impl ToString) -> Client {
    Client::builder().name_servers(&addr.to_string()).build().unwrap()
}

/// Sends one message and says where it is.
async fn send(client: &Client, topic: &str, body: &str) -> (MessageQueue, i64) {
    let producer = client.producer("producers").timeout(PATIENCE).build().unwrap();
    let sent = producer.send(Message::new(topic, body.to_owned())).await.unwrap();
    (sent.message_queue, sent.queue_offset)
}

async fn read(client: &Client, queue: &MessageQueue, offset: i64) -> Vec<String> {
    let pulled = client.pull(queue, offset, &PullOptions::default()).await.unwrap();
    pulled.messages.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

/// What a test of a user looks like: a node of its own, in memory, on a free port.
#[tokio::test]
async fn a_node_in_memory_is_a_broker_for_one_test() {
    let node = Node::builder().memory().start().await.unwrap();
    let client = client(node.addr());
    let (queue, offset) = send(&client, "Orders", "4711").await;
    assert_eq!(read(&client, &queue, offset).await, ["4711"]);
    client.close(GRACE).await;
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn two_nodes_in_one_process_know_nothing_of_each_other() {
    let (one, other) = (Node::builder().start().await.unwrap(), Node::builder().start().await.unwrap());
    assert_ne!(one.addr(), other.addr());
    one.create_topic("OnlyHere", 2).await.unwrap();
    let (here, there) = (client(one.addr()), client(other.addr()));
    assert_eq!(here.queues("OnlyHere").await.unwrap().len(), 2);
    assert!(there.queues("OnlyHere").await.is_err());
    let (queue, offset) = send(&here, "Both", "here").await;
    let (far_queue, far_offset) = send(&there, "Both", "there").await;
    assert_eq!(read(&here, &queue, offset).await, ["here"]);
    assert_eq!(read(&there, &far_queue, far_offset).await, ["there"]);
    one.shutdown(GRACE).await.unwrap();
    // The other one goes on.
    send(&there, "Both", "still there").await;
    other.shutdown(GRACE).await.unwrap();
}

/// Sends `m-0` to `m-19` with their number as key and property.
async fn send_numbered(client: &Client) -> Vec<String> {
    let producer = client.producer("producers").timeout(PATIENCE).build().unwrap();
    let mut ids = Vec::new();
    for n in 0..20 {
        let message = Message::new("Orders", format!("m-{n}")).with_key(&format!("k-{n}"));
        let message = message.with_property("n", &n.to_string()).unwrap();
        ids.push(producer.send(message).await.unwrap().msg_id);
    }
    ids
}

#[tokio::test]
async fn a_consumer_gets_what_satisfies_its_expression() {
    let node = Node::builder().memory().start().await.unwrap();
    let client = client(node.addr());
    send_numbered(&client).await;
    let consumer = |sql: &str| {
        let builder = client.push_consumer("readers").subscribe("Orders", FilterExpression::sql(sql));
        builder.consume_from(ConsumeFrom::First)
    };
    let error = consumer("n >").start(async |_| ()).await.unwrap_err();
    assert!(error.to_string().contains("at byte 3"), "{error}");

    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let tell = move |message: std::sync::Arc<rocketwire::MessageExt>| {
        sender.send(String::from_utf8_lossy(&message.body).into_owned()).unwrap();
        async {}
    };
    let running = consumer("n BETWEEN 5 AND 7 OR n = 19").start(tell).await.unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < 4 {
        bodies.push(tokio::time::timeout(PATIENCE, received.recv()).await.unwrap().unwrap());
    }
    bodies.sort();
    assert_eq!(bodies, ["m-19", "m-5", "m-6", "m-7"]);
    running.shutdown(GRACE).await;
    client.close(GRACE).await;
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_message_is_found_by_its_key_and_by_its_id() {
    let node = Node::builder().memory().start().await.unwrap();
    let client = client(node.addr());
    let ids = send_numbered(&client).await;
    let found = client.admin().query_message(&MessageQuery::new("Orders", "k-7")).await.unwrap();
    assert_eq!((found.messages.len(), &found.messages[0].body[..]), (1, &b"m-7"[..]));
    let message = client.admin().query_message_by_unique_key("Orders", &ids[3]).await.unwrap().unwrap();
    assert_eq!(&message.body[..], b"m-3");
    let again = client.admin().view_message("Orders", message.offset_msg_id()).await.unwrap();
    assert_eq!(again.body, message.body);
    assert!(client.admin().query_message_by_unique_key("Orders", "no such id").await.unwrap().is_none());
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn messages_and_offsets_outlive_the_node() {
    for flush in [Flush::Sync, Flush::Async] {
        let folder = tempfile::tempdir().unwrap();
        let start = || Node::builder().data_dir(folder.path()).flush(flush).start();
        let node = start().await.unwrap();
        let before = client(node.addr());
        let (queue, offset) = send(&before, "Kept", "kept").await;
        before.pull(&queue, offset, &options("readers")).await.unwrap();
        before.commit("readers", &queue, offset + 1).await.unwrap();
        before.close(GRACE).await;
        node.shutdown(GRACE).await.unwrap();

        let node = start().await.unwrap();
        let after = client(node.addr());
        assert_eq!(read(&after, &queue, offset).await, ["kept"], "{flush:?}");
        assert_eq!(after.committed("readers", &queue).await.unwrap(), Some(offset + 1), "{flush:?}");
        // A topic that a send created is there, too, and goes on where it was.
        let producer = after.producer("producers").timeout(PATIENCE).build().unwrap();
        let sent = producer.send_to(&queue, Message::new("Kept", "more")).await.unwrap();
        assert_eq!(sent.queue_offset, offset + 1, "{flush:?}");
        node.shutdown(GRACE).await.unwrap();
    }
}

fn options(group: &str) -> PullOptions {
    let mut options = PullOptions::default();
    options.group = group.to_owned();
    options
}

#[tokio::test]
async fn a_folder_has_one_node_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::builder().data_dir(folder.path()).start().await.unwrap();
    let second = Node::builder().data_dir(folder.path()).start().await;
    let error = second.expect_err("the folder is in use").to_string();
    assert!(error.contains("in use") && error.contains(folder.path().to_str().unwrap()), "{error}");
    node.shutdown(GRACE).await.unwrap();
    let again = Node::builder().data_dir(folder.path()).start().await.unwrap();
    // Dropping gives it back as well, a little later.
    drop(again);
    let third = start_when_free(folder.path()).await;
    third.shutdown(GRACE).await.unwrap();
}

/// As in a test that keeps a runtime and the node side by side.
#[test]
fn a_node_that_is_dropped_outside_its_runtime_gives_its_folder_back() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for makes_topics in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let start = || Node::builder().data_dir(folder.path()).create_topic_on_lookup(makes_topics).start();
        let first = runtime();
        drop(first.block_on(start()).unwrap());
        first.block_on(async { start_when_free(folder.path()).await.shutdown(GRACE).await }).unwrap();
        // The runtime may be gone before the node is.
        let node = first.block_on(start()).unwrap();
        drop(first);
        drop(node);
        let second = runtime();
        second.block_on(async { start_when_free(folder.path()).await.shutdown(GRACE).await }).unwrap();
    }
}

async fn start_when_free(folder: &Path) -> Node {
    tokio::time::timeout(PATIENCE, async {
        loop {
            match Node::builder().data_dir(folder).start().await {
                Ok(node) => return node,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await
    .expect("the folder is given back")
}

#[tokio::test]
async fn a_port_that_is_taken_leaves_nothing_behind() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = |port| Node::builder().data_dir(folder.path()).port(port).start();
    let error = start(taken.local_addr().unwrap().port()).await.expect_err("the port is taken");
    assert!(matches!(error, NodeError::Bind(_)), "{error}");
    // The store is closed again, so that a better port works at once.
    start(0).await.unwrap().shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_route_names_the_address_by_which_it_was_asked() {
    // spec: broker F1
    let node = Node::builder().host("0.0.0.0").start().await.unwrap();
    let port = node.addr().port();
    for host in ["127.0.0.1", "127.0.0.2"] {
        let reachable = Client::builder().name_servers(&format!("{host}:{port}")).build().unwrap();
        assert_eq!(broker_address(&reachable).await, format!("{host}:{port}"));
        send(&reachable, "T", "x").await;
    }
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn an_advertised_address_is_told_to_everybody() {
    let node = Node::builder().advertise("localhost:9").start().await.unwrap();
    assert_eq!(broker_address(&client(node.addr())).await, "localhost:9");
    node.shutdown(GRACE).await.unwrap();
    let error = Node::builder().advertise("no port").start().await.expect_err("that is no address");
    assert!(matches!(error, NodeError::Advertise { .. }), "{error}");
}

/// The address of the broker in the route of the topic that all new topics resemble.
async fn broker_address(client: &Client) -> String {
    use rocketwire_protocol::{
        Command,
        body::{self, TopicRouteData},
        header::GetRouteInfoRequestHeader,
    };
    let request = Command::of(&GetRouteInfoRequestHeader {
        topic: "TBW102".into(),
        accept_standard_json_only: Some(true),
        ..GetRouteInfoRequestHeader::default()
    });
    let answer = client.remoting().invoke_name_server(request, PATIENCE).await.unwrap();
    let route: TopicRouteData = body::decode(&answer.body).unwrap();
    route.broker_datas[0].broker_addrs[&0].to_string()
}

#[tokio::test]
async fn the_vip_port_is_served_by_the_same_broker() {
    // spec: broker F1 0.9
    let node = with_vip_port().await;
    let mut vip = node.addr();
    vip.set_port(vip.port() - 2);
    // Asked there, the route names the other port.
    assert_eq!(broker_address(&client(vip)).await, node.addr().to_string());
    let builder = Client::builder().name_servers(&node.addr().to_string());
    let client = builder.options(|options| options.vip_channel = true).build().unwrap();
    let (queue, offset) = send(&client, "T", "by the side door").await;
    assert_eq!(read(&client, &queue, offset).await, ["by the side door"]);
    node.shutdown(GRACE).await.unwrap();
    assert!(TcpListener::bind(vip).is_ok(), "nobody listens there any more");
    let error = Node::builder().vip_port(true).start().await.expect_err("port 0 has no port - 2");
    assert!(matches!(error, NodeError::Options(_)), "{error}");
}

#[tokio::test]
async fn a_shutdown_that_is_given_up_still_happens() {
    let folder = tempfile::tempdir().unwrap();
    let node = vip_port_of(Node::builder().data_dir(folder.path())).await;
    let mut stopping = Box::pin(node.shutdown(GRACE));
    let begun = poll_fn(|context| Poll::Ready(stopping.as_mut().poll(context))).await;
    assert!(begun.is_pending(), "it waits for other tasks, which had no turn");
    drop(stopping);
    start_when_free(folder.path()).await.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_dropped_node_leaves_the_vip_port() {
    let node = with_vip_port().await;
    let mut vip = node.addr();
    vip.set_port(vip.port() - 2);
    drop(node);
    let left = async {
        while TcpListener::bind(vip).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("nobody listens there any more");
}

async fn with_vip_port() -> Node {
    vip_port_of(Node::builder()).await
}

/// On the first two ports that happen to be free.
async fn vip_port_of(builder: NodeBuilder) -> Node {
    loop {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        match builder.clone().port(free).vip_port(true).start().await {
            Ok(node) => return node,
            Err(NodeError::Bind(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn connections_are_spread_over_threads() {
    let node = Node::builder().threads(2).start().await.unwrap();
    let clients: Vec<Client> = (0..6).map(|_| client(node.addr())).collect();
    for (number, client) in clients.iter().enumerate() {
        let body = number.to_string();
        let (queue, offset) = send(client, "T", &body).await;
        // Another connection, on another thread, sees it.
        assert_eq!(read(&clients[(number + 1) % 6], &queue, offset).await, [body]);
    }
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_parked_pull_is_answered_by_a_shutdown() {
    let node = Node::builder().start().await.unwrap();
    let client = client(node.addr());
    let (queue, offset) = send(&client, "T", "x").await;
    let mut waiting = PullOptions::default();
    waiting.wait = PATIENCE;
    let pull = tokio::spawn(async move { client.pull(&queue, offset + 1, &waiting).await });
    // Parked, or about to be.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stopped = tokio::time::timeout(PATIENCE / 2, node.shutdown(PATIENCE)).await;
    stopped.expect("it does not wait for the pull's own time").unwrap();
    // An answer, or a connection that closes: no silence until the pull's own deadline.
    let _ = tokio::time::timeout(PATIENCE / 2, pull).await.expect("the pull has ended").unwrap();
}

#[tokio::test]
async fn unknown_topics_are_refused_where_that_is_wanted() {
    // spec: client 141
    let node = Node::builder().auto_create_topic(false).broker_name("b").cluster("c").start().await.unwrap();
    let client = client(node.addr());
    let producer = client.producer("producers").timeout(PATIENCE).build().unwrap();
    assert!(producer.send(Message::new("Unknown", "x")).await.is_err());
    node.create_topic("Known", 1).await.unwrap();
    let sent = producer.send(Message::new("Known", "x")).await.unwrap();
    assert_eq!(&*sent.message_queue.broker_name, "b");
    node.shutdown(GRACE).await.unwrap();
}

#[test]
fn builders_are_values() {
    fn is_send<T: Send + Sync + Clone>() {}
    is_send::<NodeBuilder>();
}

/// Waits until a name server says where a topic is, or (`expected` is none) that it is nowhere.
async fn route_is(client: &Client, topic: &str, expected: &[(&str, std::net::SocketAddr)]) {
    let mut found = Vec::new();
    for _ in 0..PATIENCE.as_millis() / 20 {
        found = match client.admin().topic_route(topic).await {
            Ok(route) => {
                let brokers = route.broker_datas.iter();
                brokers.map(|b| (b.broker_name.to_string(), b.broker_addrs[&0].to_string())).collect()
            }
            Err(_) => Vec::new(),
        };
        let expected: Vec<_> =
            expected.iter().map(|(name, addr)| ((*name).to_owned(), addr.to_string())).collect();
        if found == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the route of {topic} is {found:?}, not {expected:?}");
}

fn broker_b(name_servers: &[std::net::SocketAddr]) -> NodeBuilder {
    let name_servers = name_servers.iter().map(ToString::to_string);
    Node::builder().broker_name("broker-b").name_server(false).register(name_servers)
}

#[tokio::test]
async fn a_broker_registers_at_name_servers_elsewhere_and_takes_itself_back() {
    // spec: broker A.4
    let (one, other) = (Node::builder().start().await.unwrap(), Node::builder().start().await.unwrap());
    let node = broker_b(&[one.addr(), other.addr()]).start().await.unwrap();
    let (here, there) = (client(one.addr()), client(other.addr()));
    node.create_topic("OnB", 3).await.unwrap();
    for client in [&here, &there] {
        route_is(client, "OnB", &[("broker-b", node.addr())]).await;
    }
    assert_eq!(here.queues("OnB").await.unwrap().len(), 3);
    let (queue, offset) = send(&here, "OnB", "x").await;
    assert_eq!(read(&there, &queue, offset).await, ["x"]);
    assert!(client(node.addr()).queues("OnB").await.is_err(), "it is no name server itself");
    node.shutdown(GRACE).await.unwrap();
    for client in [&here, &there] {
        route_is(client, "OnB", &[]).await;
    }
    one.shutdown(GRACE).await.unwrap();
    other.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_name_server_that_comes_back_learns_of_the_broker_again() {
    let first = Node::builder().start().await.unwrap();
    let addr = first.addr();
    let node = broker_b(&[addr]).start().await.unwrap();
    node.create_topic("OnB", 1).await.unwrap();
    route_is(&client(addr), "OnB", &[("broker-b", node.addr())]).await;
    first.shutdown(GRACE).await.unwrap();
    // While it is away, topics change; when it is back, nothing does.
    node.create_topic("Later", 1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = loop {
        match Node::builder().port(addr.port()).start().await {
            Ok(node) => break node,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    for topic in ["OnB", "Later"] {
        route_is(&client(addr), topic, &[("broker-b", node.addr())]).await;
    }
    node.shutdown(GRACE).await.unwrap();
    second.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_broker_starts_without_the_name_servers_it_registers_at() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = Node::builder().register([unused.to_string()]).start().await.unwrap();
    send(&client(node.addr()), "T", "x").await;
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_topic_that_the_broker_may_have_can_be_found() {
    let node = Node::builder().options(|options| options.name_server.max_topics = 20).start().await.unwrap();
    let client = client(node.addr());
    for number in 0..30 {
        let topic = format!("T{number}");
        node.create_topic(&topic, 1).await.unwrap();
        assert_eq!(client.queues(&topic).await.unwrap().len(), 1, "{topic}");
    }
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn the_queues_of_new_topics_are_those_of_this_start() {
    let folder = tempfile::tempdir().unwrap();
    for (topic, queues) in [("First", 3), ("Second", 2), ("Third", 4)] {
        let node = Node::builder().data_dir(folder.path());
        let node = node.options(|options| options.broker.default_topic_queue_nums = queues);
        let node = node.start().await.unwrap();
        let client = client(node.addr());
        send(&client, topic, "x").await;
        let created = client.admin().topic_route(topic).await.unwrap();
        assert_eq!(created.queue_datas[0].write_queue_nums, queues, "{topic}");
        client.close(GRACE).await;
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test]
async fn the_name_servers_configuration_outlives_the_node() {
    use rocketwire_protocol::{
        Command,
        header::{GetKVConfigRequestHeader, PutKVConfigRequestHeader},
    };
    // spec: broker A.3
    let folder = tempfile::tempdir().unwrap();
    let node = start_when_free(folder.path()).await;
    let put = Command::of(&PutKVConfigRequestHeader {
        namespace: "n".into(),
        key: "k".into(),
        value: "v".into(),
        ..Default::default()
    });
    let here = client(node.addr());
    assert_eq!(here.remoting().invoke_name_server(put, PATIENCE).await.unwrap().code, 0);
    node.shutdown(GRACE).await.unwrap();
    let node = start_when_free(folder.path()).await;
    let get = Command::of(&GetKVConfigRequestHeader {
        namespace: "n".into(),
        key: "k".into(),
        ..Default::default()
    });
    let answer = client(node.addr()).remoting().invoke_name_server(get, PATIENCE).await.unwrap();
    assert_eq!(answer.fields.get("value").unwrap(), "v");
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_topic_can_be_created_by_asking_where_it_is() {
    // spec: broker F2
    let node = Node::builder().create_topic_on_lookup(true).start().await.unwrap();
    let asking = client(node.addr());
    assert_eq!(asking.queues("Asked").await.unwrap().len(), 8, "as many as the template has");
    for name in ["%RETRY%g", "%DLQ%g", "rmq_sys_x", "a/b"] {
        assert!(asking.admin().topic_route(name).await.is_err(), "{name}");
    }
    node.shutdown(GRACE).await.unwrap();

    let node = Node::builder().create_topic_on_lookup(true).auto_create_topic(false).start().await.unwrap();
    assert!(client(node.addr()).queues("Asked").await.is_err(), "no template, no topic");
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_client_that_closes_ends_its_consumers_at_the_same_time() {
    let node = Node::builder().start().await.unwrap();
    node.create_topic("T", 1).await.unwrap();
    let here = client(node.addr());
    let begun = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (mut fine, mut stuck) = (Vec::new(), Vec::new());
    for (group, is_stuck) in
        [("a", true), ("b", false), ("c", false), ("d", false), ("e", false), ("f", true)]
    {
        let begun = begun.clone();
        let handler = move |_| {
            begun.add_permits(1);
            async move {
                if is_stuck {
                    std::future::pending::<()>().await;
                }
                Ok::<(), std::io::Error>(())
            }
        };
        let consumer = here.push_consumer(group).subscribe("T", "*").consume_from(ConsumeFrom::First);
        let consumer = consumer.start(handler).await.unwrap();
        if is_stuck { &mut stuck } else { &mut fine }.push(consumer);
    }
    send(&here, "T", "x").await;
    let all = tokio::time::timeout(PATIENCE, begun.acquire_many(6)).await;
    assert!(all.is_ok(), "{} of 6 got it", begun.available_permits());
    drop(all);
    // Two never end, and the time is long: those behind them must not wait for that.
    let closing = tokio::spawn(async move { here.close(PATIENCE * 100).await });
    let ended = async {
        while fine.iter().any(|consumer| !consumer.queues().is_empty()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, ended).await.is_ok(), "they wait for one that is stuck");
    closing.abort();
    node.shutdown(GRACE).await.unwrap();
}

//! A name server behind a real loopback connection.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests may, as tests do

use std::{sync::Arc, time::Duration};

use rocketwire_nameserver::{KvDone, KvKeeper, KvTable, LocalBroker, NameServer, NameServerOptions};
use rocketwire_protocol::{
    Command, RequestCode, Version,
    body::{
        self, ClusterInfo, DataVersion, GetBrokerMemberGroupResponseBody, KVTable, RegisterBrokerBody,
        TopicConfig, TopicList, TopicRouteData,
    },
    header::*,
    message::record,
};
use rocketwire_remoting::{
    ClientOptions, ConnectionEvent, ConnectionListener, Lane, RemotingClient, Router, Server, ServerOptions,
};

const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    name_server: NameServer,
    server: Server,
}

struct Closed(NameServer);

impl ConnectionListener for Closed {
    fn on_event(&self, event: ConnectionEvent) {
        if let ConnectionEvent::Closed(connection, _) = event {
            self.0.connection_closed(connection.id());
        }
    }
}

async fn start() -> Node {
    let name_server = NameServer::new(NameServerOptions::default());
    let router = name_server
        .processors()
        .into_iter()
        .fold(Router::new(), |router, (code, processor)| router.route(code, processor, Lane::inline()));
    let mut options = ServerOptions::default();
    options.listener = Some(Arc::new(Closed(name_server.clone())));
    let server = Server::bind("127.0.0.1:0", router, options).await.unwrap();
    Node { name_server, server }
}

struct Client(RemotingClient, String);

impl Node {
    fn client(&self) -> Client {
        self.client_of(Version::CURRENT)
    }

    fn client_of(&self, version: Version) -> Client {
        let mut options = ClientOptions::default();
        options.connection.version = version;
        Client(RemotingClient::new(options, Router::new()), self.server.local_addr().to_string())
    }
}

impl Client {
    async fn call(&self, command: Command) -> Command {
        self.0.invoke(&self.1, command, PATIENCE).await.unwrap()
    }

    async fn ok(&self, command: Command) -> Command {
        let response = self.call(command).await;
        assert_eq!(response.code, 0, "{:?}", response.remark);
        response
    }
}

fn route(topic: &str) -> Command {
    Command::of(&GetRouteInfoRequestHeader { topic: topic.into(), ..Default::default() })
}

fn registration(broker: &str) -> RegisterBrokerRequestHeader {
    RegisterBrokerRequestHeader {
        broker_name: broker.into(),
        broker_addr: format!("{broker}:10911").into(),
        cluster_name: "c".into(),
        ha_server_addr: format!("{broker}:10912").into(),
        broker_id: 0,
        ..Default::default()
    }
}

fn topics(names: &[&str]) -> RegisterBrokerBody {
    let mut body = RegisterBrokerBody::default();
    body.topic_config_serialize_wrapper.data_version.counter = 7;
    for name in names {
        body.topic_config_serialize_wrapper
            .topic_config_table
            .insert((*name).into(), TopicConfig::new(*name, 4, 4));
    }
    body
}

#[tokio::test]
async fn a_topic_without_a_route_is_17() {
    // spec: client 12
    let node = start().await;
    let response = node.client().call(route("T")).await;
    assert_eq!(response.code, 17);
    assert!(response.remark.unwrap().starts_with("No topic route info in name server for the topic: T"));
}

#[tokio::test]
async fn old_clients_get_unquoted_ids_and_new_ones_json() {
    // spec: client 13
    let node = start().await;
    node.name_server.register_local(&LocalBroker {
        cluster: "c".into(),
        name: "broker-a".into(),
        advertised: None,
        port: None,
    });
    node.name_server.update_local_topic("broker-a", &TopicConfig::new("T", 4, 4));
    let addr = node.server.local_addr();
    let text = |response: Command| String::from_utf8(response.body.to_vec()).unwrap();
    let old = text(node.client_of(Version(317)).ok(route("T")).await);
    assert!(old.contains(&format!("\"brokerAddrs\":{{0:\"{addr}\"}}")), "{old}");
    let new = text(node.client_of(Version::V4_9_4).ok(route("T")).await);
    assert!(new.contains(&format!("\"brokerAddrs\":{{\"0\":\"{addr}\"}}")), "{new}");
    let strict = Command::of(&GetRouteInfoRequestHeader {
        topic: "T".into(),
        accept_standard_json_only: Some(true),
        ..Default::default()
    });
    let strict = text(node.client_of(Version(317)).ok(strict).await);
    assert!(strict.contains("{\"0\":"), "{strict}");
    for body in [old, new, strict] {
        assert!(
            body.contains("\"filterServerTable\":{}") && body.contains("\"enableActingMaster\":false"),
            "{body}"
        );
        let route: TopicRouteData = body::decode(body.as_bytes()).unwrap();
        assert_eq!(route.queue_datas[0].write_queue_nums, 4);
    }
}

#[tokio::test]
async fn named_values_are_kept() {
    // spec: client 14
    let node = start().await;
    let client = node.client();
    let get = Command::of(&GetKVConfigRequestHeader {
        namespace: "n".into(),
        key: "k".into(),
        ..Default::default()
    });
    let list =
        Command::of(&GetKVListByNamespaceRequestHeader { namespace: "n".into(), ..Default::default() });
    let response = client.call(get.clone()).await;
    assert_eq!(
        (response.code, response.remark.as_deref()),
        (22, Some("No config item, Namespace: n Key: k"))
    );
    assert_eq!(client.call(list.clone()).await.code, 22);
    client
        .ok(Command::of(&PutKVConfigRequestHeader {
            namespace: "n".into(),
            key: "k".into(),
            value: "v".into(),
            ..Default::default()
        }))
        .await;
    assert_eq!(client.ok(get.clone()).await.fields.get("value").unwrap(), "v");
    let table: KVTable = body::decode(&client.ok(list).await.body).unwrap();
    assert_eq!(table.table["k"], "v");
    client
        .ok(Command::of(&DeleteKVConfigRequestHeader {
            namespace: "n".into(),
            key: "k".into(),
            ..Default::default()
        }))
        .await;
    assert_eq!(client.call(get).await.code, 22);
}

#[tokio::test]
async fn a_broker_registers_is_found_and_goes_with_its_connection() {
    // spec: client 15
    let node = start().await;
    let (broker, client) = (node.client(), node.client());
    let body = body::encode(&topics(&["T", "../x"]));
    let mut wrong = registration("b");
    wrong.body_crc32 = Some(1);
    let response = broker.call(Command::of(&wrong).with_body(body.clone())).await;
    assert_eq!((response.code, response.remark.as_deref()), (1, Some("crc32 not match")));
    assert_eq!(client.call(route("T")).await.code, 17);

    let mut right = registration("b");
    right.body_crc32 = Some(record::body_crc(&body) as i32);
    broker.ok(Command::of(&right).with_body(body)).await;
    let found: TopicRouteData = body::decode(&client.ok(route("T")).await.body).unwrap();
    assert_eq!(found.broker_datas[0].broker_addrs[&0], "b:10911");
    assert_eq!(client.call(route("../x")).await.code, 17, "a bad name is left out, the others are not");

    let info: ClusterInfo =
        body::decode(&client.ok(Command::request(RequestCode::GET_BROKER_CLUSTER_INFO)).await.body).unwrap();
    assert_eq!(info.cluster_addr_table["c"], ["b"]);
    let group = Command::of(&GetBrokerMemberGroupRequestHeader {
        cluster_name: "c".into(),
        broker_name: "b".into(),
        ..Default::default()
    });
    let group: GetBrokerMemberGroupResponseBody = body::decode(&client.ok(group).await.body).unwrap();
    assert_eq!(group.broker_member_group.broker_addrs[&0], "b:10911");
    let list: TopicList = body::decode(
        &client.ok(Command::request(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER)).await.body,
    )
    .unwrap();
    assert_eq!(list.topic_list, ["T"]);

    broker.0.shutdown().await;
    let since = std::time::Instant::now();
    while client.call(route("T")).await.code != 17 {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_registration_that_is_none_is_answered_and_stops_no_other() {
    let node = start().await;
    let client = node.client();
    let long = "n".repeat(1 << 19);
    for nameless in 0..3 {
        let mut header = registration("b");
        let names = [&mut header.broker_name, &mut header.broker_addr, &mut header.cluster_name];
        *names.into_iter().nth(nameless).unwrap() = "".into();
        assert_eq!(client.call(Command::of(&header)).await.code, 29, "without name {nameless}");
    }
    let crowd: Vec<String> = (0..70_000).map(|n| format!("t{n}")).collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    let bodies = [
        ("too many topics", body::encode(&topics(&crowd)).to_vec()),
        ("no JSON", b"{".to_vec()),
        ("null topics", br#"{"topicConfigSerializeWrapper":{"topicConfigTable":null}}"#.to_vec()),
        ("a null topic", br#"{"topicConfigSerializeWrapper":{"topicConfigTable":{"T":null}}}"#.to_vec()),
        ("a long topic", body::encode(&topics(&[&long])).to_vec()),
    ];
    for (what, bytes) in bodies {
        let answer = client.call(Command::of(&registration("b")).with_body(bytes)).await;
        let has_reason = answer.remark.as_deref().is_some_and(|remark| !remark.is_empty());
        assert!(answer.code == 0 || has_reason, "{what}: {}", answer.code);
        assert_eq!(client.call(route("T")).await.code, 17, "{what}");
        assert_eq!(client.call(route("t1")).await.code, 17, "{what}: all of its topics or none");
    }
    client.ok(Command::of(&registration("other")).with_body(body::encode(&topics(&["T"])))).await;
    client.ok(route("T")).await;
}

#[tokio::test]
async fn a_compressed_registration_is_the_same() {
    let node = start().await;
    let client = node.client();
    let body = topics(&["T"]).encode_compressed(Version::CURRENT).unwrap();
    let mut header = registration("b");
    header.compressed = true;
    client.ok(Command::of(&header).with_body(body)).await;
    client.ok(route("T")).await;
    let damaged = client.call(Command::of(&header).with_body("not zlib")).await;
    assert_eq!(damaged.code, 1);
}

#[tokio::test]
async fn a_broker_learns_whether_its_topics_are_known() {
    let node = start().await;
    let client = node.client();
    let ask = |counter: i64| {
        let header = QueryDataVersionRequestHeader {
            broker_name: "b".into(),
            broker_addr: "b:10911".into(),
            cluster_name: "c".into(),
            broker_id: 0,
            ..Default::default()
        };
        let version = DataVersion { counter, ..Default::default() };
        Command::of(&header).with_body(body::encode(&version))
    };
    let changed = |response: &Command| response.fields.get("changed").unwrap().to_string();
    assert_eq!(changed(&client.ok(ask(7)).await), "true");
    client.ok(Command::of(&registration("b")).with_body(body::encode(&topics(&["T"])))).await;
    assert_eq!(changed(&client.ok(ask(7)).await), "false");
    assert_eq!(changed(&client.ok(ask(8)).await), "true");
}

#[tokio::test]
async fn the_broker_of_this_process_is_not_replaced_or_removed() {
    let node = start().await;
    node.name_server.register_local(&LocalBroker {
        cluster: "c".into(),
        name: "broker-a".into(),
        advertised: None,
        port: None,
    });
    node.name_server.update_local_topic("broker-a", &TopicConfig::new("T", 4, 4));
    let client = node.client();
    let before = client.ok(route("T")).await.body;
    let body = body::encode(&topics(&["T"]));
    let refused = client.call(Command::of(&registration("broker-a")).with_body(body)).await;
    assert_eq!(refused.code, 1);
    assert!(refused.remark.unwrap().starts_with("register broker failed"));
    let leave = UnRegisterBrokerRequestHeader {
        broker_name: "broker-a".into(),
        broker_addr: "x:1".into(),
        cluster_name: "c".into(),
        ..Default::default()
    };
    assert_eq!(client.call(Command::of(&leave)).await.code, 1);
    assert_eq!(client.ok(route("T")).await.body, before);
    // Nor are its topics.
    client
        .ok(Command::of(&DeleteTopicFromNamesrvRequestHeader { topic: "T".into(), ..Default::default() }))
        .await;
    let mut theirs: TopicRouteData = body::decode(&before).unwrap();
    theirs.queue_datas[0].perm = 0;
    let update = RegisterTopicRequestHeader { topic: "T".into(), ..Default::default() };
    let update = Command::of(&update).with_body(body::encode(&theirs));
    assert_eq!(client.call(update).await.code, 1);
    assert_eq!(client.ok(route("T")).await.body, before);
}

// spec: client 5
#[tokio::test]
async fn nothing_is_registered_without_a_name_and_nothing_is_set_remotely() {
    let node = start().await;
    let client = node.client();
    let mut header = registration("b");
    header.broker_addr = "".into();
    assert_eq!(client.call(Command::of(&header)).await.code, 29);
    let missing = client.call(Command::request(RequestCode::REGISTER_BROKER)).await;
    assert!(missing.remark.unwrap().contains("the custom field <brokerName> is null"));
    for text in ["configStorePath=/tmp/x", "a=b"] {
        let update = Command::request(RequestCode::UPDATE_NAMESRV_CONFIG).with_body(text);
        assert_eq!(client.call(update).await.code, 16);
    }
    let config = client.ok(Command::request(RequestCode::GET_NAMESRV_CONFIG)).await;
    let config = String::from_utf8(config.body.to_vec()).unwrap();
    let port = client.1.rsplit(':').next().unwrap();
    for line in [&format!("listenPort={port}"), "orderMessageEnable=false", "brokerExpiry=120000"] {
        assert!(config.lines().any(|found| found == line), "{line} in {config}");
    }
}

/// Keeps the KV configuration where a test looks for it.
#[derive(Default)]
struct Kept(std::sync::Mutex<Vec<bytes::Bytes>>);

impl KvKeeper for Kept {
    fn keep(&self, table: KvTable, done: KvDone) {
        let mut saved = self.0.lock().unwrap();
        let is_full = saved.len() == 2;
        saved.push(table());
        done(if is_full { Err("no space".into()) } else { Ok(()) });
    }
}

#[tokio::test]
async fn named_values_are_saved_before_a_change_is_answered() {
    let kept = Arc::new(Kept::default());
    let node = start().await;
    node.name_server.keep_kv(None, kept.clone()).unwrap();
    let client = node.client();
    let put = |value: &str| {
        Command::of(&PutKVConfigRequestHeader {
            namespace: "n".into(),
            key: "k".into(),
            value: value.into(),
            ..Default::default()
        })
    };
    client.ok(put("1")).await;
    client.ok(put("2")).await;
    let refused = client.call(put("3")).await;
    assert_eq!(refused.code, 1);
    assert!(refused.remark.unwrap().contains("no space"));
    let saved = kept.0.lock().unwrap()[1].clone();
    assert_eq!(saved, r#"{"configTable":{"n":{"k":"2"}}}"#);
    let again = start().await;
    again.name_server.keep_kv(Some(&saved), kept.clone()).unwrap();
    let get = GetKVConfigRequestHeader { namespace: "n".into(), key: "k".into(), ..Default::default() };
    assert_eq!(again.client().ok(Command::of(&get)).await.fields.get("value").unwrap(), "2");
    assert!(start().await.name_server.keep_kv(Some(b"x"), kept).is_err());
}

#[tokio::test]
async fn topics_of_units_are_listed_by_their_flags() {
    let node = start().await;
    let client = node.client();
    let mut body = topics(&["Plain", "Unit", "UnitSub"]);
    let table = &mut body.topic_config_serialize_wrapper.topic_config_table;
    table.get_mut("Unit").unwrap().topic_sys_flag = 3;
    table.get_mut("UnitSub").unwrap().topic_sys_flag = 2;
    client.ok(Command::of(&registration("b")).with_body(body::encode(&body))).await;
    for (code, expected) in [(311, &["Unit"][..]), (312, &["Unit", "UnitSub"]), (313, &["UnitSub"])] {
        let list: TopicList =
            body::decode(&client.ok(Command::request(RequestCode(code))).await.body).unwrap();
        assert_eq!(list.topic_list, expected, "{code}");
    }
}

#[tokio::test]
async fn operators_close_a_broker_for_writing() {
    let node = start().await;
    let client = node.client();
    client.ok(Command::of(&registration("b")).with_body(body::encode(&topics(&["T", "U"])))).await;
    let wipe =
        Command::of(&WipeWritePermOfBrokerRequestHeader { broker_name: "b".into(), ..Default::default() });
    assert_eq!(client.ok(wipe).await.fields.get("wipeTopicCount").unwrap(), "2");
    let found: TopicRouteData = body::decode(&client.ok(route("T")).await.body).unwrap();
    assert_eq!(found.queue_datas[0].perm, 4);
    // The broker says the same again, as it does every 30 s.
    let again = body::encode(&topics(&["T", "U"]));
    client.ok(Command::of(&registration("b")).with_body(again)).await;
    let found: TopicRouteData = body::decode(&client.ok(route("T")).await.body).unwrap();
    assert_eq!(found.queue_datas[0].perm, 4, "it stays closed");
    let add =
        Command::of(&AddWritePermOfBrokerRequestHeader { broker_name: "b".into(), ..Default::default() });
    assert_eq!(client.ok(add).await.fields.get("addTopicCount").unwrap(), "2");
    client
        .ok(Command::of(&DeleteTopicFromNamesrvRequestHeader { topic: "T".into(), ..Default::default() }))
        .await;
    assert_eq!(client.call(route("T")).await.code, 17);
    client.ok(route("U")).await;
}

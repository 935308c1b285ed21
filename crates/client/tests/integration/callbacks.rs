use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rocketwire::{Client, ConsumeFrom, Message, MessageQueue, PushConsumer, ResponseCode};
use rocketwire_protocol::{
    Command, RequestCode,
    body::{
        self, CMResult, ConsumeMessageDirectlyResult, ConsumerRunningInfo, GetConsumerStatusBody,
        ResetOffsetBody,
    },
    header::{
        CheckTransactionStateRequestHeader, ConsumeMessageDirectlyResultRequestHeader,
        GetConsumerRunningInfoRequestHeader, GetConsumerStatusRequestHeader,
        NotifyConsumerIdsChangedRequestHeader, ReplyMessageRequestHeader, ResetOffsetRequestHeader,
    },
};
use rocketwire_remoting::Connection;

use crate::support::{Cluster, PATIENCE, Seen, eventually};

struct Scene {
    cluster: Cluster,
    client: Client,
    consumer: PushConsumer,
    handled: Arc<AtomicUsize>,
    connection: Connection,
}

/// A consumer that has handled one message.
async fn scene() -> Scene {
    let cluster = Cluster::with_topic("T", 1).await;
    cluster.put(&Message::new("T", "x"), 0);
    let client = cluster.client();
    let handled = Arc::new(AtomicUsize::new(0));
    let count = handled.clone();
    let builder = client.push_consumer("CG").subscribe("T", "*").consume_from(ConsumeFrom::First);
    let consume = move |message: Arc<rocketwire::MessageExt>| {
        let count = count.clone();
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            assert_ne!(&message.body[..], b"bad");
        }
    };
    let consumer = builder.start(consume).await.unwrap();
    eventually("handled", || handled.load(Ordering::SeqCst) == 1).await;
    let connection = cluster.state.members.lock().unwrap()["CG"][client.client_id()].clone();
    Scene { cluster, client, consumer, handled, connection }
}

fn running_info(group: &str, client_id: &str) -> Command {
    Command::of(&GetConsumerRunningInfoRequestHeader {
        consumer_group: group.into(),
        client_id: client_id.into(),
        ..GetConsumerRunningInfoRequestHeader::default()
    })
}

#[tokio::test]
async fn a_consumer_tells_how_it_is() {
    // spec: client 132
    let scene = scene().await;
    let id = scene.client.client_id();
    let answer = scene.connection.invoke(running_info("CG", id), PATIENCE).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    let info: ConsumerRunningInfo = body::decode(&answer.body).unwrap();
    assert!(info.mq_table.contains_key(&MessageQueue::new("T", "a", 0)));
    assert_eq!(info.properties.get("PROP_CONSUMEORDERLY").map(|text| &**text), Some("false"));
    assert_eq!(info.properties.get("PROP_CONSUME_TYPE").map(|text| &**text), Some("CONSUME_PASSIVELY"));
    assert_eq!(info.subscription_set.len(), 2);
    let answer = scene.connection.invoke(running_info("Other", id), PATIENCE).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(answer.remark.as_deref(), Some("The Consumer Group <Other> not exist in this consumer"));
    scene.consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_queue_that_only_waits_is_not_taken_for_dead() {
    // spec: client 79
    let scene = scene().await;
    scene.consumer.suspend();
    let suspended = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    // The pull under way brings this one; then the queue waits.
    scene.cluster.put(&Message::new("T", "y"), 0);
    let queue = MessageQueue::new("T", "a", 0);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let asked = running_info("CG", scene.client.client_id());
        let answer = scene.connection.invoke(asked, PATIENCE).await.unwrap();
        let info: ConsumerRunningInfo = body::decode(&answer.body).unwrap();
        if info.mq_table.get(&queue).is_some_and(|info| info.last_pull_timestamp > suspended + 10) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "its loop looks like one that has died");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scene.consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_message_can_be_handed_over_directly() {
    // spec: client 132
    let scene = scene().await;
    let ask = async |group: &str, offset: i64| {
        let header = ConsumeMessageDirectlyResultRequestHeader {
            consumer_group: group.into(),
            ..ConsumeMessageDirectlyResultRequestHeader::default()
        };
        let record = scene.cluster.state.log.lock().unwrap().at(offset).unwrap().raw();
        scene.connection.invoke(Command::of(&header).with_body(record), PATIENCE).await.unwrap()
    };
    let answer = ask("CG", 0).await;
    let result: ConsumeMessageDirectlyResult = body::decode(&answer.body).unwrap();
    assert_eq!(
        (result.consume_result, result.order, result.auto_commit),
        (Some(CMResult::Success), false, true)
    );
    assert_eq!(scene.handled.load(Ordering::SeqCst), 2);
    let (_, physical) = scene.cluster.state.store("a", "Elsewhere", 0, b"bad", "", 0, 0);
    let answer = ask("CG", physical).await;
    let result: ConsumeMessageDirectlyResult = body::decode(&answer.body).unwrap();
    assert_eq!(result.consume_result, Some(CMResult::ThrowException));
    assert!(result.remark.is_some());
    assert_eq!(ask("Other", 0).await.response_code(), ResponseCode::SYSTEM_ERROR);
    scene.consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn offsets_are_told() {
    let scene = scene().await;
    let header = GetConsumerStatusRequestHeader {
        topic: "T".into(),
        group: "CG".into(),
        ..GetConsumerStatusRequestHeader::default()
    };
    let mut request = Command::of(&header);
    request.code = RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT.0;
    let queue = MessageQueue::new("T", "a", 0);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = scene.connection.invoke(request.clone(), PATIENCE).await.unwrap();
        let status: GetConsumerStatusBody = body::decode(&answer.body).unwrap();
        if status.message_queue_table.get(&queue) == Some(&1) {
            break;
        }
        // The handler has returned, and its worker is about to note it.
        assert!(tokio::time::Instant::now() < deadline, "{status:?}");
        tokio::task::yield_now().await;
    }
    scene.consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_reply_that_nobody_waits_for_is_answered() {
    // spec: client 71
    let scene = scene().await;
    let reply = Command::of(&ReplyMessageRequestHeader::default());
    let answer = scene.connection.invoke(reply, PATIENCE).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    let unreadable = Command::request(RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT);
    let answer = scene.connection.invoke(unreadable, PATIENCE).await.unwrap();
    assert_eq!(answer.remark.as_deref(), Some("process reply message fail"));
    let unknown = scene.connection.invoke(Command::request(RequestCode(9999)), PATIENCE).await.unwrap();
    assert_eq!(unknown.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    scene.consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn offsets_can_be_set_from_outside() {
    // spec: client 131
    let scene = scene().await;
    (0..4).for_each(|i| scene.cluster.put(&Message::new("T", format!("m{i}")), 0));
    eventually("handled", || scene.handled.load(Ordering::SeqCst) == 5).await;
    let queue = MessageQueue::new("T", "a", 0);
    let body = ResetOffsetBody { offset_table: [(queue, 2)].into() };
    let header = ResetOffsetRequestHeader {
        topic: "T".into(),
        group: "CG".into(),
        ..ResetOffsetRequestHeader::default()
    };
    let mut reset = Command::of(&header).with_body(body::encode(&body)).oneway();
    reset.code = RequestCode::RESET_CONSUMER_CLIENT_OFFSET.0;
    scene.connection.invoke_oneway(reset).unwrap();
    eventually("offsets 2 to 4 again", || scene.handled.load(Ordering::SeqCst) == 8).await;
    scene.consumer.shutdown(PATIENCE).await;
    assert_eq!(scene.cluster.committed("CG", "T", 0), Some(5));
}

#[tokio::test]
async fn notices_have_no_answer_even_where_one_is_waited_for() {
    // spec: remoting D16
    let scene = scene().await;
    let check = CheckTransactionStateRequestHeader::default();
    let changed = NotifyConsumerIdsChangedRequestHeader { consumer_group: "CG".into(), ..Default::default() };
    let reset = ResetOffsetRequestHeader {
        topic: "T".into(),
        group: "CG".into(),
        ..ResetOffsetRequestHeader::default()
    };
    let table = ResetOffsetBody { offset_table: [(MessageQueue::new("T", "a", 0), 0)].into() };
    let mut reset = Command::of(&reset).with_body(body::encode(&table));
    reset.code = RequestCode::RESET_CONSUMER_CLIENT_OFFSET.0;
    for notice in [Command::of(&check), Command::of(&changed), reset] {
        tokio::spawn(scene.connection.invoke(notice, PATIENCE));
    }
    eventually("all are sent", || scene.connection.in_flight() == 3).await;
    eventually("the reset is obeyed", || scene.handled.load(Ordering::SeqCst) == 2).await;
    // Answered behind them, and on the same connection.
    scene.connection.invoke(Command::request(RequestCode(9999)), PATIENCE).await.unwrap();
    assert_eq!(scene.connection.in_flight(), 3);
    scene.consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn on_a_new_connection_the_broker_is_told_again() {
    let scene = scene().await;
    let before = scene.cluster.seen(RequestCode::HEART_BEAT).len();
    scene.connection.close("the network hiccups");
    eventually("another heartbeat", || scene.cluster.seen(RequestCode::HEART_BEAT).len() > before).await;
    scene.cluster.put(&Message::new("T", "y"), 0);
    eventually("messages still come", || scene.handled.load(Ordering::SeqCst) == 2).await;
    scene.consumer.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_retry_that_is_handed_over_directly_has_its_own_topic() {
    // spec: client 104
    let cluster = Cluster::with_topic("T", 1).await;
    let client = cluster.client();
    let seen = Seen::default();
    let consumer = client.push_consumer("CG").subscribe("T", "*").start(seen.collect()).await.unwrap();
    let connection = cluster.state.members.lock().unwrap()["CG"][client.client_id()].clone();
    let (_, physical) = cluster.state.store("a", "%RETRY%Other", 0, b"x", "RETRY_TOPIC\u{1}T\u{2}", 0, 1);
    let foreign = cluster.state.log.lock().unwrap().at(physical).unwrap().raw();
    let (_, physical) = cluster.state.store("a", "%RETRY%CG", 7, b"x", "RETRY_TOPIC\u{1}T\u{2}", 0, 1);
    let own = cluster.state.log.lock().unwrap().at(physical).unwrap().raw();
    for record in [foreign, own] {
        let header = ConsumeMessageDirectlyResultRequestHeader {
            consumer_group: "CG".into(),
            ..ConsumeMessageDirectlyResultRequestHeader::default()
        };
        connection.invoke(Command::of(&header).with_body(record), PATIENCE).await.unwrap();
    }
    let topics: Vec<_> = seen.0.lock().unwrap().iter().map(|message| message.topic.to_string()).collect();
    assert_eq!(topics, ["%RETRY%Other", "T"]);
    consumer.shutdown(PATIENCE).await;
}

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rocketwire::{Client, Credentials, Message, MessageExt, ResponseCode, SendStatus, TransactionState};
use rocketwire_protocol::{
    Command, RequestCode,
    header::{CheckTransactionStateRequestHeader, EndTransactionRequestHeader, SendMessageResponseHeader},
    message::property,
};

use crate::support::{Cluster, PATIENCE, Reaction, eventually};

fn ends(cluster: &Cluster) -> Vec<EndTransactionRequestHeader> {
    let seen = cluster.seen(RequestCode::END_TRANSACTION);
    seen.into_iter().map(|(_, command)| command.header().unwrap()).collect()
}

#[tokio::test]
async fn the_broker_hears_what_became_of_the_half_message() {
    // spec: client 63 65
    let cluster = Cluster::with_topic("T", 1).await;
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let mut expected = Vec::new();
    for (state, number) in
        [(TransactionState::Commit, 8), (TransactionState::Rollback, 12), (TransactionState::Unknown, 0)]
    {
        let local = async |message: Message| {
            assert!(message.property(property::TRANSACTION_ID).is_some());
            state
        };
        let result = producer.send_in_transaction(Message::new("T", "x"), local).await.unwrap();
        assert_eq!(result.state, state);
        expected.push((number, result.send.queue_offset, result.send.msg_id));
    }
    eventually("three ends", || ends(&cluster).len() == 3).await;
    for (end, (number, offset, id)) in ends(&cluster).iter().zip(expected) {
        assert_eq!(
            (end.commit_or_rollback, end.tran_state_table_offset, &*end.msg_id),
            (number, offset, &*id)
        );
        assert_eq!((end.commit_log_offset, end.from_transaction_check), (offset * 1000, Some(false)));
        assert_eq!(&*end.producer_group, "PG");
    }
    let stored = cluster.state.log.lock().unwrap().at(0).unwrap();
    assert_eq!(stored.property(property::TRAN_MSG), Some("true"));
    assert_eq!(stored.property(property::PGROUP), Some("PG"));
}

#[tokio::test]
async fn a_half_message_that_is_not_safe_is_rolled_back_unseen() {
    // spec: client 64
    let cluster = Cluster::with_topic("T", 1).await;
    let answer =
        Command::response(ResponseCode::FLUSH_DISK_TIMEOUT).with_header(&SendMessageResponseHeader {
            msg_id: "7F00000100002A9F0000000000000000".into(),
            ..SendMessageResponseHeader::default()
        });
    cluster.next("a", RequestCode::SEND_MESSAGE_V2, Reaction::Answer(answer));
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let ran = AtomicBool::new(false);
    let local = async |_| {
        ran.store(true, Ordering::SeqCst);
        TransactionState::Commit
    };
    let result = producer.send_in_transaction(Message::new("T", "x"), local).await.unwrap();
    assert_eq!(
        (result.send.status, result.state),
        (SendStatus::FlushDiskTimeout, TransactionState::Rollback)
    );
    assert!(!ran.load(Ordering::SeqCst));
    eventually("the end", || ends(&cluster).first().is_some_and(|end| end.commit_or_rollback == 12)).await;
}

#[tokio::test]
async fn a_local_panic_leaves_the_outcome_open() {
    // spec: client 67
    let cluster = Cluster::with_topic("T", 1).await;
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let local = async |_: Message| -> TransactionState { panic!("oh") };
    let result = producer.send_in_transaction(Message::new("T", "x"), local).await.unwrap();
    assert_eq!(result.state, TransactionState::Unknown);
}

#[tokio::test]
async fn a_broker_that_asks_is_told() {
    // spec: client 66
    let cluster = Cluster::with_topic("T", 1).await;
    let check = async |message: MessageExt| {
        assert_eq!(&message.body[..], b"x");
        TransactionState::Commit
    };
    let producer = cluster.client().producer("PG").checker(check).build().unwrap();
    let unknown = async |_: Message| TransactionState::Unknown;
    let result = producer.send_in_transaction(Message::new("T", "x"), unknown).await.unwrap();
    cluster.until("a heartbeat", |state| state.producers.lock().unwrap().contains_key("PG")).await;
    let connection = cluster.state.producers.lock().unwrap()["PG"].clone();
    let record = cluster.state.log.lock().unwrap().at(0).unwrap().raw();
    let ask = CheckTransactionStateRequestHeader {
        tran_state_table_offset: 77,
        commit_log_offset: 7700,
        msg_id: Some(result.send.msg_id.as_str().into()),
        transaction_id: Some(result.send.msg_id.as_str().into()),
        ..CheckTransactionStateRequestHeader::default()
    };
    connection.invoke_oneway(Command::of(&ask).with_body(record).oneway()).unwrap();
    eventually("the answer", || ends(&cluster).len() == 2).await;
    let end = ends(&cluster).remove(1);
    assert_eq!((end.tran_state_table_offset, end.commit_log_offset, end.commit_or_rollback), (77, 7700, 8));
    assert_eq!((end.from_transaction_check, &*end.msg_id), (Some(true), &*result.send.msg_id));
}

#[tokio::test]
async fn a_half_message_that_is_refused_is_an_error() {
    let cluster = Cluster::with_topic("T", 1).await;
    let refusal = Command::error(ResponseCode::NO_PERMISSION, "sending transaction message is forbidden");
    (0..3).for_each(|_| cluster.next("a", RequestCode::SEND_MESSAGE_V2, Reaction::Answer(refusal.clone())));
    let producer = cluster.client().producer("PG").timeout(PATIENCE).build().unwrap();
    let ran = Arc::new(AtomicBool::new(false));
    let inner = ran.clone();
    let local = async move |_| {
        inner.store(true, Ordering::SeqCst);
        TransactionState::Commit
    };
    let error = producer.send_in_transaction(Message::new("T", "x"), local).await.unwrap_err();
    assert_eq!(error.code(), Some(ResponseCode::NO_PERMISSION));
    assert!(!ran.load(Ordering::SeqCst) && ends(&cluster).is_empty());
}

#[tokio::test]
async fn the_answer_to_a_broker_that_asks_is_signed_as_every_request_is() {
    // spec: client 66 134 135
    let cluster = Cluster::with_topic("T", 1).await;
    let builder = Client::builder().name_servers(&cluster.address());
    let builder = builder.credentials(Credentials::new("key", "secret"));
    let client = builder.options(|options| options.namespace = Some("tenant".into())).build().unwrap();
    let producer = client.producer("PG").checker(async |_| TransactionState::Commit).build().unwrap();
    let unknown = async |_: Message| TransactionState::Unknown;
    producer.send_in_transaction(Message::new("T", "x"), unknown).await.unwrap();
    cluster.until("a heartbeat", |state| state.producers.lock().unwrap().contains_key("PG")).await;
    let connection = cluster.state.producers.lock().unwrap()["PG"].clone();
    let record = cluster.state.log.lock().unwrap().at(0).unwrap().raw();
    let ask = Command::of(&CheckTransactionStateRequestHeader::default()).with_body(record);
    connection.invoke_oneway(ask.oneway()).unwrap();
    eventually("the answer", || ends(&cluster).len() == 2).await;
    let (_, answer) = cluster.seen(RequestCode::END_TRANSACTION).remove(1);
    assert_eq!(answer.fields.get("AccessKey").as_deref(), Some("key"));
    assert!(answer.fields.get("Signature").is_some());
    assert_eq!(answer.fields.get("ns").as_deref(), Some("tenant"));
}

use std::time::Duration;

use rocketwire_protocol::{
    Command,
    header::*,
    message::{OffsetMessageId, RecordView, SysFlag},
};

use crate::support::*;

const HALF: &str = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}PG\u{2}UNIQ_KEY\u{1}id\u{2}";

fn end(answer: &SendMessageResponseHeader, verdict: i32) -> EndTransactionRequestHeader {
    let id: OffsetMessageId = answer.msg_id.parse().unwrap();
    EndTransactionRequestHeader {
        producer_group: "PG".into(),
        tran_state_table_offset: answer.queue_offset,
        commit_log_offset: id.offset,
        commit_or_rollback: verdict,
        msg_id: "id".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_half_message_is_seen_when_it_is_committed_and_once() {
    let node = Node::start().await;
    let client = node.client();
    let mut header = send_header("T", HALF);
    header.queue_id = 2;
    header.sys_flag = 0x4;
    let answer: SendMessageResponseHeader =
        client.ok(Command::of(&header).with_body("x")).await.response_header().unwrap();
    assert_eq!(answer.queue_id, 2);
    assert!(client.messages("T", 2, 0).await.is_empty());
    client.ok(Command::of(&end(&answer, 8))).await;
    let messages = client.messages("T", 2, 0).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].sys_flag(), SysFlag(0x8));
    assert_eq!(messages[0].prepared_transaction_offset(), end(&answer, 8).commit_log_offset);
    assert_eq!(messages[0].property("__transactionId__"), Some("id"));
    client.ok(Command::of(&end(&answer, 8))).await;
    assert_eq!(client.messages("T", 2, 0).await.len(), 1, "a repeated verdict delivers nothing");
    node.stop().await;
}

#[tokio::test]
async fn a_verdict_must_fit_its_half_message() {
    // spec: client 158
    let node = Node::start().await;
    let client = node.client();
    let plain = client.send("T", "x", "").await;
    let answer = client.send("T", "x", HALF).await;
    type Change = fn(&mut EndTransactionRequestHeader);
    let cases: [(&str, Change); 3] = [
        ("The producer group wrong", |header| header.producer_group = "other".into()),
        ("The transaction state table offset wrong", |header| header.tran_state_table_offset += 1),
        ("Find prepared transaction message failed", |header| header.commit_log_offset += 1),
    ];
    for (remark, change) in cases {
        let mut header = end(&answer, 8);
        change(&mut header);
        let response = client.call(Command::of(&header)).await;
        assert_eq!((response.code, response.remark.as_deref()), (1, Some(remark)));
    }
    let other = client.call(Command::of(&end(&plain, 8))).await;
    assert_eq!(other.remark.as_deref(), Some("Find prepared transaction message failed"), "no half message");
    client.ok(Command::of(&end(&answer, 12))).await;
    client.ok(Command::of(&end(&answer, 8))).await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 1, "rolled back: only the plain one is there");
    node.stop().await;
}

#[tokio::test]
async fn an_unknown_verdict_is_not_answered() {
    // spec: client 157
    let node = Node::start().await;
    let client = node.client();
    let answer = client.send("T", "x", HALF).await;
    let request = Command::of(&end(&answer, 0));
    let response = client.remoting.invoke(&client.addr, request, Duration::from_millis(300)).await;
    assert!(response.is_err());
    client.ok(Command::of(&end(&answer, 8))).await;
    node.stop().await;
}

#[tokio::test]
async fn a_producer_is_asked_after_a_while_but_not_for_ever() {
    // spec: client 159
    let node = Node::start().await;
    let (client, producing) = (node.client(), node.client());
    producing.heartbeat(&producer("p", "PG")).await;
    let answer = client.send("T", "x", HALF).await;
    node.clock.advance(Duration::from_secs(30));
    eventually("the producer is asked", || !producing.received(39).is_empty()).await;
    let asked = producing.received(39).remove(0);
    assert!(asked.is_oneway());
    let header: CheckTransactionStateRequestHeader = asked.header().unwrap();
    assert_eq!(header.tran_state_table_offset, answer.queue_offset + 1, "it was stored anew");
    assert_eq!(header.transaction_id.as_deref(), Some("id"));
    let record = RecordView::parse(&asked.body).unwrap();
    assert_eq!((record.topic(), record.queue_id()), ("T", 0));
    assert_eq!(record.body(), "x");
    for round in 2..=15 {
        producing.heartbeat(&producer("p", "PG")).await;
        node.clock.advance(Duration::from_secs(30));
        eventually("it is asked again", || producing.received(39).len() == round).await;
    }
    node.clock.advance(Duration::from_secs(30));
    client.wait_for("TRANS_CHECK_MAX_TIME_TOPIC", 0, 1).await;
    assert_eq!(producing.received(39).len(), 15);
    client.ok(Command::of(&end(&answer, 8))).await;
    assert!(client.messages("T", 0, 0).await.is_empty(), "it was given up");
    node.stop().await;
}

#[tokio::test]
async fn a_restart_knows_which_half_messages_wait() {
    let node = Node::start().await;
    let client = node.client();
    let done = client.send("T", "done", HALF).await;
    let waiting = client.send("T", "waiting", HALF).await;
    client.ok(Command::of(&end(&done, 8))).await;
    let node = node.restart().await;
    let (client, producing) = (node.client(), node.client());
    producing.heartbeat(&producer("p", "PG")).await;
    node.clock.advance(Duration::from_secs(31));
    eventually("the producer is asked", || !producing.received(39).is_empty()).await;
    let asked: Vec<i64> = producing
        .received(39)
        .iter()
        .map(|asked| asked.header::<CheckTransactionStateRequestHeader>().unwrap().tran_state_table_offset)
        .collect();
    assert_eq!(asked, [waiting.queue_offset + 1]);
    client.ok(Command::of(&end(&done, 8))).await;
    client.ok(Command::of(&end(&waiting, 8))).await;
    let bodies: Vec<_> = client.messages("T", 0, 0).await.iter().map(|message| message.body()).collect();
    assert_eq!(bodies, ["done", "waiting"]);
    node.stop().await;
}

#[tokio::test]
async fn each_question_is_about_the_half_message_as_it_is_stored_anew() {
    let node = Node::start().await;
    let (client, producing) = (node.client(), node.client());
    let first = client.send("T", "x", HALF).await;
    for round in 1..=2 {
        producing.heartbeat(&producer("p", "PG")).await;
        node.clock.advance(Duration::from_secs(30));
        eventually("the producer is asked", || producing.received(39).len() == round).await;
    }
    let halves = client.messages("RMQ_SYS_TRANS_HALF_TOPIC", 0, 0).await;
    let checks: Vec<_> = halves.iter().map(|half| half.property("TRANSACTION_CHECK_TIMES")).collect();
    assert_eq!(checks, [None, Some("1"), Some("2")]);
    let asked: Vec<CheckTransactionStateRequestHeader> =
        producing.received(39).iter().map(|asked| asked.header().unwrap()).collect();
    for (asked, half) in asked.iter().zip(&halves[1..]) {
        assert_eq!(asked.tran_state_table_offset, half.queue_offset());
        assert_eq!(asked.commit_log_offset, half.physical_offset());
        assert_eq!(asked.offset_msg_id.as_deref(), Some(&*half.offset_message_id().to_string()));
    }
    // The producer's own verdict, about the message as it was sent, comes late; then that of the first question.
    client.ok(Command::of(&end(&first, 8))).await;
    let mut late = end(&first, 8);
    late.tran_state_table_offset = asked[0].tran_state_table_offset;
    late.commit_log_offset = asked[0].commit_log_offset;
    client.ok(Command::of(&late)).await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 1, "one transaction, one message");
    node.clock.advance(Duration::from_secs(60));
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(producing.received(39).len(), 2, "nothing is left to ask about");
    node.stop().await;
}

#[tokio::test]
async fn the_count_of_questions_outlives_a_restart() {
    // spec: client 159
    let node = Node::start().await;
    let (client, producing) = (node.client(), node.client());
    let sent = client.send("T", "x", HALF).await;
    for round in 1..=8 {
        producing.heartbeat(&producer("p", "PG")).await;
        node.clock.advance(Duration::from_secs(30));
        eventually("the producer is asked", || producing.received(39).len() == round).await;
    }
    let node = node.restart().await;
    let (client, producing) = (node.client(), node.client());
    for round in 1..=7 {
        producing.heartbeat(&producer("p", "PG")).await;
        node.clock.advance(Duration::from_secs(30));
        eventually("the producer is asked again", || producing.received(39).len() == round).await;
    }
    node.clock.advance(Duration::from_secs(30));
    let given_up = client.wait_for("TRANS_CHECK_MAX_TIME_TOPIC", 0, 1).await;
    assert_eq!(given_up[0].property("TRANSACTION_CHECK_TIMES"), Some("15"));
    // An operator finds it, and has it asked about again.
    let resume = |id: String| {
        Command::of(&ResumeCheckHalfMessageRequestHeader {
            topic: Some("T".into()),
            msg_id: Some(id.into()),
            ..Default::default()
        })
    };
    client.ok(resume(given_up[0].offset_message_id().to_string())).await;
    producing.heartbeat(&producer("p", "PG")).await;
    node.clock.advance(Duration::from_secs(30));
    eventually("it is asked about", || producing.received(39).len() == 8).await;
    let asked: CheckTransactionStateRequestHeader = producing.received(39)[7].header().unwrap();
    let mut commit = end(&sent, 8);
    commit.tran_state_table_offset = asked.tran_state_table_offset;
    commit.commit_log_offset = asked.commit_log_offset;
    client.ok(Command::of(&commit)).await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    let half = client.messages("RMQ_SYS_TRANS_HALF_TOPIC", 0, asked.tran_state_table_offset).await;
    let again = client.call(resume(half[0].offset_message_id().to_string())).await;
    assert_eq!(again.code, 1, "it has its verdict");
    assert_eq!(client.call(resume("x".to_owned())).await.code, 1);
    node.stop().await;
}

#[tokio::test]
async fn a_verdict_after_the_time_that_the_producer_reserved_is_604_but_its_answer_counts() {
    // spec: broker B.12
    let node = Node::start().await;
    let client = node.client();
    let properties = format!("{HALF}CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}20\u{2}");
    let sent = [client.send("T", "in time", &properties).await, client.send("T", "late", &properties).await];
    node.clock.advance(Duration::from_secs(20));
    client.ok(Command::of(&end(&sent[0], 8))).await;
    node.clock.advance(Duration::from_millis(1));
    for verdict in [8, 12] {
        assert_eq!(client.call(Command::of(&end(&sent[1], verdict))).await.code, 604);
    }
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    let asked = EndTransactionRequestHeader { from_transaction_check: Some(true), ..end(&sent[1], 8) };
    client.ok(Command::of(&asked)).await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 2);
    // Less than the time-out of all transactions is no time of its own.
    let mut header = send_header("T", &format!("{HALF}CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}1\u{2}"));
    header.born_timestamp += 20_001;
    let short = client.ok(Command::of(&header).with_body("short")).await.response_header().unwrap();
    node.clock.advance(Duration::from_secs(6));
    client.ok(Command::of(&end(&short, 8))).await;
    node.stop().await;
}

#[tokio::test]
async fn a_producers_clock_says_nothing_about_how_long_its_message_waits() {
    // spec: client 159
    let node = Node::start().await;
    let client = node.client();
    let born = [i64::MIN, 0, START_MS - 365 * 86_400_000, START_MS + 365 * 86_400_000, i64::MAX];
    for (n, born) in born.iter().enumerate() {
        let mut header = send_header("T", HALF);
        header.born_timestamp = *born;
        client.ok(Command::of(&header).with_body(n.to_string())).await;
    }
    let node = node.restart().await;
    let (client, producing) = (node.client(), node.client());
    producing.heartbeat(&producer("p", "PG")).await;
    node.clock.advance(Duration::from_secs(30));
    eventually("the producer is asked about each", || producing.received(39).len() == born.len()).await;
    assert!(client.messages("TRANS_CHECK_MAX_TIME_TOPIC", 0, 0).await.is_empty(), "none is given up");
    node.stop().await;
}

#[tokio::test]
async fn a_late_verdict_counts_after_a_restart_too() {
    // spec: broker B.12
    let node = Node::start().await;
    let (client, producing) = (node.client(), node.client());
    let first = client.send("T", "x", HALF).await;
    for round in 1..=2 {
        producing.heartbeat(&producer("p", "PG")).await;
        node.clock.advance(Duration::from_secs(30));
        eventually("the producer is asked", || producing.received(39).len() == round).await;
    }
    let node = node.restart().await;
    let client = node.client();
    client.ok(Command::of(&end(&first, 8))).await;
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn a_committed_message_arrives_however_long_its_properties_are() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "short", HALF).await;
    let short = client.messages("RMQ_SYS_TRANS_HALF_TOPIC", 0, 0).await;
    let long = client.send("T", "long", &filled(HALF, &short[0])).await;
    client.ok(Command::of(&end(&long, 8))).await;
    assert_eq!(client.messages("T", 0, 0).await[0].body(), "long");
    node.stop().await;
}

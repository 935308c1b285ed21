use std::time::Duration;

use rocketwire_broker::BrokerOptions;
use rocketwire_protocol::{
    Command, RequestCode,
    body::{self, CheckClientRequestBody, SubscriptionData},
    header::*,
};

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A pull with an SQL92 expression of its own.
fn sql_pull(offset: i64, max: i32, expression: &str, suspend: Option<Duration>) -> Command {
    let mut header = pull_header("T", 0, offset);
    header.sys_flag = 4 | if suspend.is_some() { 2 } else { 0 };
    header.subscription = Some(expression.into());
    header.expression_type = Some("SQL92".into());
    header.max_msg_nums = max;
    header.suspend_timeout_millis = suspend.map_or(0, |time| time.as_millis() as i64);
    Command::of(&header)
}

fn offsets(response: &Command) -> (i32, i64, i64) {
    let header: PullMessageResponseHeader = response.response_header().unwrap();
    (response.code, header.next_begin_offset, header.max_offset)
}

fn bodies(response: Command) -> Vec<String> {
    decode(response.body).iter().map(|record| String::from_utf8(record.body().to_vec()).unwrap()).collect()
}

fn sql(expression: &str, version: i64) -> SubscriptionData {
    SubscriptionData { expression_type: "SQL92".into(), ..subscription("T", expression, version) }
}

// spec: broker B.5
#[tokio::test]
async fn only_messages_that_satisfy_the_expression_are_delivered() {
    let node = Node::start().await;
    let client = node.client();
    for n in 0..10 {
        client.send("T", &format!("m{n}"), &format!("a\u{1}{n}\u{2}TAGS\u{1}x\u{2}")).await;
    }
    let response = client.call(sql_pull(0, 32, "a BETWEEN 2 AND 3 OR a = 7", None)).await;
    assert_eq!(offsets(&response), (0, 10, 10), "what does not match behind the last match is passed, too");
    assert_eq!(bodies(response), ["m2", "m3", "m7"]);
    let response = client.call(sql_pull(0, 2, "a BETWEEN 2 AND 3 OR a = 7", None)).await;
    assert_eq!(offsets(&response), (0, 7, 10), "the next one that matches is for the next pull");
    assert_eq!(bodies(response), ["m2", "m3"]);
    let response = client.call(sql_pull(8, 32, "TAGS = 'y'", None)).await;
    assert_eq!(offsets(&response), (20, 10, 10));
    assert_eq!(offsets(&client.call(sql_pull(10, 32, "a = 1", None)).await), (19, 10, 10));
    assert_eq!(offsets(&client.call(sql_pull(11, 32, "a = 1", None)).await), (21, 10, 10));
    node.stop().await;
}

#[tokio::test]
async fn pulls_go_through_a_long_queue_and_miss_nothing() {
    let mut options = BrokerOptions::default();
    options.max_message_size = 1 << 20;
    let node = Node::with(options).await;
    let client = node.client();
    let wanted = |n: usize| n.is_multiple_of(97) || (900..930).contains(&n);
    for n in 0..2_000 {
        // A few that fill an answer.
        let body = if n % 388 == 0 { format!("{n} {}", "-".repeat(200 << 10)) } else { n.to_string() };
        client.send("T", &body, &format!("wanted\u{1}{}\u{2}", wanted(n))).await;
    }
    let (mut next, mut found, mut pulls) = (0, Vec::new(), 0);
    while next < 2_000 {
        let response = client.call(sql_pull(next, 10, "wanted = TRUE", None)).await;
        let (code, behind, _) = offsets(&response);
        assert!(matches!(code, 0 | 20) && behind > next, "{code} {behind}");
        found.extend(
            bodies(response).iter().map(|body| body.split(' ').next().unwrap().parse::<usize>().unwrap()),
        );
        (next, pulls) = (behind, pulls + 1);
    }
    assert_eq!(found, (0..2_000).filter(|n| wanted(*n)).collect::<Vec<_>>());
    assert!((6..30).contains(&pulls), "{pulls}");
    node.stop().await;
}

// spec: broker B.5
#[tokio::test]
async fn an_expression_of_the_heartbeat_counts_for_pulls_without_one() {
    let node = Node::start().await;
    let client = node.client();
    for n in 0..4 {
        client.send("T", &format!("m{n}"), &format!("a\u{1}{n}\u{2}")).await;
    }
    // As the Go client pulls: no word of SQL92.
    let pull = |version| {
        let mut header = pull_header("T", 0, 0);
        header.sub_version = version;
        header.expression_type = Some("TAG".into());
        Command::of(&header)
    };
    client.heartbeat(&consumer("c", "CG", vec![sql("a > 2", 5)])).await;
    assert_eq!(bodies(client.ok(pull(0)).await), ["m3"]);
    assert_eq!(bodies(client.ok(pull(5)).await), ["m3"]);
    assert_eq!(client.call(pull(6)).await.code, 25, "the subscription is not the latest");
    client.heartbeat(&consumer("c", "CG", vec![sql("a > 1", 6)])).await;
    assert_eq!(bodies(client.ok(pull(6)).await), ["m2", "m3"]);

    client.heartbeat(&consumer("c", "CG", vec![sql("a >", 7)])).await;
    let response = client.call(pull(7)).await;
    assert_eq!(response.code, 27);
    let remark = response.remark.unwrap();
    assert!(
        remark.starts_with("The broker's consumer filter data is not exist!Your expression may be wrong!")
    );
    assert!(remark.contains("at byte 3"), "{remark}");
    client
        .heartbeat(&consumer(
            "c",
            "CG",
            vec![SubscriptionData { expression_type: "X".into(), ..sql("a", 8) }],
        ))
        .await;
    let response = client.call(pull(8)).await;
    assert_eq!(response.code, 1);
    assert_eq!(response.remark.unwrap(), "The broker does not support consumer to filter message by X");
    node.stop().await;
}

fn check(subscription: SubscriptionData) -> Command {
    let body = CheckClientRequestBody {
        client_id: "c".into(),
        group: "CG".into(),
        subscription_data: Some(subscription),
        ..Default::default()
    };
    Command::request(RequestCode::CHECK_CLIENT_CONFIG).with_body(body::encode(&body))
}

// spec: broker B.8
#[tokio::test]
async fn a_consumer_can_ask_whether_its_expression_is_one() {
    let node = Node::start().await;
    let client = node.client();
    client.ok(check(sql("a > 1", 1))).await;
    client.ok(check(subscription("T", "a || b", 1))).await;
    let response = client.call(check(sql("a LIKE 'x%'", 1))).await;
    assert_eq!(response.code, 23);
    assert!(response.remark.unwrap().starts_with("Invalid MessageSelector. "));
    assert_eq!(client.call(check(subscription("T", "||", 1))).await.code, 23);
    node.stop().await;
}

#[tokio::test]
async fn without_property_filters_the_broker_says_so() {
    let mut options = BrokerOptions::default();
    options.enable_property_filter = false;
    let node = Node::with(options).await;
    let client = node.client();
    client.send("T", "m", "a\u{1}1\u{2}").await;
    client.heartbeat(&consumer("c", "CG", vec![sql("a = 1", 1)])).await;
    for request in
        [sql_pull(0, 1, "a = 1", None), Command::of(&pull_header("T", 0, 0)), check(sql("a = 1", 1))]
    {
        let response = client.call(request).await;
        assert_eq!(response.code, 1);
        assert_eq!(
            response.remark.unwrap(),
            "The broker does not support consumer to filter message by SQL92"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn long_and_deep_expressions_are_refused() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "m", "a\u{1}1\u{2}").await;
    let deep = format!("{}a = 1{}", "(".repeat(10_000), ")".repeat(10_000));
    let long = format!("a = '{}'", "x".repeat(40_000));
    for expression in [deep.as_str(), &long, "a >", "", "a = 1 garbage"] {
        let response = client.call(sql_pull(0, 1, expression, None)).await;
        assert_eq!(response.code, 23);
        assert!(response.remark.unwrap().starts_with("parse the consumer's subscription failed"));
        assert_eq!(client.call(check(sql(expression, 1))).await.code, 23);
    }
    // More than fits into a header.
    let longest = format!("a = '{}'", "x".repeat(1 << 20));
    assert_eq!(client.call(check(sql(&longest, 1))).await.code, 23);
    assert_eq!(bodies(client.ok(sql_pull(0, 1, "a = 1", None)).await), ["m"]);
    node.stop().await;
}

// spec: client 150
#[tokio::test]
async fn a_parked_pull_wakes_for_a_message_that_it_wants_only() {
    let node = Node::start().await;
    let (client, waiting) = (node.client(), node.client());
    client.send("T", "x", "").await;
    let request = sql_pull(1, 32, "a > 5", Some(MINUTE));
    let parked = tokio::spawn(async move { waiting.call(request).await });
    eventually("the pull is parked", || node.broker.parked_pulls() == 1).await;
    for n in 0..5 {
        client.send("T", "not wanted", &format!("a\u{1}{n}\u{2}")).await;
        eventually("it is parked again", || node.broker.parked_pulls() == 1).await;
    }
    assert!(!parked.is_finished());
    client.send("T", "wanted", "a\u{1}6\u{2}").await;
    let response = parked.await.unwrap();
    assert_eq!(offsets(&response), (0, 7, 7));
    assert_eq!(bodies(response), ["wanted"]);
    assert_eq!(node.broker.parked_pulls(), 0);
    node.stop().await;
}

#[tokio::test]
async fn a_parked_pull_that_saw_nothing_it_wants_ends_with_its_time_and_moves_on() {
    let node = Node::start().await;
    let (client, waiting) = (node.client(), node.client());
    client.send("T", "x", "").await;
    let request = sql_pull(1, 32, "a > 5", Some(Duration::from_secs(3)));
    let parked = tokio::spawn(async move { waiting.call(request).await });
    eventually("the pull is parked", || node.broker.parked_pulls() == 1).await;
    client.send("T", "not wanted", "a\u{1}1\u{2}").await;
    node.clock.advance(Duration::from_secs(4));
    let (code, next, _) = offsets(&parked.await.unwrap());
    assert!(matches!(code, 19 | 20), "{code}: 20 when the time was up while it looked");
    assert_eq!(next, 2);
    node.stop().await;
}

#[tokio::test]
async fn the_end_of_a_broker_answers_parked_pulls_with_expressions() {
    let node = Node::start().await;
    let (client, waiting) = (node.client(), node.client());
    client.send("T", "x", "").await;
    let parked = tokio::spawn(async move { waiting.call(sql_pull(1, 32, "a > 5", Some(MINUTE))).await });
    eventually("the pull is parked", || node.broker.parked_pulls() == 1).await;
    client.send("T", "not wanted", "a\u{1}1\u{2}").await;
    node.broker.drain();
    assert!(matches!(parked.await.unwrap().code, 19 | 20));
    node.stop().await;
}

use rocketwire::{NewTopic, RequestErrorKind, ResponseCode, RouteErrorKind};
use rocketwire_protocol::{Command, RequestCode};

use crate::support::{Cluster, PATIENCE, Reaction};

#[tokio::test]
async fn topics_come_and_go() {
    let cluster = Cluster::start(2).await;
    let client = cluster.client();
    let admin = client.admin();
    admin.create_topic(&NewTopic::new("T", 3)).await.unwrap();
    assert_eq!(cluster.seen(RequestCode::UPDATE_AND_CREATE_TOPIC).len(), 2, "on every master");
    assert_eq!(admin.topics().await.unwrap(), ["T"]);
    let route = admin.topic_route("T").await.unwrap();
    assert_eq!((route.queue_datas.len(), route.queue_datas[0].write_queue_nums), (2, 3));
    assert_eq!(client.queues("T").await.unwrap().len(), 6);
    admin.delete_topic("T").await.unwrap();
    let gone = admin.topic_route("T").await.unwrap_err();
    let RequestErrorKind::Route(route) = gone.kind() else { panic!("{gone}") };
    assert_eq!(route.kind(), RouteErrorKind::NoRoute);
    assert_eq!(route.brokers(), Some(&["a".to_owned(), "b".to_owned()][..]));
}

#[tokio::test]
async fn the_cluster_is_told_and_refusals_have_words() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client();
    let info = client.admin().cluster().await.unwrap();
    assert_eq!(info.broker_addr_table["a"].master_addr().map(|a| a.to_string()), Some(cluster.address()));
    let refusal =
        Command::error(ResponseCode::INVALID_PARAMETER, "The topic[T] is conflict with system topic.");
    cluster.next("a", RequestCode::UPDATE_AND_CREATE_TOPIC, Reaction::Answer(refusal));
    let error = client.admin().create_topic(&NewTopic::new("T", 1)).await.unwrap_err();
    assert_eq!(
        (error.code(), error.address()),
        (Some(ResponseCode::INVALID_PARAMETER), Some(&*cluster.address()))
    );
    assert!(error.to_string().contains("conflict with system topic"), "{error}");
    let raw = Command::request(RequestCode::GET_BROKER_CLUSTER_INFO);
    assert!(client.admin().request(&cluster.address(), raw, PATIENCE).await.is_ok());
}

use rocketwire_protocol::{Command, body, header::*};

use crate::support::*;

#[tokio::test]
async fn topics_groups_offsets_and_messages_are_there_again() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    client.heartbeat(&consumer("c", "CG", vec![])).await;
    client.ok(commit("CG", "T", 0, 1)).await;
    let before = node.broker.topics();

    let node = node.restart().await;
    let client = node.client();
    assert_eq!(node.broker.topics(), before);
    assert_eq!(client.messages("T", 0, 0).await.len(), 1);
    let answer = client.send("T", "y", "").await;
    assert_eq!(answer.queue_offset, 1, "offsets go on");
    let query = Command::of(&QueryConsumerOffsetRequestHeader {
        consumer_group: "CG".into(),
        topic: "T".into(),
        ..Default::default()
    });
    assert_eq!(client.ok(query).await.fields.get("offset").unwrap(), "1");
    let group =
        Command::of(&GetSubscriptionGroupConfigRequestHeader { group: "CG".into(), ..Default::default() });
    let group: body::SubscriptionGroupConfig = body::decode(&client.ok(group).await.body).unwrap();
    assert_eq!(group.group_name, "CG");
    node.stop().await;
}

#[tokio::test]
async fn a_topic_is_on_disk_before_its_first_message_is_answered() {
    let node = Node::start().await;
    let client = node.client();
    client.send("T", "x", "").await;
    client.heartbeat(&consumer("c", "CG", vec![])).await;
    // What was promised is in the files now, whatever happens to the process.
    let mut options = rocketwire_store::StoreOptions::new("/copy");
    options.look = std::time::Duration::ZERO;
    let broker = rocketwire_broker::Broker::open(
        Default::default(),
        options,
        std::sync::Arc::new(copy(&node.storage)),
        node.clock.clone(),
        std::sync::Arc::new(()),
    )
    .unwrap();
    let names: Vec<_> = broker.topics().into_iter().map(|topic| topic.topic_name).collect();
    assert!(names.contains(&"T".into()) && names.contains(&"%RETRY%CG".into()));
    node.stop().await;
}

/// The files as they are at this moment, in another folder.
fn copy(from: &rocketwire_store::MemoryStorage) -> rocketwire_store::MemoryStorage {
    use rocketwire_store::Storage;
    let to = rocketwire_store::MemoryStorage::new();
    let mut folders = vec![String::new()];
    for folder in ["log", "tables", "index"] {
        folders.push(folder.into());
    }
    for folder in folders {
        let (source, target) =
            (std::path::Path::new("/store").join(&folder), std::path::Path::new("/copy").join(&folder));
        to.create_dir(&target).unwrap();
        for name in from.list(&source).unwrap_or_default() {
            let Ok(file) = from.open(&source.join(&name)) else {
                continue;
            };
            let mut bytes = vec![0; file.size().unwrap() as usize];
            file.read_at(&mut bytes, 0).unwrap();
            to.create(&target.join(&name)).unwrap().write_at(&bytes, 0).unwrap();
        }
    }
    to
}

//! Frames that real clients and servers exchanged: JSON bodies.

use rocketwire_protocol::{
    Version,
    body::{self, *},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::support::{Golden, golden, golden_frame};

/// Decodes the body; one that Apache wrote without liberties comes back byte for byte.
fn holds<T>(golden: &Golden)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let wire = golden.command().body;
    let value: T = body::decode(&wire).unwrap_or_else(|e| panic!("{}: {e}", golden.name));
    let again = body::encode(&value);
    assert_eq!(body::decode::<T>(&again).as_ref(), Ok(&value), "{}", golden.name);
    let text = String::from_utf8_lossy(&wire);
    // Maps with several entries have Java's order of hash codes; 4.9 knows fewer members.
    let exact = golden.is_java() && golden.name.starts_with("java533") || golden.name.starts_with("mqadmin");
    let hashed = text.contains("{0:") || text.contains("}:") || text.contains("subscriptionTable");
    if exact && !hashed {
        assert_eq!(again, wire, "{}", golden.name);
    }
}

fn route(golden: &Golden) {
    holds::<TopicRouteData>(golden);
    // Old requesters get broker ids without quotes, and that is how this server writes them for them.
    let wire = golden.command().body;
    let route: TopicRouteData = body::decode(&wire).unwrap();
    let version = match golden.client() {
        "go" => 317,
        "cpp" => 63,
        "node" => 121,
        _ => 479,
    };
    if !golden.name.starts_with("java498") {
        assert_eq!(route.encode_for(Version(version)), wire, "{}", golden.name);
    }
}

/// Whether the frame has a JSON body, which is then typed and compared.
fn check(golden: &Golden) -> bool {
    match (golden.request_code(), golden.is_request()) {
        (34, true) => holds::<HeartbeatData>(golden),
        (38, false) => holds::<GetConsumerListByGroupResponseBody>(golden),
        (41, true) => holds::<LockBatchRequestBody>(golden),
        (41, false) => holds::<LockBatchResponseBody>(golden),
        (42, true) => holds::<UnlockBatchRequestBody>(golden),
        (46, true) => holds::<CheckClientRequestBody>(golden),
        (105, false) => route(golden),
        (106, false) => holds::<ClusterInfo>(golden),
        (200, true) => holds::<SubscriptionGroupConfig>(golden),
        (202, false) => holds::<TopicStatsTable>(golden),
        (203, false) => holds::<ConsumerConnection>(golden),
        (208, false) => holds::<ConsumeStats>(golden),
        (220, true) => holds::<ResetOffsetBody>(golden),
        (307, false) => holds::<ConsumerRunningInfo>(golden),
        (309, false) => holds::<ConsumeMessageDirectlyResult>(golden),
        (400, true) => holds::<QueryAssignmentRequestBody>(golden),
        (400, false) => holds::<QueryAssignmentResponseBody>(golden),
        _ => return false,
    }
    true
}

#[test]
fn every_json_body_is_typed() {
    let mut typed = 0;
    for golden in golden() {
        let wire = golden.command().body;
        if wire.is_empty() || wire[0] != b'{' {
            continue;
        }
        // A message may well be JSON too; none of these is.
        assert!(check(&golden), "{}: {}", golden.name, String::from_utf8_lossy(&wire));
        typed += 1;
    }
    assert!(typed >= 40, "{typed} bodies");
}

/// What a broker reads out of a heartbeat, whoever sends it.
#[test]
fn heartbeats_of_every_client_say_the_same_things() {
    let heartbeat =
        |name: &str| -> HeartbeatData { body::decode(&golden_frame(name).command().body).unwrap() };
    let cpp = heartbeat("cpp-34-heart-beat-consumer-req");
    assert_eq!(cpp.client_id, "908-127.0.0.1@DEFAULT");
    let group = &cpp.consumer_data_set[0];
    assert_eq!(group.consume_type, ConsumeType::Passively);
    assert_eq!(group.message_model, MessageModel::Broadcasting);
    assert_eq!(group.consume_from_where, ConsumeFromWhere::LastOffset);
    let subscription = &group.subscription_data_set[0];
    assert_eq!((&*subscription.expression_type, subscription.sub_version), ("TAG", 1_795_382_113_421));

    let go = heartbeat("go-34-heart-beat-consumer-req");
    let group = &go.consumer_data_set[0];
    assert_eq!((&*group.group_name, group.message_model), ("GB_go5", MessageModel::Broadcasting));
    assert_eq!(group.consume_from_where, ConsumeFromWhere::FirstOffset);
    assert_eq!(group.subscription_data_set[0].sub_version, 1_795_381_792_888_102_520);

    let node = heartbeat("node-34-heart-beat-consumer-req");
    assert_eq!(&*node.consumer_data_set[0].subscription_data_set[0].expression_type, "TAG");

    let java = heartbeat("java498-json-34-heart-beat-consumer-req");
    assert_eq!(java.consumer_data_set[0].consume_type, ConsumeType::Actively);
    assert_eq!(java.producer_data_set[0].group_name, "CLIENT_INNER_PRODUCER");

    let rust = heartbeat("rust-34-heart-beat-consumer-req");
    assert_eq!(rust.consumer_data_set[0].subscription_data_set.len(), 2);
}

#[test]
fn maps_with_objects_as_keys_are_read_and_written() {
    let reset: ResetOffsetBody = body::decode(
        &golden_frame("java533-json-220-reset-consumer-client-offset-callback-req").command().body,
    )
    .unwrap();
    let queue = MessageQueue::new("TCb_a4", "broker-a", 3);
    assert_eq!((reset.offset_table.len(), reset.offset_table.get(&queue)), (4, Some(&0)));
    // The queues of this table stand in order, so even the order is Java's.
    let wire = golden_frame("java533-json-220-reset-consumer-client-offset-callback-req").command().body;
    assert_eq!(body::encode(&reset), wire);

    let stats: TopicStatsTable =
        body::decode(&golden_frame("mqadmin533-202-get-topic-stats-info-resp").command().body).unwrap();
    let queue = MessageQueue::new("TAdm5", "broker-a", 0);
    assert_eq!(stats.offset_table[&queue].max_offset, 6);
    assert_eq!(stats.topic_put_tps, 1.05);
}

#[test]
fn results_come_by_name_and_by_ordinal() {
    for (name, spent) in [
        ("java533-json-309-consume-message-directly-callback-resp", 1),
        ("go-309-consume-message-directly-callback-resp", 0),
    ] {
        let result: ConsumeMessageDirectlyResult = body::decode(&golden_frame(name).command().body).unwrap();
        assert_eq!(result.consume_result, Some(CMResult::Success), "{name}");
        assert_eq!(
            (result.order, result.auto_commit, result.spent_time_mills),
            (false, true, spent),
            "{name}"
        );
    }
}

use super::*;
use crate::{LanguageCode, Version};

fn text<T: Serialize>(body: &T) -> String {
    String::from_utf8(encode(body).to_vec()).unwrap()
}

/// Decodes, encodes and compares: the text is the one that Java writes.
macro_rules! same {
    ($($type:ty: $json:expr;)*) => {$(
        let body: $type = decode($json.as_bytes()).unwrap_or_else(|e| panic!("{}: {e}", $json));
        assert_eq!(text(&body), $json);
        assert_eq!(decode::<$type>(&encode(&body)).unwrap(), body);
    )*};
}

#[test]
fn bodies_are_written_as_java_writes_them() {
    same! {
        HeartbeatData: r#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"cg","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[],"expressionType":"TAG","subString":"*","subVersion":1,"tagsSet":[],"topic":"T"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":"pg"}],"withoutSub":false}"#;
        LockBatchRequestBody: r#"{"clientId":"c","consumerGroup":"g","mqSet":[{"brokerName":"b-a","queueId":0,"topic":"T"}],"onlyThisBroker":false}"#;
        LockBatchResponseBody: r#"{"lockOKMQSet":[{"brokerName":"b","queueId":1,"topic":"T"}]}"#;
        TopicRouteData: r#"{"brokerDatas":[{"brokerAddrs":{"0":"127.0.0.1:10911"},"brokerName":"b-a","cluster":"c","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"b-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#;
        ClusterInfo: r#"{"brokerAddrTable":{"b":{"brokerAddrs":{"0":"x:1","1":"y:2"},"brokerName":"b","cluster":"c","enableActingMaster":true,"zoneName":"z"}},"clusterAddrTable":{"c":["b"]}}"#;
        GetBrokerMemberGroupResponseBody: r#"{"brokerMemberGroup":{"brokerAddrs":{"0":"x:1"},"brokerName":"b","cluster":"c"}}"#;
        TopicConfig: r#"{"attributes":{},"order":false,"perm":6,"readQueueNums":16,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"writeQueueNums":16}"#;
        CreateTopicListRequestBody: r#"{"topicConfigList":[]}"#;
        TopicConfigSerializeWrapper: r#"{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":2},"mappingDataVersion":{"counter":0,"stateVersion":0,"timestamp":0},"topicConfigTable":{},"topicQueueMappingDetailMap":{}}"#;
        SubscriptionGroupConfig: r#"{"attributes":{},"brokerId":0,"consumeBroadcastEnable":false,"consumeEnable":true,"consumeFromMinEnable":false,"consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"G","groupRetryPolicy":{"type":"CUSTOMIZED"},"groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}"#;
        GroupRetryPolicy: r#"{"exponentialRetryPolicy":{"initial":5000,"max":7200000,"multiplier":2},"type":"EXPONENTIAL"}"#;
        SubscriptionGroupWrapper: r#"{"dataVersion":{"counter":0,"stateVersion":0,"timestamp":0},"forbiddenTable":{"g":{"T":1}},"subscriptionGroupTable":{}}"#;
        SubscriptionGroupList: r#"{"groupConfigList":[]}"#;
        GroupForbidden: r#"{"group":"g","readable":true,"topic":"T"}"#;
        GroupList: r#"{"groupList":["g"]}"#;
        TopicList: r#"{"topicList":["T"]}"#;
        ResetOffsetBody: r#"{"offsetTable":{{"brokerName":"b-a","queueId":0,"topic":"T"}:5,{"brokerName":"b-a","queueId":1,"topic":"T"}:-1}}"#;
        GetConsumerStatusBody: r#"{"consumerTable":{"c":{{"brokerName":"b","queueId":0,"topic":"T"}:5}},"messageQueueTable":{}}"#;
        ConsumerOffsetSerializeWrapper: r#"{"dataVersion":{"counter":0,"stateVersion":0,"timestamp":0},"offsetTable":{"T@g":{"0":7}}}"#;
        DelayOffsetSerializeWrapper: r#"{"offsetTable":{"1":7}}"#;
        QueryCorrectionOffsetBody: r#"{"correctionOffsets":{"0":7}}"#;
        ConsumerRunningInfo: r#"{"jstack":"main\n","mqPopTable":{},"mqTable":{{"brokerName":"b","queueId":0,"topic":"T"}:{"cachedMsgCount":1,"cachedMsgMaxOffset":2,"cachedMsgMinOffset":2,"cachedMsgSizeInMiB":0,"commitOffset":2,"droped":false,"lastConsumeTimestamp":3,"lastLockTimestamp":4,"lastPullTimestamp":5,"locked":true,"transactionMsgCount":0,"transactionMsgMaxOffset":0,"transactionMsgMinOffset":0,"tryUnlockTimes":0}},"properties":{"PROP_CONSUMEORDERLY":"false"},"statusTable":{"T":{"consumeFailedMsgs":0,"consumeFailedTPS":0.0,"consumeOKTPS":1.5,"consumeRT":0.25,"pullRT":0.0,"pullTPS":12345.0}},"subscriptionSet":[],"userConsumerInfo":{}}"#;
        PopProcessQueueInfo: r#"{"droped":false,"lastPopTimestamp":1,"waitAckCount":2}"#;
        ConsumeMessageDirectlyResult: r#"{"autoCommit":true,"consumeResult":"CR_SUCCESS","order":false,"spentTimeMills":1}"#;
        ConsumerConnection: r#"{"connectionSet":[{"clientAddr":"127.0.0.1:57034","clientId":"c","language":"JAVA","version":479}],"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_POP","messageModel":"BROADCASTING","subscriptionTable":{"T":{"classFilterMode":false,"codeSet":[66],"expressionType":"TAG","subString":"B","subVersion":1,"tagsSet":["B"],"topic":"T"}}}"#;
        ProducerConnection: r#"{"connectionSet":[]}"#;
        ProducerTableInfo: r#"{"data":{"g":[{"clientId":"c","language":"GO","lastUpdateTimestamp":1,"remoteIP":"10.0.0.1","version":317}]}}"#;
        TopicStatsTable: r#"{"offsetTable":{{"brokerName":"b","queueId":2,"topic":"T"}:{"lastUpdateTimestamp":1,"maxOffset":5,"minOffset":0}},"topicPutTps":1.05}"#;
        ConsumeStats: r#"{"consumeTps":0.0,"offsetTable":{{"brokerName":"b","queueId":2,"topic":"T"}:{"brokerOffset":5,"consumerOffset":4,"lastTimestamp":1,"pullOffset":5}}}"#;
        ConsumeStatsList: r#"{"brokerAddr":"x:1","consumeStatsList":[{"g":[{"consumeTps":0.0,"offsetTable":{}}]}],"totalDiff":1,"totalInflightDiff":2}"#;
        BrokerStatsData: r#"{"statsDay":{"avgpt":1.5,"sum":3,"tps":0.5},"statsHour":{"avgpt":0.0,"sum":0,"tps":0.0},"statsMinute":{"avgpt":0.0,"sum":0,"tps":0.0}}"#;
        QueryConsumeTimeSpanBody: r#"{"consumeTimeSpanSet":[{"consumeTimeStamp":1,"delayTime":2,"maxTimeStamp":3,"messageQueue":{"brokerName":"b","queueId":0,"topic":"T"},"minTimeStamp":4}]}"#;
        KVTable: r#"{"table":{"a":"1"}}"#;
        QuerySubscriptionResponseBody: r#"{"group":"g","topic":"T"}"#;
        QueryConsumeQueueResponseBody: r#"{"maxQueueIndex":5,"minQueueIndex":0,"queueData":[{"eval":true,"physicOffset":1,"physicSize":2,"tagsCode":3}]}"#;
        QueryAssignmentRequestBody: r#"{"clientId":"c","consumerGroup":"G_Pop","messageModel":"CLUSTERING","strategyName":"AVG","topic":"TPop"}"#;
        QueryAssignmentResponseBody: r#"{"messageQueueAssignments":[{"messageQueue":{"brokerName":"broker-a","queueId":-1,"topic":"TPop"},"mode":"POP"}]}"#;
        SetMessageRequestModeRequestBody: r#"{"consumerGroup":"g","mode":"POP","popShareQueueNum":-1,"topic":"T"}"#;
        BatchAckMessageRequestBody: r#"{"acks":[{"b":"AQ==","c":"g","it":60000,"pt":1,"q":0,"r":"0","rq":2,"so":3,"t":"T"}],"brokerName":"b"}"#;
        CheckClientRequestBody: r#"{"clientId":"c","group":"g"}"#;
        GetConsumerListByGroupResponseBody: r#"{"consumerIdList":["a","b"]}"#;
        RegisterBrokerBody: r#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":0,"stateVersion":0,"timestamp":0},"topicConfigTable":{"T":{"attributes":{"+a":"b"},"order":true,"perm":7,"readQueueNums":1,"topicFilterType":"MULTI_TAG","topicName":"T","topicSysFlag":3,"writeQueueNums":2}},"topicQueueMappingInfoMap":{}}}"#;
    }
}

#[test]
fn routes_bend_to_the_requesters_version() {
    let mut route = TopicRouteData::default();
    route.broker_datas.push(BrokerData {
        broker_addrs: [(0, "10.0.0.5:10911".into()), (2, "x/y中".into())].into(),
        ..BrokerData::default()
    });
    let text = |version| String::from_utf8(route.encode_for(version).to_vec()).unwrap();
    // spec: broker A.1
    for old in [Version(317), Version(121), Version(63), Version::V4_9_3] {
        assert!(text(old).contains(r#"{0:"10.0.0.5:10911",2:"x/y中"}"#));
    }
    for new in [Version::V4_9_4, Version::V5_3_3] {
        assert!(text(new).contains(r#"{"0":"10.0.0.5:10911","2":"x\/y\u4E2D"}"#));
    }
    assert_eq!(decode::<TopicRouteData>(&route.encode_for(Version(317))), Ok(route.clone()));
    assert_eq!(decode::<TopicRouteData>(&route.encode_for(Version(479))), Ok(route));
}

#[test]
fn queues_are_ordered_as_every_member_of_a_group_orders_them() {
    let mut queues = [
        MessageQueue::new("T", "b", 10),
        MessageQueue::new("T", "b", 2),
        MessageQueue::new("S", "z", 5),
        MessageQueue::new("T", "a", 11),
    ];
    queues.sort();
    let text: Vec<_> = queues.iter().map(|q| format!("{}{}{}", q.topic, q.broker_name, q.queue_id)).collect();
    assert_eq!(text, ["Sz5", "Ta11", "Tb2", "Tb10"]);
    assert_eq!(queues[0].to_string(), "MessageQueue [topic=S, brokerName=z, queueId=5]");
}

#[test]
fn absent_members_have_javas_defaults() {
    let group: SubscriptionGroupConfig = decode(br#"{"groupName":"g"}"#).unwrap();
    assert_eq!(group, SubscriptionGroupConfig::new("g"));
    assert_eq!((group.retry_max_times, group.consume_enable), (16, true));
    let subscription: SubscriptionData = decode(br#"{"topic":"T","subVersion":"17"}"#).unwrap();
    assert_eq!((&*subscription.expression_type, subscription.sub_version), ("TAG", 17));
    // Go and Java up to 4.8.
    let queue: QueueData = decode(br#"{"topicSynFlag":3}"#).unwrap();
    assert_eq!(queue.topic_sys_flag, 3);
}

#[test]
fn languages_go_by_name_and_unknown_ones_are_null() {
    let language = |json: &str| decode::<Connection>(json.as_bytes()).unwrap().language;
    assert_eq!(language(r#"{"language":"cpp"}"#), LanguageCode::CPP);
    assert_eq!(language(r#"{"language":9}"#), LanguageCode::GO);
    assert_eq!(language(r#"{"language":"COBOL"}"#), LanguageCode::UNKNOWN);
    let connection = Connection { language: LanguageCode::UNKNOWN, ..Connection::default() };
    assert_eq!(text(&connection), r#"{"clientAddr":"","clientId":"","version":0}"#);
}

#[test]
fn offsets_come_as_a_map_or_as_cpp_gets_them() {
    let map: ResetOffsetBody =
        decode(br#"{"offsetTable":{{"brokerName":"b","queueId":1,"topic":"T"}:5}}"#).unwrap();
    let list = encode(&map.for_c());
    assert_eq!(list, r#"{"offsetTable":[{"brokerName":"b","offset":5,"queueId":1,"topic":"T"}]}"#);
    assert_eq!(decode(&list), Ok(map));
    assert_eq!(decode(b"{}"), Ok(ResetOffsetBody::default()));
}

#[test]
fn long_names_of_a_batch_ack_are_read() {
    let ack: BatchAck = decode(
        br#"{"consumerGroup":"g","topic":"T","retry":"1","startOffset":3,"queueId":4,"bitSet":"AQ=="}"#,
    )
    .unwrap();
    assert_eq!((&*ack.consumer_group, ack.start_offset, &*ack.bit_set), ("g", 3, "AQ=="));
}

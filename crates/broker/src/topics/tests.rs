use rocketwire_protocol::{body::TopicConfig, message::name::AUTO_CREATE_TOPIC_KEY_TOPIC};

use super::*;

const TBW102: &str = AUTO_CREATE_TOPIC_KEY_TOPIC;
const LIMITS: TopicLimits = TopicLimits { topics: 50, auto_created: 2, queues: 1024 };

fn queue(_: &str, id: u32) -> u32 {
    id
}

fn topics(template: bool) -> Topics<u32> {
    let mut topics = Topics::new(LIMITS);
    for config in system_topics("c", "b", 8, template, true) {
        topics.update(config, 1, queue).unwrap();
    }
    topics
}

fn auto_create(topics: &mut Topics<u32>, config: TopicConfig) {
    let mut staged = topics.stage();
    topics.add(&mut staged, config, TopicOrigin::Sender, 1, queue).unwrap();
    topics.publish(staged);
}

fn template(default_topic: &str, queue_nums: i32) -> Template<'_> {
    Template { default_topic, queue_nums, unit_mode: false }
}

#[test]
fn a_new_topic_has_the_lesser_number_of_queues_and_does_not_inherit() {
    // spec: client 140
    let topics = topics(true);
    let config = topics.templated(&"T".into(), template(TBW102, 4)).unwrap().unwrap();
    assert_eq!((config.read_queue_nums, config.write_queue_nums, config.perm), (4, 4, 6));
    let config = topics.templated(&"T".into(), template(TBW102, 100)).unwrap().unwrap();
    assert_eq!(config.write_queue_nums, 8);
    let config = topics.templated(&"T".into(), template("c", 100)).unwrap().unwrap();
    assert_eq!(config.write_queue_nums, 16, "the cluster's topic is a template, too");
}

#[test]
fn without_a_template_there_is_no_new_topic() {
    // spec: client 141
    let mut topics = topics(false);
    assert!(topics.templated(&"T".into(), template(TBW102, 4)).unwrap().is_none());
    topics.update(new_config("plain", 4, 6), 1, queue).unwrap();
    assert!(topics.templated(&"T".into(), template("plain", 4)).unwrap().is_none(), "it has no inherit bit");
    let retry = topics.templated(&"%RETRY%g".into(), template("plain", 4)).unwrap().unwrap();
    assert_eq!((retry.read_queue_nums, retry.perm), (1, 6));
}

#[test]
fn a_deleted_topic_makes_room_for_another() {
    let mut topics = topics(true);
    for round in 0..3 {
        let name = format!("T{round}").into();
        let config = topics.templated(&name, template(TBW102, 4)).unwrap().unwrap();
        auto_create(&mut topics, config);
        topics.remove(&name, 1).unwrap();
    }
}

#[test]
fn what_is_staged_is_in_the_snapshot_and_nowhere_else() {
    let mut topics = topics(true);
    let before = topics.version().clone();
    let mut staged = topics.stage();
    for (name, queues) in [("T", 4), ("U", 1), ("T", 2)] {
        topics.add(&mut staged, new_config(name, queues, 6), TopicOrigin::Operator, 2, queue).unwrap();
    }
    // Who sends to a topic that another request is about to create does not change it.
    topics.add(&mut staged, new_config("U", 8, 6), TopicOrigin::Sender, 2, queue).unwrap();
    assert!(topics.find("T").is_none() && *topics.version() == before);
    let mut restarted = Topics::new(LIMITS);
    restarted.restore(topics.snapshot_with(&staged), queue);
    let names: Vec<_> = topics.publish(staged).iter().map(|topic| topic.name().clone()).collect();
    assert_eq!(names, ["T", "U"]);
    assert_eq!(topics.find("T").unwrap().config.read_queue_nums, 2, "the last change counts");
    assert_eq!(topics.find("U").unwrap().config.read_queue_nums, 1);
    assert_eq!(topics.all(), restarted.all());
    assert_eq!((topics.version(), topics.auto_created), (restarted.version(), restarted.auto_created));
    assert_ne!(*topics.version(), before);
}

#[test]
fn unit_mode_sets_its_flag() {
    let topics = topics(true);
    let unit = Template { unit_mode: true, ..template(TBW102, 4) };
    assert_eq!(topics.templated(&"T".into(), unit).unwrap().unwrap().topic_sys_flag, 1);
    assert_eq!(topics.templated(&"%RETRY%g".into(), unit).unwrap().unwrap().topic_sys_flag, 2);
}

#[test]
fn queues_exist_for_reading_and_writing() {
    let mut topics = topics(true);
    let mut config = new_config("T", 2, 6);
    config.write_queue_nums = 3;
    let topic = topics.update(config, 1, queue).unwrap();
    assert_eq!(topic.queue(2), Some(2));
    assert_eq!(topic.queue(3), None);
    assert_eq!(topic.queue(-1), None);
    assert_eq!(topic.read_queues().count(), 2);
    assert_eq!(topic.all_queues().count(), 3);
    assert!(topic.is_readable() && topic.is_writable());
}

#[test]
fn bad_names_and_numbers_are_refused() {
    let mut topics = topics(true);
    for name in ["../x", "a/b", "a\0", "", &"t".repeat(128)] {
        assert!(
            matches!(topics.update(new_config(name, 1, 6), 1, queue), Err(TopicError::Invalid(_))),
            "{name:?}"
        );
    }
    for queues in [-1, 1025, i32::MAX] {
        assert!(matches!(topics.update(new_config("T", queues, 6), 1, queue), Err(TopicError::Invalid(_))));
    }
    assert!(topics.find("T").is_none());
}

#[test]
fn names_that_differ_by_case_are_different_topics() {
    let mut topics = topics(true);
    topics.update(new_config("a", 1, 6), 1, queue).unwrap();
    topics.update(new_config("A", 2, 6), 1, queue).unwrap();
    assert_eq!(topics.find("a").unwrap().config.read_queue_nums, 1);
    assert_eq!(topics.find("A").unwrap().config.read_queue_nums, 2);
}

#[test]
fn automatic_creation_is_bounded() {
    let mut topics = topics(true);
    let mut staged = topics.stage();
    let mut send_to = |name: &str| {
        let config = topics.templated(&name.into(), template(TBW102, 4))?.unwrap();
        topics.add(&mut staged, config, TopicOrigin::Sender, 1, queue)
    };
    // Those that are saved together count one by one.
    send_to("A").unwrap();
    send_to("B").unwrap();
    let too_many = TopicError::TooManyBySending("C".into(), 2);
    assert_eq!(send_to("C"), Err(too_many.clone()));
    topics.publish(staged);
    assert_eq!(topics.templated(&"C".into(), template(TBW102, 4)).map(drop), Err(too_many));
    topics.update(new_config("C", 4, 6), 1, queue).unwrap();
    let room = LIMITS.topics - topics.all().len();
    for n in 0..room {
        topics.update(new_config(&format!("more{n}"), 1, 6), 1, queue).unwrap();
    }
    let refused = topics.update(new_config("one-more", 1, 6), 1, queue);
    assert_eq!(refused.map(drop), Err(TopicError::TooMany(50)));
    assert!(topics.update(new_config("C", 5, 6), 1, queue).is_ok(), "a change is not a new topic");
}

#[test]
fn a_snapshot_comes_back() {
    let mut topics = topics(true);
    let config = topics.templated(&"T".into(), template(TBW102, 4)).unwrap().unwrap();
    auto_create(&mut topics, config);
    let text = serde_json::to_vec(&topics.snapshot()).unwrap();
    let mut back = Topics::new(LIMITS);
    back.restore(serde_json::from_slice(&text).unwrap(), queue);
    assert_eq!(back.all(), topics.all());
    assert_eq!(back.auto_created, 1);
    assert_eq!(back.version(), topics.version());
    assert!(back.remove("T", 2).is_some());
    assert!(back.find("T").is_none());
}

//! The table of topics against two numbers and a map of settings, saved and restarted at any moment.

use std::collections::BTreeMap;

use bytestring::ByteString;
use rocketwire_protocol::{body::TopicConfig, message::name::AUTO_CREATE_TOPIC_KEY_TOPIC};
use rocketwire_testkit::{Random, for_each_seed};

use super::*;

const LIMITS: TopicLimits = TopicLimits { topics: 7, auto_created: 3, queues: 8 };
const STEPS: u64 = 50;
const ORIGINS: [TopicOrigin; 3] = [TopicOrigin::Sender, TopicOrigin::Broker, TopicOrigin::Operator];

/// What the table should hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    topics: BTreeMap<ByteString, TopicConfig>,
    auto_created: usize,
    /// Changes so far.
    changes: i64,
}

impl Model {
    /// Whether the topic may be added or changed, and what comes of it.
    fn add(&mut self, config: &TopicConfig, origin: TopicOrigin) -> Result<(), TopicError> {
        let name = &config.topic_name;
        let is_there = self.topics.contains_key(name);
        if is_there && origin != TopicOrigin::Operator {
            return Ok(());
        }
        let is_number = |queues: i32| (0..=LIMITS.queues).contains(&queues);
        if name.contains('/') || !is_number(config.read_queue_nums) || !is_number(config.write_queue_nums) {
            return Err(TopicError::Invalid(String::new()));
        }
        if !is_there && self.topics.len() >= LIMITS.topics {
            return Err(TopicError::TooMany(LIMITS.topics));
        }
        if !is_there && origin == TopicOrigin::Sender && self.auto_created >= LIMITS.auto_created {
            return Err(TopicError::TooManyBySending(name.clone(), LIMITS.auto_created));
        }
        self.topics.insert(name.clone(), config.clone());
        self.auto_created += usize::from(origin == TopicOrigin::Sender);
        self.changes += 1;
        Ok(())
    }

    fn remove(&mut self, name: &str) -> bool {
        let is_there = self.topics.remove(name).is_some();
        if is_there {
            self.auto_created = self.auto_created.saturating_sub(1);
            self.changes += 1;
        }
        is_there
    }

    fn templated(&self, name: &str, queues: i32) -> Result<Option<(i32, i32)>, TopicError> {
        let base = self.topics.get(AUTO_CREATE_TOPIC_KEY_TOPIC).filter(|base| base.perm & 1 != 0);
        let made = match base {
            Some(base) => Some((queues.min(base.write_queue_nums).max(0), base.perm & !1)),
            None => name.starts_with("%RETRY%").then_some((1, 6)),
        };
        match made {
            Some(_) if self.topics.len() >= LIMITS.topics => Err(TopicError::TooMany(LIMITS.topics)),
            Some(_) if self.auto_created >= LIMITS.auto_created => {
                Err(TopicError::TooManyBySending(name.into(), LIMITS.auto_created))
            }
            made => Ok(made),
        }
    }
}

/// The same error, whatever its text.
fn same(found: &Result<(), TopicError>, expected: &Result<(), TopicError>) -> bool {
    match (found, expected) {
        (Err(TopicError::Invalid(_)), Err(TopicError::Invalid(_))) => true,
        (found, expected) => found == expected,
    }
}

/// A queue of the store: topic and number are all that it is.
fn queue(topic: &str, id: u32) -> u32 {
    topic.bytes().fold(id, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

fn restarted(snapshot: &TopicSnapshot) -> Topics<u32> {
    let text = serde_json::to_vec(snapshot).unwrap();
    let mut topics = Topics::new(LIMITS);
    topics.restore(serde_json::from_slice(&text).unwrap(), queue);
    topics
}

fn compare(topics: &Topics<u32>, model: &Model) {
    assert_eq!(topics.all(), model.topics);
    assert_eq!((topics.auto_created, topics.version().counter), (model.auto_created, model.changes));
    for (name, config) in &model.topics {
        let topic = topics.find(name).unwrap();
        let expected = 0..config.read_queue_nums.max(config.write_queue_nums);
        let queues: Vec<_> = topic.all_queues().collect();
        assert_eq!(queues, expected.map(|id| (id, queue(name, id as u32))).collect::<Vec<_>>());
        assert_eq!(topic.read_queues().count() as i32, config.read_queue_nums);
    }
}

fn name(random: &mut Random) -> ByteString {
    const NAMES: [&str; 10] =
        ["A", "a", "b", "c", "d", "e", "%RETRY%g", "no/name", AUTO_CREATE_TOPIC_KEY_TOPIC, "con"];
    NAMES[random.below(10) as usize].into()
}

fn config(random: &mut Random) -> TopicConfig {
    let mut config = new_config(&name(random), random.below(10) as i32, 1 + random.below(7) as i32);
    if random.percent(20) {
        config.write_queue_nums = random.below(12) as i32 - 2;
    }
    config
}

fn live(random: &mut Random, done: &mut BTreeMap<&'static str, u64>) {
    let (mut topics, mut model) = (Topics::new(LIMITS), Model::default());
    for now_ms in 0..STEPS.cast_signed() {
        let action = match random.below(100) {
            0..40 => "add some",
            40..50 => "add some and fail",
            50..56 => "add some and die",
            56..70 => "change one",
            70..82 => "remove",
            82..90 => "restart",
            _ => "from the template",
        };
        *done.entry(action).or_default() += 1;
        match action {
            "change one" => {
                let config = config(random);
                let expected = model.add(&config, TopicOrigin::Operator);
                assert!(same(&topics.update(config, now_ms, queue).map(drop), &expected), "{expected:?}");
            }
            "remove" => {
                let name = name(random);
                let without = topics.snapshot_without(&name, now_ms);
                assert_eq!(topics.remove(&name, now_ms).is_some(), model.remove(&name));
                assert_eq!(restarted(&without).version(), topics.version());
                compare(&restarted(&without), &model);
            }
            "restart" => topics = restarted(&topics.snapshot()),
            "from the template" => {
                let (name, queues) = (name(random), random.below(12) as i32 - 1);
                let template = Template {
                    default_topic: AUTO_CREATE_TOPIC_KEY_TOPIC,
                    queue_nums: queues,
                    unit_mode: false,
                };
                let found = topics.templated(&name, template);
                let found = found.map(|config| config.map(|config| (config.write_queue_nums, config.perm)));
                assert_eq!(found, model.templated(&name, queues));
            }
            _ => {
                let (mut staged, mut after) = (topics.stage(), model.clone());
                for _ in 0..=random.below(4) {
                    let (config, origin) = (config(random), ORIGINS[random.below(3) as usize]);
                    let expected = after.add(&config, origin);
                    let added = topics.add(&mut staged, config, origin, now_ms, queue);
                    assert!(same(&added, &expected), "{added:?} instead of {expected:?}");
                }
                let saved = topics.snapshot_with(&staged);
                compare(&topics, &model);
                compare(&restarted(&saved), &after);
                match action {
                    "add some" => drop(topics.publish(staged)),
                    // What was saved is there, whether or not anybody saw it.
                    "add some and die" => topics = restarted(&saved),
                    _ => after = model.clone(),
                }
                model = after;
            }
        }
        compare(&topics, &model);
    }
}

#[test]
fn the_table_does_what_a_map_does() {
    let (mut done, mut sequences) = (BTreeMap::<_, u64>::new(), 0);
    let is_whole = for_each_seed("topics", "", 200, |seed| {
        live(&mut Random::new(seed), &mut done);
        sequences += 1;
    });
    let steps: u64 = done.values().sum();
    println!("{sequences} sequences of {} steps: {done:?}", steps / sequences);
    assert_eq!(steps, sequences * STEPS);
    assert!(!is_whole || (done.len() == 7 && done.values().all(|count| *count > 250)), "{done:?}");
}

#[test]
fn bounds_that_are_lower_than_they_were_take_no_topic_away() {
    let mut topics = Topics::new(LIMITS);
    for n in 0..LIMITS.topics {
        topics.update(new_config(&format!("T{n}"), 8, 6), 1, queue).unwrap();
    }
    let mut back = Topics::new(TopicLimits { topics: 2, auto_created: 0, queues: 1 });
    back.restore(topics.snapshot(), queue);
    assert_eq!(back.all(), topics.all());
    assert_eq!(back.find("T6").unwrap().all_queues().count(), 8);
    assert_eq!(back.update(new_config("T7", 1, 6), 1, queue).map(drop), Err(TopicError::TooMany(2)));
}

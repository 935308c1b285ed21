//! Topics.

use std::sync::Arc;

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, ResponseCode,
    body::{
        self, CreateTopicListRequestBody, TopicConfig, TopicConfigSerializeWrapper, TopicFilterType,
        TopicList,
    },
    header::{
        CreateTopicRequestHeader, DeleteTopicRequestHeader, GetAllTopicConfigRequestHeader,
        GetAllTopicConfigResponseHeader, GetTopicConfigRequestHeader,
    },
    message::name,
};

use super::{page::Page, with_body};
use crate::{
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    creation::Wanted,
    deletion::delete_topic,
    overload::wait_limit,
    shared::Shared,
    topics::{TopicOrigin, attributes},
};

const KNOWN_PERMS: i32 = 0b1111;

/// Request 17.
pub(super) fn create(shared: &Arc<Shared>, call: Call<'_>) -> Result<Plan, Stop> {
    let header: CreateTopicRequestHeader = call.command.header()?;
    let topic_filter_type = match &*header.topic_filter_type {
        "SINGLE_TAG" => TopicFilterType::SingleTag,
        "MULTI_TAG" => TopicFilterType::MultiTag,
        other => {
            let remark = format!("topicFilterType = [{other}] value invalid");
            return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
        }
    };
    let changes = attributes::parse(header.attributes.as_deref().unwrap_or_default())?;
    let before = shared.topic(&header.topic);
    let before = before.as_ref().map(|topic| &topic.config.attributes);
    let config = TopicConfig {
        attributes: attributes::alter(before, &changes)?,
        order: header.order.unwrap_or(false),
        perm: header.perm,
        read_queue_nums: header.read_queue_nums,
        topic_filter_type,
        topic_name: header.topic,
        topic_sys_flag: header.topic_sys_flag.unwrap_or(0),
        write_queue_nums: header.write_queue_nums,
    };
    check(shared, &config)?;
    Ok(put(shared, vec![config]))
}

/// Request 18. All are checked before the first is created.
pub(super) fn create_list(shared: &Arc<Shared>, call: Call<'_>) -> Result<Plan, Stop> {
    let mut list: CreateTopicListRequestBody = body::decode(&call.command.body)?;
    for config in &mut list.topic_config_list {
        check(shared, config)?;
        let before = shared.topic(&config.topic_name);
        let before = before.as_ref().map(|topic| &topic.config.attributes);
        config.attributes = attributes::alter(before, &attributes::signed(&config.attributes))?;
    }
    Ok(put(shared, list.topic_config_list))
}

/// Whether a topic is one that the broker made for itself (Java: `TopicValidator.isSystemTopic`).
fn is_system(shared: &Shared, topic: &str) -> bool {
    let options = &shared.options;
    name::is_system_topic(topic)
        || *topic == *options.cluster
        || *topic == *options.broker_name
        || topic.strip_suffix("_REPLY_TOPIC") == Some(&*options.cluster)
}

fn check(shared: &Shared, config: &TopicConfig) -> Result<(), Stop> {
    let invalid = |remark: String| Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    if let Err(error) = name::check_topic(&config.topic_name) {
        return invalid(error.to_string());
    }
    if is_system(shared, &config.topic_name) {
        return invalid(format!("The topic[{}] is conflict with system topic.", config.topic_name));
    }
    if config.perm & !KNOWN_PERMS != 0 {
        return invalid(format!(
            "perm {} is not made of 1 inherit, 2 write, 4 read and 8 priority",
            config.perm
        ));
    }
    Ok(())
}

/// Creates or changes topics, those that are not just so already.
fn put(shared: &Arc<Shared>, mut configs: Vec<TopicConfig>) -> Plan {
    configs.retain(|config| shared.topic(&config.topic_name).is_none_or(|topic| topic.config != *config));
    if configs.is_empty() {
        return Plan::success();
    }
    let (shared, since) = (Arc::clone(shared), shared.now());
    Plan::TakeOver(Box::new(move |command, responder| {
        let counting = Arc::clone(&shared);
        let done = move |saved: Result<(), Stop>| {
            counting.created.topics.count(saved.is_ok(), counting.now().saturating_sub(since));
            responder.send(match saved {
                Ok(()) => Command::response(ResponseCode::SUCCESS),
                Err(Stop::Refused(refused)) => refused.into(),
                // Saving needs neither.
                Err(Stop::NeedsDisk | Stop::NeedsTopic(_)) => return,
            });
        };
        let wanted = Wanted { configs, origin: TopicOrigin::Operator };
        shared.creations.add(wanted, wait_limit(command.request_code()), Box::new(done));
    }))
}

/// Request 215.
pub(super) fn delete(shared: &Arc<Shared>, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: DeleteTopicRequestHeader = call.command.header()?;
    let topic = header.topic;
    if topic.trim().is_empty() {
        return Err(refuse(ResponseCode::INVALID_PARAMETER, "The specified topic is blank."));
    }
    if is_system(shared, &topic) {
        let remark = format!("The topic[{topic}] is conflict with system topic.");
        return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    }
    needs_disk(disk)?;
    // Java's retries of POP, which only a folder of Apache's can bring: they go with their topic.
    let groups = shared.offsets().groups_of(&topic);
    let retries =
        groups.iter().flat_map(|group| ['+', '_'].map(|sign| format!("%RETRY%{group}{sign}{topic}")));
    for retry in retries.filter(|retry| shared.topic(retry).is_some()) {
        delete_topic(shared, &retry)?;
    }
    delete_topic(shared, &topic)?;
    Ok(Plan::success())
}

/// Request 351.
pub(super) fn config(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: GetTopicConfigRequestHeader = call.command.header()?;
    match shared.topic(&header.topic) {
        Some(topic) => with_body(body::encode(&topic.config)),
        None => {
            let remark = format!("No topic in this broker. topic: {}", header.topic);
            Err(refuse(ResponseCode::TOPIC_NOT_EXIST, remark))
        }
    }
}

/// Request 21.
pub(super) fn all(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let (topic_config_table, data_version) = {
        let topics = shared.topics();
        (topics.all(), topics.version().clone())
    };
    let header = GetAllTopicConfigResponseHeader {
        total_topic_num: i32::try_from(topic_config_table.len()).unwrap_or(i32::MAX),
        ..Default::default()
    };
    // Old clients name no part, and get all.
    let asked: Option<GetAllTopicConfigRequestHeader> = call.command.header().ok();
    let topic_config_table = match &asked {
        Some(asked) => {
            let of_version = asked.data_version.as_deref();
            Page { from: asked.topic_seq, of_version, max: asked.max_topic_num }
                .of(topic_config_table, &data_version)
        }
        None => topic_config_table,
    };
    let wrapper = TopicConfigSerializeWrapper {
        data_version,
        mapping_data_version: Some(Default::default()),
        topic_config_table,
        topic_queue_mapping_detail_map: Some(Default::default()),
        ..Default::default()
    };
    let response = Command::response(ResponseCode::SUCCESS).with_header(&header);
    Ok(response.with_body(body::encode(&wrapper)).into())
}

/// Request 305.
pub(super) fn system(shared: &Shared) -> Result<Plan, Stop> {
    let topics = shared.topics();
    let names = topics.iter().map(|topic| topic.name().clone());
    let mut topic_list: Vec<ByteString> = names.filter(|name| is_system(shared, name)).collect();
    topic_list.sort();
    with_body(body::encode(&TopicList { topic_list, ..Default::default() }))
}

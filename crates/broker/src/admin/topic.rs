//! Topics.

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, ResponseCode,
    body::{
        self, CreateTopicListRequestBody, TopicConfig, TopicConfigSerializeWrapper, TopicFilterType,
        TopicList,
    },
    header::{
        CreateTopicRequestHeader, DeleteTopicRequestHeader, GetAllTopicConfigResponseHeader,
        GetTopicConfigRequestHeader,
    },
    message::name,
};

use super::with_body;
use crate::{
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    shared::{Shared, TopicOrigin},
};

const KNOWN_PERMS: i32 = 0b1111;

/// Request 17.
pub(super) fn create(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: CreateTopicRequestHeader = call.command.header()?;
    let topic_filter_type = match &*header.topic_filter_type {
        "SINGLE_TAG" => TopicFilterType::SingleTag,
        "MULTI_TAG" => TopicFilterType::MultiTag,
        other => {
            let remark = format!("topicFilterType = [{other}] value invalid");
            return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
        }
    };
    let mut attributes =
        shared.topic(&header.topic).map(|topic| topic.config.attributes.clone()).unwrap_or_default();
    // `+key=value,-key` changes attributes one by one.
    for change in
        header.attributes.as_deref().unwrap_or_default().split(',').filter(|change| !change.is_empty())
    {
        match (change.strip_prefix('+').and_then(|set| set.split_once('=')), change.strip_prefix('-')) {
            (Some((key, value)), _) => drop(attributes.insert(key.into(), value.into())),
            (None, Some(key)) => drop(attributes.remove(key)),
            (None, None) => {
                let remark = format!("attribute {change} is neither +key=value nor -key");
                return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
            }
        }
    }
    let config = TopicConfig {
        attributes,
        order: header.order.unwrap_or(false),
        perm: header.perm,
        read_queue_nums: header.read_queue_nums,
        topic_filter_type,
        topic_name: header.topic,
        topic_sys_flag: header.topic_sys_flag.unwrap_or(0),
        write_queue_nums: header.write_queue_nums,
    };
    put(shared, config, disk)?;
    Ok(Plan::success())
}

/// Request 18.
pub(super) fn create_list(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let list: CreateTopicListRequestBody = body::decode(&call.command.body)?;
    for config in &list.topic_config_list {
        check(config)?;
    }
    for config in list.topic_config_list {
        put(shared, config, disk)?;
    }
    Ok(Plan::success())
}

fn check(config: &TopicConfig) -> Result<(), Stop> {
    let invalid = |remark: String| Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    if let Err(error) = name::check_topic(&config.topic_name) {
        return invalid(error.to_string());
    }
    if name::is_system_topic(&config.topic_name) {
        return invalid(format!("The topic[{}] is conflict with system topic.", config.topic_name));
    }
    if config.perm & !KNOWN_PERMS != 0 {
        return invalid(format!(
            "perm {} is not made of 1 inherit, 2 write, 4 read and 8 priority",
            config.perm
        ));
    }
    if config.attributes.get("message.type").is_some_and(|kind| *kind == "MIXED") {
        return invalid("MIXED message type is not supported.".into());
    }
    Ok(())
}

fn put(shared: &Shared, config: TopicConfig, disk: Disk) -> Result<(), Stop> {
    check(&config)?;
    if shared.topic(&config.topic_name).is_some_and(|topic| topic.config == config) {
        return Ok(());
    }
    shared.put_topic(config, TopicOrigin::Operator, disk).map(drop)
}

/// Request 215.
pub(super) fn delete(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: DeleteTopicRequestHeader = call.command.header()?;
    let topic = header.topic;
    if topic.trim().is_empty() {
        return Err(refuse(ResponseCode::INVALID_PARAMETER, "The specified topic is blank."));
    }
    let is_ours = topic == shared.options.cluster || topic == shared.options.broker_name;
    if name::is_system_topic(&topic) || is_ours {
        let remark = format!("The topic[{topic}] is conflict with system topic.");
        return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    }
    if shared.topic(&topic).is_none() {
        return Ok(Plan::success());
    }
    needs_disk(disk)?;
    let failed = |error: String| {
        let remark = format!("topic {topic} was not deleted: {error}");
        refuse(ResponseCode::SYSTEM_ERROR, remark)
    };
    // Its messages would stay in the log, and be those of the next topic of that name.
    if let Some(error) = shared.store.poisoned() {
        let remark =
            format!("the store refuses writes until it is restarted, because of an earlier failure: {error}");
        return Err(failed(remark));
    }
    let saved = shared.tables.change_topics(|file| {
        shared.topics_mut().remove(&topic, shared.now_ms());
        let snapshot = shared.topics().snapshot();
        file.save(snapshot)
    });
    shared.offsets().remove_topic(&topic);
    shared.listener.topic_removed(&topic);
    saved.map_err(|error| failed(error.to_string()))?;
    shared.store.delete_topic(&topic).map_err(|error| failed(error.to_string()))?;
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
pub(super) fn all(shared: &Shared) -> Result<Plan, Stop> {
    let (topic_config_table, data_version) = {
        let topics = shared.topics();
        (topics.all(), topics.version().clone())
    };
    let header = GetAllTopicConfigResponseHeader {
        total_topic_num: i32::try_from(topic_config_table.len()).unwrap_or(i32::MAX),
        ..Default::default()
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
    let options = &shared.options;
    let is_system = |name: &ByteString| {
        name::is_system_topic(name) || *name == options.cluster || *name == options.broker_name
    };
    let topics = shared.topics();
    let mut topic_list: Vec<ByteString> = topics.iter().map(|t| t.name().clone()).filter(is_system).collect();
    topic_list.sort();
    with_body(body::encode(&TopicList { topic_list, ..Default::default() }))
}

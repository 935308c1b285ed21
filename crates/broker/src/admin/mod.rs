//! What operators ask and change (Java: `AdminBrokerProcessor`; spec broker B.16 to B.18).

mod config;
mod connections;
mod forbidden;
mod group;
mod mode;
mod offsets;
mod page;
mod queue;
mod reset;
mod runtime;
mod stats;
mod topic;
mod view;

use std::sync::Arc;

use bytes::Bytes;
use rocketwire_protocol::{Command, RequestCode, ResponseCode};

use crate::{
    call::{Call, Disk, Plan, Stop},
    shared::Shared,
};

pub(crate) use reset::reset_offset;

/// Requests of tools; `None` if the code is none of them.
pub(crate) fn plan(shared: &Arc<Shared>, call: Call<'_>, disk: Disk) -> Option<Result<Plan, Stop>> {
    Some(match call.command.request_code() {
        RequestCode::UPDATE_AND_CREATE_TOPIC => topic::create(shared, call),
        RequestCode::UPDATE_AND_CREATE_TOPIC_LIST => topic::create_list(shared, call),
        RequestCode::DELETE_TOPIC_IN_BROKER => topic::delete(shared, call, disk),
        RequestCode::GET_TOPIC_CONFIG => topic::config(shared, call),
        RequestCode::GET_ALL_TOPIC_CONFIG => topic::all(shared, call),
        RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => topic::system(shared),
        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => group::update(shared, call, disk),
        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => group::update_list(shared, call, disk),
        RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => group::all(shared, call),
        RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG => group::config(shared, call),
        RequestCode::DELETE_SUBSCRIPTIONGROUP => group::delete(shared, call, disk),
        RequestCode::GET_ALL_CONSUMER_OFFSET => offsets::all(shared),
        RequestCode::GET_ALL_DELAY_OFFSET => offsets::delays(shared),
        RequestCode::CLONE_GROUP_OFFSET => offsets::clone_group(shared, call),
        RequestCode::QUERY_CORRECTION_OFFSET => offsets::correction(shared, call),
        RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN => forbidden::update(shared, call, disk),
        RequestCode::VIEW_BROKER_STATS_DATA => view::stats(shared, call),
        RequestCode::QUERY_TOPIC_CONSUME_BY_WHO => offsets::groups_of_topic(shared, call),
        RequestCode::QUERY_TOPICS_BY_CONSUMER => offsets::topics_of_group(shared, call),
        RequestCode::GET_CONSUMER_CONNECTION_LIST => connections::consumers(shared, call),
        RequestCode::GET_PRODUCER_CONNECTION_LIST => connections::producers(shared, call),
        RequestCode::GET_ALL_PRODUCER_INFO => connections::all_producers(shared),
        RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER => connections::subscription(shared, call),
        RequestCode::GET_TOPIC_STATS_INFO => stats::topic(shared, call, disk),
        RequestCode::GET_CONSUME_STATS => stats::group(shared, call, disk),
        RequestCode::GET_BROKER_CONSUME_STATS => stats::all_groups(shared, call, disk),
        RequestCode::QUERY_CONSUME_TIME_SPAN => stats::time_span(shared, call, disk),
        RequestCode::QUERY_CONSUME_QUEUE => queue::entries(shared, call, disk),
        // A queue's index goes with the messages it points to, and a deleted topic's queues with the topic: there is
        // never anything left to clean.
        RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE | RequestCode::CLEAN_UNUSED_TOPIC => Ok(Plan::success()),
        RequestCode::DELETE_EXPIRED_COMMITLOG => queue::delete_expired(shared, disk),
        RequestCode::GET_BROKER_RUNTIME_INFO => runtime::info(shared, disk),
        RequestCode::GET_BROKER_HA_STATUS => runtime::replication(shared),
        // Asked by tools of replicated brokers. One without replicas has nothing to reset, and no epochs.
        RequestCode::RESET_MASTER_FLUSH_OFFSET => Ok(Plan::success()),
        RequestCode::GET_BROKER_EPOCH_CACHE => runtime::epochs(),
        RequestCode::SET_MESSAGE_REQUEST_MODE => mode::set(shared, call),
        RequestCode::GET_COLD_DATA_FLOW_CTR_INFO => runtime::cold_data(),
        RequestCode::GET_BROKER_CONFIG => config::get(shared, call),
        RequestCode::UPDATE_BROKER_CONFIG => config::update(shared, call),
        _ => return None,
    })
}

fn with_body(body: Bytes) -> Result<Plan, Stop> {
    Ok(Command::response(ResponseCode::SUCCESS).with_body(body).into())
}

//! Leases for orderly consumers (Java: `AdminBrokerProcessor.lockBatchMQ`; spec broker B.11).

use rocketwire_protocol::{
    Command, ResponseCode,
    body::{self, LockBatchRequestBody, LockBatchResponseBody, MessageQueue},
    message::name,
};

use crate::{
    call::{Call, Plan, Stop, refuse},
    client::{CLIENT_ID_MAX, check_client_id},
    shared::Shared,
};

/// Request 41. A lease is kept with its names, so they have bounds: a queue whose name is none is not leased.
pub(crate) fn lock(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let request: LockBatchRequestBody = body::decode(&call.command.body)?;
    name::check_group(&request.consumer_group)
        .map_err(|error| refuse(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
    check_client_id(&request.client_id)?;
    let is_sound = |queue: &MessageQueue| {
        name::check_topic(&queue.topic).is_ok() && queue.broker_name.len() <= CLIENT_ID_MAX
    };
    let queues = request.mq_set.into_iter().filter(is_sound);
    let now = shared.now();
    let lock_ok_mq_set = shared.locks().lock(&request.consumer_group, &request.client_id, queues, now);
    let body = body::encode(&LockBatchResponseBody { lock_ok_mq_set });
    Ok(Command::response(ResponseCode::SUCCESS).with_body(body).into())
}

/// Request 42.
pub(crate) fn unlock(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let request: LockBatchRequestBody = body::decode(&call.command.body)?;
    shared.locks().unlock(&request.consumer_group, &request.client_id, &request.mq_set);
    Ok(Plan::success())
}

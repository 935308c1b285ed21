//! How a group gets its messages.

use rocketwire_protocol::{
    ResponseCode,
    body::{self, MessageRequestMode, SetMessageRequestModeRequestBody},
    message::name,
};

use crate::{
    call::{Call, Plan, Stop, refuse},
    shared::Shared,
};

/// Request 401: by pull, which is the only way there is.
pub(super) fn set(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let wanted: SetMessageRequestModeRequestBody = body::decode(&call.command.body)?;
    if name::is_retry_topic(&wanted.topic) {
        return Err(refuse(ResponseCode::NO_PERMISSION, "retry topic is not allowed to set mode"));
    }
    if shared.topic(&wanted.topic).is_none() {
        let remark = format!("topic[{}] not exist", wanted.topic);
        return Err(refuse(ResponseCode::TOPIC_NOT_EXIST, remark));
    }
    // Without leave to create it.
    if shared.group(&wanted.consumer_group).is_none() {
        let remark = "subscription group does not exist";
        return Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    match wanted.mode {
        MessageRequestMode::Pull => Ok(Plan::success()),
        _ => {
            let remark =
                " request type 401 not supported: this broker has no POP; its groups consume by pull";
            Err(refuse(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark))
        }
    }
}

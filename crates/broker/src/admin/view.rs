//! One number over time (Java: `AdminBrokerProcessor.viewBrokerStatsData`).

use rocketwire_protocol::{ResponseCode, body, header::ViewBrokerStatsDataRequestHeader};

use super::with_body;
use crate::{
    call::{Call, Plan, Stop, refuse},
    meters::{Amount, Measured},
    shared::Shared,
};

/// Request 315.
pub(super) fn stats(shared: &Shared, call: Call<'_>) -> Result<Plan, Stop> {
    let header: ViewBrokerStatsDataRequestHeader = call.command.header()?;
    let key = &header.stats_key;
    let is_size = header.stats_name.ends_with("_SIZE");
    let measured = match &*header.stats_name {
        "TOPIC_PUT_NUMS" | "TOPIC_PUT_SIZE" => Some((Measured::Topic(key.clone()), shared.put_into(key))),
        "GROUP_GET_NUMS" | "GROUP_GET_SIZE" => Some((Measured::Group(key.clone()), shared.got_by(key))),
        "BROKER_PUT_NUMS" if *key == shared.options.cluster => {
            Some((Measured::BrokerIn, shared.statistics.amount_in()))
        }
        "BROKER_GET_NUMS" if *key == shared.options.cluster => {
            Some((Measured::BrokerOut, shared.statistics.amount_out()))
        }
        _ => None,
    };
    let Some((measured, amount)) = measured.filter(|(_, amount)| amount.messages > 0) else {
        let remark = format!("The stats <{}> <{key}> not exist", header.stats_name);
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    };
    let value: fn(&Amount) -> u64 = if is_size { |amount| amount.bytes } else { |amount| amount.messages };
    with_body(body::encode(&shared.meters().view(&measured, amount, shared.now_ms(), value)))
}

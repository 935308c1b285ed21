//! Single messages, by key and by place (Java: `QueryMessageProcessor`; spec broker B.6).

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, ResponseCode,
    header::{QueryMessageRequestHeader, QueryMessageResponseHeader, ViewMessageRequestHeader},
};
use rocketwire_store::KeyQuery;

use crate::{
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    offset::unreadable,
    shared::Shared,
};

/// The field of a request for the one message with a unique key (Java: `MixAll.UNIQUE_MSG_QUERY_FLAG`).
const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";
/// How many messages such a request gets, whatever it asks for (Java: `defaultQueryMaxNum`). Messages that were sent
/// again after a failure have the same unique key.
const UNIQUE_KEY_MAX: usize = 32;

/// Request 12.
pub(crate) fn by_key(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: QueryMessageRequestHeader = call.command.header()?;
    needs_disk(disk)?;
    let is_unique = call.command.fields.get(UNIQUE_KEY_QUERY).is_some_and(|flag| *flag == *"true");
    let asked = if is_unique { UNIQUE_KEY_MAX } else { usize::try_from(header.max_num).unwrap_or(0) };
    let query = KeyQuery {
        topic: &header.topic,
        key: &header.key,
        begin_ms: header.begin_timestamp,
        end_ms: header.end_timestamp,
        max_messages: asked.min(shared.options.max_query_messages),
        max_bytes: shared.options.max_query_bytes,
    };
    let outcome = shared.store.query(query).map_err(unreadable)?;
    let header = QueryMessageResponseHeader {
        index_last_update_timestamp: outcome.last_timestamp,
        index_last_update_phyoffset: outcome.end,
        ..Default::default()
    };
    let response = if outcome.count == 0 {
        let remark = ByteString::from_static("can not find message, maybe time range not correct");
        Command::response(ResponseCode::QUERY_NOT_FOUND).with_remark(remark)
    } else {
        Command::response(ResponseCode::SUCCESS).with_body(outcome.records)
    };
    Ok(response.with_header(&header).into())
}

/// Request 33.
pub(crate) fn by_place(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: ViewMessageRequestHeader = call.command.header()?;
    needs_disk(disk)?;
    match shared.store.record_at(header.offset).map_err(unreadable)? {
        Some(record) => Ok(Command::response(ResponseCode::SUCCESS).with_body(record).into()),
        None => {
            let remark = format!("can not find message by the offset, {}", header.offset);
            Err(refuse(ResponseCode::SYSTEM_ERROR, remark))
        }
    }
}

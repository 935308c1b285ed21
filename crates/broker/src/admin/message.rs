//! Single messages.

use rocketwire_protocol::{Command, ResponseCode, header::ViewMessageRequestHeader};

use crate::{
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    offset::unreadable,
    shared::Shared,
};

/// Request 33.
pub(crate) fn view_message(shared: &Shared, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
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

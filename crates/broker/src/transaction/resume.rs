//! Asking again about half messages that were given up.

use std::sync::Arc;

use rocketwire_protocol::{
    Command, ResponseCode,
    header::ResumeCheckHalfMessageRequestHeader,
    message::{
        OffsetMessageId,
        name::{TRANS_CHECK_MAX_TIME_TOPIC, TRANS_HALF_TOPIC},
        property,
    },
};

use super::{Pending, check::store_anew};
use crate::{
    back::original,
    call::{Call, Disk, Plan, Stop, needs_disk, refuse},
    send::store_failure,
    shared::Shared,
};

/// Request 323: the half message with this offset id waits again, as if its producer had never been asked. One that
/// has its verdict stays as it is; Java would deliver it twice.
pub(crate) fn resume(shared: &Arc<Shared>, call: Call<'_>, disk: Disk) -> Result<Plan, Stop> {
    let header: ResumeCheckHalfMessageRequestHeader = call.command.header()?;
    let failed = |why: &str| {
        let remark = format!("Put message back to {TRANS_HALF_TOPIC} failed: {why}");
        refuse(ResponseCode::SYSTEM_ERROR, remark)
    };
    let id: OffsetMessageId =
        header.msg_id.unwrap_or_default().parse().map_err(|_| failed("msgId is no offset message id"))?;
    needs_disk(disk)?;
    let half = original(shared, id.offset)?;
    let group = half.property(property::PGROUP).unwrap_or_default().to_owned();
    let (from, pending) = match half.topic() {
        TRANS_HALF_TOPIC => {
            let claimed = shared.transactions().claim_to_move(half.queue_offset());
            let (from, pending) = claimed.ok_or_else(|| failed("it has its verdict"))?;
            (Some(from), Pending { checks: 0, ..pending })
        }
        TRANS_CHECK_MAX_TIME_TOPIC if half.property(property::REAL_TOPIC).is_some() => {
            let pending = Pending {
                physical_offset: 0,
                group: group.into(),
                topic: half.property(property::REAL_TOPIC).unwrap_or_default().into(),
                since_ms: shared.now_ms(),
                checks: 0,
                former: Vec::new(),
                op_from: 0,
            };
            (None, pending)
        }
        _ => return Err(failed("it is no half message")),
    };
    let shared = Arc::clone(shared);
    Ok(Plan::TakeOver(Box::new(move |_, responder| {
        store_anew(&shared, from, pending, &half, move |stored| {
            responder.send(match stored {
                Ok(()) => Command::response(ResponseCode::SUCCESS),
                Err(error) => store_failure(&error).into(),
            });
        });
    })))
}

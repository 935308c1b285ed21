//! Requests that waited too long for a thread that may wait for the disk (Java: `BrokerFastFailure`).
//!
//! All other requests are served where they arrive, without a queue; who sends more than that carries is slowed down by
//! its own connection, which is not read meanwhile.

use std::time::Duration;

use rocketwire_protocol::{RequestCode, ResponseCode};

use crate::call::Refused;

/// How long a request may wait (Java: `waitTimeMillsInPullQueue` and its like). Java gives sends 200 ms; here a send
/// waits only to have its topic created, as operators do, who have 5 s.
pub(crate) fn wait_limit(code: RequestCode) -> Duration {
    match code {
        RequestCode::HEART_BEAT => Duration::from_secs(31),
        RequestCode::END_TRANSACTION => Duration::from_secs(3),
        _ => Duration::from_secs(5),
    }
}

/// The answer to a request that waited longer.
pub(crate) fn waited_too_long(waited: Duration, waiting: usize) -> Refused {
    let remark = format!(
        "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: {}ms, size of queue: {waiting}",
        waited.as_millis()
    );
    Refused::new(ResponseCode::SYSTEM_BUSY, remark)
}

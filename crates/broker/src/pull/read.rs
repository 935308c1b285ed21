//! One read of a queue for one pull.

use std::sync::Arc;

use bytestring::ByteString;
use rocketwire_protocol::{Command, ResponseCode, header::PullMessageResponseHeader};
use rocketwire_store::{QueueId, ReadLimits, ReadOutcome, ReadStatus};

use super::select;
use crate::{
    call::{Disk, Stop, needs_disk, refuse},
    filter::Filter,
    meters::Amount,
    shared::Shared,
    statistics::Statistics,
    topics::Topic,
};

/// A pull that passed its checks; it owns all that it needs, so that it can be parked.
#[derive(Clone, Debug)]
pub(crate) struct PullTask {
    pub(crate) group: ByteString,
    pub(crate) group_sys_flag: i32,
    pub(crate) topic: Arc<Topic<QueueId>>,
    pub(crate) queue_id: i32,
    pub(crate) queue: QueueId,
    pub(crate) offset: i64,
    pub(crate) max_messages: i32,
    pub(crate) filter: Filter,
}

impl PullTask {
    /// Reads the queue and makes the answer of it, whatever it is; and with how many messages.
    pub(crate) fn read(&self, shared: &Shared, disk: Disk) -> Result<(Command, usize), Stop> {
        let outcome = self.look(shared, disk)?;
        let messages = outcome.count;
        Ok((self.response(outcome), messages))
    }

    /// What the queue has for it.
    pub(super) fn look(&self, shared: &Shared, disk: Disk) -> Result<ReadOutcome, Stop> {
        let wanted = usize::try_from(self.max_messages).unwrap_or(0).max(1);
        let limits = ReadLimits {
            max_messages: wanted.min(shared.options.max_pull_messages),
            max_bytes: shared.options.max_pull_bytes,
            ..ReadLimits::for_pull(wanted)
        };
        let store = &shared.store;
        let mut accept = |tags_code| self.filter.accepts(tags_code);
        let outcome = match (&self.filter, disk) {
            // What a client's expression costs is not for a connection's task, nor for the store's writer.
            (Filter::Sql(filter), _) => {
                needs_disk(disk)?;
                select::read(store, self.queue, self.offset, limits, filter).map(Some)
            }
            (_, Disk::Avoid) => store.read_now(self.queue, self.offset, limits, &mut accept),
            (_, Disk::Allowed) => store.read(self.queue, self.offset, limits, &mut accept).map(Some),
        };
        match outcome {
            Ok(Some(outcome)) => Ok(outcome),
            Ok(None) => Err(Stop::NeedsDisk),
            Err(error) => {
                let remark =
                    format!("queue {} of topic {} cannot be read: {error}", self.queue_id, self.topic.name());
                Err(refuse(ResponseCode::SYSTEM_ERROR, remark))
            }
        }
    }

    /// The last pass of a pull: it is not parked again.
    pub(crate) fn serve(&self, shared: &Shared, disk: Disk) -> Result<Command, Stop> {
        if let Some(response) = moved(shared, self) {
            return Ok(response);
        }
        let (response, messages) = self.read(shared, disk)?;
        self.count(shared, &response, messages);
        Ok(response)
    }

    /// Counts an answer that goes out with so many messages.
    pub(crate) fn count(&self, shared: &Shared, response: &Command, messages: usize) {
        let statistics = &shared.statistics;
        if !response.response_code().is_success() {
            Statistics::add(&statistics.pulls_missed, 1);
            return;
        }
        Statistics::add(&statistics.pulls_found, 1);
        Statistics::add(&statistics.messages_out, messages);
        Statistics::add(&statistics.bytes_out, response.body.len());
        if let Ok(header) = response.response_header::<PullMessageResponseHeader>() {
            let next = header.next_begin_offset;
            let amount = Amount { messages: messages as u64, bytes: response.body.len() as u64 };
            shared.offsets().pulled(&self.group, self.topic.name(), self.queue_id, next, amount);
        }
    }

    pub(super) fn response(&self, outcome: ReadOutcome) -> Command {
        let code = code_of(outcome.status, self.offset);
        let remark = ByteString::from_static(outcome.status.name());
        let header = self.header(outcome.next_offset, outcome.min_offset, outcome.max_offset);
        let response = Command::response(code).with_header(&header).with_remark(remark);
        if code.is_success() { response.with_body(outcome.records) } else { response }
    }

    fn header(&self, next: i64, min: i64, max: i64) -> PullMessageResponseHeader {
        PullMessageResponseHeader {
            suggest_which_broker_id: 0,
            next_begin_offset: next,
            min_offset: min,
            max_offset: max,
            topic_sys_flag: Some(self.topic.config.topic_sys_flag),
            group_sys_flag: Some(self.group_sys_flag),
            ..Default::default()
        }
    }
}

/// The answer to a pull of a queue that an operator has reset: the new offset, once (spec broker B.16).
pub(crate) fn moved(shared: &Shared, task: &PullTask) -> Option<Command> {
    let offset = shared.offsets().take_reset(&task.group, task.topic.name(), task.queue_id)?;
    let bounds = shared.store.bounds(task.queue);
    let header = task.header(offset, bounds.min, bounds.max);
    let response = Command::response(ResponseCode::PULL_OFFSET_MOVED);
    Some(response.with_header(&header).with_remark(ByteString::from_static("OFFSET_RESET")))
}

/// Store status to response code.
fn code_of(status: ReadStatus, offset: i64) -> ResponseCode {
    match status {
        ReadStatus::Found => ResponseCode::SUCCESS,
        ReadStatus::NoMatchedMessage | ReadStatus::MessageWasRemoving => ResponseCode::PULL_RETRY_IMMEDIATELY,
        // A queue without messages is the right place only for who begins at 0.
        ReadStatus::NoMessageInQueue | ReadStatus::NoMatchedLogicQueue if offset != 0 => {
            ResponseCode::PULL_OFFSET_MOVED
        }
        ReadStatus::NoMessageInQueue | ReadStatus::NoMatchedLogicQueue | ReadStatus::OffsetOverflowOne => {
            ResponseCode::PULL_NOT_FOUND
        }
        ReadStatus::OffsetOverflowBadly | ReadStatus::OffsetTooSmall => ResponseCode::PULL_OFFSET_MOVED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_codes() {
        // spec: client 147 148 149
        let code = |status, offset| code_of(status, offset).0;
        assert_eq!(code(ReadStatus::Found, 0), 0);
        assert_eq!(code(ReadStatus::NoMatchedMessage, 5), 20);
        assert_eq!(code(ReadStatus::OffsetOverflowOne, 5), 19);
        assert_eq!(code(ReadStatus::OffsetOverflowBadly, 5), 21);
        assert_eq!(code(ReadStatus::OffsetTooSmall, 5), 21);
        assert_eq!(code(ReadStatus::NoMessageInQueue, 0), 19);
        assert_eq!(code(ReadStatus::NoMessageInQueue, 5), 21);
        assert_eq!(code(ReadStatus::NoMatchedLogicQueue, -1), 21);
    }
}

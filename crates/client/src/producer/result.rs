//! What a broker's answer to a send means (spec client E.7).

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, HeaderError, ResponseCode, body::MessageQueue, header::SendMessageResponseHeader,
};

/// How safely a message is stored. With every status it *is* stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendStatus {
    /// As safely as the broker's configuration promises.
    SendOk,
    /// Not yet on the master's disk when the broker stopped waiting.
    FlushDiskTimeout,
    /// Not yet on a slave when the broker stopped waiting.
    FlushSlaveTimeout,
    /// No slave is there, though the broker should have one.
    SlaveNotAvailable,
}

impl SendStatus {
    fn of(code: ResponseCode) -> Option<SendStatus> {
        match code {
            ResponseCode::SUCCESS => Some(SendStatus::SendOk),
            ResponseCode::FLUSH_DISK_TIMEOUT => Some(SendStatus::FlushDiskTimeout),
            ResponseCode::FLUSH_SLAVE_TIMEOUT => Some(SendStatus::FlushSlaveTimeout),
            ResponseCode::SLAVE_NOT_AVAILABLE => Some(SendStatus::SlaveNotAvailable),
            _ => None,
        }
    }

    /// The response code of the status.
    pub fn code(self) -> ResponseCode {
        match self {
            SendStatus::SendOk => ResponseCode::SUCCESS,
            SendStatus::FlushDiskTimeout => ResponseCode::FLUSH_DISK_TIMEOUT,
            SendStatus::FlushSlaveTimeout => ResponseCode::FLUSH_SLAVE_TIMEOUT,
            SendStatus::SlaveNotAvailable => ResponseCode::SLAVE_NOT_AVAILABLE,
        }
    }
}

/// A message that a broker has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendResult {
    /// How safely.
    pub status: SendStatus,
    /// The unique id that this client gave the message; of a batch, the ids joined by `,`.
    pub msg_id: String,
    /// The broker's id, which tells its address and the offset in its log; of a batch, joined by `,`.
    pub offset_msg_id: ByteString,
    /// Where it is.
    pub message_queue: MessageQueue,
    /// The offset in that queue; of a batch, that of the first message.
    pub queue_offset: i64,
    /// The id of the transaction, of a half message.
    pub transaction_id: Option<ByteString>,
    /// What takes a timer message back, if the broker offers it.
    pub recall_handle: Option<ByteString>,
    /// The broker's region; `DefaultRegion` if it does not say.
    pub region_id: ByteString,
    /// Whether the broker wants the message traced.
    pub trace_on: bool,
}

/// The result in an answer; `Ok(None)` if the broker refused.
pub(crate) fn result(
    answer: &Command,
    msg_id: &str,
    queue: &MessageQueue,
) -> Result<Option<SendResult>, HeaderError> {
    let Some(status) = SendStatus::of(answer.response_code()) else { return Ok(None) };
    let header: SendMessageResponseHeader = answer.response_header()?;
    let mut message_queue = queue.clone();
    message_queue.queue_id = header.queue_id;
    let trace_on = answer.fields.get("TRACE_ON").is_none_or(|on| on != "false");
    let region = answer.fields.get("MSG_REGION").filter(|region| !region.is_empty());
    Ok(Some(SendResult {
        status,
        msg_id: header.batch_uniq_id.map_or_else(|| msg_id.to_owned(), |id| id.to_string()),
        offset_msg_id: header.msg_id,
        message_queue,
        queue_offset: header.queue_offset,
        transaction_id: header.transaction_id,
        recall_handle: header.recall_handle,
        region_id: region.unwrap_or_else(|| ByteString::from_static("DefaultRegion")),
        trace_on,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: ResponseCode) -> Command {
        Command::response(code).with_header(&SendMessageResponseHeader {
            msg_id: "0A00000500002A9F000000000000012C".into(),
            queue_id: 2,
            queue_offset: 7,
            transaction_id: Some("TX".into()),
            recall_handle: Some("handle".into()),
            ..SendMessageResponseHeader::default()
        })
    }

    fn queue() -> MessageQueue {
        MessageQueue::new("T", "broker-a", -1)
    }

    #[test]
    fn four_codes_are_results_and_the_rest_refusals() {
        for (code, status) in [
            (ResponseCode::SUCCESS, SendStatus::SendOk),
            (ResponseCode::FLUSH_DISK_TIMEOUT, SendStatus::FlushDiskTimeout),
            (ResponseCode::FLUSH_SLAVE_TIMEOUT, SendStatus::FlushSlaveTimeout),
            (ResponseCode::SLAVE_NOT_AVAILABLE, SendStatus::SlaveNotAvailable),
        ] {
            let result = result(&answer(code), "ID", &queue()).expect("readable").expect("stored");
            assert_eq!((result.status, status.code()), (status, code));
        }
        assert_eq!(result(&answer(ResponseCode::SYSTEM_BUSY), "ID", &queue()), Ok(None));
    }

    #[test]
    fn fields_are_where_java_has_them() {
        // spec: client 55 56
        let result_of = |answer: &Command| result(answer, "ID", &queue()).expect("readable").expect("stored");
        let plain = result_of(&answer(ResponseCode::SUCCESS));
        assert_eq!(plain.msg_id, "ID");
        assert_eq!(plain.offset_msg_id, "0A00000500002A9F000000000000012C");
        assert_eq!(plain.message_queue, MessageQueue::new("T", "broker-a", 2), "the broker chose the queue");
        assert_eq!((plain.queue_offset, plain.transaction_id.as_deref()), (7, Some("TX")));
        assert_eq!(plain.recall_handle.as_deref(), Some("handle"));
        assert_eq!((&*plain.region_id, plain.trace_on), ("DefaultRegion", true));
        let said =
            answer(ResponseCode::SUCCESS).with_field("MSG_REGION", "hz").with_field("TRACE_ON", "false");
        let said = result_of(&said);
        assert_eq!((&*said.region_id, said.trace_on), ("hz", false));
    }

    #[test]
    fn an_answer_without_its_header_is_an_error() {
        assert!(result(&Command::response(ResponseCode::SUCCESS), "ID", &queue()).is_err());
    }
}

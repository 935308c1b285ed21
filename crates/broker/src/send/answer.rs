//! What producers are told.

use std::{net::SocketAddr, sync::Arc};

use bytestring::ByteString;
use rocketwire_protocol::{
    Command, FieldWriter, ResponseCode, WriteFields, header::SendMessageResponseHeader,
    message::OffsetMessageId,
};
use rocketwire_remoting::Responder;
use rocketwire_store::{AppendError, Appended, Completion};

use crate::{
    call::Refused,
    meters::Meter,
    metrics::{MessageType, Traffic},
    planted::crash_point,
    shared::Shared,
    statistics::Statistics,
    transaction::Half,
};

/// Who waits for an append.
pub(crate) enum Stored {
    /// A producer.
    Send(SendDone),
    /// The broker itself.
    Call(Box<dyn FnOnce(Result<Appended, AppendError>) + Send>),
}

impl Completion for Stored {
    fn complete(self, result: Result<Appended, AppendError>) {
        match self {
            Stored::Send(done) => done.complete(result),
            Stored::Call(call) => call(result),
        }
    }
}

/// What the answer to a send needs.
pub(crate) struct SendDone {
    pub(crate) shared: Arc<Shared>,
    pub(crate) responder: Responder,
    /// Counts what is stored in the topic.
    pub(crate) puts: Arc<Meter>,
    /// The queue that the producer asked for.
    pub(crate) queue_id: i32,
    pub(crate) unique_id: Option<ByteString>,
    pub(crate) store_host: SocketAddr,
    /// Lengths of the records of a batch; empty for a single message.
    pub(crate) lengths: Vec<usize>,
    /// Bytes of all records.
    pub(crate) bytes: usize,
    /// Of a timer message: what calls it back.
    pub(crate) recall: Option<ByteString>,
    /// Where it is counted, and as what.
    pub(crate) traffic: (Arc<Traffic>, MessageType),
    /// Of a half message: whose it is.
    pub(crate) half: Option<Box<Half>>,
}

impl SendDone {
    fn complete(self, result: Result<Appended, AppendError>) {
        let statistics = &self.shared.statistics;
        match result {
            Ok(appended) => {
                crash_point("send.stored");
                let messages = self.lengths.len().max(1);
                Statistics::add(&statistics.messages_in, messages);
                Statistics::add(&statistics.bytes_in, self.bytes);
                self.puts.add(messages, self.bytes);
                let (traffic, kind) = &self.traffic;
                traffic.stored(*kind, messages, self.bytes);
                if let Some(half) = &self.half {
                    let now = self.shared.now_ms();
                    self.shared.transactions().prepared(&appended, (**half).clone(), now);
                }
                let response = self.response(&appended);
                self.responder.send(response);
            }
            Err(error) => {
                Statistics::add(&statistics.sends_failed, 1);
                let response = refusal(&self.shared, store_failure(&error));
                self.responder.send(response);
            }
        }
    }

    fn response(&self, appended: &Appended) -> Command {
        let header = SendMessageResponseHeader {
            msg_id: self.message_ids(appended.physical_offset).into(),
            queue_id: self.queue_id,
            queue_offset: appended.queue_offset,
            transaction_id: self.unique_id.clone(),
            recall_handle: self.recall.clone(),
            ..Default::default()
        };
        let code = match appended.flush_timeout {
            // Stored, will be delivered, not known to be on the disk.
            true => ResponseCode::FLUSH_DISK_TIMEOUT,
            false => ResponseCode::SUCCESS,
        };
        Command::response(code).with_header(&Traced { shared: &self.shared, header: Some(&header) })
    }

    fn message_ids(&self, first: i64) -> String {
        let id = |offset| OffsetMessageId { host: self.store_host, offset }.to_string();
        if self.lengths.is_empty() {
            return id(first);
        }
        let mut offset = first;
        let mut ids = Vec::with_capacity(self.lengths.len());
        for length in &self.lengths {
            ids.push(id(offset));
            offset += i64::try_from(*length).unwrap_or(0);
        }
        ids.join(",")
    }
}

/// A refused send: it, too, carries region and trace switch.
pub(crate) fn refusal(shared: &Shared, refused: Refused) -> Command {
    Command::from(refused).with_header(&Traced { shared, header: None })
}

/// What a failed append is on the wire (spec broker B.2, store status to response).
pub(crate) fn store_failure(error: &AppendError) -> Refused {
    match error {
        AppendError::Busy { .. } => {
            let remark = format!("[PC_SYNCHRONIZED]broker busy, start flow control for a while: {error}");
            Refused::new(ResponseCode::SYSTEM_BUSY, remark)
        }
        AppendError::Deleting { topic } => {
            let remark = format!("topic[{topic}] not exist, apply first please! It is being deleted");
            Refused::new(ResponseCode::TOPIC_NOT_EXIST, remark)
        }
        AppendError::UnknownQueue => {
            let remark = "the topic does not exist any more: it was deleted meanwhile";
            Refused::new(ResponseCode::TOPIC_NOT_EXIST, remark)
        }
        AppendError::Malformed { .. } => Refused::new(ResponseCode::MESSAGE_ILLEGAL, error.to_string()),
        _ => Refused::new(ResponseCode::SERVICE_NOT_AVAILABLE, format!("service not available now: {error}")),
    }
}

/// The fields of every answer to a send.
pub(crate) struct Traced<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) header: Option<&'a SendMessageResponseHeader>,
}

impl WriteFields for Traced<'_> {
    fn write_fields(&self, out: &mut FieldWriter<'_>) {
        out.text("MSG_REGION", &self.shared.options.region);
        out.boolean("TRACE_ON", self.shared.options.trace_on);
        if let Some(header) = self.header {
            header.write_fields(out);
        }
    }
}

//! Transactions: half message, local work, outcome, and the broker's question (spec client E.10).

use std::{future::Future, pin::Pin};

use bytestring::ByteString;
use rocketwire_protocol::{
    Command,
    header::{CheckTransactionStateRequestHeader, EndTransactionRequestHeader},
    message::{Message, MessageExt, OffsetMessageId, property},
};

use super::{ProducerCore, SendResult, SendStatus};
use crate::{SendError, panics::CatchPanic};

/// How a local transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionState {
    /// Deliver the message.
    Commit,
    /// Forget the message.
    Rollback,
    /// Not known yet: the broker will ask.
    Unknown,
}

impl TransactionState {
    /// `commitOrRollback` of END_TRANSACTION: the transaction type of a sysFlag.
    fn number(self) -> i32 {
        match self {
            TransactionState::Commit => 8,
            TransactionState::Rollback => 12,
            TransactionState::Unknown => 0,
        }
    }
}

/// A half message that was stored, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionResult {
    /// Where the half message is.
    pub send: SendResult,
    /// What the broker was told.
    pub state: TransactionState,
}

/// Object-safe form of a checker.
pub(crate) trait Checker: Send + Sync + 'static {
    fn check(&self, message: MessageExt) -> Pin<Box<dyn Future<Output = TransactionState> + Send + '_>>;
}

impl<F, Fut> Checker for F
where
    F: Fn(MessageExt) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = TransactionState> + Send + 'static,
{
    fn check(&self, message: MessageExt) -> Pin<Box<dyn Future<Output = TransactionState> + Send + '_>> {
        // The call itself may panic too, so it happens inside.
        Box::pin(async move {
            CatchPanic(Box::pin(async move { self(message).await }))
                .await
                .unwrap_or(TransactionState::Unknown)
        })
    }
}

impl ProducerCore {
    pub(super) async fn send_in_transaction<F, Fut>(
        &self,
        mut message: Message,
        local: F,
    ) -> Result<TransactionResult, SendError>
    where
        F: FnOnce(Message) -> Fut + Send,
        Fut: Future<Output = TransactionState> + Send,
    {
        mark_half(&mut message, &self.group);
        if message.property(property::UNIQ_KEY).is_none() {
            message.properties_mut().set(property::UNIQ_KEY, &self.client.inner.unique_id());
        }
        let send = self.send_to(super::Target::Any, message.clone(), self.options.timeout).await?;
        let state = if send.status == SendStatus::SendOk {
            message.properties_mut().set(property::TRANSACTION_ID, &send.msg_id);
            let outcome = CatchPanic(Box::pin(async move { local(message).await })).await;
            outcome.unwrap_or_else(|panic| {
                tracing::error!(%panic, msg_id = send.msg_id, "the local transaction panicked; the broker will ask");
                TransactionState::Unknown
            })
        } else {
            TransactionState::Rollback
        };
        self.end_transaction(&send, state).await;
        Ok(TransactionResult { send, state })
    }

    /// Tells the broker. A failure is only logged: the broker asks when it hears nothing.
    async fn end_transaction(&self, send: &SendResult, state: TransactionState) {
        let Some(request) = end_request(&self.group, send, state) else {
            tracing::warn!(id = &*send.offset_msg_id, "the broker's message id cannot be read; it will ask");
            return;
        };
        let client = &self.client.inner;
        let Some(address) = client.routes().master(&send.message_queue.broker_name) else { return };
        let address = client.send_address(&address);
        if let Err(error) = client.remoting.invoke_oneway(&address, request, self.options.timeout).await {
            tracing::warn!(%error, msg_id = send.msg_id, "could not end the transaction; the broker will ask");
        }
    }
}

/// What makes a message a half message. A delay would be applied to the half message, so it goes.
fn mark_half(message: &mut Message, group: &str) {
    let properties = message.properties_mut();
    properties.remove(property::DELAY);
    properties.set(property::TRAN_MSG, "true");
    properties.set(property::PGROUP, group);
}

/// END_TRANSACTION after the local work. `None` if the broker's message id cannot be read.
fn end_request(group: &ByteString, send: &SendResult, state: TransactionState) -> Option<Command> {
    let half: OffsetMessageId = send.offset_msg_id.parse().ok()?;
    let header = EndTransactionRequestHeader {
        topic: Some(send.message_queue.topic.clone()),
        producer_group: group.clone(),
        tran_state_table_offset: send.queue_offset,
        commit_log_offset: half.offset,
        commit_or_rollback: state.number(),
        from_transaction_check: Some(false),
        msg_id: send.msg_id.as_str().into(),
        transaction_id: send.transaction_id.clone(),
        ..EndTransactionRequestHeader::default()
    };
    Some(Command::of(&header).oneway())
}

/// END_TRANSACTION as the answer to CHECK_TRANSACTION_STATE: with the offsets that the broker asked with.
pub(crate) fn check_answer(
    group: &ByteString,
    asked: &CheckTransactionStateRequestHeader,
    unique_id: &str,
    state: TransactionState,
) -> Command {
    let header = EndTransactionRequestHeader {
        topic: asked.topic.clone(),
        producer_group: group.clone(),
        tran_state_table_offset: asked.tran_state_table_offset,
        commit_log_offset: asked.commit_log_offset,
        commit_or_rollback: state.number(),
        from_transaction_check: Some(true),
        msg_id: unique_id.into(),
        transaction_id: asked.transaction_id.clone(),
        ..EndTransactionRequestHeader::default()
    };
    Command::of(&header).oneway()
}

#[cfg(test)]
mod tests {
    use rocketwire_protocol::{RequestCode, body::MessageQueue};

    use super::*;

    #[test]
    fn a_half_message_has_no_delay() {
        // spec: client 63
        let mut message = Message::new("T", "x").with_delay_level(3).with_tag("A");
        mark_half(&mut message, "PG");
        assert_eq!(message.property(property::DELAY), None);
        assert_eq!(message.property(property::TRAN_MSG), Some("true"));
        assert_eq!(message.property(property::PGROUP), Some("PG"));
        assert_eq!(message.property(property::TAGS), Some("A"));
    }

    #[test]
    fn the_end_names_the_half_message() {
        // spec: client 65
        let send = SendResult {
            status: SendStatus::SendOk,
            msg_id: "UNIQ".into(),
            offset_msg_id: "0A00000500002A9F000000000000012C".into(),
            message_queue: MessageQueue::new("T", "a", 0),
            queue_offset: 7,
            transaction_id: Some("TX".into()),
            recall_handle: None,
            region_id: "DefaultRegion".into(),
            trace_on: true,
        };
        let request = end_request(&"PG".into(), &send, TransactionState::Commit).expect("a readable id");
        assert_eq!(request.request_code(), RequestCode::END_TRANSACTION);
        assert!(request.is_oneway());
        let header: EndTransactionRequestHeader = request.header().expect("our own header");
        assert_eq!((header.commit_log_offset, header.tran_state_table_offset), (300, 7));
        assert_eq!((header.commit_or_rollback, &*header.msg_id), (8, "UNIQ"));
        assert_eq!(header.transaction_id.as_deref(), Some("TX"));
        let unreadable = SendResult { offset_msg_id: "0A".into(), ..send };
        assert!(end_request(&"PG".into(), &unreadable, TransactionState::Commit).is_none());
    }

    #[test]
    fn a_check_is_answered_with_the_offsets_it_asked_with() {
        // spec: client 66
        let asked = CheckTransactionStateRequestHeader {
            tran_state_table_offset: 70,
            commit_log_offset: 3000,
            transaction_id: Some("TX".into()),
            ..CheckTransactionStateRequestHeader::default()
        };
        let answer = check_answer(&"PG".into(), &asked, "UNIQ", TransactionState::Rollback);
        let header: EndTransactionRequestHeader = answer.header().expect("our own header");
        assert_eq!((header.tran_state_table_offset, header.commit_log_offset), (70, 3000));
        assert_eq!((header.commit_or_rollback, header.from_transaction_check), (12, Some(true)));
        assert_eq!((&*header.msg_id, header.transaction_id.as_deref()), ("UNIQ", Some("TX")));
        assert!(answer.is_oneway());
    }
}

//! What is refused before anything is sent (Java: `Validators`, `MessageBatch`; spec client E.2, E.8).

use rocketwire_protocol::{
    ResponseCode,
    message::{MessageError, NameError, name},
};

/// Why a name, a message, a batch or an option is refused by the client itself; nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A name that topics or groups may not have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A message that cannot be sent.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A body that cannot be compressed.
    #[error("{0}")]
    Compression(String),
    /// The name belongs to Java's defaults.
    #[error("{role} can not equal {name}, please specify another one.")]
    GroupReserved {
        /// `producerGroup` or `consumerGroup`.
        role: &'static str,
        /// The reserved name.
        name: &'static str,
    },
    /// A batch without messages.
    #[error("Failed to initiate the MessageBatch: there is no message in it")]
    BatchEmpty,
    /// Messages of several topics in one batch.
    #[error("Failed to initiate the MessageBatch: The topic of the messages in one batch should be the same")]
    BatchTopics,
    /// Messages that differ in WAIT in one batch.
    #[error(
        "Failed to initiate the MessageBatch: The waitStoreMsgOK of the messages in one batch should the same"
    )]
    BatchWait,
    /// A delayed message in a batch.
    #[error("Failed to initiate the MessageBatch: TimeDelayLevel is not supported for batching")]
    BatchDelay,
    /// A batch to a retry topic.
    #[error("Failed to initiate the MessageBatch: Retry Group is not supported for batching")]
    BatchRetry,
    /// A message of a batch does not fit an item.
    #[error("Failed to initiate the MessageBatch: {0}")]
    BatchItem(String),
    /// A message that is to be replied to and does not say to whom.
    #[error("create reply message fail, requestMessage error, property[{0}] is null.")]
    NotARequest(&'static str),
    /// An option outside of its range.
    #[error("{option} Out of range [{min}, {max}]")]
    OutOfRange {
        /// Java's name of the option.
        option: &'static str,
        /// The smallest value.
        min: u64,
        /// The largest value.
        max: u64,
    },
    /// The subscription's expression has only separators.
    #[error("subString split error: [{0}] has no tag between its ||")]
    Subscription(String),
    /// A consumer without a subscription.
    #[error("subscription is null: subscribe to a topic before starting the consumer")]
    NoSubscription,
}

impl Invalid {
    /// Java's code for it, where it has one: MESSAGE_ILLEGAL for what is wrong with a body.
    pub fn code(&self) -> Option<ResponseCode> {
        let body =
            matches!(self, Invalid::Message(MessageError::BodyEmpty | MessageError::BodyTooLarge { .. }));
        body.then_some(ResponseCode::MESSAGE_ILLEGAL)
    }
}

pub(crate) fn producer_group(group: &str) -> Result<(), Invalid> {
    check_group(group, "producerGroup", "DEFAULT_PRODUCER")
}

pub(crate) fn consumer_group(group: &str) -> Result<(), Invalid> {
    check_group(group, "consumerGroup", "DEFAULT_CONSUMER")
}

fn check_group(group: &str, role: &'static str, reserved: &'static str) -> Result<(), Invalid> {
    name::check_group(group)?;
    if group == reserved {
        return Err(Invalid::GroupReserved { role, name: reserved });
    }
    Ok(())
}

/// An option within its range.
pub(crate) fn in_range(option: &'static str, value: u64, min: u64, max: u64) -> Result<(), Invalid> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(Invalid::OutOfRange { option, min, max }) }
}

#[cfg(test)]
mod tests {
    use rocketwire_protocol::message::Message;

    use super::*;

    fn check(topic: &str, body: &'static str) -> Result<(), Invalid> {
        Ok(Message::new(topic.to_owned(), body).check(10)?)
    }

    #[test]
    fn bodies() {
        // spec: client 24 25
        let empty = check("T", "").expect_err("empty");
        assert_eq!(empty.to_string(), "the message body length is zero");
        assert_eq!(empty.code(), Some(ResponseCode::MESSAGE_ILLEGAL));
        let large = check("T", "01234567890").expect_err("too large");
        assert_eq!(large.to_string(), "the message body size over max value, MAX: 10");
        assert_eq!(large.code(), Some(ResponseCode::MESSAGE_ILLEGAL));
        assert_eq!(check("T", "0123456789"), Ok(()));
    }

    #[test]
    fn topics() {
        // spec: client 26
        assert_eq!(check(&"t".repeat(127), "x"), Ok(()));
        assert!(check(&"t".repeat(128), "x").is_err());
        assert!(check("a.b", "x").is_err());
        let forbidden = check("SCHEDULE_TOPIC_XXXX", "x").expect_err("the broker's own").to_string();
        assert_eq!(forbidden, "Sending message to topic[SCHEDULE_TOPIC_XXXX] is forbidden.");
    }

    #[test]
    fn groups() {
        // spec: client 27
        let default = producer_group("DEFAULT_PRODUCER").expect_err("reserved").to_string();
        assert_eq!(default, "producerGroup can not equal DEFAULT_PRODUCER, please specify another one.");
        assert_eq!(consumer_group("DEFAULT_PRODUCER"), Ok(()));
        assert_eq!(producer_group(&"g".repeat(120)), Ok(()));
        assert!(producer_group(&"g".repeat(121)).is_err());
        assert!(producer_group("").is_err());
    }

    #[test]
    fn ranges() {
        let text = in_range("pullBatchSize", 0, 1, 1024).expect_err("too small").to_string();
        assert_eq!(text, "pullBatchSize Out of range [1, 1024]");
        assert_eq!(in_range("pullBatchSize", 1024, 1, 1024), Ok(()));
    }
}

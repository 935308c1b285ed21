//! How a request is served: decided in one pass, with or without the disk.
//!
//! ```text
//! process -> plan(Disk::Avoid) ----> answer now | append | park        on the connection's task
//!                 | needs the disk
//!                 v
//!            plan(Disk::Allowed) --> answer | append | park            on a blocking thread, bounded
//!
//! plan(..) needs a topic -> it is created -> plan(Disk::Avoid) ..      on the thread that saves topics
//! ```
//! A pass that avoids the disk changes nothing before it finds out that it needs it, so that running it again is
//! safe.

use bytestring::ByteString;
use rocketwire_protocol::{Command, HeaderError, ResponseCode, body::BodyError};
use rocketwire_remoting::{Connection, Responder};

use crate::{
    creation::Wanted,
    groups::GroupError,
    pull::HeldPull,
    send::SendPlan,
    topics::{AttributeError, TopicError},
};

/// What RocketMQ puts behind some texts (Java: `FAQUrl.suggestTodo`).
pub(crate) const FAQ: &str = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

/// A text of its own. Texts of a request are slices of the frame it came in: a table that kept one would keep the
/// whole frame.
pub(crate) fn owned(text: &ByteString) -> ByteString {
    ByteString::from(&**text)
}

/// A request and who sent it.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The request.
    pub(crate) command: &'a Command,
    /// Where it came from.
    pub(crate) connection: &'a Connection,
}

/// Whether this pass may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// No: it runs on a connection's task, or on the store's writer.
    Avoid,
    /// Yes: it runs on a blocking thread.
    Allowed,
}

/// What is to be done for a request.
pub(crate) enum Plan {
    /// Answer so.
    Answer(Command),
    /// Never answer: the protocol wants it so.
    Silence,
    /// Store a message; the store's writer answers.
    Send(Box<SendPlan>),
    /// Park the pull; an arrival or the sweep answers.
    Park(Box<HeldPull>),
    /// Someone else takes the request over and answers.
    TakeOver(Box<dyn FnOnce(Command, Responder) + Send>),
}

impl Plan {
    /// Success without more.
    pub(crate) fn success() -> Plan {
        Plan::Answer(Command::response(ResponseCode::SUCCESS))
    }
}

impl From<Command> for Plan {
    fn from(command: Command) -> Plan {
        Plan::Answer(command)
    }
}

/// Why a pass ended without a plan.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The request is answered with an error.
    Refused(Refused),
    /// Run again with [`Disk::Allowed`].
    NeedsDisk,
    /// Create this first, then run again.
    NeedsTopic(Box<Wanted>),
}

/// An error answer.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its code.
    pub(crate) code: ResponseCode,
    /// Its text.
    pub(crate) remark: ByteString,
    /// Of a pull: who forbids it.
    pub(crate) forbidden: Option<Forbidden>,
}

/// Who forbids a pull (Java: `ForbiddenType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forbidden {
    Broker = 1,
    Group = 2,
    Topic = 3,
    Broadcast = 4,
    Subscription = 5,
}

impl Refused {
    /// An error answer of this code and text.
    pub(crate) fn new(code: ResponseCode, remark: impl Into<ByteString>) -> Refused {
        Refused { code, remark: remark.into(), forbidden: None }
    }
}

impl From<Refused> for Command {
    fn from(refused: Refused) -> Command {
        let response = Command::error(refused.code, refused.remark);
        match refused.forbidden {
            Some(forbidden) => response.with_field("forbiddenType", &(forbidden as i32).to_string()),
            None => response,
        }
    }
}

/// Ends a pass with an error answer.
pub(crate) fn refuse(code: ResponseCode, remark: impl Into<ByteString>) -> Stop {
    Stop::Refused(Refused::new(code, remark))
}

/// Ends a pull that is not allowed.
pub(crate) fn forbid(forbidden: Forbidden, remark: impl Into<ByteString>) -> Stop {
    let refused = Refused::new(ResponseCode::NO_PERMISSION, remark);
    Stop::Refused(Refused { forbidden: Some(forbidden), ..refused })
}

/// Ends a pass that may not wait for the disk.
pub(crate) fn needs_disk(disk: Disk) -> Result<(), Stop> {
    match disk {
        Disk::Avoid => Err(Stop::NeedsDisk),
        Disk::Allowed => Ok(()),
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Stop {
        Stop::Refused(refused)
    }
}

impl From<HeaderError> for Stop {
    fn from(error: HeaderError) -> Stop {
        refuse(ResponseCode::SYSTEM_ERROR, error.to_string())
    }
}

impl From<BodyError> for Stop {
    fn from(error: BodyError) -> Stop {
        refuse(ResponseCode::SYSTEM_ERROR, error.to_string())
    }
}

impl From<TopicError> for Stop {
    fn from(error: TopicError) -> Stop {
        let code = match error {
            TopicError::Invalid(_) => ResponseCode::INVALID_PARAMETER,
            TopicError::TooMany(_) => ResponseCode::SYSTEM_ERROR,
            TopicError::TooManyBySending(..) => ResponseCode::TOPIC_NOT_EXIST,
        };
        refuse(code, error.to_string())
    }
}

impl From<AttributeError> for Stop {
    fn from(error: AttributeError) -> Stop {
        let code = match error {
            AttributeError::Mixed | AttributeError::Unsupported(..) => ResponseCode::INVALID_PARAMETER,
            _ => ResponseCode::SYSTEM_ERROR,
        };
        refuse(code, error.to_string())
    }
}

impl From<GroupError> for Stop {
    fn from(error: GroupError) -> Stop {
        let code = match error {
            GroupError::Name(_) => ResponseCode::INVALID_PARAMETER,
            GroupError::Unknown => ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
            GroupError::TooMany { .. } => ResponseCode::SYSTEM_ERROR,
        };
        refuse(code, error.to_string())
    }
}

//! Why a message was not sent, attempt by attempt.

use std::{fmt, time::Duration};

use bytestring::ByteString;
use rocketwire_protocol::{HeaderError, ResponseCode};
use rocketwire_remoting::{RpcError, RpcErrorKind};

use super::{RouteError, RouteErrorKind};
use crate::{AttemptOutcome, SendStatus, validate::Invalid};

/// A message that was not acknowledged: what was tried where, and what to do about it.
///
/// After a time-out or a lost connection the broker may have stored the message all the same.
#[derive(Clone, Debug)]
pub struct SendError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: SendErrorKind,
    topic: ByteString,
    attempts: Vec<Attempt>,
    elapsed: Duration,
    invalid: Option<Invalid>,
    route: Option<RouteError>,
}

/// What kind of [`SendError`] it is: that of the last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// The client refused the message; nothing was sent.
    Invalid,
    /// No route to the topic; nothing was sent.
    NoRoute,
    /// The deadline came. See the attempts for what was waited for.
    Timeout,
    /// No connection, or it broke.
    Disconnected,
    /// As many requests are in flight as may be.
    Busy,
    /// The broker refused; see [`SendError::code`].
    Refused(ResponseCode),
    /// The queue's broker is in no route.
    BrokerUnknown,
    /// The broker's answer cannot be read.
    Undecodable,
    /// The selector chose no queue.
    NoQueueSelected,
    /// Nothing could be sent for a reason of this side: a hook, an encoding limit.
    Unsendable,
    /// The message was stored, and nobody replied in time.
    NoReply,
    /// The client is closed.
    Closed,
}

/// One attempt to send.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The broker's name.
    pub broker: ByteString,
    /// Its address; empty if the route does not know it.
    pub address: ByteString,
    /// How long the attempt took.
    pub elapsed: Duration,
    /// How it ended.
    pub failure: AttemptFailure,
}

/// How an attempt failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptFailure {
    /// No answer.
    #[error(transparent)]
    Rpc(RpcError),
    /// The broker refused.
    #[error("{code}: {remark}")]
    Refused {
        /// Its code.
        code: ResponseCode,
        /// Its words.
        remark: ByteString,
    },
    /// Stored, but not as safely as was asked for, and the policy wants another attempt.
    #[error("{0:?}")]
    Stored(SendStatus),
    /// The route does not know the broker.
    #[error("The broker[{0}] not exist")]
    BrokerUnknown(ByteString),
    /// The answer cannot be read.
    #[error("the answer cannot be read: {0}")]
    Undecodable(HeaderError),
}

impl AttemptFailure {
    pub(crate) fn outcome(&self) -> AttemptOutcome {
        match self {
            AttemptFailure::Rpc(error) => AttemptOutcome::Transport(error.kind()),
            AttemptFailure::Refused { code, .. } => AttemptOutcome::Refused(*code),
            AttemptFailure::Stored(status) => AttemptOutcome::Stored(*status),
            AttemptFailure::BrokerUnknown(_) => AttemptOutcome::BrokerUnknown,
            AttemptFailure::Undecodable(_) => AttemptOutcome::Undecodable,
        }
    }

    fn kind(&self) -> SendErrorKind {
        match self {
            AttemptFailure::Rpc(error) => match error.kind() {
                RpcErrorKind::Timeout => SendErrorKind::Timeout,
                RpcErrorKind::TooManyRequests | RpcErrorKind::Unwritten => SendErrorKind::Busy,
                // A hook refused the answer.
                RpcErrorKind::Hook if !error.was_not_sent() => SendErrorKind::Undecodable,
                RpcErrorKind::Encode | RpcErrorKind::Hook => SendErrorKind::Unsendable,
                _ => SendErrorKind::Disconnected,
            },
            AttemptFailure::Refused { code, .. } => SendErrorKind::Refused(*code),
            AttemptFailure::Stored(status) => SendErrorKind::Refused(status.code()),
            AttemptFailure::BrokerUnknown(_) => SendErrorKind::BrokerUnknown,
            AttemptFailure::Undecodable(_) => SendErrorKind::Undecodable,
        }
    }
}

impl SendError {
    fn of(kind: SendErrorKind, topic: &ByteString, elapsed: Duration) -> SendError {
        SendError(Box::new(Inner {
            kind,
            topic: topic.clone(),
            attempts: Vec::new(),
            elapsed,
            invalid: None,
            route: None,
        }))
    }

    pub(crate) fn invalid(topic: &ByteString, error: impl Into<Invalid>) -> SendError {
        let mut this = SendError::of(SendErrorKind::Invalid, topic, Duration::ZERO);
        this.0.invalid = Some(error.into());
        this
    }

    pub(crate) fn route(topic: &ByteString, error: RouteError, elapsed: Duration) -> SendError {
        let mut this = SendError::of(SendErrorKind::NoRoute, topic, elapsed);
        this.0.route = Some(error);
        this
    }

    pub(crate) fn no_queue_selected(topic: &ByteString, elapsed: Duration) -> SendError {
        SendError::of(SendErrorKind::NoQueueSelected, topic, elapsed)
    }

    pub(crate) fn no_reply(topic: &ByteString, elapsed: Duration) -> SendError {
        SendError::of(SendErrorKind::NoReply, topic, elapsed)
    }

    pub(crate) fn closed(topic: &ByteString) -> SendError {
        SendError::of(SendErrorKind::Closed, topic, Duration::ZERO)
    }

    /// The deadline came before the first attempt could begin.
    pub(crate) fn timeout(topic: &ByteString, elapsed: Duration) -> SendError {
        SendError::of(SendErrorKind::Timeout, topic, elapsed)
    }

    pub(crate) fn attempts_failed(
        topic: &ByteString,
        attempts: Vec<Attempt>,
        elapsed: Duration,
    ) -> SendError {
        let kind = attempts.last().map_or(SendErrorKind::Timeout, |last| last.failure.kind());
        let mut this = SendError::of(kind, topic, elapsed);
        this.0.attempts = attempts;
        this
    }

    /// The kind, to match on.
    pub fn kind(&self) -> SendErrorKind {
        self.0.kind
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// Each attempt, in order.
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// From the call to this error.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// The broker's code; for failures of the client, Java's: 10001 no connection, 10002 time-out, 10003 broker
    /// unknown, 10004 no name server, 10005 no route, 10006 no reply.
    pub fn code(&self) -> Option<ResponseCode> {
        match self.0.kind {
            SendErrorKind::Refused(code) => Some(code),
            SendErrorKind::Disconnected => Some(ResponseCode(10_001)),
            SendErrorKind::Timeout => Some(ResponseCode(10_002)),
            SendErrorKind::BrokerUnknown => Some(ResponseCode(10_003)),
            SendErrorKind::NoReply => Some(ResponseCode(10_006)),
            SendErrorKind::NoRoute => match self.0.route.as_ref()?.kind() {
                RouteErrorKind::NoNameServer => Some(ResponseCode(10_004)),
                _ => Some(ResponseCode(10_005)),
            },
            SendErrorKind::Invalid => self.0.invalid.as_ref()?.code(),
            _ => None,
        }
    }

    /// The broker's words, if the last attempt has any.
    pub fn remark(&self) -> Option<&str> {
        match &self.0.attempts.last()?.failure {
            AttemptFailure::Refused { remark, .. } => Some(remark),
            _ => None,
        }
    }

    /// Whether sending the message again later may succeed.
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            SendErrorKind::Timeout
            | SendErrorKind::Disconnected
            | SendErrorKind::Busy
            | SendErrorKind::NoRoute
            | SendErrorKind::BrokerUnknown => true,
            SendErrorKind::Refused(code) => crate::retry::RETRY_CODES.contains(&code),
            _ => false,
        }
    }

    /// What to do about it, where there is something to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self.0.kind {
            SendErrorKind::Refused(code) => refusal_hint(code),
            SendErrorKind::Timeout => Some("raise the timeout, or look at what each attempt waited for"),
            SendErrorKind::Disconnected => Some(
                "the route names this address: can this machine reach it, or does the broker advertise another?",
            ),
            SendErrorKind::Busy => {
                Some("wait for sends to finish before starting more, or raise max_in_flight")
            }
            SendErrorKind::BrokerUnknown => Some("take the queue from the producer's current queues"),
            SendErrorKind::NoQueueSelected => Some("the selector must return one of the queues it is given"),
            _ => None,
        }
    }
}

fn refusal_hint(code: ResponseCode) -> Option<&'static str> {
    match code {
        ResponseCode::SYSTEM_BUSY => Some("the broker is overloaded: send more slowly, or raise the timeout"),
        ResponseCode::TOPIC_NOT_EXIST => Some("create the topic, or set autoCreateTopicEnable on the broker"),
        ResponseCode::NO_PERMISSION => Some("check the topic's perm and the client's credentials"),
        ResponseCode::SERVICE_NOT_AVAILABLE => Some("the broker's disk may be full, or it is shutting down"),
        ResponseCode::MESSAGE_ILLEGAL => Some("the broker's maxMessageSize may be smaller than the client's"),
        _ => None,
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, topic, attempts, elapsed, invalid, route } = &*self.0;
        match (invalid, route, kind) {
            (Some(invalid), _, _) => return write!(f, "cannot send to {topic}: {invalid}"),
            (_, Some(route), _) => return write!(f, "{route}"),
            (_, _, SendErrorKind::NoQueueSelected) => f.write_str("select message queue return null.")?,
            (_, _, SendErrorKind::NoReply) => {
                let ms = elapsed.as_millis();
                write!(
                    f,
                    "send request message to <{topic}> OK, but wait reply message timeout, <{ms}> ms."
                )?;
            }
            (_, _, SendErrorKind::Closed) => f.write_str("the client is closed")?,
            (_, _, SendErrorKind::Timeout) if attempts.is_empty() => {
                write!(f, "cannot send to {topic}: {elapsed:.1?} went by before a route was found")?;
            }
            _ => {
                let brokers: Vec<&str> = attempts.iter().map(|attempt| &*attempt.broker).collect();
                let (times, cost) = (attempts.len(), elapsed.as_millis());
                let brokers = brokers.join(", ");
                write!(
                    f,
                    "Send [{times}] times, still failed, cost [{cost}]ms, Topic: {topic}, BrokersSent: [{brokers}]"
                )?;
            }
        }
        for (i, attempt) in attempts.iter().enumerate() {
            let Attempt { broker, address, elapsed, failure } = attempt;
            write!(f, "; attempt {} to {broker} ({address}), {elapsed:.1?}: {failure}", i + 1)?;
        }
        match self.hint() {
            Some(hint) => write!(f, ". Hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let inner = &*self.0;
        let invalid = inner.invalid.as_ref().map(|error| error as _);
        let route = || inner.route.as_ref().map(|error| error as _);
        invalid.or_else(route).or_else(|| inner.attempts.last().map(|attempt| &attempt.failure as _))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(broker: &'static str, failure: AttemptFailure) -> Attempt {
        Attempt {
            broker: ByteString::from_static(broker),
            address: ByteString::from_static("127.0.0.1:10911"),
            elapsed: Duration::from_millis(12),
            failure,
        }
    }

    fn timeout() -> AttemptFailure {
        AttemptFailure::Rpc(RpcError::Timeout {
            addr: "127.0.0.1:10911".into(),
            phase: rocketwire_remoting::Phase::Answer,
            elapsed: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        })
    }

    #[test]
    fn names_every_attempt() {
        // spec: client 36
        let busy = AttemptFailure::Refused {
            code: ResponseCode::SYSTEM_BUSY,
            remark: ByteString::from_static("[OVERLOAD]system busy"),
        };
        let attempts = vec![attempt("a", timeout()), attempt("b", busy)];
        let error = SendError::attempts_failed(&"T".into(), attempts, Duration::from_millis(1234));
        let text = error.to_string();
        let java = "Send [2] times, still failed, cost [1234]ms, Topic: T, BrokersSent: [a, b]";
        assert!(text.starts_with(java), "{text}");
        assert!(text.contains("waiting for the answer") && text.contains("[OVERLOAD]system busy"), "{text}");
        assert_eq!(error.kind(), SendErrorKind::Refused(ResponseCode::SYSTEM_BUSY));
        assert_eq!(error.code(), Some(ResponseCode::SYSTEM_BUSY));
        assert_eq!(error.remark(), Some("[OVERLOAD]system busy"));
        assert!(error.is_retryable() && error.hint().is_some());
    }

    #[test]
    fn codes_are_javas() {
        // spec: client 37
        let code = |failure| {
            let attempts = vec![attempt("a", failure)];
            SendError::attempts_failed(&"T".into(), attempts, Duration::ZERO).code().map(|code| code.0)
        };
        assert_eq!(code(timeout()), Some(10_002));
        let going = RpcError::GoAway { addr: "a:1".into() };
        assert_eq!(code(AttemptFailure::Rpc(going)), Some(10_001));
        assert_eq!(code(AttemptFailure::BrokerUnknown("a".into())), Some(10_003));
        let route = |kind| {
            let error = RouteError::new("T", kind);
            SendError::route(&"T".into(), error, Duration::ZERO).code().map(|code| code.0)
        };
        assert_eq!(route(RouteErrorKind::NoNameServer), Some(10_004));
        assert_eq!(route(RouteErrorKind::NoRoute), Some(10_005));
    }

    #[test]
    fn an_unknown_broker_has_javas_words() {
        // spec: client 62
        let error = AttemptFailure::BrokerUnknown("broker-x".into());
        assert_eq!(error.to_string(), "The broker[broker-x] not exist");
    }
}

//! When a send is tried again (spec client E.5).

use rocketwire_protocol::ResponseCode;
use rocketwire_remoting::RpcErrorKind;

use crate::SendStatus;

/// Decides after each attempt of a send: facts in, decision out.
///
/// The deadline of the send is not its business: an attempt never begins after it.
pub trait RetryPolicy: Send + Sync + 'static {
    /// What to do after `attempt`.
    fn after(&self, attempt: &AttemptFacts) -> Next;
}

/// What a [`RetryPolicy`] knows of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptFacts {
    /// 1 for the first.
    pub number: usize,
    /// How it ended.
    pub outcome: AttemptOutcome,
}

impl AttemptFacts {
    /// The attempt `number`, counted from 1, that ended so.
    pub fn new(number: usize, outcome: AttemptOutcome) -> AttemptFacts {
        AttemptFacts { number, outcome }
    }
}

/// How an attempt to send ended, unless it was acknowledged in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// No answer.
    Transport(RpcErrorKind),
    /// The broker refused.
    Refused(ResponseCode),
    /// Stored, but not as safely as was asked for (any status but [`SendStatus::SendOk`]).
    Stored(SendStatus),
    /// The route does not know the queue's broker.
    BrokerUnknown,
    /// The answer cannot be read.
    Undecodable,
}

/// What comes after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Try again, on another broker if there is one.
    Retry,
    /// The outcome is final.
    Stop,
}

/// Response codes that a send is tried again for, by default.
pub const RETRY_CODES: [ResponseCode; 8] = [
    ResponseCode::TOPIC_NOT_EXIST,
    ResponseCode::SERVICE_NOT_AVAILABLE,
    ResponseCode::SYSTEM_ERROR,
    ResponseCode::SYSTEM_BUSY,
    ResponseCode::NO_PERMISSION,
    ResponseCode::NO_BUYER_ID,
    ResponseCode::NOT_IN_CURRENT_UNIT,
    ResponseCode::GO_AWAY,
];

/// The rules of Java's synchronous send; what [`crate::Producer`] does unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StandardRetry {
    /// Attempts after the first. Default 2 (Java: `retryTimesWhenSendFailed`). More raise the chance of a
    /// duplicate when a broker stored the message and its answer was lost.
    pub retries: usize,
    /// Codes worth another attempt. Default [`RETRY_CODES`].
    pub codes: Vec<ResponseCode>,
    /// Whether a status other than OK is tried again. Default false (Java: `retryAnotherBrokerWhenNotStoreOK`);
    /// such a message *is* stored, so trying again makes a duplicate.
    pub when_not_store_ok: bool,
}

impl Default for StandardRetry {
    fn default() -> Self {
        StandardRetry { retries: 2, codes: RETRY_CODES.to_vec(), when_not_store_ok: false }
    }
}

impl RetryPolicy for StandardRetry {
    fn after(&self, attempt: &AttemptFacts) -> Next {
        let worth_it = match attempt.outcome {
            AttemptOutcome::Transport(kind) => may_succeed_elsewhere(kind),
            AttemptOutcome::BrokerUnknown | AttemptOutcome::Undecodable => true,
            AttemptOutcome::Refused(code) => self.codes.contains(&code),
            AttemptOutcome::Stored(status) => self.when_not_store_ok && status != SendStatus::SendOk,
        };
        if worth_it && attempt.number <= self.retries { Next::Retry } else { Next::Stop }
    }
}

/// The rules of Java's asynchronous send: transport failures only, and not a full table of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportRetry {
    /// Attempts after the first. Default 2 (Java: `retryTimesWhenSendAsyncFailed`).
    pub retries: usize,
}

impl Default for TransportRetry {
    fn default() -> Self {
        TransportRetry { retries: 2 }
    }
}

impl RetryPolicy for TransportRetry {
    fn after(&self, attempt: &AttemptFacts) -> Next {
        let worth_it = match attempt.outcome {
            AttemptOutcome::Transport(kind) => {
                !matches!(kind, RpcErrorKind::TooManyRequests | RpcErrorKind::Unwritten)
                    && may_succeed_elsewhere(kind)
            }
            _ => false,
        };
        if worth_it && attempt.number <= self.retries { Next::Retry } else { Next::Stop }
    }
}

/// One attempt, whatever happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoRetry;

impl RetryPolicy for NoRetry {
    fn after(&self, _: &AttemptFacts) -> Next {
        Next::Stop
    }
}

/// A request that cannot be written, or that a hook refused, is not cured by another broker.
fn may_succeed_elsewhere(kind: RpcErrorKind) -> bool {
    !matches!(kind, RpcErrorKind::Encode | RpcErrorKind::Hook)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(policy: &impl RetryPolicy, number: usize, outcome: AttemptOutcome) -> Next {
        policy.after(&AttemptFacts::new(number, outcome))
    }

    #[test]
    fn default_codes_are_those_of_java() {
        // spec: client 34
        let mut codes = StandardRetry::default().codes.iter().map(|code| code.0).collect::<Vec<_>>();
        codes.sort_unstable();
        assert_eq!(codes, [1, 2, 14, 16, 17, 204, 205, 1500]);
    }

    #[test]
    fn three_attempts_at_the_most() {
        // spec: client 30
        let policy = StandardRetry::default();
        let timeout = AttemptOutcome::Transport(RpcErrorKind::Timeout);
        let decisions = [1, 2, 3].map(|number| after(&policy, number, timeout));
        assert_eq!(decisions, [Next::Retry, Next::Retry, Next::Stop]);
    }

    #[test]
    fn broker_codes_decide() {
        // spec: client 33
        let policy = StandardRetry::default();
        for (code, expected) in [
            (ResponseCode::SYSTEM_BUSY, Next::Retry),
            (ResponseCode::TOPIC_NOT_EXIST, Next::Retry),
            (ResponseCode::MESSAGE_ILLEGAL, Next::Stop),
            (ResponseCode::INVALID_PARAMETER, Next::Stop),
            (ResponseCode(9999), Next::Stop),
        ] {
            assert_eq!(after(&policy, 1, AttemptOutcome::Refused(code)), expected, "{code}");
        }
    }

    #[test]
    fn a_message_that_is_stored_is_not_sent_again_by_default() {
        // spec: client 35
        let stored = AttemptOutcome::Stored(SendStatus::FlushDiskTimeout);
        assert_eq!(after(&StandardRetry::default(), 1, stored), Next::Stop);
        let eager = StandardRetry { when_not_store_ok: true, ..StandardRetry::default() };
        assert_eq!(after(&eager, 1, stored), Next::Retry);
        assert_eq!(after(&eager, 1, AttemptOutcome::Stored(SendStatus::SendOk)), Next::Stop);
    }

    #[test]
    fn transport_retry_has_the_rules_of_javas_async_send() {
        // spec: client 40 42
        let policy = TransportRetry::default();
        assert_eq!(after(&policy, 1, AttemptOutcome::Refused(ResponseCode::SYSTEM_BUSY)), Next::Stop);
        assert_eq!(after(&policy, 1, AttemptOutcome::Undecodable), Next::Stop);
        assert_eq!(after(&policy, 1, AttemptOutcome::Transport(RpcErrorKind::TooManyRequests)), Next::Stop);
        for kind in [RpcErrorKind::Connect, RpcErrorKind::Timeout, RpcErrorKind::Closed] {
            assert_eq!(after(&policy, 2, AttemptOutcome::Transport(kind)), Next::Retry, "{kind:?}");
            assert_eq!(after(&policy, 3, AttemptOutcome::Transport(kind)), Next::Stop, "{kind:?}");
        }
    }

    #[test]
    fn what_cannot_be_encoded_is_not_retried() {
        let outcome = AttemptOutcome::Transport(RpcErrorKind::Encode);
        assert_eq!(after(&StandardRetry::default(), 1, outcome), Next::Stop);
        assert_eq!(after(&TransportRetry::default(), 1, outcome), Next::Stop);
    }
}

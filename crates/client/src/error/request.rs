//! Errors of single requests: pull, offsets, administration.

use std::fmt;

use bytestring::ByteString;
use rocketwire_protocol::{Command, HeaderError, ResponseCode};
use rocketwire_remoting::RpcError;

use super::RouteError;
use crate::validate::Invalid;

/// A request that a broker or name server did not do. Says what was asked of whom.
#[derive(Clone, Debug)]
pub struct RequestError(Box<Failure>);

#[derive(Clone, Debug)]
struct Failure {
    operation: &'static str,
    address: Option<String>,
    kind: RequestErrorKind,
}

/// Why a request failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RequestErrorKind {
    /// No route to the topic.
    Route(RouteError),
    /// The route does not know this broker.
    BrokerUnknown(String),
    /// No answer.
    Rpc(RpcError),
    /// The peer refused.
    Refused {
        /// Its code.
        code: ResponseCode,
        /// Its words.
        remark: ByteString,
    },
    /// The answer cannot be read.
    Undecodable(String),
    /// The request is at fault; nothing was sent.
    Invalid(Invalid),
    /// A local file, of a broadcasting consumer.
    File(String),
    /// The client was built outside of a tokio runtime.
    NoRuntime,
    /// The group is in use in this client already.
    GroupTaken(String),
}

impl RequestError {
    pub(crate) fn new(
        operation: &'static str,
        address: Option<&str>,
        kind: RequestErrorKind,
    ) -> RequestError {
        RequestError(Box::new(Failure { operation, address: address.map(str::to_owned), kind }))
    }

    pub(crate) fn undecodable(
        operation: &'static str,
        address: &str,
        error: &dyn fmt::Display,
    ) -> RequestError {
        RequestError::new(operation, Some(address), RequestErrorKind::Undecodable(error.to_string()))
    }

    /// What was asked, e.g. `QUERY_CONSUMER_OFFSET`.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Whom, if it came that far.
    pub fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// Why it failed.
    pub fn kind(&self) -> &RequestErrorKind {
        &self.0.kind
    }

    /// The code of a refusal.
    pub fn code(&self) -> Option<ResponseCode> {
        match &self.0.kind {
            RequestErrorKind::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match &self.0.kind {
            RequestErrorKind::Rpc(error) => error.is_retryable(),
            RequestErrorKind::Refused { code, .. } => crate::retry::RETRY_CODES.contains(code),
            RequestErrorKind::Route(_) | RequestErrorKind::BrokerUnknown(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.0.operation)?;
        if let Some(address) = &self.0.address {
            write!(f, " at {address}")?;
        }
        match &self.0.kind {
            RequestErrorKind::Route(error) => write!(f, ": {error}"),
            RequestErrorKind::BrokerUnknown(name) => {
                write!(f, ": The broker[{name}] not exist in the route; is it up and registered?")
            }
            RequestErrorKind::Rpc(error) => write!(f, ": {error}"),
            RequestErrorKind::Refused { code, remark } => write!(f, ": {code}: {remark}"),
            RequestErrorKind::Undecodable(error) => write!(f, ": the answer cannot be read: {error}"),
            RequestErrorKind::Invalid(error) => write!(f, ": {error}"),
            RequestErrorKind::File(error) => write!(f, ": {error}"),
            RequestErrorKind::NoRuntime => write!(f, ": it must happen inside a tokio runtime"),
            RequestErrorKind::GroupTaken(group) => {
                write!(
                    f,
                    ": the group[{group}] has been created before in this client, specify another name please"
                )
            }
        }
    }
}

impl std::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.kind {
            RequestErrorKind::Route(error) => Some(error),
            RequestErrorKind::Rpc(error) => Some(error),
            RequestErrorKind::Invalid(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Invalid> for RequestError {
    fn from(error: Invalid) -> RequestError {
        RequestError::new("checking the arguments", None, RequestErrorKind::Invalid(error))
    }
}

impl From<RouteError> for RequestError {
    fn from(error: RouteError) -> RequestError {
        RequestError::new("GET_ROUTEINFO_BY_TOPIC", None, RequestErrorKind::Route(error))
    }
}

/// The answer, if its code is SUCCESS; else what the peer said.
pub(crate) fn success(
    operation: &'static str,
    address: &str,
    answer: Result<Command, RpcError>,
) -> Result<Command, RequestError> {
    let fail = |kind| Err(RequestError::new(operation, Some(address), kind));
    match answer {
        Err(error) => fail(RequestErrorKind::Rpc(error)),
        Ok(answer) if answer.response_code() == ResponseCode::SUCCESS => Ok(answer),
        Ok(answer) => fail(RequestErrorKind::Refused {
            code: answer.response_code(),
            remark: answer.remark.unwrap_or_default(),
        }),
    }
}

/// A header of the answer that cannot be read.
pub(crate) fn header<T>(
    operation: &'static str,
    address: &str,
    header: Result<T, HeaderError>,
) -> Result<T, RequestError> {
    header.map_err(|error| RequestError::undecodable(operation, address, &error))
}

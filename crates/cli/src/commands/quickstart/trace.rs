//! What went over a client's wires.

use std::sync::{Arc, Mutex, PoisonError};

use rocketwire_protocol::{Command, Encoding, RequestCode, ResponseCode, frame};
use rocketwire_remoting::{HookError, RpcHook};

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) code: RequestCode,
    pub(crate) opaque: i32,
    /// Bytes of the request's frame.
    pub(crate) sent: usize,
    pub(crate) answer: ResponseCode,
    /// Bytes of the answer's frame.
    pub(crate) received: usize,
}

/// Remembers the latest exchange of each kind.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Vec<Exchange>>>);

impl Trace {
    /// The latest request with this code whose answer had that one.
    pub(crate) fn latest(&self, code: RequestCode, answer: ResponseCode) -> Option<Exchange> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|exchange| exchange.code == code && exchange.answer == answer).cloned()
    }

    /// Whether anything is known.
    pub(crate) fn words(&self, code: RequestCode, answer: ResponseCode) -> String {
        match self.latest(code, answer) {
            None => code.to_string(),
            Some(Exchange { opaque, sent, received, .. }) => {
                format!("{code}, opaque {opaque}, {sent} bytes -> {answer}, {received} bytes")
            }
        }
    }
}

impl RpcHook for Trace {
    fn after(&self, _: &str, request: &Command, response: Option<&mut Command>) -> Result<(), HookError> {
        let Some(response) = response else { return Ok(()) };
        let exchange = Exchange {
            code: request.request_code(),
            opaque: response.opaque,
            sent: size(request, response.opaque),
            answer: response.response_code(),
            received: size(response, response.opaque),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| (known.code, known.answer) != (exchange.code, exchange.answer));
        all.push(exchange);
        Ok(())
    }
}

/// Bytes of the frame of a command.
fn size(command: &Command, opaque: i32) -> usize {
    let mut out = Vec::new();
    let encoded = frame::encode_as(command, opaque, &command.fields, Encoding::Json, &mut out);
    encoded.map_or(0, |()| out.len())
}

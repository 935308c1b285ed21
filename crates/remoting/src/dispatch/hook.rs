//! Hooks around requests, on both sides (Java: `RPCHook`).

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytestring::ByteString;
use rocketwire_protocol::{Command, ResponseCode};

/// Sees every request before and after, in the order of registration.
///
/// On the side that asks: `before` may add fields (a signer comes last), `after` runs once with the final
/// response. On the side that answers: `before` may refuse, `after` may look at or replace the response, which
/// is `None` for a request whose answer comes later from elsewhere. Requests of a server to its clients run no hooks.
/// A hook that panics has failed with [`HookError::Failed`].
pub trait RpcHook: Send + Sync + 'static {
    /// Before the request is sent, or handled.
    fn before(&self, addr: &str, request: &mut Command) -> Result<(), HookError> {
        let _ = (addr, request);
        Ok(())
    }

    /// After the response came, or was made.
    fn after(&self, addr: &str, request: &Command, response: Option<&mut Command>) -> Result<(), HookError> {
        let _ = (addr, request, response);
        Ok(())
    }
}

/// How a hook ends a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// Answered with just this (Java: `AbortProcessException`).
    #[error("{code}: {remark}")]
    Abort {
        /// The response code.
        code: ResponseCode,
        /// The response's remark.
        remark: ByteString,
    },
    /// Answered SYSTEM_ERROR with this text; the remaining hooks still run, the processor does not.
    #[error("{0}")]
    Failed(String),
}

/// Runs the before-hooks of a request that is to be answered. A failed hook does not stop the others (spec D9).
pub(crate) fn run_before(
    hooks: &[Arc<dyn RpcHook>],
    addr: &str,
    request: &mut Command,
) -> Result<(), HookError> {
    let mut failed = Ok(());
    for hook in hooks {
        match guarded(|| hook.before(addr, request)) {
            Err(abort @ HookError::Abort { .. }) => return Err(abort),
            Err(other) if failed.is_ok() => failed = Err(other),
            _ => {}
        }
    }
    failed
}

/// Runs the after-hooks. A failed one discards the response (spec D10).
pub(crate) fn run_after(
    hooks: &[Arc<dyn RpcHook>],
    addr: &str,
    request: &Command,
    mut response: Option<&mut Command>,
) -> Result<(), HookError> {
    let mut failed = Ok(());
    for hook in hooks {
        match guarded(|| hook.after(addr, request, response.as_deref_mut())) {
            Err(abort @ HookError::Abort { .. }) => return Err(abort),
            Err(other) if failed.is_ok() => failed = Err(other),
            _ => {}
        }
    }
    failed
}

/// A hook that panics has failed; whoever called it goes on.
pub(crate) fn guarded(hook: impl FnOnce() -> Result<(), HookError>) -> Result<(), HookError> {
    catch_unwind(AssertUnwindSafe(hook)).unwrap_or_else(|panic| {
        let text = panic_text(&*panic);
        tracing::error!("a hook panicked: {text}");
        Err(HookError::Failed(format!("panicked: {text}")))
    })
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown reason")
}

impl HookError {
    /// The response that the requester gets.
    pub(crate) fn response(&self) -> Command {
        match self {
            HookError::Abort { code, remark } => Command::error(*code, remark.clone()),
            HookError::Failed(text) => Command::error(ResponseCode::SYSTEM_ERROR, format!("hook: {text}")),
        }
    }
}

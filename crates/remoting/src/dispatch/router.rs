//! Which processor handles which request code.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use rocketwire_protocol::{Command, RequestCode, ResponseCode, Version};
use tokio::time::Instant;

use super::{
    Answer, HookError, Lane, Processor, Request, Responder, Return, RpcHook, lane::Turn, panic_text,
    run_after, run_before,
};
use crate::{Connection, planted::planted};

/// Request codes with their processors and lanes, a fall-back, and hooks.
#[derive(Clone, Default)]
pub struct Router {
    /// Sorted by code.
    routes: Vec<(i32, Route)>,
    fallback: Option<Route>,
    after_turn: Vec<Arc<dyn Fn() + Send + Sync>>,
    pub(crate) hooks: Vec<Arc<dyn RpcHook>>,
}

#[derive(Clone)]
struct Route {
    processor: Arc<dyn Processor>,
    lane: Lane,
}

impl Router {
    /// A router that supports nothing: every request is answered REQUEST_CODE_NOT_SUPPORTED.
    pub fn new() -> Router {
        Router::default()
    }

    /// Handles `code` by `processor` in `lane`. A later call for the same code replaces an earlier one.
    pub fn route(mut self, code: RequestCode, processor: Arc<dyn Processor>, lane: Lane) -> Router {
        let route = Route { processor, lane };
        match self.routes.binary_search_by_key(&code.0, |(code, _)| *code) {
            Ok(at) => {
                if let Some(slot) = self.routes.get_mut(at) {
                    slot.1 = route;
                }
            }
            Err(at) => self.routes.insert(at, (code.0, route)),
        }
        self
    }

    /// Handles every code that has no route (Java: `registerDefaultProcessor`).
    pub fn fallback(mut self, processor: Arc<dyn Processor>, lane: Lane) -> Router {
        self.fallback = Some(Route { processor, lane });
        self
    }

    /// Adds a hook behind the others; the same one twice counts once.
    pub fn hook(mut self, hook: Arc<dyn RpcHook>) -> Router {
        if !self.hooks.iter().any(|known| Arc::ptr_eq(known, &hook)) {
            self.hooks.push(hook);
        }
        self
    }

    /// Calls `f` on a connection's task each time it has handled the requests that it read in one go, before their
    /// answers are written: what inline processors put off in order to do it once for all of them belongs here. It
    /// must not block, and may be called when there is nothing to do.
    pub fn after_turn(mut self, f: Arc<dyn Fn() + Send + Sync>) -> Router {
        self.after_turn.push(f);
        self
    }

    /// See [`Router::after_turn`].
    pub(crate) fn turn_ended(&self) {
        for f in &self.after_turn {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| f())) {
                panicked(&*panic);
            }
        }
    }

    /// All codes that have a route, sorted.
    pub(crate) fn codes(&self) -> impl Iterator<Item = i32> {
        self.routes.iter().map(|(code, _)| *code)
    }

    fn find(&self, code: i32) -> Option<&Route> {
        match self.routes.binary_search_by_key(&code, |(code, _)| *code) {
            Ok(at) => self.routes.get(at).map(|(_, route)| route),
            Err(_) => self.fallback.as_ref(),
        }
    }

    /// Handles a request in Java's order of checks (`NettyRemotingAbstract.processRequestCommand`).
    ///
    /// What is there at once is returned, for the connection's task to write; it drops it if the request is one-way.
    pub(crate) fn dispatch(
        &self,
        connection: &Connection,
        command: Command,
        begun: Instant,
        shutting_down: bool,
        cx: &mut Context<'_>,
    ) -> Option<Command> {
        let Some(route) = self.find(command.code) else {
            let remark = format!(" request type {} not supported", command.code);
            return Some(Command::error(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark));
        };
        if shutting_down && command.version > Version::V5_3_1 {
            return Some(go_away());
        }
        match catch_unwind(AssertUnwindSafe(|| route.processor.rejects())) {
            Ok(false) => {}
            Ok(true) => return Some(busy("[REJECTREQUEST]")),
            Err(panic) => return Some(panicked(&*panic)),
        }
        let request = Request { command, connection: connection.clone(), begun };
        match route.lane.pool() {
            None if self.hooks.is_empty() => self.run_inline(route, connection, request, cx),
            None => self.run_hooked(route, request, cx),
            Some(pool) if pool.submit(self.blocking_job(route, request)) => None,
            Some(_) => Some(busy("[OVERLOAD]")),
        }
    }

    fn run_inline(
        &self,
        route: &Route,
        connection: &Connection,
        request: Request,
        cx: &mut Context<'_>,
    ) -> Option<Command> {
        let back = Return::of(&request.command, request.begun);
        match guarded(|| route.processor.process(request)) {
            Answer::Now(response) => Some(response),
            Answer::Taken => None,
            Answer::Later(future) => match poll_once(future, cx) {
                Ok(response) => Some(response),
                Err(future) => {
                    let Some(permit) = route.lane.permit() else {
                        return Some(busy("[OVERLOAD]"));
                    };
                    let responder = Responder::new(back, connection.clone());
                    responder.connection().shared().runtime().clone().spawn(async move {
                        let response = CatchUnwind(future).await;
                        responder.send(response);
                        drop(permit);
                    });
                    None
                }
            },
        }
    }

    /// The slow way: hooks see the request, and the response as far as it is there.
    fn run_hooked(&self, route: &Route, mut request: Request, cx: &mut Context<'_>) -> Option<Command> {
        let addr = request.connection.remote_addr().to_string();
        let before = run_before(&self.hooks, &addr, &mut request.command);
        if let Err(abort @ HookError::Abort { .. }) = &before {
            return Some(abort.response());
        }
        let (original, begun) = (request.command.clone(), request.begun);
        let connection = request.connection.clone();
        let answer = match before {
            Err(failed) => {
                let mut response = failed.response();
                let _ = run_after(&self.hooks, &addr, &original, Some(&mut response));
                return Some(failed.response());
            }
            Ok(()) => guarded(|| route.processor.process(request)),
        };
        let response = match answer {
            Answer::Now(response) => Some(response),
            Answer::Taken => None,
            Answer::Later(future) => match poll_once(future, cx) {
                Ok(response) => Some(response),
                Err(future) => {
                    let Some(permit) = route.lane.permit() else {
                        return Some(busy("[OVERLOAD]"));
                    };
                    let responder = Responder::new(Return::of(&original, begun), connection);
                    let hooks = self.hooks.clone();
                    responder.connection().shared().runtime().clone().spawn(async move {
                        let response = CatchUnwind(future).await;
                        responder.send(after(&hooks, &addr, &original, response));
                        drop(permit);
                    });
                    return None;
                }
            },
        };
        match response {
            Some(response) => Some(after(&self.hooks, &addr, &original, response)),
            None => run_after(&self.hooks, &addr, &original, None).err().map(|error| error.response()),
        }
    }

    /// What a thread of the lane does.
    fn blocking_job(&self, route: &Route, mut request: Request) -> Box<dyn FnOnce(Turn) + Send> {
        let processor = route.processor.clone();
        let hooks = self.hooks.clone();
        // From here on the connection knows that it owes an answer; a job that is refused gives it back.
        let responder =
            Responder::new(Return::of(&request.command, request.begun), request.connection.clone());
        Box::new(move |turn: Turn| {
            let original = request.command.clone();
            if let Turn::TooLate { waited, behind } = turn {
                responder.send(too_late(waited, behind));
                return;
            }
            let addr =
                if hooks.is_empty() { String::new() } else { request.connection.remote_addr().to_string() };
            let answer = match run_before(&hooks, &addr, &mut request.command) {
                Err(error) => Answer::Now(error.response()),
                Ok(()) => guarded(|| processor.process(request)),
            };
            match answer {
                Answer::Now(response) => responder.send(after(&hooks, &addr, &original, response)),
                Answer::Taken => {
                    let _ = run_after(&hooks, &addr, &original, None);
                }
                Answer::Later(future) => {
                    responder.connection().shared().runtime().clone().spawn(async move {
                        let response = CatchUnwind(future).await;
                        responder.send(after(&hooks, &addr, &original, response));
                    });
                }
            }
        })
    }
}

fn after(hooks: &[Arc<dyn RpcHook>], addr: &str, request: &Command, mut response: Command) -> Command {
    match run_after(hooks, addr, request, Some(&mut response)) {
        Ok(()) => response,
        Err(error) => error.response(),
    }
}

fn busy(tag: &str) -> Command {
    Command::error(ResponseCode::SYSTEM_BUSY, format!("{tag}system busy, start flow control for a while"))
}

fn go_away() -> Command {
    Command::error(ResponseCode::GO_AWAY, bytestring::ByteString::from_static("please go away"))
}

fn too_late(waited: std::time::Duration, behind: usize) -> Command {
    let remark = format!(
        "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: {}ms, size of queue: {behind}",
        waited.as_millis()
    );
    Command::error(ResponseCode::SYSTEM_BUSY, remark)
}

fn guarded(process: impl FnOnce() -> Answer) -> Answer {
    if planted("processor panic kills the connection") {
        return process();
    }
    catch_unwind(AssertUnwindSafe(process)).unwrap_or_else(|panic| Answer::Now(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> Command {
    let text = panic_text(panic);
    tracing::error!("a processor panicked: {text}");
    Command::error(ResponseCode::SYSTEM_ERROR, format!("processor panicked: {text}"))
}

type Later = Pin<Box<dyn Future<Output = Command> + Send>>;

fn poll_once(mut future: Later, cx: &mut Context<'_>) -> Result<Command, Later> {
    match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(response)) => Ok(response),
        Ok(Poll::Pending) => Err(future),
        Err(panic) => Ok(panicked(&*panic)),
    }
}

/// A future whose panic becomes an answer.
struct CatchUnwind(Later);

impl Future for CatchUnwind {
    type Output = Command;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Command> {
        let inner = pin!(&mut self.0);
        match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(panicked(&*panic)),
        }
    }
}

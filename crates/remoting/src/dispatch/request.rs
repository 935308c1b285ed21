//! A request as its processor sees it, and the way back.

use rocketwire_protocol::{Command, Encoding};
use tokio::time::Instant;

use crate::{Connection, latency::Answered};

/// A request of the peer.
pub struct Request {
    /// The request itself. It shares the memory of the frame it came in: copy what is kept for long.
    pub command: Command,
    pub(crate) connection: Connection,
    /// When it was read.
    pub(crate) begun: Instant,
}

impl Request {
    /// The connection that the request came by.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Takes the request apart, to answer it from elsewhere; the processor then returns [`crate::Answer::Taken`].
    pub fn into_responder(self) -> (Command, Responder) {
        let responder = Responder::new(Return::of(&self.command, self.begun), self.connection);
        (self.command, responder)
    }
}

/// The way back of one request: answers it from any thread, at most once.
///
/// It knows the opaque, the encoding and whether the requester wants an answer at all. Dropped without
/// [`Responder::send`], the requester gets none and runs into its deadline.
#[derive(Debug)]
pub struct Responder {
    connection: Connection,
    back: Return,
}

/// What an answer has to repeat of its request, and what is told of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Return {
    pub(crate) opaque: i32,
    pub(crate) encoding: Encoding,
    pub(crate) oneway: bool,
    pub(crate) code: i32,
    /// When the request was read.
    pub(crate) begun: Instant,
    /// It waits on purpose.
    pub(crate) suspended: bool,
}

impl Return {
    pub(crate) fn of(request: &Command, begun: Instant) -> Return {
        Return {
            opaque: request.opaque,
            encoding: request.encoding,
            oneway: request.is_oneway(),
            code: request.code,
            begun,
            suspended: false,
        }
    }
}

impl Responder {
    pub(crate) fn new(back: Return, connection: Connection) -> Responder {
        connection.shared().taken();
        Responder { connection, back }
    }

    /// Sends the answer; never blocks. Nothing goes out if the request is one-way or the connection is gone.
    ///
    /// An answer that does not fit a frame becomes SYSTEM_ERROR.
    pub fn send(self, response: Command) {
        if self.back.oneway {
            let answered = Answered::new(&response, &self.back);
            self.connection.shared().endpoint.latencies.count(&[answered], Instant::now(), false);
        } else {
            self.connection.shared().answer(response, self.back);
        }
    }

    /// Notes that the request waits on purpose, as a long poll does: [`Latency`](crate::Latency) tells those apart.
    pub fn suspended(&mut self) {
        self.back.suspended = true;
    }

    /// The connection that the answer goes to.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.connection.shared().released();
    }
}

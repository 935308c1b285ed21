//! A peer that does just what a test tells it, frame by frame.

use std::{future::Future, time::Duration};

use bytes::BytesMut;
use rocketwire_protocol::{Command, Encoding, Limits, RequestCode, ResponseCode, frame};
use rocketwire_remoting::{ClientOptions, Lane, RemotingClient, Router, Server, ServerOptions, processor_fn};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) const ECHO: RequestCode = RequestCode(9001);
/// Generous: the machine may be busy.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// One end of a connection, in plain sight.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    input: BytesMut,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Peer {
        Peer { stream, input: BytesMut::new() }
    }

    pub(crate) async fn dial(server: &Server) -> Peer {
        Peer::new(TcpStream::connect(server.local_addr()).await.unwrap())
    }

    pub(crate) async fn accept(listener: &TcpListener) -> Peer {
        Peer::new(within(listener.accept()).await.unwrap().0)
    }

    pub(crate) async fn send(&mut self, command: &Command, encoding: Encoding) {
        let mut out = Vec::new();
        frame::encode(command, encoding, &mut out).unwrap();
        self.write(&out).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame; `None`: the other side closed.
    pub(crate) async fn next(&mut self) -> Option<Command> {
        loop {
            if let Some(command) = frame::decode(&mut self.input, &Limits::default()).unwrap() {
                return Some(command);
            }
            match within(self.stream.read_buf(&mut self.input)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn request(&mut self) -> Command {
        self.next().await.expect("a frame")
    }

    pub(crate) async fn answer(&mut self, request: &Command, body: &'static str) {
        self.send(&response_to(request).with_body(body), request.encoding).await;
    }

    /// The other side closed without a word.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.next().await.is_none()
    }
}

pub(crate) fn response_to(request: &Command) -> Command {
    Command { opaque: request.opaque, ..Command::response(ResponseCode::SUCCESS) }
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG, future).await.expect("it takes too long")
}

pub(crate) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

pub(crate) fn echo_router() -> Router {
    let echo = processor_fn(|request| {
        Command::response(ResponseCode::SUCCESS)
            .with_header(&request.command.fields)
            .with_body(request.command.body)
            .into()
    });
    Router::new().route(ECHO, echo, Lane::inline())
}

pub(crate) async fn serve(router: Router) -> Server {
    Server::bind("127.0.0.1:0", router, ServerOptions::default()).await.unwrap()
}

pub(crate) fn client() -> RemotingClient {
    RemotingClient::new(ClientOptions::default(), Router::new())
}

pub(crate) fn echo(body: &'static str) -> Command {
    Command::request(ECHO).with_body(body)
}

/// Waits until something is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    within(async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

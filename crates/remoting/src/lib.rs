//! RPC client and server for RocketMQ's remoting protocol on tokio.
//!
//! One [`Connection`] type serves both roles: either end may send requests to the other over one TCP
//! connection. One task owns a socket; everyone else holds a cheap clone that appends encoded frames to the
//! task's buffer, so that a dropped future never leaves half a frame on the wire and a batch of callers costs
//! one write.
//!
//! ```text
//!                   callers (any task)                                   processors
//!                        | append encoded frame                              ^ Request
//!                        v                                                   |
//! [out buffer] --one write per turn--> socket --read batch--> frame::decode --+--> answer? end the call, wake it
//!      ^                                                                     |
//!      +------------------------- append the answer -------------------------+
//! ```
//!
//! | | |
//! |---|---|
//! | [`RemotingClient`] | connections by address, name servers, `invoke`, `invoke_oneway`, `invoke_with` |
//! | [`Server`] | listens, dispatches to a [`Router`], shuts down gracefully |
//! | [`Router`] | [`Processor`] + [`Lane`] per request code, a fall-back, [`RpcHook`]s |
//! | [`Connection`] | requests to the peer, over a connection that either side opened |
//!
//! # Cancel safety
//! Every future of this crate may be dropped at any await point: the slot of the call is freed, a frame is
//! written whole or not at all, and an answer that comes later is counted and dropped.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use rocketwire_protocol::{Command, RequestCode, ResponseCode};
//! use rocketwire_remoting::{ClientOptions, Lane, RemotingClient, Router, Server, ServerOptions, processor_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let echo = processor_fn(|request| Command::response(ResponseCode::SUCCESS).with_body(request.command.body).into());
//! let router = Router::new().route(RequestCode(9001), echo, Lane::inline());
//! let server = Server::bind("127.0.0.1:0", router, ServerOptions::default()).await?;
//!
//! let client = RemotingClient::new(ClientOptions::default(), Router::new());
//! let request = Command::request(RequestCode(9001)).with_body("hello");
//! let answer = client.invoke(&server.local_addr().to_string(), request, Duration::from_secs(3)).await?;
//! assert_eq!(&answer.body[..], b"hello");
//!
//! client.shutdown().await;
//! server.shutdown(Duration::from_secs(1)).await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```

mod client;
mod connection;
mod dispatch;
mod error;
mod latency;
mod options;
mod planted;
mod server;
mod sniff;
mod socket;
mod sync;

pub use client::RemotingClient;
pub use connection::{Connection, ConnectionEvent, ConnectionListener, Counters};
pub use dispatch::{Answer, HookError, Lane, Processor, Request, Responder, Router, RpcHook, processor_fn};
pub use error::{BindError, CloseCause, Phase, RpcError, RpcErrorKind, Tried};
pub use latency::{AnswerEnd, LATENCY_BOUNDS, Latency};
pub use options::{
    ClientOptions, ConnectionOptions, InvalidNetwork, Network, ServerOptions, SocketOptions, SocksProxy,
};
pub use server::Server;

/// The examples of the README are tests as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

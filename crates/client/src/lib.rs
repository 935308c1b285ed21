//! RocketMQ client for Rust: producer, consumers and admin over the remoting protocol.
//!
//! It talks to name servers and brokers of Apache RocketMQ 4.9 and 5.x directly: no proxy, no C compiler, no
//! threads of its own. It is not a client of RocketMQ's gRPC proxy.
//!
//! | | |
//! |---|---|
//! | [`Client`] | one per process, usually: connections, routes, heartbeats; everything else is a handle on it |
//! | [`Producer`] | send, batch, one-way, ordered, delayed, transactions, request and reply |
//! | [`PushConsumer`] | a member of a group: a handler per message, in parallel or in order, or a stream |
//! | [`PullConsumer`], [`Client::pull`] | explicit queues and offsets |
//! | [`Admin`] | topics and clusters; messages by key and by id |
//!
//! # Example
//! ```no_run
//! use std::time::Duration;
//! use rocketwire::{Client, ConsumeFrom, Message};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder().name_servers("127.0.0.1:9876").build()?;
//!
//! let producer = client.producer("orders-service").build()?;
//! let sent = producer.send(Message::new("Orders", "4711").with_tag("new")).await?;
//! println!("{} is in {}", sent.msg_id, sent.message_queue);
//!
//! let consumer = client
//!     .push_consumer("billing")
//!     .subscribe("Orders", "new || changed")
//!     .consume_from(ConsumeFrom::First)
//!     .start(async |message| println!("{:?}", message.body))
//!     .await?;
//!
//! tokio::time::sleep(Duration::from_secs(60)).await;
//! consumer.shutdown(Duration::from_secs(10)).await;
//! client.close(Duration::from_secs(5)).await;
//! # Ok(()) }
//! ```
//!
//! # Promises
//! - One deadline covers a whole call: route, connecting, waiting for room, the answer, and retries.
//! - An error says what was tried where: see [`SendError::attempts`] and [`RouteError::answers`].
//! - Every future may be dropped at any time; see each method for what that means.
//! - Nothing is global: two clients in one process share nothing.

mod admin;
mod allocate;
mod auth;
mod client;
mod consumer;
mod error;
mod fault;
mod identity;
mod offsets;
mod panics;
mod process_queue;
mod producer;
mod query;
mod retry;
mod route;
mod select;
mod subscription;
mod tasks;
mod validate;

pub use admin::{Admin, NewTopic};
pub use allocate::{AllocateStrategy, Averagely, AveragelyByCircle, ByConfig, ByMachineRoom, ConsistentHash};
pub use auth::Credentials;
pub use client::{Client, ClientBuilder, ClientOptions, PullOptions, PullOutcome, PullStatus};
pub use consumer::{
    ConsumeFrom, ConsumeResult, Delivery, DeliveryStream, OrderlyResult, PullConsumer, PushConsumer,
    PushConsumerBuilder, PushConsumerOptions, ShutdownReport,
};
pub use error::{
    Attempt, AttemptFailure, NameServerAnswer, RequestError, RequestErrorKind, RouteError, RouteErrorKind,
    SendError, SendErrorKind,
};
pub use producer::{
    Producer, ProducerBuilder, ProducerOptions, SendOptions, SendResult, SendStatus, TransactionResult,
    TransactionState, reply_to,
};
pub use query::{MessageQuery, QueryResult};
pub use retry::{
    AttemptFacts, AttemptOutcome, Next, NoRetry, RETRY_CODES, RetryPolicy, StandardRetry, TransportRetry,
};
pub use rocketwire_protocol::{
    ResponseCode,
    body::{MessageModel, MessageQueue},
    message::{CompressionType, Message, MessageError, MessageExt, OffsetMessageId},
};
pub use rocketwire_remoting::{Network, RpcError, RpcErrorKind, SocksProxy};
pub use select::queue_by_hash;
pub use subscription::FilterExpression;
pub use validate::Invalid;

//! The client against a scripted name server and broker on loopback.
#![allow(missing_docs, unreachable_pub)] // nobody else sees it
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a test may panic

mod admin;
mod callbacks;
mod consumer;
mod lifecycle;
mod orderly;
mod producer;
mod pull;
mod query;
mod rebalance;
mod request;
mod retry;
mod support;
mod transaction;

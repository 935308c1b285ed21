//! RocketMQ client for Rust: producer, consumers and admin over the remoting protocol.

//! RPC client and server for RocketMQ's remoting protocol on tokio.

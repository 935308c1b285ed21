//! RocketMQ name server: routes and broker registry.

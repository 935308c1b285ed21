//! What can be set.

use std::time::Duration;

/// Settings of a name server. Names in brackets are Java's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NameServerOptions {
    /// A broker that was not heard of for this long is forgotten, unless it announced a time of its own
    /// (`DEFAULT_BROKER_CHANNEL_EXPIRED_TIME`). Default 120 s.
    pub broker_expiry: Duration,
    /// Whether routes carry `orderTopicConf` from namespace `ORDER_TOPIC_CONFIG` (`orderMessageEnable`).
    /// Default false.
    pub order_message_enable: bool,
    /// How many topics may be registered. Default 65,536; one takes about 300 bytes. A full table refuses new
    /// topics, and logs it.
    pub max_topics: usize,
    /// How many brokers may be registered. Default 1,024.
    pub max_brokers: usize,
    /// How many instances (broker ids) one broker may have. Default 64.
    pub max_instances: usize,
    /// How many entries the KV configuration may have. Default 4,096.
    pub max_kv_entries: usize,
    /// The longest name and value of a KV entry in bytes. Default 64 KiB.
    pub max_kv_bytes: usize,
}

impl Default for NameServerOptions {
    fn default() -> Self {
        NameServerOptions {
            broker_expiry: Duration::from_secs(120),
            order_message_enable: false,
            max_topics: 65_536,
            max_brokers: 1_024,
            max_instances: 64,
            max_kv_entries: 4_096,
            max_kv_bytes: 64 << 10,
        }
    }
}

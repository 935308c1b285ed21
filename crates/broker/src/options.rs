//! What can be set.

use std::{net::SocketAddr, time::Duration};

use bytestring::ByteString;

use crate::DelayLevels;

/// Settings of a broker. Names in brackets are those of Java's `BrokerConfig` and `MessageStoreConfig`.
///
/// Whether an answer waits for the disk is the store's setting, not the broker's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokerOptions {
    /// The cluster (`brokerClusterName`). Default `DefaultCluster`. Its name is a topic, too.
    pub cluster: ByteString,
    /// The broker's name (`brokerName`). Default `broker-a`. Its name is a topic, too.
    pub broker_name: ByteString,
    /// The address that message ids carry. Default: our end of the producer's connection, which is right
    /// wherever clients can reach us at all. Set it behind NAT or a mapped port.
    pub advertised: Option<SocketAddr>,
    /// Whether a send to an unknown topic creates it (`autoCreateTopicEnable`). Default true. Off: code 17.
    pub auto_create_topic: bool,
    /// Whether an unknown consumer group appears by its first heartbeat or pull
    /// (`autoCreateSubscriptionGroup`). Default true. Off: code 26.
    pub auto_create_group: bool,
    /// Queues of an automatically created topic at most (`defaultTopicQueueNums`). Default 8.
    pub default_topic_queue_nums: i32,
    /// What the broker may do as a whole (`brokerPermission`): 6 all, 4 only be read, 2 only be written to, 0 nothing.
    /// Default 6. Operators can change it until the next start (request 25).
    pub permission: i32,
    /// Region in answers and messages (`regionId`). Default `DefaultRegion`.
    pub region: ByteString,
    /// Whether clients are told to trace (`traceOn`). Default true.
    pub trace_on: bool,
    /// Whether `RMQ_SYS_TRACE_TOPIC` exists (`traceTopicEnable`). Default true; Java's is false, which makes
    /// every tracing client log errors.
    pub trace_topic: bool,
    /// The longest body in bytes, of a batch in all (`maxMessageSize`). Default 4 MiB. Raise the limit of
    /// frames along with it.
    pub max_message_size: usize,
    /// The longest time that a pull is held, whatever its client asks for. Default 60 s.
    pub max_suspend: Duration,
    /// How many pulls may be held. Default 100,000; beyond, a pull that finds nothing is answered at once.
    pub max_holds: usize,
    /// Messages in one answer to a pull, whatever its client asks for (`maxTransferCountOnMessageInMemory`). Default 32.
    /// More spare a fast consumer round trips, if it asks for more (`pullBatchSize`).
    pub max_pull_messages: usize,
    /// Bytes of them at most; the first message comes whatever its size (`maxTransferBytesOnMessageInMemory`).
    /// Default 256 KiB. Keep it well below the clients' limit of frames.
    pub max_pull_bytes: usize,
    /// Reads of old messages that may wait for the disk at once. Default 1,024; beyond: SYSTEM_BUSY.
    pub max_cold_reads: usize,
    /// Messages in one answer to a query by key (`maxMsgsNumBatch`). Default 64.
    pub max_query_messages: usize,
    /// Bytes of them at most; the newest message comes whatever its size. Default 4 MiB.
    pub max_query_bytes: usize,
    /// Whether consumers may filter by SQL92 expressions on properties (`enablePropertyFilter`). Default true; Java's
    /// is false. Off: code 1.
    pub enable_property_filter: bool,
    /// Topics at most. Default 16,384. One with 8 queues takes about 1 KiB.
    pub max_topics: usize,
    /// Topics that may be created by sending to them. Default 4,096; a client with a bug in its topic names
    /// stops there.
    pub max_auto_created_topics: usize,
    /// Requests that may wait for topics to be saved: creations, changes, first messages. Default 4,096; beyond:
    /// SYSTEM_BUSY.
    pub max_topic_creations: usize,
    /// Queues of one topic at most. Default 4,096.
    pub max_topic_queues: i32,
    /// Consumer groups, and producer groups, at most. Default 16,384.
    pub max_groups: usize,
    /// Groups in one heartbeat. Default 1,024; beyond: INVALID_PARAMETER.
    pub max_heartbeat_groups: usize,
    /// Subscriptions in one heartbeat. Default 8,192; beyond: INVALID_PARAMETER.
    pub max_heartbeat_subscriptions: usize,
    /// Leases of orderly consumers. Default 1,000,000.
    pub max_locks: usize,
    /// Half messages without a verdict. Default 100,000; beyond: SYSTEM_BUSY.
    pub max_pending_transactions: usize,
    /// Whether replies are stored in the reply topic, after they went to who waits for them
    /// (`storeReplyMessageEnable`). Default true.
    pub store_replies: bool,
    /// Timer messages that wait at once (compare `timerCongestNumEachSlot`). Default 1,000,000, of some 40 bytes
    /// of memory each; beyond: SYSTEM_ERROR, with Java's text of a timer under flow control.
    pub max_timers: usize,
    /// Whether producers may call timer messages back (`recallMessageEnable`, request 370). Default false.
    pub recall_message: bool,
    /// How long the delay levels are (`messageDelayLevel`). Default Java's 18, from a second to two hours.
    pub delay_levels: DelayLevels,
    /// A half message is asked about when it is older than this (`transactionTimeOut`). Default 6 s.
    pub transaction_timeout: Duration,
    /// How often half messages are looked through (`transactionCheckInterval`). Default 30 s.
    pub transaction_check_interval: Duration,
    /// How often a producer is asked about one half message (`transactionCheckMax`). Default 15.
    pub transaction_check_max: i32,
    /// A client that was silent for this long is out of its groups (`channelExpiredTimeout`). Default 120 s.
    pub client_expiry: Duration,
    /// How often tables are saved when they have changed (`flushConsumerOffsetInterval`). Default 5 s.
    pub snapshot_interval: Duration,
    /// How long clients have to answer what the broker asks them for an operator. Default 10 s.
    pub relay_timeout: Duration,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        BrokerOptions {
            cluster: ByteString::from_static("DefaultCluster"),
            broker_name: ByteString::from_static("broker-a"),
            advertised: None,
            auto_create_topic: true,
            auto_create_group: true,
            default_topic_queue_nums: 8,
            permission: 6,
            region: ByteString::from_static("DefaultRegion"),
            trace_on: true,
            trace_topic: true,
            max_message_size: 4 << 20,
            max_suspend: Duration::from_secs(60),
            max_holds: 100_000,
            max_pull_messages: 32,
            max_pull_bytes: 256 << 10,
            max_cold_reads: 1_024,
            max_query_messages: 64,
            max_query_bytes: 4 << 20,
            enable_property_filter: true,
            max_topics: 16_384,
            max_auto_created_topics: 4_096,
            max_topic_creations: 4_096,
            max_topic_queues: 4_096,
            max_groups: 16_384,
            max_heartbeat_groups: 1_024,
            max_heartbeat_subscriptions: 8_192,
            max_locks: 1_000_000,
            max_pending_transactions: 100_000,
            store_replies: true,
            max_timers: 1_000_000,
            recall_message: false,
            delay_levels: DelayLevels::default(),
            transaction_timeout: Duration::from_secs(6),
            transaction_check_interval: Duration::from_secs(30),
            transaction_check_max: 15,
            client_expiry: Duration::from_secs(120),
            snapshot_interval: Duration::from_secs(5),
            relay_timeout: Duration::from_secs(10),
        }
    }
}

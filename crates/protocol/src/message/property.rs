//! Names of properties that RocketMQ reserves (Java: `MessageConst`).

macro_rules! names {
    ($($(#[$doc:meta])* $ident:ident = $name:literal,)*) => {
        $($(#[$doc])* pub const $ident: &str = $name;)*

        /// Every reserved name.
        pub const ALL: &[&str] = &[$($name),*];
    };
}

names! {
    /// Keys to find the message by, separated by [`KEY_SEPARATOR`].
    KEYS = "KEYS",
    /// The tag that consumers filter by.
    TAGS = "TAGS",
    /// `false`: the answer need not wait for the disk and the replicas.
    WAIT = "WAIT",
    /// The delay level, from 1.
    DELAY = "DELAY",
    /// The id that the producer gave.
    UNIQ_KEY = "UNIQ_KEY",
    /// More of the id.
    EXTEND_UNIQ_INFO = "EXTEND_UNIQ_INFO",
    /// The topic that a message to be retried was sent to.
    RETRY_TOPIC = "RETRY_TOPIC",
    /// The topic of a message that waits in a system topic.
    REAL_TOPIC = "REAL_TOPIC",
    /// The queue of a message that waits in a system topic.
    REAL_QID = "REAL_QID",
    /// The id of the first attempt.
    ORIGIN_MESSAGE_ID = "ORIGIN_MESSAGE_ID",
    /// How often the message was consumed in vain.
    RECONSUME_TIME = "RECONSUME_TIME",
    /// How often it may be.
    MAX_RECONSUME_TIMES = "MAX_RECONSUME_TIMES",
    /// The topic of a dead letter.
    DLQ_ORIGIN_TOPIC = "DLQ_ORIGIN_TOPIC",
    /// The id of a dead letter.
    DLQ_ORIGIN_MESSAGE_ID = "DLQ_ORIGIN_MESSAGE_ID",
    /// `true`: a half message.
    TRAN_MSG = "TRAN_MSG",
    /// The producer group that is asked about the transaction.
    PGROUP = "PGROUP",
    /// Where the half message is queued.
    TRAN_PREPARED_QUEUE_OFFSET = "TRAN_PREPARED_QUEUE_OFFSET",
    /// How often the producer was asked.
    TRANSACTION_CHECK_TIMES = "TRANSACTION_CHECK_TIMES",
    /// Seconds before the producer is asked first.
    CHECK_IMMUNITY_TIME_IN_SECONDS = "CHECK_IMMUNITY_TIME_IN_SECONDS",
    /// The transaction's id.
    TRANSACTION_ID = "__transactionId__",
    /// The queue's least offset when the message was pulled; set by consumers only.
    MIN_OFFSET = "MIN_OFFSET",
    /// The queue's greatest offset when the message was pulled; set by consumers only.
    MAX_OFFSET = "MAX_OFFSET",
    /// When its consumption began; set by consumers only.
    CONSUME_START_TIME = "CONSUME_START_TIME",
    /// The region of the broker.
    MSG_REGION = "MSG_REGION",
    /// Whether the broker wants traces.
    TRACE_ON = "TRACE_ON",
    /// The cluster of the broker.
    CLUSTER = "CLUSTER",
    /// The namespace of the producer.
    INSTANCE_ID = "INSTANCE_ID",
    /// Which request a reply belongs to.
    CORRELATION_ID = "CORRELATION_ID",
    /// The client that waits for a reply.
    REPLY_TO_CLIENT = "REPLY_TO_CLIENT",
    /// How long it waits, in milliseconds.
    TTL = "TTL",
    /// When a request arrived at the broker.
    ARRIVE_TIME = "ARRIVE_TIME",
    /// When a reply was pushed.
    PUSH_REPLY_TIME = "PUSH_REPLY_TIME",
    /// `reply` for a reply.
    MSG_TYPE = "MSG_TYPE",
    /// The check point of a popped message.
    POP_CK = "POP_CK",
    /// Where the check point is.
    POP_CK_OFFSET = "POP_CK_OFFSET",
    /// When the message was popped first.
    FIRST_POP_TIME = "1ST_POP_TIME",
    /// Delay in seconds.
    TIMER_DELAY_SEC = "TIMER_DELAY_SEC",
    /// Delay in milliseconds.
    TIMER_DELAY_MS = "TIMER_DELAY_MS",
    /// When to deliver, in milliseconds since 1970.
    TIMER_DELIVER_MS = "TIMER_DELIVER_MS",
    /// When the timer took the message.
    TIMER_ENQUEUE_MS = "TIMER_ENQUEUE_MS",
    /// When the timer gave it out.
    TIMER_DEQUEUE_MS = "TIMER_DEQUEUE_MS",
    /// How often the timer wheel turned meanwhile.
    TIMER_ROLL_TIMES = "TIMER_ROLL_TIMES",
    /// When the timer has to give it out.
    TIMER_OUT_MS = "TIMER_OUT_MS",
    /// The id of the message to be cancelled.
    TIMER_DEL_UNIQKEY = "TIMER_DEL_UNIQKEY",
    /// The delay level of a timer.
    TIMER_DELAY_LEVEL = "TIMER_DELAY_LEVEL",
    /// Messages in an inner batch.
    INNER_NUM = "INNER_NUM",
    /// The first offset of an inner batch.
    INNER_BASE = "INNER_BASE",
    /// What a store needs to drop duplicates.
    DUP_INFO = "DUP_INFO",
    /// Light queues that the message is dispatched to.
    INNER_MULTI_DISPATCH = "INNER_MULTI_DISPATCH",
    /// Its offsets there.
    INNER_MULTI_QUEUE_OFFSET = "INNER_MULTI_QUEUE_OFFSET",
    /// Checksum of the properties.
    CRC32 = "__CRC32#",
    /// What an ordered message is ordered by.
    SHARDING_KEY = "__SHARDINGKEY",
    /// The queue that a forwarded message is meant for.
    FORWARD_QUEUE_ID = "PROPERTY_FORWARD_QUEUE_ID",
    /// Redirected by a proxy.
    REDIRECT = "REDIRECT",
    /// Context of a trace.
    TRACE_CONTEXT = "TRACE_CONTEXT",
    /// When the message was made.
    BORN_TIMESTAMP = "BORN_TIMESTAMP",
    /// Where the message was made.
    BORN_HOST = "__BORNHOST",
    /// Who bought.
    BUYER_ID = "BUYER_ID",
    /// Transferred from another cluster.
    TRANSFER_FLAG = "TRANSFER_FLAG",
    /// Sent in place of another.
    CORRECTION_FLAG = "CORRECTION_FLAG",
    /// From the days of another product.
    MQ2_FLAG = "MQ2_FLAG",
}

/// Properties with this prefix are for the way only and are not stored.
pub const TRANSIENT_PREFIX: &str = "__RMQ.TRANSIENT.";
/// Between two [`KEYS`].
pub const KEY_SEPARATOR: char = ' ';
/// Value of [`MSG_TYPE`] in a reply.
pub const MSG_TYPE_REPLY: &str = "reply";

/// Whether users may not set a property of this name (Java: `MessageConst.STRING_HASH_SET`).
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(TRANSIENT_PREFIX) || ALL.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_known_by_value_and_by_prefix() {
        assert!(is_reserved("KEYS") && is_reserved("__CRC32#") && is_reserved("__RMQ.TRANSIENT.x"));
        assert!(!is_reserved("keys") && !is_reserved("region"));
    }
}

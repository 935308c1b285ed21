//! The table of all settings.

use super::{ServeOptions, value, value::Kind};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its flag without the dashes. [`Setting::name`] and [`Setting::variable`] follow from it.
    pub flag: &'static str,
    /// Its flag of one letter.
    pub short: Option<char>,
    /// What it is about.
    pub section: Section,
    /// What it does, in one sentence.
    pub help: &'static str,
    /// Whether most people never need it.
    pub is_rare: bool,
    pub(super) kind: Kind,
    pub(super) set: fn(&mut ServeOptions, &str) -> Result<(), String>,
    pub(super) show: fn(&ServeOptions) -> String,
}

/// What a setting is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Addresses, connections, frames.
    Network,
    /// What is kept, where, and how safely.
    Storage,
    /// Topics, groups, messages.
    Broker,
    /// The program.
    Process,
}

impl Section {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Section::Network => "Network",
            Section::Storage => "Storage",
            Section::Broker => "Broker",
            Section::Process => "Process",
        }
    }
}

impl Setting {
    /// Its key in a file: `min_free_bytes`.
    pub fn name(&self) -> String {
        self.flag.replace('-', "_")
    }

    /// Its variable in the environment: `ROCKETWIRE_MIN_FREE_BYTES`.
    pub fn variable(&self) -> String {
        format!("ROCKETWIRE_{}", self.name().to_ascii_uppercase())
    }

    /// The value that counts if nobody says otherwise, as it is written.
    pub fn default(&self) -> String {
        (self.show)(&ServeOptions::default())
    }

    /// What stands for its value in a help text.
    pub fn placeholder(&self) -> &'static str {
        self.kind.placeholder
    }

    /// The words it can be, if there are only so many.
    pub fn words(&self) -> &'static [&'static str] {
        self.kind.words
    }

    /// Whether it is true or false, and its flag needs no value.
    pub fn is_switch(&self) -> bool {
        self.kind.placeholder == value::boolean::KIND.placeholder
    }

    /// Whether the text is a value for it; the error says what is wanted.
    pub fn check(&self, text: &str) -> Result<(), String> {
        (self.set)(&mut ServeOptions::default(), text)
    }

    /// A line of a TOML file.
    pub(super) fn line(&self, options: &ServeOptions) -> String {
        let value = (self.show)(options);
        match self.kind.is_bare {
            true => format!("{} = {value}", self.name()),
            false => format!("{} = {}", self.name(), quoted(&value)),
        }
    }
}

/// The setting of this name, as a file has it.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name() == name)
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `"flag" 's' kind, place in the options, section, "help"`; `rare` before it for what only `--help` shows.
macro_rules! setting {
    (rare $($rest:tt)+) => { Setting { is_rare: true, ..setting!($($rest)+) } };
    ($flag:literal $short:literal $($rest:tt)+) => {
        Setting { short: Some($short), ..setting!($flag $($rest)+) }
    };
    ($flag:literal $kind:ident $($place:ident).+, $section:ident, $help:literal) => {
        Setting {
            flag: $flag,
            short: None,
            section: Section::$section,
            help: $help,
            is_rare: false,
            kind: value::$kind::KIND,
            set: |options, text| {
                options.$($place).+ = value::$kind::parse(text)?;
                Ok(())
            },
            show: |options| value::$kind::show(&options.$($place).+),
        }
    };
}

/// All settings, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    setting!("host" text node.host, Network,
        "The interface; beyond loopback everybody who reaches it may read and write"),
    setting!("port" 'p' number node.port, Network, "The port; 0 picks a free one"),
    setting!("advertise" optional_text node.advertise, Network,
        "What clients are told instead of the address by which they asked"),
    setting!("register" addresses node.register, Network,
        "Register the broker at name servers elsewhere, as one broker of their clusters"),
    setting!("name-server" boolean node.is_name_server, Network,
        "Be a name server, too; without, clients find the broker at those of --register"),
    setting!("vip-port" boolean node.vip_port, Network,
        "Listen on the port - 2, too, for clients with vipChannelEnabled"),
    setting!("threads" number threads, Network, "Threads for connections, each with a runtime of its own"),
    setting!("max-connections" count node.server.max_connections, Network,
        "Connections at a time; more are closed when they come"),
    setting!(rare "max-connections-per-ip" count node.server.max_connections_per_ip, Network,
        "Connections at a time from one address"),
    setting!(rare "max-frame-size" bytes node.server.connection.limits.frame_max, Network,
        "The largest frame; a connection that announces more is closed"),
    setting!(rare "max-header-size" bytes node.server.connection.limits.header_max, Network,
        "The largest header of a frame"),
    setting!(rare "max-served" count node.server.connection.max_served, Network,
        "Requests of one connection in work or parked before it is no longer read"),
    setting!(rare "high-water" bytes node.server.connection.high_water, Network,
        "Answers of one connection that wait to be written before it is no longer read"),
    setting!(rare "max-unwritten" bytes node.server.connection.max_pending, Network,
        "Answers that wait to be written at which a connection is closed: the peer does not read"),
    setting!(rare "idle-timeout" duration node.server.connection.idle, Network,
        "Silence after which a connection is closed; 0s never"),
    setting!(rare "first-byte-timeout" duration node.server.connection.first_byte, Network,
        "How long a new connection may be silent before it is closed; 0s as long as any"),
    setting!(rare "frame-timeout" duration node.server.connection.frame_timeout, Network,
        "How long a frame may take from its first byte to its last, plus 1s for each 64 KiB"),
    setting!(rare "max-partial-bytes" bytes node.server.connection.max_partial, Network,
        "What unfinished frames of all connections may hold; who would go beyond is closed"),
    setting!(rare "write-stall" duration node.server.connection.write_stall, Network,
        "How long a peer may take no byte of its answers before it is closed"),
    setting!(rare "keepalive" duration node.server.connection.socket.keepalive, Network,
        "Silence after which the system asks whether the peer is still there; 0s never"),
    setting!(rare "user-timeout" duration node.server.connection.socket.user_timeout, Network,
        "How long bytes may stay unacknowledged before the connection ends, on Linux; 0s as the system likes"),
    setting!(rare "send-buffer" bytes node.server.connection.socket.send_buffer, Network,
        "The system's buffer of a connection's answers; 0 it chooses"),
    setting!(rare "receive-buffer" bytes node.server.connection.socket.receive_buffer, Network,
        "The system's buffer of a connection's requests; 0 it chooses"),
    setting!(rare "backlog" number node.server.backlog, Network, "Connections that may wait to be accepted"),
    setting!(rare "proxy-from" networks node.server.proxy_from, Network,
        "Who may speak for others by a PROXY protocol header: networks, separated by commas"),
    setting!("data" 'd' path data, Storage, "The folder for messages; it is created if it is missing"),
    setting!("memory" 'm' boolean memory, Storage, "Keep messages in memory only"),
    setting!("flush" flush node.store.flush, Storage,
        "When a send is answered: sync, when it survives a power cut; async, when it survives this process"),
    setting!("flush-interval" duration node.store.flush_interval, Storage,
        "With async: how often what was written is flushed"),
    setting!(rare "flush-timeout" duration node.store.flush_timeout, Storage,
        "With sync: how long a send waits for the disk before it is answered FLUSH_DISK_TIMEOUT"),
    setting!("retention" duration node.store.retention, Storage,
        "Age at which messages are deleted, segment by segment"),
    setting!("max-log-bytes" optional_bytes node.store.max_log_bytes, Storage,
        "Size above which the oldest messages are deleted, whatever their age, or none"),
    setting!("min-free-bytes" bytes node.store.min_free_bytes, Storage,
        "Free bytes of the disk below which it counts as full"),
    setting!("min-free-percent" percent node.store.min_free_percent, Storage,
        "The same as a part of the disk; the larger of the two counts"),
    setting!("on-full" on_full node.store.on_full, Storage,
        "What a full disk means: refuse messages, or drop_oldest to make room for them"),
    setting!(rare "segment-size" bytes node.store.segment_bytes, Storage,
        "Size of a file of the log; whole ones are deleted"),
    setting!(rare "max-pending-bytes" bytes node.store.max_pending_bytes, Storage,
        "Messages that may wait for the disk before sends are answered SYSTEM_BUSY"),
    setting!(rare "tail-cache" bytes node.store.tail_cache_bytes, Storage, "Newest messages kept in memory"),
    setting!(rare "read-cache" bytes node.store.read_cache_bytes, Storage,
        "Older messages that were read lately kept in memory"),
    setting!(rare "max-open-files" number node.store.max_open_files, Storage,
        "Files of the log that stay open for reads"),
    setting!("broker-name" name node.broker.broker_name, Broker, "The broker's name"),
    setting!("cluster" name node.broker.cluster, Broker, "The cluster's name"),
    setting!(rare "broker-permission" permission node.broker.permission, Broker,
        "What the broker may do: 6 all, 4 only be read, 2 only be written to, 0 nothing"),
    setting!(rare "region" text node.broker.region, Broker, "The region that answers name"),
    setting!("auto-create-topic" boolean node.broker.auto_create_topic, Broker,
        "Whether a message to an unknown topic creates it"),
    setting!(rare "create-topic-on-lookup" boolean node.create_topic_on_lookup, Broker,
        "Whether a topic is created when a client asks where it is, as ali-ons needs"),
    setting!(rare "auto-create-group" boolean node.broker.auto_create_group, Broker,
        "Whether an unknown consumer group appears by its first heartbeat or pull"),
    setting!("default-topic-queue-nums" number node.broker.default_topic_queue_nums, Broker,
        "Queues of a topic that a message creates, at most"),
    setting!("max-message-size" bytes node.broker.max_message_size, Broker, "The longest body of a message or batch"),
    setting!(rare "max-topics" number node.broker.max_topics, Broker, "Topics at most"),
    setting!(rare "max-auto-created-topics" number node.broker.max_auto_created_topics, Broker,
        "Topics at most that messages created"),
    setting!(rare "max-topic-creations" number node.broker.max_topic_creations, Broker,
        "Requests that may wait for topics to be saved before they are answered SYSTEM_BUSY"),
    setting!(rare "max-topic-queues" number node.broker.max_topic_queues, Broker, "Queues of one topic at most"),
    setting!(rare "max-groups" number node.broker.max_groups, Broker, "Consumer groups at most"),
    setting!(rare "max-suspend" duration node.broker.max_suspend, Broker, "How long a pull is held at most"),
    setting!(rare "max-holds" number node.broker.max_holds, Broker,
        "Pulls held at a time; more are answered at once"),
    setting!(rare "max-pull-messages" number node.broker.max_pull_messages, Broker,
        "Messages in one answer to a pull; more help fast consumers that ask for more"),
    setting!(rare "max-pull-bytes" bytes node.broker.max_pull_bytes, Broker,
        "Bytes of them; the first message comes whatever its size"),
    setting!(rare "max-cold-reads" number node.broker.max_cold_reads, Broker,
        "Reads of old messages that may wait for the disk before pulls are answered SYSTEM_BUSY"),
    setting!(rare "property-filter" boolean node.broker.enable_property_filter, Broker,
        "Whether consumers may filter by SQL92 expressions on properties"),
    setting!(rare "max-query-messages" number node.broker.max_query_messages, Broker,
        "Messages in one answer to a query by key"),
    setting!(rare "max-query-bytes" bytes node.broker.max_query_bytes, Broker,
        "Bytes of them; the newest message comes whatever its size"),
    setting!(rare "trace-topic" boolean node.broker.trace_topic, Broker,
        "Whether RMQ_SYS_TRACE_TOPIC exists, for clients that trace"),
    setting!(rare "delay-levels" delay_levels node.broker.delay_levels, Broker,
        "How long the delay levels are, from level 1 on: up to 18"),
    setting!(rare "transaction-timeout" duration node.broker.transaction_timeout, Broker,
        "Age at which a producer is asked what became of a transaction"),
    setting!(rare "transaction-check-interval" duration node.broker.transaction_check_interval, Broker,
        "How often open transactions are looked through"),
    setting!(rare "transaction-check-max" number node.broker.transaction_check_max, Broker,
        "How often a producer is asked about one transaction"),
    setting!(rare "max-pending-transactions" number node.broker.max_pending_transactions, Broker,
        "Transactions without a verdict at a time"),
    setting!(rare "max-timers" number node.broker.max_timers, Broker, "Timer messages that wait at a time"),
    setting!(rare "recall-message" boolean node.broker.recall_message, Broker,
        "Whether producers may call timer messages back"),
    setting!(rare "store-replies" boolean node.broker.store_replies, Broker,
        "Whether replies to requests are stored, too, for who wants to look at them"),
    setting!(rare "client-expiry" duration node.broker.client_expiry, Broker,
        "Silence after which a client is out of its groups"),
    setting!(rare "snapshot-interval" duration node.broker.snapshot_interval, Broker,
        "How often consumer offsets and other small tables are saved"),
    setting!("metrics" optional_address node.metrics, Process,
        "Serve /metrics, /healthz and /readyz over HTTP there; whoever reaches it sees names of topics and groups"),
    setting!("exit-on-io-error" boolean exit_on_io_error, Process,
        "End with code 4 when a write or flush of the store failed, instead of serving reads until a restart"),
    setting!("grace" duration grace, Process, "How long requests in work may take to end when it stops"),
    setting!("log-level" directives log_level, Process,
        "What is logged: error, warn, info, debug, trace, or directives as RUST_LOG has them"),
    setting!("log-format" log_format log_format, Process, "Log lines for people, or one JSON object a line"),
];

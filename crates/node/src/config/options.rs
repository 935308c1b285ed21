//! What a configuration comes to.

use std::{path::PathBuf, time::Duration};

use crate::{NodeOptions, Place};

use super::{Config, ConfigError};

/// Settings of a node that is run as a program.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServeOptions {
    /// Of the node itself; its place, its advertised address and its threads are complete.
    pub node: NodeOptions,
    /// The folder for messages, unless they are kept in memory. Default `./rocketwire-data`.
    pub data: PathBuf,
    /// Whether messages are kept in memory only. Default false.
    pub memory: bool,
    /// Threads for connections; 1: the one that everything runs on. Default 1.
    pub threads: usize,
    /// How long requests in work may take to end when the node stops. Default 5 s.
    pub grace: Duration,
    /// Whether to end, with code 4, once the store takes no more messages. Default false: reads go on.
    pub exit_on_io_error: bool,
    /// What is logged: a level, or directives as `RUST_LOG` has them. Default `warn`.
    pub log_level: String,
    /// How it is printed. Default [`LogFormat::Text`].
    pub log_format: LogFormat,
}

/// How events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for ServeOptions {
    fn default() -> Self {
        let node = NodeOptions { port: 9876, ..NodeOptions::default() };
        ServeOptions {
            node,
            data: PathBuf::from("./rocketwire-data"),
            memory: false,
            threads: 1,
            grace: Duration::from_secs(5),
            exit_on_io_error: false,
            log_level: "warn".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

/// Room for a frame's fixed part, header and properties beside the longest body.
const FRAME_BESIDE_BODY: usize = 256 << 10;

/// Queues of the largest of the topics that exist from the start.
const MOST_QUEUES: i32 = 1024;

/// Puts together what several settings say, and refuses what contradicts itself.
pub(super) fn finish(config: &mut Config) -> Result<(), ConfigError> {
    check_place(config)?;
    let options = &mut config.options;
    let node = &mut options.node;
    node.place = match options.memory {
        true => Place::Memory,
        false => Place::Folder(options.data.clone()),
    };
    node.threads = if options.threads > 1 { options.threads } else { 0 };
    if let Some(address) = &mut node.advertise
        && !has_port(address)
    {
        if node.port == 0 {
            return wrong("`advertise` needs a port, as in HOST:PORT, because `port` is 0");
        }
        *address = match address.contains(':') && !address.starts_with('[') {
            true => format!("[{address}]:{}", node.port),
            false => format!("{address}:{}", node.port),
        };
    }
    let (server, store) = (&mut node.server, &node.store);
    server.connection.low_water = server.connection.low_water.min(server.connection.high_water);
    let body = node.broker.max_message_size;
    let frame = server.connection.limits.frame_max;
    if frame < body.saturating_add(FRAME_BESIDE_BODY) {
        return Err(ConfigError::Contradiction(format!(
            "`max_frame_size` ({frame} bytes) has to be {FRAME_BESIDE_BODY} bytes more than `max_message_size` ({body} bytes) at least"
        )));
    }
    if frame > i32::MAX as usize {
        return wrong("`max_frame_size` is beyond 2 GiB, which the protocol cannot say");
    }
    if store.segment_bytes < store.frame_bytes as u64 {
        return wrong("`segment_size` is below 64 KiB: every frame would be a file of its own");
    }
    if !node.is_name_server && node.register.is_empty() {
        return wrong(
            "`name_server` is false and `register` names no other: no client would find this broker",
        );
    }
    if options.threads == 0 || options.threads > 256 {
        return wrong("`threads` has to be between 1 and 256");
    }
    if node.broker.default_topic_queue_nums < 1 {
        return wrong("`default_topic_queue_nums` has to be 1 at least");
    }
    if node.broker.max_topic_queues < MOST_QUEUES {
        return wrong("`max_topic_queues` has to be 1024 at least, as many as the topic BenchmarkTest has");
    }
    if node.broker.default_topic_queue_nums > node.broker.max_topic_queues {
        return wrong("`default_topic_queue_nums` is beyond `max_topic_queues`");
    }
    if node.vip_port && node.port < 3 {
        return wrong("`vip_port` is the port - 2: `port` has to be a fixed one above 2");
    }
    Ok(())
}

/// Memory, and a folder that somebody named with as much authority.
fn check_place(config: &Config) -> Result<(), ConfigError> {
    if !config.options.memory {
        return Ok(());
    }
    let memory = config.source("memory");
    let named = ["data", "flush"].into_iter().find(|name| {
        let source = config.source(name);
        source.rank() > 0 && source.rank() >= memory.rank()
    });
    match named {
        Some(name) => Err(ConfigError::Contradiction(format!(
            "`{name}` ({}) has no meaning with `memory` ({memory}): leave one of them out",
            config.source(name)
        ))),
        None => Ok(()),
    }
}

fn has_port(address: &str) -> bool {
    let port = address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>().is_ok()));
    // An address of IPv6 without brackets has colons, but no port.
    port.is_some_and(|(host, is_port)| is_port && (!host.contains(':') || host.ends_with(']')))
}

fn wrong(text: &str) -> Result<(), ConfigError> {
    Err(ConfigError::Contradiction(text.to_owned()))
}

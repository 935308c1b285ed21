//! Events of the libraries, as lines on the standard error.

use std::{env, io::IsTerminal};

use rocketwire_node::config::{Config, LogFormat, Source};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// What is printed, and how.
pub(crate) struct Logs {
    filter: EnvFilter,
    format: LogFormat,
}

impl Logs {
    /// Warnings; what `RUST_LOG` says; more with each `-v`, which beats it.
    pub(crate) fn plain(verbose: u8) -> Logs {
        let filter = match level(verbose) {
            Some(level) => EnvFilter::new(level),
            None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")),
        };
        Logs { filter, format: LogFormat::Text }
    }

    /// As configured, where `-v` is a flag and `RUST_LOG` another name in the environment.
    pub(crate) fn configured(config: &Config, verbose: u8) -> Result<Logs, Failure> {
        let options = config.options();
        let configured = options.log_level.clone();
        let others = env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
        let directives = match (config.source("log_level"), level(verbose)) {
            (Source::Flag(_), _) => configured,
            (_, Some(level)) => level.to_owned(),
            (Source::Environment(_), _) => configured,
            _ => others.unwrap_or(configured),
        };
        let filter = EnvFilter::try_new(&directives).map_err(|error| {
            Failure::Usage(format!(
                "`{directives}` is no log level: error, warn, info, debug or trace is wanted ({error})"
            ))
        })?;
        Ok(Logs { filter, format: options.log_format })
    }
}

/// What `-v` asks for.
fn level(verbose: u8) -> Option<&'static str> {
    match verbose {
        0 => None,
        1 => Some("info"),
        2 => Some("debug"),
        _ => Some("trace"),
    }
}

/// Starts printing events.
pub(crate) fn start(logs: Logs) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(logs.filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match logs.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

//! The command line as a whole, and how its values are read.

use std::time::Duration;

use clap::{Parser, builder::styling};

use rocketwire::{Client, ClientBuilder};
use rocketwire_protocol::{Encoding, message::name};

use crate::{commands::Command, failure::Failure};

/// A RocketMQ name server and broker, a client and a few instruments, in one binary.
///
/// Speaks RocketMQ's remoting protocol: the clients and servers of Apache RocketMQ 4.9 and 5.x are at home with it.
#[derive(Debug, Parser)]
#[command(name = "rocketwire", version, styles = STYLES, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log more to the standard error, up to -vvv; beats RUST_LOG
    #[arg(short, long, action = clap::ArgAction::Count, global = true, display_order = 900)]
    pub(crate) verbose: u8,
}

const STYLES: styling::Styles = styling::Styles::styled()
    .header(styling::AnsiColor::Green.on_default().bold())
    .usage(styling::AnsiColor::Green.on_default().bold())
    .literal(styling::AnsiColor::Cyan.on_default())
    .placeholder(styling::AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  rocketwire quickstart                             everything in one screen
  rocketwire serve                                  a broker on 127.0.0.1:9876
  rocketwire send -t Greetings hello                send one message to it
  rocketwire consume -t Greetings -g readers        print what comes

Exit codes: 0 done, 1 failed (the standard error says why), 2 wrong command line or configuration,\n3 the stored data is damaged, 4 a write or flush failed (serve --exit-on-io-error).";

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum HeaderEncoding {
    /// Readable, every peer has it
    Json,
    /// RocketMQ's own, smaller and faster
    Binary,
}

impl std::convert::From<HeaderEncoding> for Encoding {
    fn from(encoding: HeaderEncoding) -> Encoding {
        match encoding {
            HeaderEncoding::Json => Encoding::Json,
            HeaderEncoding::Binary => Encoding::Binary,
        }
    }
}

/// Where a consumer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum From {
    /// At the first message there is
    Earliest,
    /// Behind the last message there is
    Latest,
}

/// How much a pull asks for.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct PullBatch {
    /// The most messages of one pull (Java's pullBatchSize); brokers have a limit of their own
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(i32).range(1..=1024), value_name = "MESSAGES")]
    pub(crate) pull_batch: i32,
}

/// Where the cluster is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Cluster {
    /// The name servers, separated by `;` or `,`
    #[arg(
        short,
        long = "name-server",
        env = "NAMESRV_ADDR",
        hide_env_values = true,
        default_value = "127.0.0.1:9876"
    )]
    #[arg(value_name = "HOST:PORT", value_parser = addresses)]
    pub(crate) name_servers: String,
}

impl Cluster {
    /// A client; nothing is connected yet. To be called inside a runtime.
    pub(crate) fn client(&self, encoding: HeaderEncoding) -> Result<Client, Failure> {
        self.builder(encoding).build().map_err(Failure::new)
    }

    /// What builds such a client.
    pub(crate) fn builder(&self, encoding: HeaderEncoding) -> ClientBuilder {
        Client::builder()
            .name_servers(&self.name_servers)
            .options(|options| options.remoting.connection.encoding = encoding.into())
    }
}

/// As good as for ever, and far from where clocks run over.
const LONGEST: Duration = Duration::from_secs(1_000_000 * 86_400);

/// `300us`, `20ms`, `3s`, `2m`, `1h`; a number alone is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => {
            return Err(format!("`{unit}` is no unit of time: use us, ms, s, m or h, as in 500ms"));
        }
    };
    let number: f64 = number.parse().map_err(|_| "a number and a unit are wanted, as in 500ms".to_owned())?;
    let duration = Duration::try_from_secs_f64(number * scale).ok().filter(|duration| *duration <= LONGEST);
    duration.ok_or_else(|| "that is too long".to_owned())
}

/// No frame carries more.
const LARGEST: usize = 1 << 30;

/// Bytes: `512`, `4k`, `16m` (powers of 1024).
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let (number, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (text.get(..text.len() - 1).unwrap_or_default(), 10),
        Some(b'm' | b'M') => (text.get(..text.len() - 1).unwrap_or_default(), 20),
        _ => (text, 0),
    };
    let number: usize =
        number.parse().map_err(|_| "a number of bytes is wanted, as in 512 or 4k".to_owned())?;
    let size = number.checked_mul(1 << shift).filter(|size| *size <= LARGEST);
    size.ok_or_else(|| "that is too much".to_owned())
}

/// A name that RocketMQ allows for a topic.
pub(crate) fn topic(text: &str) -> Result<String, String> {
    name::check_topic(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// A name that RocketMQ allows for a group.
pub(crate) fn group(text: &str) -> Result<String, String> {
    name::check_group(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// `HOST:PORT`.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("HOST:PORT is wanted, as in 127.0.0.1:9876".to_owned()),
    }
}

/// `HOST:PORT`, one or more.
fn addresses(text: &str) -> Result<String, String> {
    for one in text.split([';', ',']).map(str::trim).filter(|one| !one.is_empty()) {
        address(one)?;
    }
    match text.trim_matches([';', ',', ' ']).is_empty() {
        true => Err("HOST:PORT is wanted, as in 127.0.0.1:9876".to_owned()),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert!(duration("3 weeks").is_err());
        assert!(duration("-3s").is_err());
        assert!(duration("s").is_err());
        assert!(duration("4000000000000000h").is_err());
    }

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("4k"), Ok(4096));
        assert_eq!(size("16M"), Ok(16 << 20));
        assert!(size("k").is_err());
        assert!(size("99999999999999999m").is_err());
        assert!(size("99999999999m").is_err(), "more than there is memory");
    }

    #[test]
    fn addresses_have_a_port() {
        assert!(address("localhost:9876").is_ok());
        assert!(address("[::1]:9876").is_ok());
        assert!(address("localhost").is_err());
        assert!(address(":9876").is_err());
        assert!(address("h:99999").is_err());
    }
}

//! `rocketwire serve`.

mod configuration;
mod flags;

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use rocketwire_node::{Flush, Node, NodeError, Place, config::Config};

use crate::{
    failure::Failure,
    logging::{self, Logs},
    output::{self, Output},
    runtime, stop,
};

/// Run a name server and a broker in one process
///
/// One port serves both; clients of RocketMQ 4.9 and 5.x take its address as their name server. A route names the
/// address by which the client asked, so that containers and several interfaces need no configuration.
///
/// When it is ready it prints one line with its address. Ctrl-C or SIGTERM stops it in order; a second one at once.
///
/// Every setting has one name: `--min-free-bytes 1GiB` is `ROCKETWIRE_MIN_FREE_BYTES=1GiB` in the environment and
/// `min_free_bytes = "1GiB"` in a file. A flag beats the environment, which beats the file, which beats the default.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire serve                                   data in ./rocketwire-data
  rocketwire serve --memory --port 0                 for tests: a free port
  rocketwire serve --host 0.0.0.0 --data /data       for the whole network
  rocketwire serve --advertise broker.test:19876     behind a mapped port
  rocketwire serve --broker-name broker-b --no-name-server --register ns1:9876,ns2:9876
                                                     one more broker of a cluster of Apache's
  rocketwire serve -c node.toml                      settings from a file
  rocketwire serve -c broker.conf                    settings from Java's broker.conf
  rocketwire serve -c node.toml --check-config       what counts, and who said so

-h shows what most people need, --help everything.

Exit codes: 0 stopped in order, 1 failed, 2 wrong command line or configuration, 3 the stored data is damaged,
4 a write or flush failed (with --exit-on-io-error).")]
pub(crate) struct Args {
    /// Read settings from this file: .toml, or .conf and .properties as Java's brokers have them
    #[arg(short, long, value_name = "FILE", env = "ROCKETWIRE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    /// Print all settings with the source of each, as a file, and end
    #[arg(long)]
    check_config: bool,

    #[command(flatten)]
    flags: flags::Flags,
}

pub(crate) fn run(args: &Args, verbose: u8) -> Result<(), Failure> {
    let config = configuration::load(args)?;
    let logs = Logs::configured(&config, verbose)?;
    if args.check_config {
        for warning in config.warnings() {
            output::note(&format!("rocketwire: warning: {warning}"));
        }
        let mut out = Output::new();
        out.line(config.to_toml().trim_end())?;
        return out.flush();
    }
    logging::start(logs);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = runtime::current_thread()?;
    let ended = runtime.block_on(serve(&config));
    // A recovery that is under way need not end first: it changes nothing that it could not do again.
    runtime.shutdown_background();
    ended
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let mut signals = stop::Signals::new()?;
    let options = config.options();
    let start = Node::builder().options(|node| *node = options.node.clone()).start();
    let node = tokio::select! {
        () = signals.asked() => return Ok(()),
        node = start => node.map_err(failed)?,
    };
    match tell(config, &node) {
        // That nobody wants to know is no reason not to serve.
        Ok(()) | Err(Failure::Closed) => {}
        Err(failure) => return Err(failure),
    }
    let poisoned = tokio::select! {
        () = signals.asked() => None,
        reason = poisoned(&node), if options.exit_on_io_error => Some(reason),
    };
    let stopped = tokio::select! {
        stopped = node.shutdown(options.grace) => stopped.map_err(Failure::new),
        () = signals.asked() => Err(Failure::new("stopped at once: requests in work got no answer")),
    };
    poisoned.map_or(stopped, |reason| {
        Err(Failure::Io(format!(
            "stopped, because the store takes no more messages (--exit-on-io-error): {reason}"
        )))
    })
}

/// Waits until the store takes no more messages; why.
async fn poisoned(node: &Node) -> Arc<str> {
    loop {
        if let Some(reason) = node.poisoned() {
            return reason;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How often to look whether the store is poisoned.
const LOOK: Duration = Duration::from_millis(500);

/// Why the node does not start.
fn failed(error: NodeError) -> Failure {
    match (error.is_damage(), error.is_settings()) {
        (true, _) => Failure::Damaged(error.to_string()),
        (_, true) => Failure::Usage(error.to_string()),
        _ => Failure::new(error),
    }
}

/// The line that scripts wait for.
fn tell(config: &Config, node: &Node) -> Result<(), Failure> {
    let options = &config.options().node;
    let place = match (&options.place, options.store.flush) {
        (Place::Memory, _) => "in memory".to_owned(),
        (Place::Folder(data), Flush::Sync) => format!("data in {}, flush sync", data.display()),
        (Place::Folder(data), Flush::Async) => format!("data in {}, flush async", data.display()),
    };
    if !is_loopback(node.addr().ip()) {
        tracing::warn!(
            "{} is not only this machine, and there is no authentication: whoever reaches it may read, write and delete",
            node.addr()
        );
    }
    let metrics = node.metrics_addr();
    if let Some(addr) = metrics.filter(|addr| !is_loopback(addr.ip())) {
        tracing::warn!("{addr} is not only this machine: whoever reaches it sees names of topics and groups");
    }
    let metrics = metrics.map_or_else(String::new, |addr| format!(", metrics on {addr}"));
    let mut out = Output::new();
    out.line(format!("rocketwire is ready on {} ({place}{metrics})", node.addr()))?;
    out.flush()
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

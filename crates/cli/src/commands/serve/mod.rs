//! `rocketwire serve`.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use rocketwire_node::{Flush, Node, NodeBuilder};

use crate::{
    args,
    failure::Failure,
    output::{self, Output},
    runtime, stop,
};

/// Run a name server and a broker in one process
///
/// One port serves both; clients of RocketMQ 4.9 and 5.x take its address as their name server. A route names the
/// address by which the client asked, so that containers and several interfaces need no configuration.
///
/// When it is ready it prints one line with its address. Ctrl-C or SIGTERM stops it in order; a second one at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire serve                                   data in ./rocketwire-data
  rocketwire serve --memory --port 0                 for tests: a free port
  rocketwire serve --host 0.0.0.0 --data /data       for the whole network
  rocketwire serve --advertise broker.test:19876     behind a mapped port
  rocketwire serve --broker-name broker-b --no-name-server --register ns1:9876,ns2:9876
                                                     one more broker of a cluster of Apache's")]
pub(crate) struct Args {
    /// The folder for messages; it is created if it is missing
    #[arg(short, long, value_name = "DIR", default_value = "./rocketwire-data")]
    data: PathBuf,

    /// Keep messages in memory only
    #[arg(short, long, conflicts_with_all = ["data", "flush"])]
    memory: bool,

    /// The interface; beyond loopback everybody who reaches it may read and write
    #[arg(long, default_value = "127.0.0.1")]
    host: String,

    /// The port; 0 picks a free one
    #[arg(short, long, default_value_t = 9876)]
    port: u16,

    /// What clients are told instead of the address by which they asked
    #[arg(long, value_name = "HOST:PORT", value_parser = args::address)]
    advertise: Option<String>,

    /// Register the broker at name servers elsewhere, as one broker of their clusters
    #[arg(long, value_name = "HOST:PORT,..", value_delimiter = ',', value_parser = args::address)]
    register: Vec<String>,

    /// Be a broker only; clients find it at the name servers of --register
    #[arg(long, requires = "register")]
    no_name_server: bool,

    /// When a send is answered
    #[arg(long, value_enum, default_value_t = FlushArg::Sync)]
    flush: FlushArg,

    /// Listen on the port - 2, too, for clients with vipChannelEnabled
    #[arg(long)]
    vip_port: bool,

    /// The broker's name
    #[arg(long, value_name = "NAME", default_value = "broker-a")]
    broker_name: String,

    /// The cluster's name
    #[arg(long, value_name = "NAME", default_value = "DefaultCluster")]
    cluster: String,

    /// Refuse messages to topics that do not exist, instead of creating them
    #[arg(long)]
    no_auto_create_topic: bool,

    /// Threads for connections, each with a runtime of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,

    /// How long requests in work may take to end when it stops
    #[arg(long, default_value = "5s", value_parser = args::duration)]
    grace: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FlushArg {
    /// When the message is on the disk: it survives a power cut
    Sync,
    /// When the system has it: it survives this process, and the disk follows within half a second
    Async,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let runtime = runtime::current_thread()?;
    let ended = runtime.block_on(serve(args));
    // A recovery that is under way need not end first: it changes nothing that it could not do again.
    runtime.shutdown_background();
    ended
}

async fn serve(args: &Args) -> Result<(), Failure> {
    let mut signals = stop::Signals::new()?;
    let node = tokio::select! {
        () = signals.asked() => return Ok(()),
        node = builder(args).start() => node.map_err(Failure::new)?,
    };
    tell(args, &node)?;
    signals.asked().await;
    tokio::select! {
        stopped = node.shutdown(args.grace) => stopped.map_err(Failure::new),
        () = signals.asked() => Err(Failure::new("stopped at once: requests in work got no answer")),
    }
}

fn builder(args: &Args) -> NodeBuilder {
    let mut builder = Node::builder()
        .host(&args.host)
        .port(args.port)
        .vip_port(args.vip_port)
        .broker_name(&args.broker_name)
        .cluster(&args.cluster)
        .register(&args.register)
        .name_server(!args.no_name_server)
        .auto_create_topic(!args.no_auto_create_topic)
        .flush(match args.flush {
            FlushArg::Sync => Flush::Sync,
            FlushArg::Async => Flush::Async,
        });
    if args.threads > 1 {
        builder = builder.threads(usize::from(args.threads));
    }
    if let Some(address) = &args.advertise {
        builder = builder.advertise(address);
    }
    match args.memory {
        true => builder.memory(),
        false => builder.data_dir(&args.data),
    }
}

/// The line that scripts wait for.
fn tell(args: &Args, node: &Node) -> Result<(), Failure> {
    let place = match (args.memory, args.flush) {
        (true, _) => "in memory".to_owned(),
        (false, FlushArg::Sync) => format!("data in {}, flush sync", args.data.display()),
        (false, FlushArg::Async) => format!("data in {}, flush async", args.data.display()),
    };
    if !is_loopback(node.addr().ip()) {
        output::note(&format!(
            "rocketwire: warning: {} is not only this machine, and there is no authentication: whoever reaches it may read, write and delete",
            node.addr()
        ));
    }
    let mut out = Output::new();
    out.line(format!("rocketwire is ready on {} ({place})", node.addr()))?;
    out.flush()
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

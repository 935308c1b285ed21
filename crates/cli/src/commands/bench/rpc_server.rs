//! `rocketwire bench rpc-server`.

use std::time::Duration;

use rocketwire_protocol::{Command, ResponseCode};
use rocketwire_remoting::{Lane, Router, Server, ServerOptions, processor_fn};

use super::ECHO;
use crate::{args, failure::Failure, output::Output, runtime, stop};

/// Answer each request by its own body, for `bench rpc`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire bench rpc-server --port 9001
  rocketwire bench rpc-server --port 9001 --look 0us")]
pub(crate) struct Args {
    /// The port; 0 picks a free one
    #[arg(short, long, default_value_t = 9001)]
    port: u16,

    /// The interface; beyond loopback everybody may connect
    #[arg(long, default_value = "127.0.0.1")]
    host: String,

    /// How long a connection's task looks for more before it sleeps, as 50us; 0 to sleep at once
    #[arg(long, value_parser = args::duration)]
    look: Option<Duration>,
}

/// Serves until the process is ended.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    runtime::current_thread()?.block_on(async {
        let mut options = ServerOptions::default();
        if let Some(look) = args.look {
            options.connection.look = look;
        }
        let echo = processor_fn(|request| {
            Command::response(ResponseCode::SUCCESS).with_body(request.command.body).into()
        });
        let router = Router::new().route(ECHO, echo, Lane::inline());
        let addr = format!("{}:{}", args.host, args.port);
        let server = Server::bind(&addr, router, options).await.map_err(Failure::new)?;
        let mut out = Output::new();
        out.line(format!("rocketwire bench rpc-server is ready on {}", server.local_addr()))?;
        out.flush()?;
        drop(out);
        stop::Signals::new()?.asked().await;
        server.shutdown(Duration::from_secs(1)).await;
        Ok(())
    })
}

//! One module per subcommand: its arguments, and what it does.

mod bench;
mod completion;
mod consume;
mod decode;
mod health;
mod quickstart;
mod send;
mod serve;
mod store;

use clap::Subcommand;

use crate::{
    failure::Failure,
    logging::{self, Logs},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Quickstart(quickstart::Args),
    Serve(serve::Args),
    Send(send::Args),
    Consume(consume::Args),
    Decode(decode::Args),
    Health(health::Args),
    #[command(subcommand)]
    Bench(bench::Bench),
    #[command(subcommand)]
    Store(store::Store),
    Completion(completion::Args),
}

/// Does what was asked for.
pub(crate) fn run(command: Command, verbose: u8) -> Result<(), Failure> {
    if let Command::Serve(args) = command {
        // Its configuration says what is logged.
        return serve::run(&args, verbose);
    }
    logging::start(Logs::plain(verbose));
    match command {
        Command::Quickstart(args) => quickstart::run(&args),
        Command::Serve(args) => serve::run(&args, verbose),
        Command::Send(args) => send::run(&args),
        Command::Consume(args) => consume::run(&args),
        Command::Decode(args) => decode::run(args),
        Command::Health(args) => health::run(&args),
        Command::Bench(bench) => bench::run(bench),
        Command::Store(store) => store::run(&store),
        Command::Completion(args) => completion::run(&args),
    }
}

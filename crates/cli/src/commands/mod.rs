//! One module per subcommand: its arguments, and what it does.

mod bench;
mod completion;
mod decode;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Decode(decode::Args),
    #[command(subcommand)]
    Bench(bench::Bench),
    Completion(completion::Args),
}

/// Does what was asked for.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Decode(args) => decode::run(args),
        Command::Bench(bench) => bench::run(bench),
        Command::Completion(args) => completion::run(&args),
    }
}

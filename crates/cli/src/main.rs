//! `rocketwire`: a RocketMQ name server and broker, a client and a few instruments, in one binary.
//!
//! Every subcommand is a module of `commands`: its arguments, and a `run` that ends with `Ok` or with one sentence.

mod args;
mod commands;
mod failure;
mod logging;
mod output;
mod runtime;
mod stop;

use std::process::ExitCode;

use clap::Parser;

/// Decides the exit code and nothing else.
fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::run(cli.command, cli.verbose) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

//! `rocketwire bench`: loads with percentiles.

mod consume;
mod histogram;
mod latency;
mod load;
mod rebalance;
mod rpc;
mod rpc_server;
mod send;

use clap::Subcommand;

use crate::failure::Failure;

/// Measure: requests, sends and consumes under load, how soon messages arrive, how a group shares its queues
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    RpcServer(rpc_server::Args),
    Rpc(rpc::Args),
    Send(send::Args),
    Consume(consume::Args),
    Latency(latency::Args),
    Rebalance(rebalance::Args),
}

pub(crate) fn run(bench: Bench) -> Result<(), Failure> {
    match bench {
        Bench::RpcServer(args) => rpc_server::run(&args),
        Bench::Rpc(args) => rpc::run(&args),
        Bench::Send(args) => send::run(&args),
        Bench::Consume(args) => consume::run(&args),
        Bench::Latency(args) => latency::run(&args),
        Bench::Rebalance(args) => rebalance::run(&args),
    }
}

/// The request that [`rpc_server`] answers by its own body; RocketMQ has no such code.
const ECHO: rocketwire_protocol::RequestCode = rocketwire_protocol::RequestCode(9001);

//! `rocketwire store`: what is done with a node's folder while no node runs on it.

mod check;
mod dump;
mod import;
mod repair;
mod words;

use std::path::Path;

use clap::Subcommand;
use rocketwire_store::tools::ToolError;

use crate::failure::Failure;

/// Check, print and repair the folder of a node that is stopped; take over one of Apache's broker
///
/// All of these take the folder's lock, so that none runs beside a node, and none starts anything.
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    Check(check::Args),
    Dump(dump::Args),
    Repair(repair::Args),
    Import(import::Args),
}

pub(crate) fn run(store: &Store) -> Result<(), Failure> {
    match store {
        Store::Check(args) => check::run(args),
        Store::Dump(args) => dump::run(args),
        Store::Repair(args) => repair::run(args),
        Store::Import(args) => import::run(args),
    }
}

fn failed(error: ToolError) -> Failure {
    match error {
        ToolError::Beyond { .. } => Failure::Damaged(error.to_string()),
        _ => Failure::new(error),
    }
}

/// A path as text for JSON.
fn text(path: &Path) -> String {
    path.display().to_string()
}

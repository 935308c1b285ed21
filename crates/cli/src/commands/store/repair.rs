//! `rocketwire store repair`.

use std::{path::PathBuf, sync::Arc};

use rocketwire_store::tools::{self, FindingKind, RepairReport, RepairedDamage};
use rocketwire_store::{ReadOnlyStorage, RealStorage};
use serde::Serialize;

use super::{failed, text, words};
use crate::{
    failure::Failure,
    output::{Format, Output},
};

/// Make a damaged folder start again, without what is damaged
///
/// For a node that refuses to start because of damage, when there is no backup. Damaged bytes are copied to DIR/quarantine before
/// anything is changed; nothing of them is deleted. Messages behind the damage keep their places and their queue
/// offsets; consumers pass over the lost ones. Prints each message that is lost, as far as that can be known.
///
/// A repair that was interrupted is simply run again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire store check ./rocketwire-data                  what is damaged, and what a repair would lose
  rocketwire store repair ./rocketwire-data --quarantine

Exit codes: 0 the folder starts (also when nothing was damaged), 1 it could not be repaired (a node runs on it, no store,
the disk says no), 2 wrong command line, 3 the damage is of a kind that cannot be moved aside.")]
pub(crate) struct Args {
    /// The folder, as `serve --data` has it
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Move damaged bytes to DIR/quarantine and give up what was in them; without it nothing is done
    #[arg(long, required = true)]
    quarantine: bool,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let report = tools::repair(Arc::new(RealStorage), &args.dir).map_err(failed)?;
    let mut out = Output::new();
    match args.output {
        Format::Json => out.json(&printed(&report))?,
        Format::Text => lines(&report).iter().try_for_each(|line| out.line(line))?,
    }
    out.flush()?;
    // What was said is looked at with other eyes.
    let left = tools::check(&ReadOnlyStorage, &args.dir).map_err(failed)?;
    match left.findings.iter().find(|finding| finding.kind == FindingKind::Log) {
        None => Ok(()),
        Some(finding) => Err(Failure::Damaged(format!(
            "{} is still damaged after the repair: {}; please report it",
            finding.file.display(),
            finding.reason
        ))),
    }
}

fn lines(report: &RepairReport) -> Vec<String> {
    if report.is_untouched() {
        return vec!["nothing is damaged; nothing was changed".to_owned()];
    }
    let mut lines = Vec::new();
    for RepairedDamage { file, from, to, records_behind, lost } in &report.damage {
        lines.push(format!(
            "moved aside: log offsets {from} to {to}, in {}; {records_behind} records behind them are where they were",
            file.display()
        ));
        lines.extend(words::lost_lines(lost));
        if lost.is_empty() {
            lines.push("    lost: nothing tells which messages were there".to_owned());
        }
    }
    for table in &report.lost_tables {
        lines.push(format!("lost: the table {table}; the node begins without it"));
    }
    if report.derived_origin {
        lines.push(
            "the note about deleted topics and segments was damaged and was made again from the log; a deleted topic may be back".to_owned(),
        );
    }
    lines.extend(report.kept.iter().map(|path| format!("kept: {}", path.display())));
    lines
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    damaged: Vec<Damage<'a>>,
    lost_tables: &'a [String],
    derived_origin: bool,
    kept: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Damage<'a> {
    file: String,
    from: u64,
    to: u64,
    records_behind: u64,
    lost: Vec<words::Lost<'a>>,
}

fn printed(report: &RepairReport) -> Printed<'_> {
    Printed {
        damaged: report
            .damage
            .iter()
            .map(|damage| Damage {
                file: text(&damage.file),
                from: damage.from,
                to: damage.to,
                records_behind: damage.records_behind,
                lost: words::lost(&damage.lost),
            })
            .collect(),
        lost_tables: &report.lost_tables,
        derived_origin: report.derived_origin,
        kept: report.kept.iter().map(|path| text(path)).collect(),
    }
}

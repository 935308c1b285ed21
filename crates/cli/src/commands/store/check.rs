//! `rocketwire store check`.

use std::path::PathBuf;

use rocketwire_store::ReadOnlyStorage;
use rocketwire_store::tools::{self, CheckReport, Finding, FindingKind};
use serde::Serialize;

use super::{failed, text, words};
use crate::{
    failure::Failure,
    output::{Format, Output},
};

/// Verify every byte of a node's folder, and change none
///
/// Reads all frames and records of the log, the queue offsets, the checksums of the bodies, the index files, the tables and the checkpoint,
/// and says what is damaged: file, byte, log offset, what is behind it and what is lost with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire store check ./rocketwire-data
  rocketwire store check /data -o json | jq .findings

Exit codes: 0 sound, 1 it could not be checked (a node runs on it, no store, the disk says no),
2 wrong command line, 3 damage was found.")]
pub(crate) struct Args {
    /// The folder, as `serve --data` has it
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let report = tools::check(&ReadOnlyStorage, &args.dir).map_err(failed)?;
    let mut out = Output::new();
    match args.output {
        Format::Json => out.json(&printed(&report))?,
        Format::Text => lines(&report).iter().try_for_each(|line| out.line(line))?,
    }
    out.flush()?;
    match report.findings.len() {
        0 => Ok(()),
        count => Err(Failure::Damaged(format!(
            "{} is damaged in {count} {}; stop using the disk if it is the cause, and restore a backup or see `rocketwire store repair --help`",
            args.dir.display(),
            if count == 1 { "place" } else { "places" }
        ))),
    }
}

fn lines(report: &CheckReport) -> Vec<String> {
    let row = |queue: &tools::QueueReport| {
        let numbers = [i64::from(queue.name.queue_id), queue.min, queue.max, queue.records.cast_signed()];
        let mut cells = vec![queue.name.topic.to_string()];
        cells.extend(numbers.iter().map(i64::to_string));
        cells
    };
    let rows: Vec<_> = report.queues.iter().map(row).collect();
    let mut lines = words::table(&["topic", "queue", "min", "max", "records"], &rows);
    lines.push(String::new());
    let CheckReport { segments, bytes, frames, records, queues, tables, index_files, key_files, .. } = report;
    lines.push(format!(
        "{records} records in {frames} frames, {segments} segments, {bytes} bytes; {} queues, {tables} tables, {index_files} index files, {key_files} key files",
        queues.len()
    ));
    for hole in &report.repaired {
        lines.push(format!(
            "repaired earlier: log offsets {} to {}, {} records are lost",
            hole.start, hole.end, hole.lost
        ));
    }
    lines.extend(report.remarks.iter().cloned());
    for finding in &report.findings {
        lines.extend(finding_lines(finding));
    }
    if report.findings.is_empty() {
        lines.push("sound".to_owned());
    }
    lines
}

fn finding_lines(finding: &Finding) -> Vec<String> {
    let Finding { file, position, offset, bytes, records_behind, reason, .. } = finding;
    let place = match offset {
        Some(offset) => format!(" at byte {position} (log offset {offset})"),
        None => String::new(),
    };
    let size = if *bytes > 0 {
        format!("; {bytes} bytes, {records_behind} records are behind them")
    } else {
        String::new()
    };
    let mut lines = vec![format!("damaged: {}{place}: {reason}{size}", file.display())];
    lines.extend(words::lost_lines(&finding.lost));
    lines
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    sound: bool,
    segments: usize,
    bytes: u64,
    frames: u64,
    records: u64,
    queues: Vec<Queue<'a>>,
    tables: usize,
    index_files: usize,
    key_files: usize,
    repaired: Vec<Repaired>,
    remarks: &'a [String],
    findings: Vec<PrintedFinding<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Queue<'a> {
    topic: &'a str,
    queue_id: u32,
    min_offset: i64,
    max_offset: i64,
    records: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Repaired {
    from: u64,
    to: u64,
    lost: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrintedFinding<'a> {
    kind: &'static str,
    file: String,
    position: u64,
    log_offset: Option<u64>,
    bytes: u64,
    records_behind: u64,
    lost: Vec<words::Lost<'a>>,
    reason: &'a str,
}

fn printed(report: &CheckReport) -> Printed<'_> {
    Printed {
        sound: report.findings.is_empty(),
        segments: report.segments,
        bytes: report.bytes,
        frames: report.frames,
        records: report.records,
        queues: report
            .queues
            .iter()
            .map(|queue| Queue {
                topic: &queue.name.topic,
                queue_id: queue.name.queue_id,
                min_offset: queue.min,
                max_offset: queue.max,
                records: queue.records,
            })
            .collect(),
        tables: report.tables,
        index_files: report.index_files,
        key_files: report.key_files,
        repaired: report
            .repaired
            .iter()
            .map(|hole| Repaired { from: hole.start, to: hole.end, lost: hole.lost })
            .collect(),
        remarks: &report.remarks,
        findings: report.findings.iter().map(printed_finding).collect(),
    }
}

fn printed_finding(finding: &Finding) -> PrintedFinding<'_> {
    PrintedFinding {
        kind: match finding.kind {
            FindingKind::Log => "log",
            FindingKind::Record => "record",
            FindingKind::Index => "index",
            FindingKind::Table => "table",
            _ => "other",
        },
        file: text(&finding.file),
        position: finding.position,
        log_offset: finding.offset,
        bytes: finding.bytes,
        records_behind: finding.records_behind,
        lost: words::lost(&finding.lost),
        reason: &finding.reason,
    }
}

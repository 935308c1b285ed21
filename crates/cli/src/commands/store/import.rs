//! `rocketwire store import`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rocketwire_node::import::{ImportError, ImportReport, ImportedQueue, import_apache};
use rocketwire_store::tools;
use rocketwire_store::{ReadOnlyStorage, RealStorage, Store, StoreOptions, SystemClock};
use serde::Serialize;

use super::words;
use crate::{
    failure::Failure,
    output::{Format, Output},
};

/// Take over the folder of Apache's broker (4.9 or 5.x)
///
/// Copies topics, messages, consumer groups with their offsets, delayed messages and transactions that wait for a verdict. Queue
/// offsets and store times stay as they are, so that every group goes on where it was. Places in the log change, and with
/// them the offset message ids (`offsetMsgId`; the ids that producers give stay).
///
/// SRC is only read. Its broker must be stopped; one that was killed is taken over up to its last whole message, as it
/// would start itself. DIR is made, and appears only when everything is in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire store import ~/store --into ./rocketwire-data
  rocketwire serve --data ./rocketwire-data --broker-name broker-a --cluster DefaultCluster

Exit codes: 0 done (what is left out by design is listed), 1 it could not be done, 2 wrong command line,
3 the source is damaged before its end.")]
pub(crate) struct Args {
    /// Apache's store folder, the one that holds commitlog and config (storePathRootDir)
    #[arg(value_name = "SRC")]
    source: PathBuf,

    /// The new folder, for `serve --data`
    #[arg(long, value_name = "DIR")]
    into: PathBuf,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // Behind a link it is the folder that is meant.
    let into = fs::canonicalize(&args.into).unwrap_or_else(|_| args.into.clone());
    let was_there = into.exists();
    let beside = beside(&into)?;
    let made = import(&args.source, &beside);
    let report = match made {
        Ok(report) => report,
        Err(failure) => {
            // It is ours, and holds copies only.
            let _ = fs::remove_dir_all(&beside);
            if was_there {
                let _ = fs::create_dir(&into);
            }
            return Err(failure);
        }
    };
    fs::rename(&beside, &into).map_err(|error| cannot("rename", &beside, &error))?;
    let mut out = Output::new();
    match args.output {
        Format::Json => out.json(&printed(&report))?,
        Format::Text => lines(&report).iter().try_for_each(|line| out.line(line))?,
    }
    out.flush()
}

/// Where the new folder grows: beside where it will be, so that half of it is never taken for the whole.
fn beside(into: &Path) -> Result<PathBuf, Failure> {
    let is_empty = fs::read_dir(into).map_or(!into.exists(), |mut entries| entries.next().is_none());
    if !is_empty {
        return Err(Failure::new(format_args!(
            "{} is there and not an empty folder; name a new one",
            into.display()
        )));
    }
    let Some(name) = into.file_name() else {
        return Err(Failure::Usage(format!("{} is no name for a new folder", into.display())));
    };
    let mut name = name.to_owned();
    name.push(".importing");
    let beside = into.with_file_name(name);
    if beside.exists() {
        return Err(Failure::new(format_args!(
            "{} is left of an import that was interrupted, or of one that runs; remove it first",
            beside.display()
        )));
    }
    if into.exists() {
        // What cannot be moved cannot be replaced in the end: better to know that before the work.
        fs::rename(into, &beside).map_err(|error| {
            let into = into.display();
            Failure::new(format_args!(
                "cannot replace {into}: {error}; if a disk is mounted there, name a new folder on it"
            ))
        })?;
    }
    Ok(beside)
}

fn import(source: &Path, dir: &Path) -> Result<ImportReport, Failure> {
    let options = StoreOptions::new(dir);
    let report =
        import_apache(source, options.clone(), Arc::new(RealStorage)).map_err(|error: ImportError| {
            match error.is_damage() {
                true => Failure::Damaged(error.to_string()),
                false => Failure::new(error),
            }
        })?;
    // The first start reads everything and writes the index files; better now than when clients wait.
    type Nobody = fn(Result<rocketwire_store::Appended, rocketwire_store::AppendError>);
    let (store, _) =
        Store::<Nobody>::open(options, Arc::new(RealStorage), Arc::new(SystemClock::default()), Arc::new(()))
            .map_err(Failure::new)?;
    store.close().map_err(Failure::new)?;
    drop(store);
    let check = tools::check(&ReadOnlyStorage, dir).map_err(super::failed)?;
    match check.findings.first() {
        None => Ok(report),
        Some(finding) => Err(Failure::new(format_args!(
            "what was written cannot be read back: {} {}",
            finding.file.display(),
            finding.reason
        ))),
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format_args!("cannot {what} {}: {error}", path.display()))
}

fn lines(report: &ImportReport) -> Vec<String> {
    let row = |queue: &ImportedQueue| {
        let numbers = [i64::from(queue.queue_id), queue.min, queue.max];
        let mut cells = vec![queue.topic.clone()];
        cells.extend(numbers.iter().map(i64::to_string));
        cells
    };
    let rows: Vec<_> = report.queues.iter().map(row).collect();
    let mut lines = words::table(&["topic", "queue", "min", "max"], &rows);
    lines.push(String::new());
    let ImportReport { records, bytes, topics, groups, offsets, .. } = report;
    lines.push(format!(
        "{records} messages, {bytes} bytes; {topics} topics, {groups} groups, {offsets} offsets of groups"
    ));
    for queue in report.queues.iter().filter(|queue| queue.missing > 0) {
        let ImportedQueue { topic, queue_id, missing, .. } = queue;
        lines.push(format!(
            "missing in the source: {missing} messages of {topic}, queue {queue_id}; consumers pass over them"
        ));
    }
    for ((topic, reason), count) in &report.left_out {
        lines.push(format!("not imported: {count} records of {topic}: {reason}"));
    }
    for topic in &report.reborn {
        lines.push(format!("{topic} had been deleted and made again: its older messages do not count"));
    }
    if let Some(bytes) = report.torn_bytes {
        lines.push(format!(
            "the broker was killed, now or earlier: its log ends with the last whole message{}",
            if bytes > 0 {
                "; what is behind had not been flushed, or was cut off, and is left out"
            } else {
                ""
            }
        ));
    }
    lines.push("queue offsets are those of the source; offset message ids (offsetMsgId) are new".to_owned());
    lines
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    records: u64,
    bytes: u64,
    topics: usize,
    groups: usize,
    offsets: usize,
    queues: Vec<Queue<'a>>,
    left_out: Vec<Left<'a>>,
    recreated_topics: Vec<&'a str>,
    source_was_killed: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Queue<'a> {
    topic: &'a str,
    queue_id: i32,
    min_offset: i64,
    max_offset: i64,
    missing: i64,
}

#[derive(Serialize)]
struct Left<'a> {
    topic: &'a str,
    records: u64,
    reason: String,
}

fn printed(report: &ImportReport) -> Printed<'_> {
    Printed {
        records: report.records,
        bytes: report.bytes,
        topics: report.topics,
        groups: report.groups,
        offsets: report.offsets,
        queues: report
            .queues
            .iter()
            .map(|queue| Queue {
                topic: &queue.topic,
                queue_id: queue.queue_id,
                min_offset: queue.min,
                max_offset: queue.max,
                missing: queue.missing,
            })
            .collect(),
        left_out: report
            .left_out
            .iter()
            .map(|((topic, reason), records)| Left { topic, records: *records, reason: reason.to_string() })
            .collect(),
        recreated_topics: report.reborn.iter().map(String::as_str).collect(),
        source_was_killed: report.torn_bytes.is_some(),
    }
}

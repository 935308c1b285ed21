//! `rocketwire store dump`.

use std::path::PathBuf;

use bytes::Bytes;
use rocketwire_protocol::message::{MessageExt, RecordView};
use rocketwire_store::ReadOnlyStorage;
use rocketwire_store::tools::{self, DumpedRecord};
use serde::Serialize;

use super::failed;
use crate::{
    failure::Failure,
    output::{self, Format, Output},
};

/// No body is larger: what a broker takes at most, with room.
const BODY_LIMIT: usize = 64 << 20;
/// Characters of a body that a line of text shows.
const SHOWN: usize = 200;

/// Print the messages in a node's folder
///
/// In the order of the log, with all queues mixed, as they were stored. Damaged places are passed over and counted.
/// Messages of deleted topics are left out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire store dump ./rocketwire-data --topic Orders --limit 10
  rocketwire store dump /data -t Orders -q 3 --from 1000 -o json | jq .body

Exit codes: 0 done, 1 it could not be read (a node runs on it, no store, the disk says no), 2 wrong command line,
3 done, and damaged places were passed over.")]
pub(crate) struct Args {
    /// The folder, as `serve --data` has it
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Only this topic; internal ones can be named as well
    #[arg(short, long)]
    topic: Option<String>,

    /// Only this queue of the topic
    #[arg(short, long, value_name = "ID", requires = "topic")]
    queue: Option<i32>,

    /// Only queue offsets from here on
    #[arg(long, value_name = "OFFSET", requires = "topic")]
    from: Option<i64>,

    /// As many messages at most
    #[arg(short, long, value_name = "COUNT")]
    limit: Option<u64>,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut printer = Printer { args, out: Output::new(), printed: 0, failure: None };
    let holes = tools::dump(&ReadOnlyStorage, &args.dir, |record| printer.record(record)).map_err(failed)?;
    if let Some(failure) = printer.failure {
        return Err(failure);
    }
    printer.out.flush()?;
    match holes {
        0 => Ok(()),
        count => Err(Failure::Damaged(format!(
            "{count} damaged places were passed over; `rocketwire store check {}` names them",
            args.dir.display()
        ))),
    }
}

struct Printer<'a> {
    args: &'a Args,
    out: Output,
    printed: u64,
    failure: Option<Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    topic: &'a str,
    queue_id: i32,
    queue_offset: i64,
    log_offset: i64,
    store_timestamp: i64,
    size: usize,
    /// A repair has put this in the place of a message that is lost.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
    msg_id: String,
    tags: Option<&'a str>,
    keys: Vec<&'a str>,
    properties: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
}

impl Printer<'_> {
    /// Whether to go on.
    fn record(&mut self, record: DumpedRecord<'_>) -> bool {
        let is_done = |printed| self.args.limit.is_some_and(|limit| printed >= limit);
        if is_done(self.printed) {
            return false;
        }
        if record.is_deleted {
            return true;
        }
        let Ok(view) = RecordView::parse(&Bytes::copy_from_slice(record.bytes)) else { return true };
        if !self.is_wanted(&view) {
            return true;
        }
        let mut message = MessageExt::from_record(view);
        if let Err(error) = message.decompress(BODY_LIMIT) {
            output::note(&format!(
                "the body at log offset {} is printed as it is: {error}",
                message.physical_offset
            ));
        }
        let printed = match self.args.output {
            Format::Text => self.out.line(line(&message, record.is_lost)),
            Format::Json => self.out.json(&printed(&message, record.is_lost)),
        };
        self.printed += 1;
        self.failure = printed.err();
        self.failure.is_none() && !is_done(self.printed)
    }

    fn is_wanted(&self, view: &RecordView) -> bool {
        self.args.topic.as_deref().is_none_or(|topic| topic == view.topic())
            && self.args.queue.is_none_or(|queue| queue == view.queue_id())
            && self.args.from.is_none_or(|from| from <= view.queue_offset())
    }
}

fn line(message: &MessageExt, is_lost: bool) -> String {
    let MessageExt { topic, queue_id, queue_offset, physical_offset, store_timestamp, store_size, .. } =
        message;
    let mut line =
        format!("{physical_offset} {topic}/{queue_id} {queue_offset} {store_timestamp} {store_size}B");
    if is_lost {
        return line + " lost";
    }
    if let Some(tags) = message.tags() {
        line.push_str(&format!(" tags={}", escaped(tags)));
    }
    let keys: Vec<String> = message.keys().map(escaped).collect();
    if !keys.is_empty() {
        line.push_str(&format!(" keys={}", keys.join(",")));
    }
    match std::str::from_utf8(&message.body) {
        Ok(body) => {
            line.push_str(": ");
            line.extend(body.chars().take(SHOWN).flat_map(shown));
            if body.chars().nth(SHOWN).is_some() {
                line.push_str("..");
            }
        }
        Err(_) => {
            let most = message.body.get(..SHOWN / 2);
            line.push_str(&format!(" hex: {}", hex(most.unwrap_or(&message.body))));
            line.push_str(if most.is_some() { ".." } else { "" });
        }
    }
    line
}

fn printed(message: &MessageExt, lost: bool) -> Printed<'_> {
    let body = std::str::from_utf8(&message.body).ok().filter(|_| !lost);
    let pairs = rocketwire_protocol::message::properties::iter(&message.properties);
    Printed {
        topic: &message.topic,
        queue_id: message.queue_id,
        queue_offset: message.queue_offset,
        log_offset: message.physical_offset,
        store_timestamp: message.store_timestamp,
        size: message.store_size,
        lost,
        msg_id: message.msg_id(),
        tags: message.tags(),
        keys: message.keys().collect(),
        properties: pairs.map(|(name, value)| (name.to_owned(), value.into())).collect(),
        body_hex: (body.is_none() && !lost).then(|| hex(&message.body)),
        body,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn escaped(text: &str) -> String {
    text.chars().flat_map(shown).collect()
}

/// Control characters do not reach the terminal.
fn shown(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

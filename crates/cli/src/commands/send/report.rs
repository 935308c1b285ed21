//! What became of the messages.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use rocketwire::{SendError, SendResult, SendStatus};
use serde::Serialize;

use crate::{
    failure::Failure,
    output::{self, Format, Output},
};

/// Failures that are printed one by one; a broker that refuses everything should not fill the screen.
const NAMED: u64 = 100;

pub(crate) struct Report {
    out: Output,
    format: Format,
    /// Say it once, at the end.
    summary: bool,
    bar: ProgressBar,
    begun: Instant,
    stored: u64,
    failed: u64,
    gave_up: bool,
    /// Nobody reads the results any more. The messages are sent all the same.
    unread: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stored<'a> {
    line: u64,
    status: &'static str,
    topic: &'a str,
    broker_name: &'a str,
    queue_id: i32,
    queue_offset: i64,
    msg_id: &'a str,
    offset_msg_id: &'a str,
}

#[derive(Serialize)]
struct Failed {
    line: u64,
    status: &'static str,
    error: String,
}

impl Report {
    /// `many`: results are counted instead of told one by one.
    pub(crate) fn new(format: Format, many: bool) -> Report {
        Report {
            out: Output::new(),
            format,
            summary: many && format == Format::Text,
            bar: if many { bar() } else { ProgressBar::hidden() },
            begun: Instant::now(),
            stored: 0,
            failed: 0,
            gave_up: false,
            unread: false,
        }
    }

    pub(crate) fn stored(&mut self, line: u64, result: &SendResult) -> Result<(), Failure> {
        self.stored += 1;
        self.bar.inc(1);
        if self.unread {
            return Ok(());
        }
        let queue = &result.message_queue;
        let told = match self.format {
            Format::Json => self.out.json(&Stored {
                line,
                status: status(result.status),
                topic: &queue.topic,
                broker_name: &queue.broker_name,
                queue_id: queue.queue_id,
                queue_offset: result.queue_offset,
                msg_id: &result.msg_id,
                offset_msg_id: &result.offset_msg_id,
            }),
            Format::Text if self.summary => Ok(()),
            Format::Text => self.out.line(format!(
                "{} {} queue {} of {}, offset {}, id {}",
                status(result.status),
                queue.topic,
                queue.queue_id,
                queue.broker_name,
                result.queue_offset,
                result.msg_id
            )),
        };
        self.told(told)
    }

    pub(crate) fn failed(&mut self, line: u64, error: &SendError) -> Result<(), Failure> {
        self.failed += 1;
        if self.failed <= NAMED {
            self.bar.suspend(|| output::error(&format!("message {line} was not sent: {error}")));
        }
        if self.unread || self.format == Format::Text {
            return Ok(());
        }
        let told = self.out.json(&Failed { line, status: "FAILED", error: error.to_string() });
        self.told(told)
    }

    /// That nobody reads the results is no reason to leave messages unsent.
    fn told(&mut self, printed: Result<(), Failure>) -> Result<(), Failure> {
        match printed {
            Err(Failure::Closed) => {
                self.unread = true;
                Ok(())
            }
            other => other,
        }
    }

    /// The rest of the input will not be sent.
    pub(crate) fn gave_up(&mut self) {
        self.gave_up = true;
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if self.unread {
            return Ok(());
        }
        let flushed = self.out.flush();
        self.told(flushed)
    }

    /// The summary; a failure if one message failed.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let seconds = self.begun.elapsed().as_secs_f64();
        let stored = self.stored;
        if self.summary && !self.unread {
            let told = self.out.line(format!(
                "{stored} messages sent in {seconds:.2} s, {:.0} a second",
                stored as f64 / seconds
            ));
            self.told(told)?;
        }
        self.flush()?;
        if self.failed == 0 {
            return Ok(());
        }
        if self.failed == 1 && !self.gave_up {
            return Err(Failure::Told);
        }
        let rest = match self.gave_up {
            true => ", and the rest of the input was not sent: the broker cannot be reached or refuses",
            false => "",
        };
        let all = stored + self.failed;
        Err(Failure::new(format_args!("{} of {all} messages were not sent{rest}", self.failed)))
    }
}

fn status(status: SendStatus) -> &'static str {
    status.code().name().map_or("SEND_OK", |name| match status {
        SendStatus::SendOk => "SEND_OK",
        _ => name,
    })
}

/// On the standard error, and only if that is a terminal.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} messages, {per_sec}, {elapsed}");
    let bar = ProgressBar::new_spinner();
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

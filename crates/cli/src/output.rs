//! The only place that prints.

use std::io::{self, ErrorKind, IsTerminal, StdoutLock, Write};

use serde::Serialize;

use crate::failure::Failure;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The standard output, buffered unless it is a terminal.
pub(crate) struct Output {
    out: io::BufWriter<StdoutLock<'static>>,
    at_once: bool,
}

impl Output {
    pub(crate) fn new() -> Output {
        Output {
            out: io::BufWriter::with_capacity(64 << 10, io::stdout().lock()),
            at_once: io::stdout().is_terminal(),
        }
    }

    /// One line of text.
    pub(crate) fn line(&mut self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        let written = self.out.write_all(text.as_ref()).and_then(|()| self.out.write_all(b"\n"));
        self.done(written)
    }

    /// One value as a line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let written = serde_json::to_writer(&mut self.out, value)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"));
        self.done(written)
    }

    /// Hands everything over to whoever reads.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(failure)
    }

    fn done(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        written.map_err(failure)?;
        if self.at_once { self.flush() } else { Ok(()) }
    }
}

fn failure(error: io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        Failure::Closed
    } else {
        Failure::new(format_args!("cannot write to the standard output: {error}"))
    }
}

/// One sentence for people, on the standard error.
pub(crate) fn error(sentence: &str) {
    note(&format!("rocketwire: {}", sentence.replace(['\n', '\r'], " ")));
}

/// One line beside the results, on the standard error. That nobody reads it is no error.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

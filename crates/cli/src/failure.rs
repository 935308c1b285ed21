//! How a command ends when it does not succeed.

use std::{fmt, process::ExitCode};

use crate::output;

/// Why a command did not do its job.
#[derive(Debug)]
pub(crate) enum Failure {
    /// One sentence: what failed, on what, and what to do.
    Failed(String),
    /// The same, where the command line or the configuration is at fault.
    Usage(String),
    /// The stored data is damaged: no restart will help.
    Damaged(String),
    /// A write or flush of the store failed, and it was told to end then.
    Io(String),
    /// Said already.
    Told,
    /// Nobody reads the standard output any more, as in `rocketwire consume .. | head`: no error.
    Closed,
}

impl Failure {
    /// A failure from whatever reads as one sentence.
    pub(crate) fn new(sentence: impl fmt::Display) -> Failure {
        Failure::Failed(sentence.to_string())
    }

    /// Says it on the standard error and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Failure::Closed => ExitCode::SUCCESS,
            Failure::Told => ExitCode::from(1),
            Failure::Failed(sentence) => {
                output::error(&sentence);
                ExitCode::from(1)
            }
            Failure::Usage(sentence) => {
                output::error(&sentence);
                ExitCode::from(2)
            }
            Failure::Damaged(sentence) => {
                output::error(&sentence);
                ExitCode::from(3)
            }
            Failure::Io(sentence) => {
                output::error(&sentence);
                ExitCode::from(4)
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(sentence)
            | Failure::Usage(sentence)
            | Failure::Damaged(sentence)
            | Failure::Io(sentence) => f.write_str(sentence),
            Failure::Told => f.write_str("failed"),
            Failure::Closed => f.write_str("the standard output is closed"),
        }
    }
}

//! The bodies, one after the other.

use std::{
    collections::VecDeque,
    io::{self, BufRead},
    thread,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::failure::Failure;

/// Lines that are read ahead.
const AHEAD: usize = 1024;

/// The bodies of the command line, with the standard input in the place of `-`.
pub(crate) struct Source {
    args: VecDeque<String>,
    count: u64,
    /// The body that is given again, and how often.
    again: Option<(Bytes, u64)>,
    stdin: Option<mpsc::Receiver<io::Result<Bytes>>>,
}

impl Source {
    pub(crate) fn new(bodies: &[String], count: u64) -> Source {
        Source { args: bodies.iter().cloned().collect(), count, again: None, stdin: None }
    }

    /// The next body; `None` at the end. Cancel safe: nothing is lost when it is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some((body, left)) = &mut self.again {
                let body = body.clone();
                *left -= 1;
                if *left == 0 {
                    self.again = None;
                }
                return Ok(Some(body));
            }
            if let Some(lines) = &mut self.stdin {
                match lines.recv().await {
                    Some(Ok(line)) => self.again = Some((line, self.count)),
                    Some(Err(error)) => {
                        return Err(Failure::new(format_args!("cannot read the standard input: {error}")));
                    }
                    None => self.stdin = None,
                }
                continue;
            }
            match self.args.pop_front() {
                Some(dash) if dash == "-" => self.stdin = Some(read_lines()),
                Some(body) => self.again = Some((body.into(), self.count)),
                None => return Ok(None),
            }
        }
    }
}

/// A thread that reads lines: the standard input cannot be waited for in any other way everywhere.
///
/// It is not joined: at the end of the program it may sit in a read that nobody can interrupt.
fn read_lines() -> mpsc::Receiver<io::Result<Bytes>> {
    let (lines, receiver) = mpsc::channel(AHEAD);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let item = match input.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {
                    if line.last() == Some(&b'\n') {
                        line.pop();
                    }
                    Ok(Bytes::from(line))
                }
                Err(error) => Err(error),
            };
            let failed = item.is_err();
            if lines.blocking_send(item).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

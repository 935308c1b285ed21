//! `rocketwire decode`: frames, in words.

mod body;
mod input;
mod words;

use std::{collections::HashMap, path::PathBuf};

use bytes::{Bytes, BytesMut};
use rocketwire_protocol::{Command, Limits, frame};

use crate::{
    failure::Failure,
    output::{Format, Output},
};

/// Print remoting frames in words
///
/// Reads frames that follow each other, as one direction of a connection has them: raw bytes, or the same as
/// hexadecimal text. The lines of a capture (JSON objects with the frame as `hex`) are read as well, and their
/// answers are matched with their requests.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rocketwire decode frames.bin
  xxd -p frames.bin | rocketwire decode
  rocketwire decode capture.jsonl -o json | jq .name")]
pub(crate) struct Args {
    /// The file; `-` or nothing is the standard input
    file: Option<PathBuf>,

    /// What the input is
    #[arg(short, long, value_enum, default_value_t = input::Kind::Auto)]
    input: input::Kind,

    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let pieces = input::read(args.file.as_deref(), args.input)?;
    let mut printer = Printer { out: Output::new(), format: args.output, frames: 0, asked: HashMap::new() };
    let name = input::name(args.file.as_deref());
    for piece in pieces {
        let printed = printer.piece(&piece).map_err(|failure| match failure {
            Failure::Failed(sentence) => Failure::new(format_args!("{name}, {}: {sentence}", piece.place)),
            other => other,
        });
        if printed.is_err() {
            // What came before the damage is worth having.
            printer.out.flush()?;
        }
        printed?;
    }
    printer.out.flush()?;
    if printer.frames == 0 {
        return Err(Failure::new(format_args!("{name} is empty: there is no frame to decode")));
    }
    Ok(())
}

struct Printer {
    out: Output,
    format: Format,
    frames: usize,
    /// Requests seen, by the connection and opaque that their answers will have.
    asked: HashMap<(String, i32), i32>,
}

impl Printer {
    fn piece(&mut self, piece: &input::Piece) -> Result<(), Failure> {
        let mut rest = BytesMut::from(&piece.bytes[..]);
        let total = rest.len();
        let limits = Limits::default().with_frame_max(u32::MAX as usize);
        while !rest.is_empty() {
            let at = total - rest.len();
            match frame::decode(&mut rest, &limits) {
                Ok(Some(command)) => {
                    let bytes = total - rest.len() - at;
                    self.frames += 1;
                    self.command(&command, bytes, piece)?;
                }
                Ok(None) => {
                    let needed =
                        frame::announced_len(&rest).map_or_else(|| "4".to_owned(), |n| n.to_string());
                    return Err(Failure::new(format_args!(
                        "the frame at byte {at} has {needed} bytes and only {} are there",
                        rest.len()
                    )));
                }
                Err(error) => {
                    return Err(Failure::new(format_args!("no frame begins at byte {at}: {error}")));
                }
            }
        }
        Ok(())
    }

    fn command(&mut self, command: &Command, bytes: usize, piece: &input::Piece) -> Result<(), Failure> {
        let key = (piece.connection.clone(), command.opaque);
        let request = if command.is_response() {
            self.asked.get(&key).copied()
        } else {
            self.asked.insert(key, command.code);
            Some(command.code)
        };
        match self.format {
            Format::Json => self.out.json(&words::json(command, request, self.frames, bytes)),
            Format::Text => words::text(command, request, self.frames, bytes)
                .iter()
                .try_for_each(|line| self.out.line(line)),
        }
    }
}

/// Bytes as text with every control character escaped, cut where it gets long.
fn preview(bytes: &Bytes, most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text.chars().take(most).flat_map(escape).collect();
    if text.chars().nth(most).is_some() {
        shown.push_str("..");
    }
    shown
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

//! Where the bytes come from, and in which dress.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use serde_json::Value;

use crate::failure::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Look at the first bytes
    Auto,
    /// Raw bytes
    Binary,
    /// Hexadecimal digits, white space anywhere
    Hex,
    /// A JSON object a line, the frame in `hex`
    Jsonl,
}

/// Frames that follow each other.
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// Where in the input, for people.
    pub(crate) place: String,
    /// Which connection, if the input says.
    pub(crate) connection: String,
}

pub(crate) fn name(file: Option<&Path>) -> String {
    match file {
        Some(path) if path.as_os_str() != "-" => path.display().to_string(),
        _ => "the standard input".to_owned(),
    }
}

pub(crate) fn read(file: Option<&Path>, kind: Kind) -> Result<Vec<Piece>, Failure> {
    let bytes = match file {
        Some(path) if path.as_os_str() != "-" => fs::read(path),
        _ => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        }
    }
    .map_err(|error| Failure::new(format_args!("cannot read {}: {error}", name(file))))?;
    let kind = if kind == Kind::Auto { guess(&bytes) } else { kind };
    match kind {
        Kind::Auto | Kind::Binary => Ok(vec![piece(bytes, "raw bytes".to_owned())]),
        Kind::Hex => unhex(&bytes)
            .map(|bytes| vec![piece(bytes, "hexadecimal".to_owned())])
            .map_err(|error| Failure::new(format_args!("{}: {error}", name(file)))),
        Kind::Jsonl => lines(&bytes).map_err(|error| Failure::new(format_args!("{}: {error}", name(file)))),
    }
}

fn piece(bytes: Vec<u8>, place: String) -> Piece {
    Piece { bytes, place, connection: String::new() }
}

/// A frame begins with its length: below 512 MiB the first byte is no digit and no brace.
fn guess(bytes: &[u8]) -> Kind {
    let first = bytes.trim_ascii_start().first();
    match first {
        Some(b'{') => Kind::Jsonl,
        Some(_) if bytes.iter().take(64).all(|b| b.is_ascii_hexdigit() || b.is_ascii_whitespace()) => {
            Kind::Hex
        }
        _ => Kind::Binary,
    }
}

fn unhex(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for (at, c) in text.iter().enumerate().filter(|(_, c)| !c.is_ascii_whitespace()) {
        let digit = char::from(*c)
            .to_digit(16)
            .ok_or_else(|| format!("character {} is no hexadecimal digit", at + 1))?;
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push((high << 4 | digit) as u8),
        }
    }
    match high {
        Some(_) => Err("the number of hexadecimal digits is odd".to_owned()),
        None => Ok(bytes),
    }
}

/// The frames of a capture. Lines without a frame are passed over, as captures keep only some.
fn lines(text: &[u8]) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    for (number, line) in text.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let place = format!("line {}", number + 1);
        let value: Value =
            serde_json::from_slice(line).map_err(|error| format!("{place} is no JSON: {error}"))?;
        let Some(hex) = value.get("hex").and_then(Value::as_str) else {
            continue;
        };
        let bytes = unhex(hex.as_bytes()).map_err(|error| format!("{place}: {error}"))?;
        let connection = value.get("conn").map(Value::to_string).unwrap_or_default();
        pieces.push(Piece { bytes, place, connection });
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dress_is_seen() {
        assert!(guess(b"\x00\x00\x01\xd1\x00\x00") == Kind::Binary);
        assert!(guess(b"000001d1 0000\n01c6") == Kind::Hex);
        assert!(guess(b"{\"hex\":\"00\"}\n") == Kind::Jsonl);
        assert!(guess(b"") == Kind::Binary);
    }

    #[test]
    fn hexadecimal_is_read_with_white_space() {
        assert_eq!(unhex(b"00 fF\n1a"), Ok(vec![0, 255, 26]));
        assert!(unhex(b"0").is_err());
        assert!(unhex(b"0g").unwrap_err().contains("character 2"));
    }

    #[test]
    fn captures_have_connections() {
        let text = b"{\"conn\":7,\"hex\":\"0001\"}\n{\"note\":1}\n\n{\"hex\":\"02\"}";
        let pieces = lines(text).unwrap();
        assert_eq!(pieces.len(), 2);
        assert_eq!((&pieces[0].bytes[..], pieces[0].connection.as_str()), (&[0, 1][..], "7"));
        assert_eq!(pieces[1].place, "line 4");
        assert!(lines(b"{\"hex\":\"zz\"}").is_err());
    }
}

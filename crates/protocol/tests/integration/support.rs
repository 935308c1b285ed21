//! Bytes to test with.

use std::{collections::BTreeMap, fs, path::Path};

use bytes::BytesMut;
use rocketwire_protocol::{Command, Encoding, Fields, FrameError, Limits, frame};

/// One captured frame.
pub(crate) struct Golden {
    /// Client, code, name and kind; see the folder's README.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Golden {
    pub(crate) fn client(&self) -> &str {
        let end = if self.name.starts_with("java") {
            // java533-json-..., java498-binary-...
            self.name.match_indices('-').nth(1).unwrap().0
        } else {
            self.name.find('-').unwrap()
        };
        &self.name[..end]
    }

    /// The code of the request, also for its answer.
    pub(crate) fn request_code(&self) -> i32 {
        let rest = &self.name[self.client().len() + 1..];
        rest[..rest.find('-').unwrap()].parse().unwrap()
    }

    pub(crate) fn is_request(&self) -> bool {
        self.name.ends_with("-req")
    }

    pub(crate) fn is_java(&self) -> bool {
        self.name.starts_with("java") || self.name.starts_with("mqadmin")
    }

    pub(crate) fn command(&self) -> Command {
        decode_one(&self.bytes).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }
}

/// Every captured frame, by name.
pub(crate) fn golden() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/golden");
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "hex"))
        .map(|path| Golden {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            bytes: hex(&fs::read_to_string(&path).unwrap()),
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The captured frame of that name.
pub(crate) fn golden_frame(name: &str) -> Golden {
    let found = golden().into_iter().find(|golden| golden.name == name);
    found.unwrap_or_else(|| panic!("no golden frame {name}"))
}

/// Hex digits with white space anywhere.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits: {text}");
    let digit = |b: u8| char::from(b).to_digit(16).unwrap_or_else(|| panic!("not hex: {text}")) as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Decodes exactly one frame.
pub(crate) fn decode_one(bytes: &[u8]) -> Result<Command, FrameError> {
    let mut input = BytesMut::from(bytes);
    let command = frame::decode(&mut input, &Limits::default())?.expect("a whole frame");
    assert!(input.is_empty(), "{} bytes are left over", input.len());
    Ok(command)
}

pub(crate) fn encode(command: &Command, encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(command, encoding, &mut out).unwrap();
    out
}

/// The text of a JSON header.
pub(crate) fn header_text(frame: &[u8]) -> &str {
    let len = u32::from_be_bytes([0, frame[5], frame[6], frame[7]]) as usize;
    std::str::from_utf8(&frame[8..8 + len]).unwrap()
}

/// A frame around a header.
pub(crate) fn framed(kind: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = ((4 + header.len() + body.len()) as u32).to_be_bytes().to_vec();
    out.extend_from_slice(&((header.len() as u32) | u32::from(kind) << 24).to_be_bytes());
    out.extend_from_slice(header);
    out.extend_from_slice(body);
    out
}

/// A command from the text of its JSON header.
pub(crate) fn from_json(text: &str) -> Result<Command, FrameError> {
    decode_one(&framed(0, text.as_bytes(), b""))
}

/// Fields by name.
pub(crate) fn map(fields: &Fields) -> BTreeMap<String, String> {
    fields.to_vec().into_iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

/// Whether two commands say the same. Where one is binary, an empty remark and an empty map are none.
pub(crate) fn assert_same(a: &Command, b: &Command, what: &str) {
    let fixed = |c: &Command| (c.code, c.language, c.version, c.opaque, c.flag);
    assert_eq!(fixed(a), fixed(b), "{what}");
    assert_eq!(a.remark, b.remark, "{what}");
    assert_eq!(a.fields, b.fields, "{what}");
    assert_eq!(a.body, b.body, "{what}");
}

//! `RemotingCommand`: one request or response, apart from how it is framed.

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    Encoding, Fields, HeaderError, LanguageCode, RequestCode, RequestHeader, ResponseCode, ResponseHeader,
    Version, WriteFields,
};

/// One request or response (Java: `RemotingCommand`; spec/remoting.md section 2).
///
/// A decoded command shares the memory of the frame that it came in: [`Fields`] and body are slices of it.
/// Cloning is cheap (reference counts), but keeps that memory alive.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// [`RequestCode`] of a request, [`ResponseCode`] of a response.
    pub code: i32,
    /// The sender's language.
    pub language: LanguageCode,
    /// The sender's release.
    pub version: Version,
    /// Which request this is, or answers; chosen by the requester, any value is legal.
    pub opaque: i32,
    /// Response and one-way bits; unknown bits are kept.
    pub flag: Flag,
    /// Text for people, in errors mostly. To be ignored when a response succeeded.
    pub remark: Option<ByteString>,
    /// The custom header and whatever else travels with it.
    pub fields: Fields,
    /// Opaque bytes; empty and absent are the same on the wire.
    pub body: Bytes,
    /// The header encoding that the command came in; for one made here, nothing.
    pub encoding: Encoding,
}

impl Command {
    /// A request without fields or body, as Rust and [`Version::CURRENT`].
    pub fn request(code: RequestCode) -> Command {
        Command { code: code.0, ..Command::default() }
    }

    /// A request with its typed header.
    pub fn of<H: RequestHeader>(header: &H) -> Command {
        Command::request(H::CODE).with_header(header)
    }

    /// A response; whoever sends it fills in the opaque of the request.
    pub fn response(code: ResponseCode) -> Command {
        Command { code: code.0, flag: Flag::RESPONSE, ..Command::default() }
    }

    /// A response that failed: a code and a text for people, of which 16 KiB at most are kept: texts name what the peer
    /// has sent, and with a name of a mebibyte the answer would be none that it takes.
    pub fn error(code: ResponseCode, remark: impl Into<ByteString>) -> Command {
        const LONGEST: usize = 16 << 10;
        let mut remark = remark.into();
        if remark.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|at| remark.is_char_boundary(*at)).unwrap_or_default();
            remark = ByteString::from(remark.get(..end).unwrap_or_default());
        }
        Command::response(code).with_remark(remark)
    }

    /// Replaces the fields by those of `header`.
    pub fn with_header(mut self, header: &impl WriteFields) -> Command {
        self.fields = Fields::of(header);
        self
    }

    /// Adds one field behind those that are there.
    pub fn with_field(mut self, key: &str, value: &str) -> Command {
        self.fields.push(key, value);
        self
    }

    /// Replaces the body.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Command {
        self.body = body.into();
        self
    }

    /// Replaces the remark.
    pub fn with_remark(mut self, remark: impl Into<ByteString>) -> Command {
        self.remark = Some(remark.into());
        self
    }

    /// Sets the one-way bit: no answer will be sent.
    pub fn oneway(mut self) -> Command {
        self.flag = Flag(self.flag.0 | Flag::ONEWAY.0);
        self
    }

    /// The code of a request.
    pub fn request_code(&self) -> RequestCode {
        RequestCode(self.code)
    }

    /// The code of a response.
    pub fn response_code(&self) -> ResponseCode {
        ResponseCode(self.code)
    }

    /// Whether this is a response; the response bit decides, whatever else is set.
    pub fn is_response(&self) -> bool {
        self.flag.0 & Flag::RESPONSE.0 != 0
    }

    /// Whether the sender of this request wants no answer.
    pub fn is_oneway(&self) -> bool {
        self.flag.0 & Flag::ONEWAY.0 != 0
    }

    /// The typed header of this request. The code is not compared: 310 and 320 share a header.
    pub fn header<H: RequestHeader>(&self) -> Result<H, HeaderError> {
        H::read(&self.fields)
    }

    /// The typed header of this response.
    pub fn response_header<H: ResponseHeader>(&self) -> Result<H, HeaderError> {
        H::read(&self.fields)
    }
}

/// `flag` of a command: bit 0 response, bit 1 one-way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flag(pub i32);

impl Flag {
    /// Bit 0: this is a response.
    pub const RESPONSE: Flag = Flag(1);
    /// Bit 1: no answer is wanted.
    pub const ONEWAY: Flag = Flag(2);
}

impl Default for LanguageCode {
    fn default() -> Self {
        LanguageCode::RUST
    }
}

impl Default for Version {
    fn default() -> Self {
        Version::CURRENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_an_error_is_cut_between_characters() {
        let remark = |text: String| Command::error(ResponseCode::SYSTEM_ERROR, text).remark.unwrap();
        assert_eq!(remark("a".repeat(16 << 10)).len(), 16 << 10);
        assert_eq!(remark("a".repeat(1 << 20)).len(), 16 << 10);
        assert_eq!(remark(format!("a{}", "\u{fffd}".repeat(1 << 20))).len(), 1 + 3 * 5461);
    }
}

//! The head of a request (RFC 9112), as far as it matters here.

/// The longest head, with all its fields. What is longer is refused.
pub(crate) const MAX_HEAD: usize = 8 << 10;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// The head is not whole yet.
    More,
    /// This path, without its query.
    Get(&'a str),
    /// The same, with the head of the answer only.
    Head(&'a str),
    /// Another method than these: 405.
    Method,
    /// No request of HTTP/1: 400.
    Bad,
    /// The head is too long: 431.
    TooLong,
}

/// Reads what came of a request so far. The fields say nothing that matters, and are not looked at.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let line = bytes.iter().position(|byte| *byte == b'\n');
    let Some((line, _)) = line.and_then(|end| bytes.split_at_checked(end)) else {
        return match bytes.len() < MAX_HEAD {
            true => Parsed::More,
            false => Parsed::TooLong,
        };
    };
    let Some((method, path)) = request_line(line) else { return Parsed::Bad };
    let head = bytes.get(..MAX_HEAD.min(bytes.len())).unwrap_or_default();
    if !is_whole(head) {
        return if bytes.len() < MAX_HEAD { Parsed::More } else { Parsed::TooLong };
    }
    match method {
        "GET" => Parsed::Get(path),
        "HEAD" => Parsed::Head(path),
        _ => Parsed::Method,
    }
}

/// `GET /metrics?x HTTP/1.1`: method and path.
fn request_line(line: &[u8]) -> Option<(&str, &str)> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_http = version.strip_prefix("HTTP/1.").is_some_and(|minor| matches!(minor, "0" | "1"));
    if !is_method || !is_http || words.next().is_some() || !target.starts_with('/') {
        return None;
    }
    Some((method, target.split_once('?').map_or(target, |(path, _)| path)))
}

/// Whether an empty line ends it.
fn is_whole(head: &[u8]) -> bool {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n').skip(1);
    lines.any(|line| matches!(line, b"\n" | b"\r\n"))
}

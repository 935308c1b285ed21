//! Escapes of JSON strings: those that fastjson writes, and all that there are.

use super::scan;

/// Appends a quoted string with fastjson's escapes.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, from) = rest.split_at(scan::needs_look(rest));
        out.extend_from_slice(plain);
        if from.is_empty() {
            break;
        }
        rest = escape_first(from, out);
    }
    out.push(b'"');
}

/// Writes the first character of `from`, escaped if it has to be, and returns what is behind it.
fn escape_first<'a>(from: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let (escape, rest): (u16, &[u8]) = match from {
        [b'"', rest @ ..] => return short_escape(b'"', rest, out),
        [b'\\', rest @ ..] => return short_escape(b'\\', rest, out),
        [0x08, rest @ ..] => return short_escape(b'b', rest, out),
        [b'\t', rest @ ..] => return short_escape(b't', rest, out),
        [b'\n', rest @ ..] => return short_escape(b'n', rest, out),
        [0x0c, rest @ ..] => return short_escape(b'f', rest, out),
        [b'\r', rest @ ..] => return short_escape(b'r', rest, out),
        [b @ (0..0x20 | 0x7f), rest @ ..] => (u16::from(*b), rest),
        [0xc2, b @ 0x80..=0x9f, rest @ ..] => (u16::from(*b), rest),
        [0xe2, 0x80, b @ (0xa8 | 0xa9), rest @ ..] => (0x2000 | u16::from(*b & 0x3f) | 0x20, rest),
        [b, rest @ ..] => {
            out.push(*b);
            return rest;
        }
        [] => return from,
    };
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        let nibble = usize::from(escape >> shift & 15);
        out.push(HEX.get(nibble).copied().unwrap_or(b'0'));
    }
    rest
}

fn short_escape<'a>(letter: u8, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    out.extend_from_slice(&[b'\\', letter]);
    rest
}

/// The text of an escaped string. Surrogates that have no partner become U+FFFD.
pub(crate) fn unescape(raw: &[u8]) -> String {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        let (plain, from) = rest.split_at(scan::backslash(rest));
        out.extend_from_slice(plain);
        rest = match from {
            [] => break,
            // The separators of a property string: every send has them.
            [b'\\', b'u', b'0', b'0', b'0', digit @ b'0'..=b'9', rest @ ..] => {
                out.push(digit - b'0');
                rest
            }
            from => unescape_first(from, &mut out),
        };
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn unescape_first<'a>(from: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let (plain, rest) = match from {
        [_, b'u', rest @ ..] => return unescape_unicode(rest, out),
        [_, b'b', rest @ ..] => (0x08, rest),
        [_, b't', rest @ ..] => (b'\t', rest),
        [_, b'n', rest @ ..] => (b'\n', rest),
        [_, b'f', rest @ ..] => (0x0c, rest),
        [_, b'r', rest @ ..] => (b'\r', rest),
        [_, other, rest @ ..] => (*other, rest),
        _ => return &[],
    };
    out.push(plain);
    rest
}

fn unescape_unicode<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some((unit, mut rest)) = hex4(rest) else {
        return rest;
    };
    let mut code = u32::from(unit);
    if (0xd800..0xdc00).contains(&unit)
        && let [b'\\', b'u', tail @ ..] = rest
        && let Some((low @ 0xdc00..0xe000, after)) = hex4(tail)
    {
        code = 0x10000 + ((u32::from(unit) - 0xd800) << 10) + (u32::from(low) - 0xdc00);
        rest = after;
    }
    let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    rest
}

pub(super) fn hex4(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = bytes.split_first_chunk::<4>()?;
    let mut unit = 0u16;
    for digit in digits {
        unit = unit << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?;
    }
    Some((unit, rest))
}

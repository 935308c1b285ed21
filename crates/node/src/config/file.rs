//! Files as lists of names and values. Their bytes come from outside: anything is an answer or an error.

use toml::Value;

/// Files are a few kilobytes; nobody's mistake is to fill the memory.
const MAX_BYTES: usize = 1 << 20;

/// Names and values, in the order of the file where that matters.
pub(super) type Entries = Vec<(String, String)>;

/// A flat TOML file: text, numbers, booleans, and arrays of texts, which are joined by commas.
pub(crate) fn parse_toml(bytes: &[u8]) -> Result<Entries, String> {
    let text = text(bytes)?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| on_one_line(text, &error))?;
    let mut entries = Vec::with_capacity(table.len());
    for (name, value) in table {
        let value = scalar(value).ok_or_else(|| {
            format!("`{name}` is neither text nor a number nor true or false; settings are `name = value`, without [sections]")
        })?;
        entries.push((name, value));
    }
    Ok(entries)
}

fn on_one_line(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().and_then(|span| text.get(..span.start));
    let line = line.map(|before| before.matches('\n').count() + 1);
    let message = error.message().replace('\n', ", ");
    line.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"))
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(is) => Some(is.to_string()),
        Value::Array(values) => {
            let texts: Option<Vec<String>> = values
                .into_iter()
                .map(|value| match value {
                    Value::String(text) => Some(text),
                    _ => None,
                })
                .collect();
            Some(texts?.join(","))
        }
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// A file of Java's `Properties.load`. The last of several lines with one name counts; trailing spaces of a value
/// do not, as Apache trims them.
pub(crate) fn parse_properties(bytes: &[u8]) -> Result<Entries, String> {
    let text = text(bytes)?;
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = line.to_owned();
        while goes_on(&whole) {
            whole.pop();
            let Some((_, next)) = lines.next() else { break };
            whole.push_str(next.trim_start());
        }
        let (name, value) = split(&whole);
        let unescaped =
            |text| unescape(text).ok_or_else(|| format!("line {}: \\u needs four digits", at + 1));
        entries.push((unescaped(name)?, unescaped(value)?.trim_end().to_owned()));
    }
    Ok(entries)
}

/// Whether the line ends with a backslash that is not itself escaped.
fn goes_on(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// At the first `=`, `:` or space that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.find(|c: char| {
        let ends = !is_escaped && matches!(c, '=' | ':' | ' ' | '\t' | '\x0c');
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    let Some((name, rest)) = end.and_then(|end| line.split_at_checked(end)) else { return (line, "") };
    let blank = [' ', '\t', '\x0c'];
    let rest = rest.trim_start_matches(blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (name, rest.trim_start_matches(blank))
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => {
                let code = (0..4).try_fold(0, |code, _| Some(code * 16 + chars.next()?.to_digit(16)?))?;
                // Halves of a pair are of no use in any setting.
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Some(out)
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("{} bytes are no configuration; the limit is {MAX_BYTES}", bytes.len()));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to()))
}

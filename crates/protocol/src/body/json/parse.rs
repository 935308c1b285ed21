//! Text to [`Json`]. What is accepted beyond JSON: unquoted, numeric and object keys, single quotes, comments,
//! trailing commas, a byte order mark, white space around.

use std::borrow::Cow;

use super::{BodyError, Json, MAX_DEPTH, MAX_VALUES};
use crate::encoding::escape::unescape;

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Json<'_>, BodyError> {
    let mut parser = Parser { text: text.strip_prefix('\u{feff}').unwrap_or(text), at: 0, values: 0 };
    parser.space()?;
    if parser.peek().is_none() {
        return Err(BodyError::Empty);
    }
    let value = parser.value(0)?;
    parser.space()?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.error("something is left behind the value")),
    }
}

struct Parser<'t> {
    text: &'t str,
    /// Always at a character boundary: only ASCII bytes are stepped over one by one.
    at: usize,
    values: usize,
}

impl<'t> Parser<'t> {
    fn error(&self, reason: &'static str) -> BodyError {
        BodyError::Syntax { at: self.at, reason }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn slice(&self, from: usize, to: usize) -> &'t str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// Steps over `byte`, if it comes next behind white space.
    fn eat(&mut self, byte: u8) -> Result<bool, BodyError> {
        self.space()?;
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        Ok(hit)
    }

    /// White space and comments.
    fn space(&mut self) -> Result<(), BodyError> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                Some(b'/') => self.comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn comment(&mut self) -> Result<(), BodyError> {
        let rest = self.slice(self.at, self.text.len());
        let end = if rest.starts_with("/*") {
            rest.find("*/").map(|end| end + 2)
        } else if rest.starts_with("//") {
            Some(rest.find('\n').unwrap_or(rest.len()))
        } else {
            None
        };
        self.at += end.ok_or_else(|| self.error("neither a value nor a comment"))?;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Json<'t>, BodyError> {
        if depth > MAX_DEPTH {
            return Err(self.error("nests too deep"));
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(BodyError::TooLarge { limit: MAX_VALUES });
        }
        self.space()?;
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(quote @ (b'"' | b'\'')) => self.string(quote).map(Json::Text),
            _ => match self.bare() {
                "" => Err(self.error("a value was expected")),
                "null" | "undefined" | "NaN" | "Infinity" | "-Infinity" => Ok(Json::Null),
                "true" => Ok(Json::Bool(true)),
                "false" => Ok(Json::Bool(false)),
                number if is_number(number) => Ok(Json::Number(number)),
                _ => Err(self.error("a value was expected")),
            },
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'t>, BodyError> {
        self.at += 1;
        let mut members = Vec::new();
        loop {
            if self.eat(b'}')? {
                return Ok(Json::Object(members));
            }
            let key = match self.peek() {
                Some(b'{' | b'[' | b'"' | b'\'') => self.value(depth + 1)?,
                _ => match self.bare() {
                    "" => return Err(self.error("a key was expected")),
                    bare => Json::Text(Cow::Borrowed(bare)),
                },
            };
            if !self.eat(b':')? {
                return Err(self.error("a colon was expected"));
            }
            members.push((key, self.value(depth + 1)?));
            if !self.eat(b',')? && self.peek() != Some(b'}') {
                return Err(self.error("a comma or the end of the object was expected"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'t>, BodyError> {
        self.at += 1;
        let mut elements = Vec::new();
        loop {
            if self.eat(b']')? {
                return Ok(Json::Array(elements));
            }
            elements.push(self.value(depth + 1)?);
            if !self.eat(b',')? && self.peek() != Some(b']') {
                return Err(self.error("a comma or the end of the array was expected"));
            }
        }
    }

    fn string(&mut self, quote: u8) -> Result<Cow<'t, str>, BodyError> {
        self.at += 1;
        let from = self.at;
        let rest = self.slice(from, self.text.len());
        let special = [char::from(quote), '\\'];
        let mut escaped = false;
        let mut end = 0;
        loop {
            let tail = rest.get(end..).unwrap_or_default();
            let Some(hit) = tail.find(special) else {
                return Err(self.error("the string has no end"));
            };
            end += hit;
            if rest.as_bytes().get(end) == Some(&quote) {
                break;
            }
            // The escaped character may be a longer one, so step over all of it.
            let next = rest.get(end + 1..).and_then(|tail| tail.chars().next());
            end += 1 + next.map_or(0, char::len_utf8);
            escaped = true;
        }
        self.at = from + end + 1;
        let raw = self.slice(from, from + end);
        Ok(if escaped { Cow::Owned(unescape(raw.as_bytes())) } else { Cow::Borrowed(raw) })
    }

    /// A word without quotes: a number, a literal or an identifier.
    fn bare(&mut self) -> &'t str {
        let from = self.at;
        while let Some(
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | b'+' | b'-' | b'.' | b'@' | b'%',
        ) = self.peek()
        {
            self.at += 1;
        }
        self.slice(from, self.at)
    }
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+')
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

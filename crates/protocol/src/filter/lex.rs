use super::SqlError;

/// A word of an expression, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A name or a keyword.
    Word(&'a str),
    /// A whole number, maybe with an `L`.
    Whole(&'a str),
    /// A number with a point or an exponent.
    Decimal(&'a str),
    /// A string; a doubled quote in it is one.
    Text(String),
    /// One of `= <> > >= < <= ( ) , + -`.
    Symbol(&'a str),
}

/// Cuts an expression into words. What is between them is space and comments.
pub(super) fn tokens(expression: &str) -> Result<Vec<Token<'_>>, SqlError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = expression.get(at..).filter(|rest| !rest.is_empty()) {
        let blank = blank(rest);
        if blank > 0 {
            at += blank;
            continue;
        }
        let Some((kind, length)) = token(rest) else {
            let found: String = rest.chars().take(1).collect();
            let reason = match found.as_str() {
                "'" => "a string that does not end".to_owned(),
                _ => format!("{found:?} does not belong into an expression"),
            };
            return Err(SqlError { reason, at });
        };
        tokens.push(Token { kind, at });
        at += length;
    }
    Ok(tokens)
}

/// Bytes of space, or of a comment, at the front.
fn blank(rest: &str) -> usize {
    if rest.starts_with([' ', '\t', '\n', '\r', '\u{c}']) {
        return 1;
    }
    if let Some(comment) = rest.strip_prefix("--") {
        // Without an end of the line it is two signs.
        return comment.find(['\n', '\r']).map_or(0, |end| end + 3);
    }
    let comment = rest.strip_prefix("/*");
    comment.and_then(|comment| comment.find("*/")).map_or(0, |end| end + 4)
}

/// The word at the front and its length.
fn token(rest: &str) -> Option<(Kind<'_>, usize)> {
    if let Some(symbol) = ["<>", ">=", "<=", "=", ">", "<", "(", ")", ",", "+", "-"]
        .iter()
        .find_map(|symbol| rest.get(..symbol.len()).filter(|found| found == symbol))
    {
        return Some((Kind::Symbol(symbol), symbol.len()));
    }
    if let Some(text) = rest.strip_prefix('\'') {
        return text_literal(text);
    }
    if let Some((kind, length)) = number(rest) {
        return Some((kind, length));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
    let length = rest.bytes().take_while(|byte| is_name(*byte)).count();
    let word = rest.get(..length).filter(|word| !word.is_empty())?;
    Some((Kind::Word(word), length))
}

/// What is behind the first quote.
fn text_literal(rest: &str) -> Option<(Kind<'_>, usize)> {
    let mut text = String::new();
    let mut at = 0;
    loop {
        let end = rest.get(at..)?.find('\'')?;
        text.push_str(rest.get(at..at + end)?);
        at += end + 1;
        if !rest.get(at..)?.starts_with('\'') {
            return Some((Kind::Text(text), at + 1));
        }
        text.push('\'');
        at += 1;
    }
}

/// The longest number at the front.
fn number(rest: &str) -> Option<(Kind<'_>, usize)> {
    let digits =
        |from: usize| rest.get(from..).map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let byte = |at: usize| rest.as_bytes().get(at).copied();
    let exponent = |from: usize| {
        let sign = usize::from(matches!(byte(from + 1), Some(b'+' | b'-')));
        let count = digits(from + 1 + sign);
        if matches!(byte(from), Some(b'e' | b'E')) && count > 0 { 1 + sign + count } else { 0 }
    };
    let whole = digits(0);
    let mut length = whole;
    let mut is_decimal = false;
    if byte(whole) == Some(b'.') && (whole > 0 || digits(1) > 0) {
        length = whole + 1 + digits(whole + 1);
        is_decimal = true;
    }
    if length == 0 {
        return None;
    }
    let of_exponent = exponent(length);
    if is_decimal || of_exponent > 0 {
        length += of_exponent;
        return Some((Kind::Decimal(rest.get(..length)?), length));
    }
    // A whole number does not begin with a zero: `007` is three of them.
    let length =
        if byte(0) == Some(b'0') { 1 } else { whole + usize::from(matches!(byte(whole), Some(b'l' | b'L'))) };
    Some((Kind::Whole(rest.get(..length)?), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(expression: &str) -> Vec<Kind<'_>> {
        tokens(expression).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn numbers_are_as_long_as_they_can_be() {
        use Kind::{Decimal, Whole, Word};
        assert_eq!(kinds("12 12L 0"), [Whole("12"), Whole("12L"), Whole("0")]);
        assert_eq!(
            kinds("5.5 5. .5 5.e3 5E-10 .5e+1"),
            ["5.5", "5.", ".5", "5.e3", "5E-10", ".5e+1"].map(Decimal)
        );
        assert_eq!(kinds("007"), [Whole("0"), Whole("0"), Whole("7")]);
        assert_eq!(kinds("0L"), [Whole("0"), Word("L")]);
        assert_eq!(kinds("5e 5abc"), [Whole("5"), Word("e"), Whole("5"), Word("abc")]);
        assert_eq!(kinds("1.5.3"), [Decimal("1.5"), Decimal(".3")]);
    }

    #[test]
    fn strings_names_and_signs() {
        use Kind::{Symbol, Text, Word};
        assert_eq!(kinds("'it''s' '' 'ä\n'"), ["it's", "", "ä\n"].map(|text| Text(text.to_owned())));
        assert_eq!(kinds("$a_1>=b<>c"), [Word("$a_1"), Symbol(">="), Word("b"), Symbol("<>"), Word("c")]);
        for wrong in ["'open", "'open''", "a != 1", "a ; b", "ä", ".", "\u{0}", "/* open", "a.b"] {
            assert!(tokens(wrong).is_err(), "{wrong}");
        }
        assert_eq!(tokens("a = 'x").unwrap_err().at, 4);
    }

    #[test]
    fn comments_are_space() {
        use Kind::{Symbol, Whole, Word};
        assert_eq!(kinds("a /* b ** / c */ -- d\n 1"), [Word("a"), Whole("1")]);
        assert_eq!(kinds("--5"), [Symbol("-"), Symbol("-"), Whole("5")], "a comment ends with its line");
    }
}

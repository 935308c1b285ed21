//! SQL92 filters: conditions on the properties of messages (Java: the `filter` module; spec broker B.5).
//!
//! ```text
//! a > 5 AND b BETWEEN 0 AND 3        = <> > >= < <= BETWEEN, NOT BETWEEN, with AND OR NOT and parentheses
//! region IN ('hz', 'sh')             IN, NOT IN, of strings
//! a IS NULL                          IS NULL, IS NOT NULL
//! name STARTSWITH 'order-'           CONTAINS, STARTSWITH, ENDSWITH, each with NOT
//! ```
//!
//! The rules are Java's, the surprising ones included: a property is a string and is read as a number of the constant's
//! kind, so `5.0` is not `5`; what cannot be read so ends the evaluation, and the message is not wanted; a comparison
//! with a missing property is neither true nor false; `NOT a = 1` is `(NOT a) = 1`.

mod eval;
mod lex;
mod parse;

use eval::Expr;

/// The longest expression in bytes.
pub const MAX_LEN: usize = 32 << 10;
/// Operators and operands of an expression at most; the words of an `IN` are not counted.
pub const MAX_NODES: usize = 1024;
/// How deep parentheses, signs and NOT may be nested.
pub const MAX_DEPTH: usize = 64;

/// A compiled expression.
///
/// ```
/// use rocketwire_protocol::filter::SqlFilter;
///
/// let filter = SqlFilter::compile("amount >= 100 AND region IN ('hz', 'sh')")?;
/// assert!(filter.matches("amount\u{1}250\u{2}region\u{1}sh\u{2}"));
/// assert!(!filter.matches("amount\u{1}250\u{2}"));
/// # Ok::<(), rocketwire_protocol::filter::SqlError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SqlFilter {
    root: Expr,
    /// The properties that it reads, sorted.
    names: Vec<Box<str>>,
}

/// Why an expression was not compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}, at byte {at} of the expression")]
pub struct SqlError {
    /// What is wrong.
    pub reason: String,
    /// Where, in bytes from 0 on.
    pub at: usize,
}

impl SqlFilter {
    /// Compiles an expression. Takes at most about a millisecond, whatever the text is.
    ///
    /// # Errors
    /// [`SqlError`] for what is not an expression, or one beyond [`MAX_LEN`], [`MAX_NODES`] or [`MAX_DEPTH`]. Also, where
    /// Java ignores it, for what stands behind the end of an expression.
    pub fn compile(expression: &str) -> Result<SqlFilter, SqlError> {
        if expression.len() > MAX_LEN {
            let reason = format!("{} bytes are more than {MAX_LEN}", expression.len());
            return Err(SqlError { reason, at: MAX_LEN });
        }
        parse::parse(&lex::tokens(expression)?, expression.len())
    }

    /// Whether a message with this property string is wanted.
    pub fn matches(&self, properties: &str) -> bool {
        self.with_values(properties, |values| self.root.condition(values) == Ok(Some(true)))
    }
}

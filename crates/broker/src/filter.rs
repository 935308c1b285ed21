//! Which messages of a queue a consumer wants (Java: `FilterAPI`, `ExpressionMessageFilter`; spec broker B.5).
//!
//! A queue entry knows a message's tag only by its hash: a match here may be a collision, and clients compare
//! the tag's text again.

use std::sync::Arc;

use rocketwire_protocol::message::tags_code;

/// A compiled TAG expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// `*`: every message.
    All,
    /// The hashes of the tags that are wanted.
    Tags(Arc<[i64]>),
}

impl Filter {
    /// Compiles a TAG expression: absent, empty or `*` is everything, else tags between `||`.
    ///
    /// An expression of separators only is Java's `subString split error`; see [`Filter::parse`].
    pub(crate) fn parse(expression: &str) -> Option<Filter> {
        if matches!(expression, "" | "*") {
            return Some(Filter::All);
        }
        let codes: Arc<[i64]> =
            expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()).map(tags_code).collect();
        if codes.is_empty() { None } else { Some(Filter::Tags(codes)) }
    }

    /// Whether a message with this hash of its tag may be wanted. Without a tag the hash is 0.
    pub(crate) fn accepts(&self, tags_code: i64) -> bool {
        match self {
            Filter::All => true,
            Filter::Tags(codes) => codes.contains(&tags_code),
        }
    }

    #[cfg(test)]
    pub(crate) fn tags(expression: &str) -> Filter {
        Filter::parse(expression).unwrap()
    }
}

/// Whether an expression type is TAG; absent and empty are (Java: `ExpressionType.isTagType`).
pub(crate) fn is_tag_type(expression_type: Option<&str>) -> bool {
    matches!(expression_type, None | Some("" | "TAG"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_become_javas_hash_codes() {
        assert_eq!(Filter::parse("*"), Some(Filter::All));
        assert_eq!(Filter::parse(""), Some(Filter::All));
        let filter = Filter::tags(" TagA ||TagB|| ");
        assert!(filter.accepts(2_598_919));
        assert!(filter.accepts(2_598_920));
        assert!(!filter.accepts(2_598_921));
        assert!(!filter.accepts(0), "a message without a tag");
    }

    #[test]
    fn negative_hashes_are_sign_extended() {
        let code = tags_code("zzzzzzzz");
        assert!(Filter::tags("zzzzzzzz").accepts(code));
        assert_eq!(code, i64::from(code as i32));
    }

    #[test]
    fn separators_alone_are_an_error() {
        assert_eq!(Filter::parse("||"), None);
        assert_eq!(Filter::parse(" || || "), None);
    }

    #[test]
    fn sql_is_not_a_tag_expression() {
        assert!(is_tag_type(None));
        assert!(is_tag_type(Some("TAG")));
        assert!(is_tag_type(Some("")));
        assert!(!is_tag_type(Some("SQL92")));
    }
}

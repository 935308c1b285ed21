//! Which messages of a queue a consumer wants (Java: `FilterAPI`, `ExpressionMessageFilter`; spec broker B.5).
//!
//! A queue entry knows a message's tag only by its hash: a match here may be a collision, and clients compare
//! the tag's text again. Of properties it knows nothing: an SQL92 filter has to see the message.

use std::sync::Arc;

use rocketwire_protocol::{
    ResponseCode,
    filter::{SqlError, SqlFilter},
    message::{properties, property, tags_code},
};

use crate::call::Refused;

/// A compiled expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    /// `*`: every message.
    All,
    /// The hashes of the tags that are wanted, sorted, since there may be many and each entry of a queue is compared.
    Tags(Arc<[i64]>),
    /// A condition on the properties.
    Sql(Arc<SqlFilter>),
}

/// Why there is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FilterError {
    /// Another type of expressions than TAG and SQL92.
    Type(String),
    /// A TAG expression of separators only.
    Tags,
    /// Not an SQL92 expression.
    Sql(SqlError),
}

impl Filter {
    /// Compiles an expression of this type; none and empty are TAG (Java: `ExpressionType.isTagType`).
    pub(crate) fn compile(kind: Option<&str>, expression: &str) -> Result<Filter, FilterError> {
        match kind {
            None | Some("" | "TAG") => Filter::parse(expression).ok_or(FilterError::Tags),
            Some("SQL92") => match SqlFilter::compile(expression) {
                Ok(filter) => Ok(Filter::Sql(Arc::new(filter))),
                Err(error) => Err(FilterError::Sql(error)),
            },
            Some(other) => Err(FilterError::Type(other.to_owned())),
        }
    }

    /// Compiles a TAG expression: empty or `*` is everything, else tags between `||`.
    fn parse(expression: &str) -> Option<Filter> {
        if matches!(expression, "" | "*") {
            return Some(Filter::All);
        }
        let tags = expression.split("||").map(str::trim).filter(|tag| !tag.is_empty());
        let mut codes: Vec<i64> = tags.map(tags_code).collect();
        codes.sort_unstable();
        codes.dedup();
        if codes.is_empty() { None } else { Some(Filter::Tags(codes.into())) }
    }

    /// Whether a message with this hash of its tag may be wanted. Without a tag the hash is 0.
    pub(crate) fn accepts(&self, tags_code: i64) -> bool {
        match self {
            Filter::All | Filter::Sql(_) => true,
            Filter::Tags(codes) => codes.binary_search(&tags_code).is_ok(),
        }
    }

    /// Whether a message with these properties is wanted, a tag's collision aside.
    pub(crate) fn accepts_message(&self, text: &str) -> bool {
        match self {
            Filter::Sql(filter) => filter.matches(text),
            _ => self.accepts(tags_code(properties::get(text, property::TAGS).unwrap_or_default())),
        }
    }

    #[cfg(test)]
    pub(crate) fn tags(expression: &str) -> Filter {
        Filter::parse(expression).unwrap()
    }
}

/// The answer to who wants to filter in a way that is not offered (`enablePropertyFilter`).
pub(crate) fn unsupported(kind: &str) -> Refused {
    let remark = format!("The broker does not support consumer to filter message by {kind}");
    Refused::new(ResponseCode::SYSTEM_ERROR, remark)
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
        assert!(
            filter.accepts_message("TAGS\u{1}TagB\u{2}") && !filter.accepts_message("TAGS\u{1}TagC\u{2}")
        );
    }

    #[test]
    fn tags_are_wanted_in_no_order_and_once() {
        let filter = Filter::tags("zzzzzzzz || b || a || b");
        assert_eq!(filter, Filter::tags("a || b || zzzzzzzz"));
        assert!(["a", "b", "zzzzzzzz"].iter().all(|tag| filter.accepts(tags_code(tag))));
        assert!(!filter.accepts(tags_code("c")));
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
    fn the_type_decides_what_an_expression_means() {
        for tag in [None, Some(""), Some("TAG")] {
            assert_eq!(Filter::compile(tag, "a"), Ok(Filter::tags("a")));
        }
        assert_eq!(Filter::compile(None, "||"), Err(FilterError::Tags));
        let sql = Filter::compile(Some("SQL92"), "a = 1").unwrap();
        assert!(
            sql.accepts(0) && sql.accepts_message("a\u{1}1\u{2}") && !sql.accepts_message("a\u{1}2\u{2}")
        );
        assert!(matches!(Filter::compile(Some("SQL92"), "*"), Err(FilterError::Sql(_))));
        assert_eq!(Filter::compile(Some("sql92"), "a"), Err(FilterError::Type("sql92".to_owned())));
    }
}

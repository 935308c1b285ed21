//! What a consumer wants of a topic (Java: `FilterAPI`; spec client F.3).

use std::collections::BTreeSet;

use bytestring::ByteString;
use rocketwire_protocol::{body::SubscriptionData, message::tags_code};

use crate::validate::Invalid;

/// Which messages of a topic a consumer gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterExpression {
    /// All.
    #[default]
    All,
    /// Those with one of the tags: `TagA || TagB`.
    Tag(String),
    /// Those whose properties satisfy an SQL92 expression; the broker must have `enablePropertyFilter`.
    Sql(String),
}

impl FilterExpression {
    /// Messages with one of the tags, written `TagA || TagB`; `*` or nothing for all.
    pub fn tag(expression: impl Into<String>) -> FilterExpression {
        FilterExpression::Tag(expression.into())
    }

    /// Messages whose properties satisfy an SQL92 expression.
    pub fn sql(expression: impl Into<String>) -> FilterExpression {
        FilterExpression::Sql(expression.into())
    }
}

/// `"TagA || TagB"`, or `"*"`.
impl From<&str> for FilterExpression {
    fn from(expression: &str) -> FilterExpression {
        FilterExpression::tag(expression)
    }
}

/// The subscription as it goes into heartbeats. `version`: milliseconds now; a larger one replaces a smaller one.
pub(crate) fn build(
    topic: &str,
    expression: &FilterExpression,
    version: i64,
) -> Result<SubscriptionData, Invalid> {
    let mut data = SubscriptionData {
        topic: topic.into(),
        sub_version: version,
        sub_string: ByteString::from_static("*"),
        ..SubscriptionData::default()
    };
    match expression {
        FilterExpression::All => {}
        FilterExpression::Sql(sql) => {
            data.sub_string = sql.as_str().into();
            data.expression_type = "SQL92".into();
        }
        FilterExpression::Tag(tags) if tags.is_empty() || tags == "*" => {}
        FilterExpression::Tag(tags) => {
            let each: BTreeSet<&str> =
                tags.split("||").map(str::trim).filter(|tag| !tag.is_empty()).collect();
            if each.is_empty() {
                return Err(Invalid::Subscription(tags.clone()));
            }
            data.sub_string = tags.as_str().into();
            for tag in each {
                data.tags_set.push(tag.into());
                data.code_set.push(tags_code(tag) as i32); // the hash is an i32, stored wider
            }
        }
    }
    Ok(data)
}

/// Whether a message passes by its tag's text, which is asked for if it matters. Brokers compare hashes only, and
/// those collide.
pub(crate) fn matches<'a>(data: &SubscriptionData, tags: impl FnOnce() -> Option<&'a str>) -> bool {
    let is_one_of = |tags: &str| data.tags_set.iter().any(|tag| **tag == *tags);
    data.tags_set.is_empty() || tags().is_some_and(is_one_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(expression: &str) -> Result<SubscriptionData, Invalid> {
        build("T", &FilterExpression::tag(expression), 1)
    }

    #[test]
    fn tags_are_split_trimmed_and_hashed() {
        // spec: client 74
        let data = tag(" TagA || TagB||  ").expect("two tags");
        assert_eq!(data.tags_set.iter().map(|tag| tag.to_string()).collect::<Vec<_>>(), ["TagA", "TagB"]);
        // "TagA".hashCode() and "TagB".hashCode() in Java.
        assert_eq!(data.code_set, [2_598_919, 2_598_920]);
        assert_eq!(&*data.sub_string, " TagA || TagB||  ");
        assert_eq!(&*data.expression_type, "TAG");
    }

    #[test]
    fn everything() {
        for all in ["", "*"] {
            let data = tag(all).expect("everything");
            assert_eq!(&*data.sub_string, "*");
            assert!(data.tags_set.is_empty() && data.code_set.is_empty());
        }
        assert!(matches!(tag(" || "), Err(Invalid::Subscription(_))));
    }

    #[test]
    fn sql_is_passed_on() {
        let data = build("T", &FilterExpression::sql("a > 3"), 7).expect("SQL");
        assert_eq!((&*data.expression_type, &*data.sub_string, data.sub_version), ("SQL92", "a > 3", 7));
        assert!(matches(&data, || None), "the broker has filtered");
    }

    #[test]
    fn tags_are_compared_by_text() {
        // spec: client 94
        // "Aa" and "BB" have one hash.
        let data = tag("Aa").expect("one tag");
        assert_eq!(tags_code("Aa"), tags_code("BB"));
        assert!(matches(&data, || Some("Aa")));
        assert!(!matches(&data, || Some("BB")) && !matches(&data, || None));
        assert!(matches(&tag("*").expect("everything"), || None));
    }
}

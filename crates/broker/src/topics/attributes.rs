//! Attributes of topics (Java: `TopicAttributes`, `AttributeParser`, `AttributeUtil`; spec broker B.17).

use std::collections::BTreeMap;

use bytestring::ByteString;

/// Values by name.
pub(crate) type Attributes = BTreeMap<ByteString, ByteString>;

/// Why a change of attributes is refused. The texts are Java's, but for the last.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AttributeError {
    /// Neither `+key=value` nor `-key`.
    #[error("{0} attribute format is wrong: {1}")]
    Format(&'static str, String),
    /// The same key twice.
    #[error("alter duplication key. key: {0}")]
    Duplicate(String),
    /// An empty key, or one with a sign in it.
    #[error("kv string format wrong.")]
    Key,
    /// A new topic has nothing to take away.
    #[error("only add attribute is supported while creating topic. key: {0}")]
    DeleteOfNew(String),
    /// The topic does not have it.
    #[error("attempt to delete a nonexistent key: {0}")]
    DeleteOfUnknown(String),
    /// There is no such attribute.
    #[error("unsupported key: {0}")]
    Unknown(String),
    /// It is settled when the topic is created.
    #[error("attempt to update an unchangeable attribute. key: {0}")]
    Unchangeable(String),
    /// None of the words that are allowed.
    #[error("value is not in set: [{}]", .0.join(", "))]
    Word(&'static [&'static str]),
    /// Not a number, or none that is allowed.
    #[error("value is not in range(-1, {})", i64::MAX)]
    Number,
    /// Java's default.
    #[error("MIXED message type is not supported.")]
    Mixed,
    /// What Java's broker can do and this one cannot.
    #[error("{0} is not supported: {1}")]
    Unsupported(&'static str, &'static str),
}

/// One change: a value, or none to take the attribute away.
type Change<'a> = (&'a str, Option<&'a str>);

/// Changes as mqadmin writes them: `+key=value,-key`.
pub(crate) fn parse(text: &str) -> Result<Vec<Change<'_>>, AttributeError> {
    text.split(',').filter(|change| !change.is_empty()).map(parse_one).collect()
}

fn parse_one(change: &str) -> Result<Change<'_>, AttributeError> {
    match change.split_once('=') {
        Some((key, value)) => match key.strip_prefix('+') {
            Some(key) => Ok((key, Some(value))),
            None => Err(AttributeError::Format("add/alter", key.to_owned())),
        },
        None => match change.strip_prefix('-') {
            Some(key) => Ok((key, None)),
            None => Err(AttributeError::Format("delete", change.to_owned())),
        },
    }
}

/// Changes as a list of topics has them (request 18): keys have signs, too. One without is meant to be there.
pub(crate) fn signed(attributes: &Attributes) -> Vec<Change<'_>> {
    let change = |(key, value)| signed_one(key, value);
    attributes.iter().map(change).collect()
}

fn signed_one<'a>(key: &'a ByteString, value: &'a ByteString) -> Change<'a> {
    match key.strip_prefix('-') {
        Some(key) => (key, None),
        None => (key.strip_prefix('+').unwrap_or(key), Some(value)),
    }
}

/// Attributes after the changes. `before` is `None` for a topic that does not exist.
pub(crate) fn alter(
    before: Option<&Attributes>,
    changes: &[Change<'_>],
) -> Result<Attributes, AttributeError> {
    let mut after = before.cloned().unwrap_or_default();
    let mut seen = Vec::with_capacity(changes.len());
    for (key, value) in changes {
        if key.is_empty() || key.contains(['+', '-']) {
            return Err(AttributeError::Key);
        }
        if seen.contains(key) {
            return Err(AttributeError::Duplicate((*key).to_owned()));
        }
        seen.push(key);
        alter_one(&mut after, before, key, *value)?;
    }
    Ok(after)
}

fn alter_one(
    after: &mut Attributes,
    before: Option<&Attributes>,
    key: &str,
    value: Option<&str>,
) -> Result<(), AttributeError> {
    let named = || key.to_owned();
    let is_known = before.is_some_and(|before| before.contains_key(key));
    match (before, value) {
        (None, None) => return Err(AttributeError::DeleteOfNew(named())),
        (Some(_), None) if !is_known => return Err(AttributeError::DeleteOfUnknown(named())),
        _ => {}
    }
    let Some(attribute) = ATTRIBUTES.iter().find(|attribute| attribute.key == key) else {
        return Err(AttributeError::Unknown(named()));
    };
    if before.is_some() && !attribute.is_changeable {
        return Err(AttributeError::Unchangeable(named()));
    }
    match value {
        Some(value) => {
            (attribute.check)(value)?;
            after.insert(key.into(), value.into());
        }
        None => drop(after.remove(key)),
    }
    Ok(())
}

struct Attribute {
    key: &'static str,
    is_changeable: bool,
    check: fn(&str) -> Result<(), AttributeError>,
}

const ATTRIBUTES: [Attribute; 4] = [
    Attribute { key: "message.type", is_changeable: true, check: check_message_type },
    Attribute { key: "queue.type", is_changeable: false, check: check_queue_type },
    Attribute { key: "cleanup.policy", is_changeable: false, check: check_cleanup_policy },
    Attribute { key: "reserve.time", is_changeable: true, check: check_reserve_time },
];

fn check_message_type(value: &str) -> Result<(), AttributeError> {
    match value {
        "UNSPECIFIED" | "NORMAL" | "FIFO" | "DELAY" | "TRANSACTION" => Ok(()),
        "MIXED" => Err(AttributeError::Mixed),
        _ => Err(AttributeError::Word(&["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED"])),
    }
}

fn check_queue_type(value: &str) -> Result<(), AttributeError> {
    match value {
        "SimpleCQ" => Ok(()),
        "BatchCQ" => Err(AttributeError::Unsupported(
            "queue.type=BatchCQ",
            "each message of a batch has its own entry",
        )),
        _ => Err(AttributeError::Word(&["BatchCQ", "SimpleCQ"])),
    }
}

fn check_cleanup_policy(value: &str) -> Result<(), AttributeError> {
    match value {
        "DELETE" => Ok(()),
        // Accepted, it would lose the newest message of a key when that is old.
        "COMPACTION" => {
            Err(AttributeError::Unsupported("cleanup.policy=COMPACTION", "messages are deleted by age"))
        }
        _ => Err(AttributeError::Word(&["DELETE", "COMPACTION"])),
    }
}

fn check_reserve_time(value: &str) -> Result<(), AttributeError> {
    match value.parse::<i64>() {
        Ok(-1..) => Ok(()),
        _ => Err(AttributeError::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn altered(before: Option<&[(&str, &str)]>, changes: &str) -> Result<Vec<String>, String> {
        let before = before.map(|pairs| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect());
        let text = |error: AttributeError| error.to_string();
        let after = alter(before.as_ref(), &parse(changes).map_err(text)?).map_err(text)?;
        Ok(after.into_iter().map(|(key, value)| format!("{key}={value}")).collect())
    }

    #[test]
    fn attributes_are_set_changed_and_taken_away() {
        // spec: broker B.17
        assert_eq!(altered(None, "").unwrap(), Vec::<String>::new());
        assert_eq!(
            altered(None, "+message.type=FIFO,+reserve.time=-1").unwrap(),
            ["message.type=FIFO", "reserve.time=-1"]
        );
        let before: &[(&str, &str)] = &[("message.type", "FIFO"), ("queue.type", "SimpleCQ")];
        assert_eq!(
            altered(Some(before), "+message.type=DELAY").unwrap(),
            ["message.type=DELAY", "queue.type=SimpleCQ"]
        );
        assert_eq!(altered(Some(before), "-message.type").unwrap(), ["queue.type=SimpleCQ"]);
    }

    #[test]
    fn what_java_refuses_is_refused_with_its_text() {
        // spec: broker B.17
        let before: &[(&str, &str)] = &[("message.type", "FIFO")];
        for (topic, changes, text) in [
            (None, "message.type=FIFO", "add/alter attribute format is wrong: message.type"),
            (None, "+message.type", "delete attribute format is wrong: +message.type"),
            (
                None,
                "-message.type",
                "only add attribute is supported while creating topic. key: message.type",
            ),
            (Some(before), "-reserve.time", "attempt to delete a nonexistent key: reserve.time"),
            (None, "+message.type=FIFO,+message.type=DELAY", "alter duplication key. key: message.type"),
            (None, "+=FIFO", "kv string format wrong."),
            (None, "+a-b=1", "kv string format wrong."),
            (None, "+color=red", "unsupported key: color"),
            (
                Some(before),
                "+cleanup.policy=DELETE",
                "attempt to update an unchangeable attribute. key: cleanup.policy",
            ),
            (None, "+queue.type=Fast", "value is not in set: [BatchCQ, SimpleCQ]"),
            (None, "+reserve.time=-2", "value is not in range(-1, 9223372036854775807)"),
            (None, "+reserve.time=soon", "value is not in range(-1, 9223372036854775807)"),
            (None, "+message.type=MIXED", "MIXED message type is not supported."),
        ] {
            assert_eq!(altered(topic, changes).unwrap_err(), text, "{changes}");
        }
        assert!(altered(None, "+cleanup.policy=COMPACTION").is_err(), "nothing is compacted here");
        assert!(altered(None, "+queue.type=BatchCQ").is_err());
    }

    #[test]
    fn a_list_of_topics_may_name_attributes_without_a_sign() {
        let attributes: Attributes =
            [("+a", "1"), ("-b", ""), ("c", "2")].map(|(k, v)| (k.into(), v.into())).into();
        assert_eq!(signed(&attributes), [("a", Some("1")), ("b", None), ("c", Some("2"))]);
    }
}

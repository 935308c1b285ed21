//! The property string: `name 0x01 value 0x02`, repeated (spec/broker.md C.2).

use std::fmt;

use super::property;

/// Between a name and its value.
pub const NAME_VALUE_SEPARATOR: char = '\u{1}';
/// Behind each value.
pub const PROPERTY_SEPARATOR: char = '\u{2}';
/// The longest property string that a record holds, in bytes.
pub const MAX_LEN: usize = i16::MAX as usize;

/// The value of a property in a property string. Where a name repeats, the last one wins.
pub fn get<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    for item in text.split(PROPERTY_SEPARATOR) {
        if let Some(rest) = item.strip_prefix(name)
            && let Some(value) = rest.strip_prefix(NAME_VALUE_SEPARATOR)
            && !value.is_empty()
            && !name.is_empty()
        {
            found = Some(value);
        }
    }
    found
}

/// Names and values of a property string, in their order. Items without a name or a value are left out, as in
/// Java (`MessageDecoder.string2messageProperties`); a name that repeats comes repeatedly.
pub fn iter(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(PROPERTY_SEPARATOR).filter_map(|item| {
        item.split_once(NAME_VALUE_SEPARATOR).filter(|(name, value)| !name.is_empty() && !value.is_empty())
    })
}

/// Appends a property to a property string; the one to use where nothing has to be replaced.
///
/// An empty name or value cannot be carried and is left out; a separator inside becomes a space.
pub fn append(text: &mut String, name: &str, value: &str) {
    if name.is_empty() || value.is_empty() {
        return;
    }
    if !text.is_empty() && !text.ends_with(PROPERTY_SEPARATOR) {
        text.push(PROPERTY_SEPARATOR);
    }
    text.reserve(name.len() + value.len() + 2);
    push_clean(text, name);
    text.push(NAME_VALUE_SEPARATOR);
    push_clean(text, value);
    text.push(PROPERTY_SEPARATOR);
}

/// One property string behind the other, in a string of just that size.
pub fn join(first: &str, second: &str) -> String {
    let is_open = !first.is_empty() && !first.ends_with(PROPERTY_SEPARATOR);
    let mut text = String::with_capacity(first.len() + usize::from(is_open) + second.len());
    text.push_str(first);
    if is_open {
        text.push(PROPERTY_SEPARATOR);
    }
    text.push_str(second);
    text
}

/// Whether `text` can be a name or a value: there is something, and no separator in it.
pub fn is_clean(text: &str) -> bool {
    !text.is_empty() && !text.contains(is_separator)
}

fn is_separator(c: char) -> bool {
    matches!(c, NAME_VALUE_SEPARATOR | PROPERTY_SEPARATOR)
}

fn push_clean(text: &mut String, part: &str) {
    if part.contains(is_separator) {
        text.extend(part.chars().map(|c| if is_separator(c) { ' ' } else { c }));
    } else {
        text.push_str(part);
    }
}

/// Properties of a message, in order, kept as the text that travels.
///
/// A message has a handful of them, so looking one up walks over the text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(String);

impl Properties {
    /// No properties.
    pub const fn new() -> Properties {
        Properties(String::new())
    }

    /// Those of a property string; its last separator may be missing.
    pub fn parse(text: &str) -> Properties {
        let mut own = String::with_capacity(text.len() + 64);
        own.push_str(text);
        if !own.is_empty() && !own.ends_with(PROPERTY_SEPARATOR) {
            own.push(PROPERTY_SEPARATOR);
        }
        Properties(own)
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        get(&self.0, name)
    }

    /// Whether there is a property of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets a property: the old one goes, the new one comes last.
    ///
    /// An empty value cannot be carried: it removes. A separator (0x01, 0x02) inside becomes a space.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        append(&mut self.0, name, value);
    }

    /// Removes a property, all of them if its name repeats, and says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        let mut from = 0;
        while let Some(rest) = self.0.get(from..).filter(|rest| !rest.is_empty()) {
            let len = rest.find(PROPERTY_SEPARATOR).map_or(rest.len(), |at| at + 1);
            let hit = rest.strip_prefix(name).is_some_and(|tail| tail.starts_with(NAME_VALUE_SEPARATOR));
            if hit {
                self.0.replace_range(from..from + len, "");
            } else {
                from += len;
            }
        }
        self.0.len() != before
    }

    /// Names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        iter(&self.0)
    }

    /// The text that travels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text that travels.
    pub fn into_string(self) -> String {
        self.0
    }

    /// How many bytes travel; more than [`MAX_LEN`] do not fit a record.
    pub fn encoded_len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no property.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The tag, if there is one.
    pub fn tags(&self) -> Option<&str> {
        self.get(property::TAGS)
    }

    /// Each of the keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = self.get(property::KEYS).unwrap_or_default();
        keys.split(property::KEY_SEPARATOR).filter(|key| !key.is_empty())
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Properties {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut properties = Properties::new();
        for (name, value) in pairs {
            properties.set(name, value);
        }
        properties
    }
}

/// Like a map.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The text that travels.
impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "KEYS\u{1}k-0 k-1\u{2}UNIQ_KEY\u{1}7F\u{2}WAIT\u{1}true\u{2}";

    #[test]
    fn joined_strings_are_as_if_appended() {
        for first in ["", "a\u{1}1\u{2}", "a\u{1}1"] {
            let (mut appended, mut second) = (first.to_owned(), String::new());
            for (name, value) in [("b", "2"), ("c", "3")] {
                append(&mut appended, name, value);
                append(&mut second, name, value);
            }
            let joined = join(first, &second);
            assert_eq!(joined, appended);
            assert_eq!(joined.capacity(), joined.len(), "no byte to spare");
        }
    }

    #[test]
    fn looks_up_by_the_whole_name() {
        assert_eq!(get(TEXT, "UNIQ_KEY"), Some("7F"));
        assert_eq!(get(TEXT, "KEY"), None, "a prefix of a name is another name");
        assert_eq!(get(TEXT, "k-0"), None);
        assert_eq!(get("", "KEYS"), None);
        assert_eq!(get("\u{1}x\u{2}", ""), None);
    }

    #[test]
    fn reads_what_java_reads() {
        // spec: broker C.2
        let text = "a\u{1}1\u{2}\u{2}b\u{2}\u{1}c\u{2}d\u{1}\u{2}a\u{1}2\u{2}e\u{1}x\u{1}y";
        let all: Vec<_> = iter(text).collect();
        assert_eq!(all, [("a", "1"), ("a", "2"), ("e", "x\u{1}y")]);
        assert_eq!(get(text, "a"), Some("2"), "the last one wins");
        assert_eq!(get(text, "d"), None, "an empty value is none");
        assert_eq!(get(text, "e"), Some("x\u{1}y"), "the last separator may be missing");
    }

    #[test]
    fn sets_and_removes_in_place() {
        let mut properties = Properties::parse(TEXT.trim_end_matches(PROPERTY_SEPARATOR));
        properties.set("WAIT", "false");
        properties.set("TAGS", "TagA");
        assert_eq!(
            properties.as_str(),
            "KEYS\u{1}k-0 k-1\u{2}UNIQ_KEY\u{1}7F\u{2}WAIT\u{1}false\u{2}TAGS\u{1}TagA\u{2}"
        );
        assert!(properties.remove("KEYS") && !properties.remove("KEYS"));
        assert!(!properties.remove("UNIQ"));
        assert_eq!(properties.tags(), Some("TagA"));
        assert_eq!(properties.as_str(), "UNIQ_KEY\u{1}7F\u{2}WAIT\u{1}false\u{2}TAGS\u{1}TagA\u{2}");
        properties.set("WAIT", "");
        assert_eq!(properties.get("WAIT"), None);
    }

    #[test]
    fn removing_takes_every_repetition() {
        let mut properties = Properties::parse("a\u{1}1\u{2}b\u{1}2\u{2}a\u{1}3\u{2}a\u{1}4");
        assert!(properties.remove("a"));
        assert_eq!(properties.as_str(), "b\u{1}2\u{2}");
    }

    #[test]
    fn a_value_cannot_smuggle_in_another_property() {
        let properties: Properties = [("TAGS", "x\u{2}TRAN_MSG\u{1}true")].into_iter().collect();
        assert_eq!(properties.get("TRAN_MSG"), None);
        assert_eq!(properties.tags(), Some("x TRAN_MSG true"));
    }

    #[test]
    fn keys_come_one_by_one() {
        let properties = Properties::parse(TEXT);
        assert_eq!(properties.keys().collect::<Vec<_>>(), ["k-0", "k-1"]);
    }
}

//! The property string of a message that is sent: what the broker reads in it, and what it adds.

use rocketwire_protocol::message::{properties, property};

/// What the broker needs to know of the properties, found in one walk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Inspected<'a> {
    /// The producer's id of the message.
    pub(crate) unique_id: Option<&'a str>,
    /// `WAIT=false`: the answer need not wait for the disk.
    pub(crate) no_wait: bool,
    /// The delay level; 0 is none.
    pub(crate) delay: i32,
    /// It is a half message.
    pub(crate) is_transactional: bool,
    /// It is one of a sequence.
    pub(crate) is_ordered: bool,
    /// When it is to be delivered: property name and value.
    pub(crate) timer: Option<(&'a str, &'a str)>,
    /// It cancels another one.
    pub(crate) is_cancellation: bool,
    /// A property is there that the broker sets itself, or that must not be stored.
    needs_rewrite: bool,
}

/// Properties that the broker sets or removes on every send.
const OURS: [&str; 5] = [
    property::CLUSTER,
    property::MSG_REGION,
    property::TRACE_ON,
    property::POP_CK,
    // Which half message another one follows is the broker's own note.
    property::TRAN_PREPARED_QUEUE_OFFSET,
];

impl<'a> Inspected<'a> {
    /// Walks over a property string. Where a name repeats, the last one counts.
    pub(crate) fn new(text: &'a str) -> Inspected<'a> {
        let mut found = Inspected::default();
        let mut was_timed = false;
        for (name, value) in properties::iter(text) {
            match name {
                property::UNIQ_KEY => found.unique_id = Some(value),
                property::WAIT => found.no_wait = value == "false",
                property::DELAY => found.delay = level(value),
                property::TRAN_MSG => found.is_transactional = value.eq_ignore_ascii_case("true"),
                property::SHARDING_KEY => found.is_ordered = true,
                property::TIMER_DELAY_SEC | property::TIMER_DELAY_MS | property::TIMER_DELIVER_MS => {
                    found.note_timer(name, value);
                }
                property::TIMER_OUT_MS => was_timed = true,
                property::TIMER_DEL_UNIQKEY => found.is_cancellation = true,
                name if OURS.contains(&name) => found.needs_rewrite = true,
                _ => {}
            }
        }
        if was_timed {
            // It has been through the timer, and is sent again by a consumer that could not handle it.
            found.timer = None;
        }
        found
    }

    fn note_timer(&mut self, name: &'a str, value: &'a str) {
        let rank = |name: &str| match name {
            property::TIMER_DELAY_SEC => 2,
            property::TIMER_DELAY_MS => 1,
            _ => 0,
        };
        if self.timer.is_none_or(|(known, _)| rank(name) >= rank(known)) {
            self.timer = Some((name, value));
        }
    }
}

/// A delay level; one beyond all numbers is as good as the highest.
fn level(text: &str) -> i32 {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    let level = digits.parse().unwrap_or(i32::MAX);
    if negative { -level } else { level }
}

/// What the broker adds to a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Additions<'a> {
    /// `MSG_REGION`.
    pub(crate) region: &'a str,
    /// `TRACE_ON`.
    pub(crate) trace_on: bool,
    /// `CLUSTER`.
    pub(crate) cluster: &'a str,
    /// `UNIQ_KEY`, if the producer gave none.
    pub(crate) unique_id: Option<&'a str>,
    /// Names and values that replace what is there.
    pub(crate) set: &'a [(&'a str, &'a str)],
}

/// Writes the property string that is stored into `out`, which is emptied first.
pub(crate) fn finish(text: &str, inspected: &Inspected<'_>, add: &Additions<'_>, out: &mut String) {
    out.clear();
    if inspected.needs_rewrite || !add.set.is_empty() {
        let is_replaced = |name: &str| OURS.contains(&name) || add.set.iter().any(|(set, _)| *set == name);
        for (name, value) in properties::iter(text).filter(|(name, _)| !is_replaced(name)) {
            properties::append(out, name, value);
        }
    } else {
        out.push_str(text);
    }
    if let Some(unique_id) = add.unique_id {
        properties::append(out, property::UNIQ_KEY, unique_id);
    }
    properties::append(out, property::MSG_REGION, add.region);
    properties::append(out, property::TRACE_ON, if add.trace_on { "true" } else { "false" });
    properties::append(out, property::CLUSTER, add.cluster);
    for (name, value) in add.set {
        properties::append(out, name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD: Additions<'_> =
        Additions { region: "r", trace_on: true, cluster: "c", unique_id: None, set: &[] };

    fn finished(text: &str, add: &Additions<'_>) -> String {
        let mut out = "left over".to_owned();
        finish(text, &Inspected::new(text), add, &mut out);
        out
    }

    #[test]
    fn one_walk_finds_what_matters() {
        let text = "UNIQ_KEY\u{1}id\u{2}WAIT\u{1}false\u{2}DELAY\u{1}3\u{2}TRAN_MSG\u{1}true\u{2}TAGS\u{1}a";
        let found = Inspected::new(text);
        assert_eq!(found.unique_id, Some("id"));
        assert!(found.no_wait && found.is_transactional && !found.needs_rewrite);
        assert_eq!(found.delay, 3);
        assert_eq!(Inspected::new(""), Inspected::default());
    }

    #[test]
    fn levels_beyond_numbers_are_the_highest() {
        for (text, expected) in [
            ("1000000000", 1_000_000_000),
            ("99999999999999", i32::MAX),
            ("-1", -1),
            ("x", 0),
            ("", 0),
            ("1x", 0),
        ] {
            assert_eq!(level(text), expected, "{text}");
        }
    }

    #[test]
    fn seconds_win_over_milliseconds_over_moments() {
        let text = "TIMER_DELIVER_MS\u{1}5\u{2}TIMER_DELAY_SEC\u{1}7\u{2}TIMER_DELAY_MS\u{1}6\u{2}";
        assert_eq!(Inspected::new(text).timer, Some(("TIMER_DELAY_SEC", "7")));
        assert_eq!(Inspected::new(&format!("{text}TIMER_OUT_MS\u{1}8\u{2}")).timer, None, "it had its time");
    }

    #[test]
    fn the_brokers_properties_are_added_once() {
        let expected = "TAGS\u{1}a\u{2}MSG_REGION\u{1}r\u{2}TRACE_ON\u{1}true\u{2}CLUSTER\u{1}c\u{2}";
        assert_eq!(finished("TAGS\u{1}a\u{2}", &ADD), expected);
        assert_eq!(finished("TAGS\u{1}a", &ADD), expected, "the last separator may be missing");
        assert_eq!(finished(expected, &ADD), expected, "a message that comes back");
        assert_eq!(finished("POP_CK\u{1}x\u{2}TAGS\u{1}a\u{2}", &ADD), expected);
    }

    #[test]
    fn properties_can_be_replaced_and_an_id_given() {
        let add = Additions { unique_id: Some("id"), set: &[("DELAY", "-1"), ("REAL_TOPIC", "T")], ..ADD };
        let text = finished("DELAY\u{1}3\u{2}TAGS\u{1}a\u{2}", &add);
        assert_eq!(properties::get(&text, "DELAY"), Some("-1"));
        assert_eq!(properties::iter(&text).filter(|(name, _)| *name == "DELAY").count(), 1);
        assert_eq!(properties::get(&text, "REAL_TOPIC"), Some("T"));
        assert_eq!(properties::get(&text, "UNIQ_KEY"), Some("id"));
        assert_eq!(properties::get(&text, "TAGS"), Some("a"));
    }
}

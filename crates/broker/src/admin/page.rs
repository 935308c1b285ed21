//! Large tables in parts (Java: `enableSplitMetadata`, on by default).

use std::collections::BTreeMap;

use bytestring::ByteString;
use rocketwire_protocol::body::{self, DataVersion};

/// Entries of one part at most (Java: `splitMetadataSize`).
const PART: usize = 2_000;

/// What part is asked for.
pub(super) struct Page<'a> {
    /// How many entries are known already.
    pub(super) from: i32,
    /// Of which version of the table.
    pub(super) of_version: Option<&'a str>,
    /// How many more are wanted at most.
    pub(super) max: Option<i32>,
}

impl Page<'_> {
    /// The part of a table, in the order of names; from the beginning if the table has changed since the last part.
    pub(super) fn of<T>(
        &self,
        table: BTreeMap<ByteString, T>,
        version: &DataVersion,
    ) -> BTreeMap<ByteString, T> {
        let known: Option<DataVersion> = self.of_version.and_then(|text| body::decode(text.as_bytes()).ok());
        let from = if known.as_ref() == Some(version) { usize::try_from(self.from).unwrap_or(0) } else { 0 };
        let max = self.max.and_then(|max| usize::try_from(max).ok()).unwrap_or(PART).min(PART);
        table.into_iter().skip(from).take(max).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_as_long_as_nothing_changes() {
        // spec: broker B.17
        let table =
            || -> BTreeMap<ByteString, i32> { (0..5_000).map(|n| (format!("{n:04}").into(), n)).collect() };
        let version = DataVersion { counter: 7, ..DataVersion::default() };
        let text = String::from_utf8(body::encode(&version).to_vec()).unwrap();
        let ends = |from, of_version, max| {
            let part = Page { from, of_version, max }.of(table(), &version);
            (part.values().next().copied(), part.len())
        };
        assert_eq!(ends(0, None, None), (Some(0), 2_000));
        assert_eq!(ends(2_000, Some(&text), None), (Some(2_000), 2_000));
        assert_eq!(ends(4_000, Some(&text), Some(9_999)), (Some(4_000), 1_000));
        assert_eq!(ends(4_990, Some(&text), Some(5)), (Some(4_990), 5));
        assert_eq!(ends(5_000, Some(&text), None), (None, 0));
        let other = text.replace('7', "8");
        for stale in [Some(&*other), Some(""), Some("{"), None] {
            assert_eq!(ends(2_000, stale, Some(10)), (Some(0), 10), "{stale:?}");
        }
        assert_eq!(ends(-1, Some(&text), Some(-1)), (Some(0), 2_000));
    }
}

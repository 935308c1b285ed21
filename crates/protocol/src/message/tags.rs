//! The number that a consume queue filters by.

/// The tags code of a message: Java's `String.hashCode` of its tag, sign-extended (Java:
/// `MessageExtBrokerInner.tagsString2tagsCode`). The empty tag has code 0.
///
/// Java hashes UTF-16 units; the Go client hashes bytes, which is the same for ASCII only.
pub fn tags_code(tags: &str) -> i64 {
    let add = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    let hash = if tags.is_ascii() {
        tags.bytes().fold(0, |hash, byte| add(hash, u16::from(byte)))
    } else {
        tags.encode_utf16().fold(0, add)
    };
    i64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_javas_string_hash() {
        assert_eq!(tags_code(""), 0);
        assert_eq!(tags_code("B"), 66);
        assert_eq!(tags_code("TagA"), 2_598_919);
        assert_eq!(tags_code("polygenelubricants"), i64::from(i32::MIN));
        // Two UTF-16 units: D83D DE00.
        assert_eq!(tags_code("\u{1f600}"), 0xd83d * 31 + 0xde00);
    }
}

//! Finding the bytes that matter in a text, eight at a time.
//!
//! Each search walks over words; a function marks the bytes of a word that are hits by their top bits. A borrow
//! may mark bytes above a hit wrongly, but never one below it, and only the lowest mark is used.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = ONES << 7;

/// Where the first quote or backslash is; the length if there is none.
pub(crate) fn quote_or_backslash(bytes: &[u8]) -> usize {
    first(bytes, |word| equal(word, b'"') | equal(word, b'\\'), |byte| byte == b'"' || byte == b'\\')
}

/// Where the first backslash is; the length if there is none.
pub(crate) fn backslash(bytes: &[u8]) -> usize {
    first(bytes, |word| equal(word, b'\\'), |byte| byte == b'\\')
}

/// Where the first byte is that a JSON writer has to look at: control bytes, quote, backslash, DEL, and the lead
/// bytes of U+0080 to U+00BF (C2) and U+2000 to U+2FFF (E2).
pub(crate) fn needs_look(bytes: &[u8]) -> usize {
    first(
        bytes,
        |word| {
            let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
            let special = equal(word, b'"') | equal(word, b'\\') | equal(word, 0x7f);
            control | special | equal(word, 0xc2) | equal(word, 0xe2)
        },
        |byte| matches!(byte, 0..0x20 | b'"' | b'\\' | 0x7f | 0xc2 | 0xe2),
    )
}

fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ (ONES * u64::from(byte));
    zero.wrapping_sub(ONES) & !zero & TOPS
}

fn first(bytes: &[u8], marks: impl Fn(u64) -> u64, is_hit: impl Fn(u8) -> bool) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return at * 8 + (marks.trailing_zeros() / 8) as usize;
        }
    }
    let before = bytes.len() - tail.len();
    before + tail.iter().position(|&byte| is_hit(byte)).unwrap_or(tail.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte at every place, next to bytes that could carry a borrow into it.
    #[test]
    fn finds_what_a_loop_finds() {
        let is_look = |b: u8| b < 0x20 || matches!(b, b'"' | b'\\' | 0x7f | 0xc2 | 0xe2);
        for neighbour in [b'a', 0x20, 0x21, b'#', b']', 0x80, 0xc3, 0xff] {
            for len in [0, 1, 7, 8, 9, 16, 23] {
                for at in 0..len {
                    for byte in 0..=255 {
                        let mut text = vec![neighbour; len];
                        text[at] = byte;
                        let expected =
                            |is_hit: &dyn Fn(u8) -> bool| text.iter().position(|&b| is_hit(b)).unwrap_or(len);
                        assert_eq!(quote_or_backslash(&text), expected(&|b| b == b'"' || b == b'\\'));
                        assert_eq!(backslash(&text), expected(&|b| b == b'\\'));
                        assert_eq!(needs_look(&text), expected(&is_look));
                    }
                }
            }
        }
        assert_eq!(needs_look(b""), 0);
    }
}

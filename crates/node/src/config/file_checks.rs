// What has to hold for any file. The tests below feed it on stable, the fuzz target `config_file` with whatever
// libFuzzer comes up with, which includes this very file.

use super::file::{parse_properties, parse_toml};

/// Reading never panics, and what was read comes back when it is written and read again.
pub(super) fn check(data: &[u8]) {
    if let Ok(entries) = parse_toml(data) {
        for pair in entries.windows(2) {
            assert_ne!(pair[0].0, pair[1].0, "a name stands twice");
        }
    }
    if let Ok(entries) = parse_properties(data) {
        let lines: Vec<String> =
            entries.iter().map(|(name, value)| format!("{}={}\n", escaped(name), escaped(value))).collect();
        let again = parse_properties(lines.concat().as_bytes()).expect("what was read can be written");
        assert_eq!(again, entries);
    }
}

/// As `Properties.store` writes it, with everything but letters and digits as a number.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        c if c.is_ascii_alphanumeric() => c.to_string(),
        c if u32::from(c) <= 0xffff => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_file_or_an_error(data in vec(any::<u8>(), 0..200)) {
            check(&data);
        }

        #[test]
        fn any_text_is_a_file_or_an_error(text in "([a-zA-Z=: \\\\\n#!\"\\[\\]{},.0-9éu]|\r\n){0,80}") {
            check(text.as_bytes());
        }
    }

    fn pairs(entries: &[(&str, &str)]) -> Vec<(String, String)> {
        entries.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn properties_are_read_as_java_reads_them() {
        for (text, entries) in [
            ("a=1\nb:2\nc 3\n", &[("a", "1"), ("b", "2"), ("c", "3")][..]),
            ("  # no\n! no\n\n a = 1 \r\n", &[("a", "1")]),
            ("a=one, \\\n   two\\\\\nb=", &[("a", "one, two\\"), ("b", "")]),
            ("a\\=b=c\\u0020d\\te", &[("a=b", "c d\te")]),
            ("a==b", &[("a", "=b")]),
            ("a", &[("a", "")]),
            ("a=x\\", &[("a", "x")]),
            ("\u{feff}a=1", &[("a", "1")]),
        ] {
            assert_eq!(parse_properties(text.as_bytes()), Ok(pairs(entries)), "{text:?}");
        }
        assert_eq!(parse_properties(b"a=1\nb=\\u12"), Err("line 2: \\u needs four digits".to_owned()));
        assert_eq!(parse_properties(b"a=\xff"), Err("byte 2 is not UTF-8".to_owned()));
    }

    #[test]
    fn toml_is_flat() {
        let text = b"a = 1 # one\nb = \"x\"\nc = true\nd = 0.5\ne = [\"x\", \"y\"]\n";
        let entries = pairs(&[("a", "1"), ("b", "x"), ("c", "true"), ("d", "0.5"), ("e", "x,y")]);
        assert_eq!(parse_toml(text), Ok(entries));
        let error = parse_toml(b"[broker]\nport = 1").unwrap_err();
        assert!(error.contains("`broker`") && error.contains("[sections]"), "{error}");
        let error = parse_toml(b"a = 1\nb = oh\n").unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
        assert!(parse_toml(b"a = 1\na = 2\n").is_err(), "one name, two values");
        assert!(parse_toml(&vec![b' '; (1 << 20) + 1]).is_err());
        let deep = [b"a = ".to_vec(), vec![b'['; 100_000]].concat();
        assert!(parse_toml(&deep).is_err(), "no stack is used up");
    }
}

// What has to hold for any first bytes. The tests below feed it on stable, the fuzz target `http_request` with
// whatever libFuzzer comes up with, which includes this very file.

use super::request::{MAX_HEAD, Parsed, parse};

/// Reading never panics, asks for no more than it may, and does not change its mind.
pub(super) fn check(data: &[u8]) {
    let parsed = parse(data);
    if data.len() >= MAX_HEAD {
        assert_ne!(parsed, Parsed::More);
    }
    if let Parsed::Get(path) | Parsed::Head(path) = parsed {
        assert!(path.starts_with('/') && !path.contains([' ', '?', '\n']), "{path:?}");
    }
    // However it arrives.
    for len in [data.len() / 3, data.len() / 2, data.len().saturating_sub(1)] {
        let early = data.get(..len).map_or(Parsed::More, parse);
        assert!(early == Parsed::More || early == parsed, "{early:?}, then {parsed:?}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_decided_once(data in vec(any::<u8>(), 0..200)) {
            check(&data);
        }

        #[test]
        fn anything_like_a_request_is_decided_once(
            text in "(GET|HEAD|POST|get|) ?(/|x)[a-z?/ ]{0,10} HTTP/1.[0-3](\r\n|\n|\r| )([a-z]{0,8}: ?[a-z]{0,8}\r\n){0,3}(\r\n|\n|)",
            many in 0..3_usize,
        ) {
            let text = text.replacen("\r\n", &format!("\r\n{}", "a: b\r\n".repeat(many * 700)), 1);
            check(text.as_bytes());
        }
    }

    #[test]
    fn requests_are_what_scrapers_send() {
        for (text, parsed) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Parsed::Get("/metrics")),
            ("GET /healthz?verbose=1 HTTP/1.0\n\n", Parsed::Get("/healthz")),
            ("HEAD / HTTP/1.1\r\n\r\n", Parsed::Head("/")),
            ("POST /metrics HTTP/1.1\r\n\r\n", Parsed::Method),
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n", Parsed::More),
            ("GET /metr", Parsed::More),
            ("", Parsed::More),
            ("GET /metrics HTTP/2.0\r\n\r\n", Parsed::Bad),
            ("GET  /metrics HTTP/1.1\r\n\r\n", Parsed::Bad),
            ("GET http://x/metrics HTTP/1.1\r\n\r\n", Parsed::Bad),
            ("\u{16}\u{3}\u{1}\n", Parsed::Bad),
            ("hello\n", Parsed::Bad),
        ] {
            assert_eq!(parse(text.as_bytes()), parsed, "{text:?}");
        }
        let endless = [b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(2_000)].concat();
        assert_eq!(parse(&endless), Parsed::TooLong);
        assert_eq!(parse(&vec![b'G'; MAX_HEAD]), Parsed::TooLong);
    }
}

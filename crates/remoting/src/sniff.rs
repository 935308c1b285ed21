//! What a stream that is no remoting stream may be instead, for the one line that the log gets.

/// Names the protocol of the first bytes of a connection.
pub(crate) fn name(first: &[u8]) -> Option<&'static str> {
    let named: &[(&[u8], &str)] = &[
        (b"PRI * HTTP/2", "HTTP/2, probably a gRPC client: it needs RocketMQ's proxy"),
        (b"GET ", "HTTP"),
        (b"POST ", "HTTP"),
        (b"HEAD ", "HTTP"),
        (b"PUT ", "HTTP"),
        (b"OPTIONS ", "HTTP"),
        (b"PROXY ", "a PROXY protocol header, whose sender is not listed in proxy_from"),
        (b"\r\n\r\n\0\r\nQUIT\n", "a PROXY protocol header (v2), whose sender is not listed in proxy_from"),
        (b"SSH-", "SSH"),
        (b"\x16\x03", "a TLS hello: this port speaks plain TCP"),
        (b"\x03\0\0", "RDP"),
        (b"*1\r\n$", "Redis"),
        (b"*2\r\n$", "Redis"),
    ];
    if let Some((_, name)) = named.iter().find(|(magic, _)| first.starts_with(magic)) {
        return Some(name);
    }
    (first.len() >= 8 && first.iter().take(8).all(|b| *b == 0)).then_some("zeros")
}

/// The hint behind a frame error, from what the first bytes are.
pub(crate) fn hint(first: &[u8]) -> String {
    match name(first) {
        Some(name) => format!(" (the bytes look like {name})"),
        None => {
            let head: Vec<String> = first.iter().take(16).map(|b| format!("{b:02x}")).collect();
            format!(" (first bytes: {})", head.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_protocols_have_names() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], "HTTP"),
            (b"PRI * HTTP/2.0\r\n\r\nSM", "HTTP/2"),
            (b"\x16\x03\x01\x02\x00", "TLS"),
            (b"PROXY TCP4 1.2.3.4", "PROXY"),
            (b"\x03\x00\x00\x13\x0e", "RDP"),
            (&[0; 16], "zeros"),
        ] {
            assert!(hint(bytes).contains(expected), "{}", hint(bytes));
        }
        assert!(hint(b"\xde\xad").contains("de ad"));
    }
}

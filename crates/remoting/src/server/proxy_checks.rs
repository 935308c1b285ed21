// What has to hold for the first bytes of any connection. The tests below feed it on stable, the fuzz target
// `proxy_header` with whatever libFuzzer comes up with, which includes this very file.

use super::proxy_protocol::{Parsed, parse};

/// Reading never panics, and says the same however the bytes arrive: `More` until it is decided, and then always
/// that. A header is known with its last byte, neither before nor after.
pub(super) fn check(data: &[u8]) {
    let prefixes = (0..=data.len()).filter_map(|len| data.get(..len));
    let Some((len, decided)) =
        prefixes.map(|seen| (seen.len(), parse(seen))).find(|(_, parsed)| *parsed != Parsed::More)
    else {
        return;
    };
    if let Parsed::Header(end, _) = decided {
        assert_eq!(end, len);
    }
    assert_eq!(parse(data), decided, "decided by {len} bytes of {data:?}");
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    fn header() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            Just("PROXY UNKNOWN\r\n".to_owned()),
            any::<(std::net::Ipv4Addr, u16)>()
                .prop_map(|(ip, port)| format!("PROXY TCP4 {ip} {ip} {port} 1\r\n")),
            any::<(std::net::Ipv6Addr, u16)>()
                .prop_map(|(ip, port)| format!("PROXY TCP6 {ip} {ip} {port} 1\r\n")),
        ]
        .prop_map(String::into_bytes);
        let tlvs = vec((any::<u8>(), vec(any::<u8>(), 0..20)), 0..5);
        let binary = (0x20u8..=0x21, prop_oneof![Just(0x11u8), Just(0x21)], vec(any::<u8>(), 36..=36), tlvs);
        let binary = binary.prop_map(|(command, family, addresses, tlvs)| {
            let mut payload = addresses[..if family == 0x11 { 12 } else { 36 }].to_vec();
            for (kind, value) in tlvs {
                payload.extend_from_slice(&[kind, 0, value.len() as u8]);
                payload.extend_from_slice(&value);
            }
            let mut out = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
            out.extend_from_slice(&[command, family]);
            out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            [out, payload].concat()
        });
        prop_oneof![line, binary]
    }

    proptest! {
        #[test]
        fn any_bytes_are_decided_once(data in vec(any::<u8>(), 0..200)) {
            check(&data);
        }

        // spec: remoting S3 S5
        #[test]
        fn a_header_is_known_with_its_last_byte(header in header(), rest in vec(any::<u8>(), 0..20)) {
            for len in 0..header.len() {
                prop_assert_eq!(parse(&header[..len]), Parsed::More, "{} bytes", len);
            }
            let data = [&header[..], &rest].concat();
            prop_assert!(matches!(parse(&data), Parsed::Header(end, _) if end == header.len()));
            check(&data);
        }

        // spec: remoting S6
        #[test]
        fn damaged_headers_are_decided_once(
            header in header(),
            damage in vec((any::<Index>(), any::<u8>()), 1..4),
            rest in vec(any::<u8>(), 0..200),
        ) {
            let mut data = [header, rest].concat();
            for (at, byte) in damage {
                let at = at.index(data.len());
                data[at] = byte;
            }
            check(&data);
        }
    }
}

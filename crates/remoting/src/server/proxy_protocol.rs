//! The PROXY protocol, versions 1 and 2: who a load balancer speaks for (Java: `HAProxyMessage` handling in
//! `NettyRemotingServer`, spec remoting 9.5).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V1: &[u8] = b"PROXY";
/// A version 1 line with its end.
const V1_MAX: usize = 108;
/// Bytes that decide whether there is a header at all.
pub(super) const DECIDES: usize = 12;

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client's address; `None`: the connection speaks for itself.
    pub(crate) source: Option<SocketAddr>,
    /// Java's channel attributes.
    pub(crate) attributes: Vec<(String, String)>,
}

/// How far the bytes of a fresh connection have been understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    More,
    /// The stream begins without one.
    Absent,
    /// This many bytes, saying this.
    Header(usize, Origin),
    Malformed(&'static str),
}

pub(super) fn parse(bytes: &[u8]) -> Parsed {
    if bytes.len() < DECIDES {
        return Parsed::More;
    }
    if bytes.starts_with(V2) {
        version_2(bytes)
    } else if bytes.starts_with(V1) {
        version_1(bytes)
    } else {
        Parsed::Absent
    }
}

fn version_1(bytes: &[u8]) -> Parsed {
    let Some(end) = bytes.windows(2).take(V1_MAX - 1).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_MAX {
            Parsed::More
        } else {
            Parsed::Malformed("no end within 108 bytes")
        };
    };
    let line = bytes.get(..end).and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let words: Vec<_> = line.split(' ').collect();
    let origin = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Some(Origin::default()),
        ["PROXY", "TCP4", source, target, source_port, target_port] => {
            origin::<Ipv4Addr>(source, source_port, target, target_port)
        }
        ["PROXY", "TCP6", source, target, source_port, target_port] => {
            origin::<Ipv6Addr>(source, source_port, target, target_port)
        }
        _ => None,
    };
    match origin {
        Some(origin) => Parsed::Header(end + 2, origin),
        None => Parsed::Malformed("the PROXY line cannot be read"),
    }
}

fn origin<A: FromStr + Into<IpAddr>>(
    source: &str,
    source_port: &str,
    target: &str,
    target_port: &str,
) -> Option<Origin> {
    let address = |text: &str| text.parse::<A>().ok().map(Into::into);
    let port = |text: &str| text.parse::<u16>().ok();
    let source = SocketAddr::new(address(source)?, port(source_port)?);
    let target = SocketAddr::new(address(target)?, port(target_port)?);
    Some(Origin { source: Some(source), attributes: addresses(source, target) })
}

fn version_2(bytes: &[u8]) -> Parsed {
    let Some([version_command, family, high, low]) = bytes.get(12..16) else { return Parsed::More };
    if version_command >> 4 != 2 {
        return Parsed::Malformed("unknown version");
    }
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let Some(payload) = bytes.get(16..16 + length) else { return Parsed::More };
    let mut origin = Origin::default();
    match version_command & 15 {
        // LOCAL: the balancer itself, checking health.
        0 => return Parsed::Header(16 + length, origin),
        1 => {}
        _ => return Parsed::Malformed("unknown command"),
    }
    let (source, target, tlvs) = match family {
        0x11 => match payload.split_first_chunk::<12>() {
            Some(([a, b, c, d, e, f, g, h, p, q, r, s], tlvs)) => (
                SocketAddr::from(([*a, *b, *c, *d], u16::from_be_bytes([*p, *q]))),
                SocketAddr::from(([*e, *f, *g, *h], u16::from_be_bytes([*r, *s]))),
                tlvs,
            ),
            None => return Parsed::Malformed("too short for IPv4 addresses"),
        },
        0x21 => match version_2_ipv6(payload) {
            Some(parts) => parts,
            None => return Parsed::Malformed("too short for IPv6 addresses"),
        },
        // UNSPEC, datagrams, UNIX sockets: no address that means anything here.
        _ => return Parsed::Header(16 + length, origin),
    };
    origin.source = Some(source);
    origin.attributes = addresses(source, target);
    match read_tlvs(tlvs, &mut origin.attributes) {
        Some(()) => Parsed::Header(16 + length, origin),
        None => Parsed::Malformed("a TLV runs past the header"),
    }
}

fn version_2_ipv6(payload: &[u8]) -> Option<(SocketAddr, SocketAddr, &[u8])> {
    let (source, rest) = payload.split_first_chunk::<16>()?;
    let (target, rest) = rest.split_first_chunk::<16>()?;
    let ([p, q, r, s], tlvs) = rest.split_first_chunk::<4>()?;
    let source = SocketAddr::from((*source, u16::from_be_bytes([*p, *q])));
    let target = SocketAddr::from((*target, u16::from_be_bytes([*r, *s])));
    Some((source, target, tlvs))
}

/// Values of printable ASCII become attributes; others are skipped.
fn read_tlvs(mut tlvs: &[u8], attributes: &mut Vec<(String, String)>) -> Option<()> {
    while !tlvs.is_empty() {
        let ([kind, high, low], rest) = tlvs.split_first_chunk::<3>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        tlvs = rest;
        if value.iter().all(|byte| (32..=126).contains(byte)) {
            let text = String::from_utf8_lossy(value).into_owned();
            attributes.push((format!("proxy_protocol_tlv_0x{kind:02x}"), text));
        }
    }
    Some(())
}

fn addresses(source: SocketAddr, target: SocketAddr) -> Vec<(String, String)> {
    let mut all = vec![("proxy_protocol_addr".to_owned(), JavaIp(source.ip()).to_string())];
    if source.port() > 0 {
        all.push(("proxy_protocol_port".to_owned(), source.port().to_string()));
    }
    all.push(("proxy_protocol_server_addr".to_owned(), JavaIp(target.ip()).to_string()));
    if target.port() > 0 {
        all.push(("proxy_protocol_server_port".to_owned(), target.port().to_string()));
    }
    all
}

/// An address as Java prints it: IPv6 in eight groups, nothing left out.
pub(crate) struct JavaIp(pub(crate) IpAddr);

impl fmt::Display for JavaIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => write!(f, "{ip}"),
            IpAddr::V6(ip) => {
                let groups = ip.segments().map(|group| format!("{group:x}"));
                f.write_str(&groups.join(":"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &[u8] = &[
        0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0x00, 0x12, 0x0a,
        0x09, 0x08, 0x07, 0x0a, 0x00, 0x00, 0x01, 0x15, 0xb3, 0x26, 0x94, 0xea, 0x00, 0x03, 0x76, 0x70, 0x63,
    ];

    fn header(bytes: &[u8]) -> (usize, Origin) {
        match parse(bytes) {
            Parsed::Header(len, origin) => (len, origin),
            other => panic!("{other:?}"),
        }
    }

    fn attribute<'a>(origin: &'a Origin, name: &str) -> Option<&'a str> {
        origin.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    // spec: remoting S3 S5
    #[test]
    fn both_versions_name_the_client_and_its_tlvs() {
        let (len, origin) = header(&[GOLDEN, b"rest"].concat());
        assert_eq!((len, origin.source), (GOLDEN.len(), Some("10.9.8.7:5555".parse().unwrap())));
        assert_eq!(attribute(&origin, "proxy_protocol_tlv_0xea"), Some("vpc"));
        assert_eq!(attribute(&origin, "proxy_protocol_server_port"), Some("9876"));
        let line = b"PROXY TCP4 10.1.2.3 10.0.0.1 5555 9876\r\n";
        let (len, origin) = header(&[&line[..], b"\0\0\0\x10"].concat());
        assert_eq!((len, origin.source), (line.len(), Some("10.1.2.3:5555".parse().unwrap())));
        for cut in 0..GOLDEN.len() {
            assert_eq!(parse(&GOLDEN[..cut]), Parsed::More, "cut at {cut}");
        }
        for cut in 0..line.len() {
            assert_eq!(parse(&line[..cut]), Parsed::More, "cut at {cut}");
        }
    }

    // spec: remoting S4
    #[test]
    fn unknown_and_local_keep_the_socket_address() {
        assert_eq!(header(b"PROXY UNKNOWN\r\n").1, Origin::default());
        let mut local = GOLDEN.to_vec();
        local[12] = 0x20;
        assert_eq!(header(&local), (GOLDEN.len(), Origin::default()));
    }

    // spec: remoting S6
    #[test]
    fn malformed_headers_are_refused_and_other_streams_are_not_touched() {
        let mut lies = GOLDEN.to_vec();
        lies[15] = 0x0b;
        let mut tlv = GOLDEN.to_vec();
        tlv[29] = 9;
        let mut version = GOLDEN.to_vec();
        version[12] = 0x31;
        let endless = [b'P', b'R', b'O', b'X', b'Y'].into_iter().chain([b' '; 200]).collect::<Vec<_>>();
        for bytes in [
            &lies[..],
            &tlv,
            &version,
            &endless,
            b"PROXY TCP4 x y 1 2\r\n",
            b"PROXY TCP4 1.2.3.4\r\n",
            b"PROXYX UNKNOWN\r\n",
        ] {
            assert!(matches!(parse(bytes), Parsed::Malformed(_)), "{bytes:?}");
        }
        assert_eq!(parse(b"\0\0\0\x2d\x01\0\0\x29\0\x69\0\x01"), Parsed::Absent);
    }

    // spec: remoting S7
    #[test]
    fn ipv6_is_printed_in_eight_groups() {
        let (_, origin) = header(b"PROXY TCP6 ::1 2001:db8::2 1 2\r\n");
        assert_eq!(attribute(&origin, "proxy_protocol_addr"), Some("0:0:0:0:0:0:0:1"));
        assert_eq!(attribute(&origin, "proxy_protocol_server_addr"), Some("2001:db8:0:0:0:0:0:2"));
        let mut v2 = GOLDEN[..12].to_vec();
        v2.extend_from_slice(&[0x21, 0x21, 0, 36]);
        v2.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
        v2.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
        v2.extend_from_slice(&[0, 1, 0, 2]);
        assert_eq!(header(&v2).1.source, Some("[::1]:1".parse().unwrap()));
    }
}

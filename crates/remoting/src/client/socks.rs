//! A way through a SOCKS5 proxy: RFC 1928, and RFC 1929 for the password (spec remoting 8.8).

use std::{fmt, io, net::IpAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::SocksProxy;

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
/// Ways to log in.
const NOBODY: u8 = 0;
const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
/// Kinds of addresses.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// The first proxy whose network `target` (`host:port`) is in.
pub(super) fn proxy_for<'a>(proxies: &'a [SocksProxy], target: &str) -> Option<&'a SocksProxy> {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    proxies.iter().find(|proxy| proxy.is_for(unbracketed(host)))
}

/// How far a connect has come, for its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Connect,
    Method,
    Login,
    Target,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Connect => "connecting to it",
            Step::Method => "agreeing on how to log in",
            Step::Login => "logging in",
            Step::Target => "asking it for the target",
        })
    }
}

impl Step {
    /// The error of a connect that came this far.
    pub(super) fn failed(self, proxy: &SocksProxy, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("SOCKS5 proxy {}, {self}: {error}", proxy.addr))
    }
}

/// Makes `io`, which leads to a proxy, lead to `target`. Reads nothing beyond the proxy's answers.
pub(super) async fn handshake<T: AsyncRead + AsyncWrite + Unpin>(
    io: &mut T,
    login: Option<(&str, &str)>,
    target: &str,
    step: &mut Step,
) -> io::Result<()> {
    *step = Step::Method;
    io.write_all(greeting(login.is_some())).await?;
    if wants_login(read(io).await?, login.is_some())? {
        *step = Step::Login;
        io.write_all(&login_request(login.unwrap_or_default())?).await?;
        check_login(read(io).await?)?;
    }
    *step = Step::Target;
    io.write_all(&request(target)?).await?;
    let rest = match check_answer(read(io).await?)? {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(io.read_u8().await?),
        _ => return Err(garbage()),
    };
    // The proxy's own address and port say nothing that is needed here.
    let mut own = [0; 255 + 2];
    let own = own.get_mut(..rest + 2).ok_or_else(garbage)?;
    io.read_exact(own).await?;
    Ok(())
}

async fn read<const N: usize>(io: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The ways to log in that are offered.
fn greeting(login: bool) -> &'static [u8] {
    if login { &[VERSION, 2, NOBODY, PASSWORD] } else { &[VERSION, 1, NOBODY] }
}

/// Whether the proxy wants name and password.
fn wants_login([version, method]: [u8; 2], offered: bool) -> io::Result<bool> {
    match (version, method) {
        (VERSION, NOBODY) => Ok(false),
        (VERSION, PASSWORD) if offered => Ok(true),
        (VERSION, 0xff) if offered => Err(denied("it takes neither nobody nor a password")),
        (VERSION, 0xff) => Err(denied("it wants a login: set username and password")),
        _ => Err(garbage()),
    }
}

fn login_request((name, password): (&str, &str)) -> io::Result<Vec<u8>> {
    let mut out = vec![LOGIN_VERSION];
    for text in [name, password] {
        if text.is_empty() {
            return Err(invalid("username and password have 1 to 255 bytes each"));
        }
        push_text(&mut out, text)?;
    }
    Ok(out)
}

fn check_login([version, status]: [u8; 2]) -> io::Result<()> {
    match (version, status) {
        (LOGIN_VERSION, 0) => Ok(()),
        (LOGIN_VERSION, _) => Err(denied("it does not know this username and password")),
        _ => Err(garbage()),
    }
}

/// Asks for `host:port`. A name goes as it is: it may mean something only where the proxy is.
fn request(target: &str) -> io::Result<Vec<u8>> {
    let parts = target.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = parts.ok_or_else(|| invalid("an address has the form host:port"))?;
    let mut out = vec![VERSION, CONNECT, 0];
    match unbracketed(host).parse() {
        Ok(IpAddr::V4(ip)) => {
            out.push(IPV4);
            out.extend_from_slice(&ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            out.push(IPV6);
            out.extend_from_slice(&ip.octets());
        }
        Err(_) => {
            out.push(NAME);
            push_text(&mut out, host)?;
        }
    }
    out.extend_from_slice(&port.to_be_bytes());
    Ok(out)
}

/// The kind of the address that follows an answer, if the answer is yes.
fn check_answer([version, reply, _, kind]: [u8; 4]) -> io::Result<u8> {
    use io::ErrorKind as Kind;
    let (error, text) = match (version, reply) {
        (VERSION, 0) => return Ok(kind),
        (VERSION, 1) => (Kind::Other, "it failed"),
        (VERSION, 2) => (Kind::PermissionDenied, "its rules do not allow it"),
        (VERSION, 3) => (Kind::NetworkUnreachable, "the target's network is unreachable"),
        (VERSION, 4) => (Kind::HostUnreachable, "the target's host is unreachable"),
        (VERSION, 5) => (Kind::ConnectionRefused, "the target refused the connection"),
        (VERSION, 6) => (Kind::TimedOut, "the target is too far away (TTL expired)"),
        (VERSION, 7) => (Kind::Unsupported, "it cannot connect"),
        (VERSION, 8) => (Kind::Unsupported, "it does not know this kind of address"),
        _ => return Err(garbage()),
    };
    Err(io::Error::new(error, text))
}

/// A text behind its length.
fn push_text(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let len = u8::try_from(text.len()).map_err(|_| invalid("a name or password of more than 255 bytes"))?;
    out.push(len);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// An IPv6 address stands in brackets before its port.
fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn denied(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn garbage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its answer is not SOCKS5: is it a proxy of that kind?")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: Option<(&str, &str)> = Some(("user", "pw"));

    // spec: remoting N17
    #[test]
    fn requests_are_those_of_the_rfc_byte_by_byte() {
        assert_eq!(greeting(false), [5, 1, 0]);
        assert_eq!(greeting(true), [5, 2, 0, 2]);
        assert_eq!(login_request(("user", "pw")).unwrap(), *b"\x01\x04user\x02pw");
        // A name is not resolved here, an address is no name.
        assert_eq!(request("mq.example:9876").unwrap(), *b"\x05\x01\0\x03\x0amq.example\x26\x94");
        assert_eq!(request("10.0.0.7:9876").unwrap(), [5, 1, 0, 1, 10, 0, 0, 7, 0x26, 0x94]);
        let v6 = [&[5, 1, 0, 4][..], &[0; 15], &[1, 0x26, 0x94]].concat();
        assert_eq!(request("[::1]:9876").unwrap(), v6);
        let long = "x".repeat(256);
        for bad in ["host", "host:", "host:65536", "host:-1", &format!("{long}:1")] {
            assert_eq!(request(bad).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{bad}");
        }
        for bad in [("", "pw"), ("user", ""), (long.as_str(), "pw"), ("user", &long)] {
            assert_eq!(login_request(bad).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn answers_mean_what_the_rfc_says_and_all_others_are_garbage() {
        for version in 0..=255 {
            for value in 0..=255 {
                let method = |offered| wants_login([version, value], offered).map_err(|e| e.kind());
                let expected = match (version, value) {
                    (5, 0) => [Ok(false), Ok(false)],
                    (5, 2) => [Ok(true), Err(io::ErrorKind::InvalidData)],
                    (5, 0xff) => [Err(io::ErrorKind::PermissionDenied); 2],
                    _ => [Err(io::ErrorKind::InvalidData); 2],
                };
                assert_eq!([method(true), method(false)], expected);
                assert_eq!(check_login([version, value]).is_ok(), (version, value) == (1, 0));
                let answer = check_answer([version, value, 0, IPV4]).map_err(|e| e.kind());
                match (version, value) {
                    (5, 0) => assert_eq!(answer, Ok(IPV4)),
                    (5, 1..=8) => assert_ne!(answer, Err(io::ErrorKind::InvalidData)),
                    _ => assert_eq!(answer, Err(io::ErrorKind::InvalidData)),
                }
            }
        }
    }

    /// What comes of a proxy that answers `answers`, one byte at a time, and then closes; with what is left.
    async fn against(answers: &[u8], login: Option<(&str, &str)>) -> (io::Result<()>, Step, usize) {
        let mut io = dripping(answers);
        let mut step = Step::Connect;
        let result = handshake(&mut io, login, "mq:1", &mut step).await;
        let mut rest = Vec::new();
        let left = io.read_to_end(&mut rest).await.map_or(0, |_| rest.len());
        (result, step, left)
    }

    /// Reads come from `answers`, byte by byte; writes vanish.
    fn dripping(answers: &[u8]) -> impl AsyncRead + AsyncWrite + Unpin {
        let (ours, mut theirs) = tokio::io::duplex(1);
        let answers = answers.to_vec();
        tokio::spawn(async move {
            let _ = theirs.write_all(&answers).await;
            let _ = theirs.shutdown().await;
        });
        tokio::io::join(ours, tokio::io::sink())
    }

    #[tokio::test]
    async fn a_handshake_reads_all_of_its_answers_and_no_byte_more() {
        let name = [&[5, 0, 5, 0, 0, 3, 255][..], &[b'x'; 257]].concat();
        let v6 = [&[5, 2, 1, 0, 5, 0, 0, 4][..], &[0; 18]].concat();
        for (answers, login) in [
            (&[5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 0, 80][..], None),
            (&[5, 2, 1, 0, 5, 0, 0, 3, 0, 0, 0], LOGIN),
            (&name, LOGIN),
            (&v6, LOGIN),
        ] {
            let (result, _, left) = against(&[answers, b"rest"].concat(), login).await;
            assert_eq!((result.map_err(|e| e.kind()), left), (Ok(()), 4), "{answers:?}");
            for cut in 0..answers.len() {
                let (result, step, _) = against(&answers[..cut], login).await;
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{cut} of {answers:?}");
                let expected = match (cut, answers[1]) {
                    (..2, _) => Step::Method,
                    (..4, PASSWORD) => Step::Login,
                    _ => Step::Target,
                };
                assert_eq!(step, expected, "{cut} of {answers:?}");
            }
        }
        let (result, step, _) = against(&[5, 0, 5, 0, 0, 9, 0, 0], None).await;
        assert_eq!((result.unwrap_err().kind(), step), (io::ErrorKind::InvalidData, Step::Target));
    }
}

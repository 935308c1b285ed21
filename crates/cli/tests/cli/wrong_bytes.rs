use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    process::Stdio,
};

use crate::support::{PATIENCE, Serve, command, until, wait};

/// Sends bytes and waits until the other side has had enough.
fn closed_after(serve: &Serve, bytes: &[u8]) {
    let mut stream = TcpStream::connect(&serve.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => assert_eq!(answer, b"", "nothing is answered to what is no frame"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

#[test]
fn other_protocols_are_named_in_one_line_and_harm_nobody() {
    let serve = Serve::memory();
    serve.send(&["-t", "T", "before"], b"").ok();
    let args = ["consume", "-n", &serve.address, "-t", "T", "-g", "g", "-c", "2"];
    let mut other = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(other.stdout.take().unwrap()).lines();
    assert_eq!(printed.next().unwrap().unwrap(), "before");
    for (bytes, name) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "gRPC"),
        (b"\x00\x00\x00\x10\x07garbage-garbage", "07 67 61 72"),
    ] {
        let before = serve.log().lines().count();
        closed_after(&serve, bytes);
        until("the log names what came", || serve.log().lines().count() > before);
        let log = serve.log();
        assert_eq!(log.lines().count(), before + 1, "one line each:\n{log}");
        assert!(log.lines().last().unwrap().contains(name), "{name} is not named:\n{log}");
    }
    // A probe that only connects is no trouble at all.
    let before = serve.log();
    drop(TcpStream::connect(&serve.address).unwrap());
    serve.send(&["-t", "T", "after"], b"").ok();
    // The connection that was open all the time got it.
    assert_eq!(printed.next().unwrap().unwrap(), "after");
    assert_eq!(wait(&mut other).code(), Some(0));
    assert_eq!(serve.log(), before);
}

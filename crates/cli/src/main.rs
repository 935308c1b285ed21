//! One binary: serve, send, consume, bench, decode.

fn main() {}

//! How long requests took (RIP-46: `rocketmq_rpc_latency`).

use bytestring::ByteString;
use rocketwire_broker::{Family, Kind};
use rocketwire_remoting::{LATENCY_BOUNDS, Latency};

/// All of it as one family, in milliseconds as in Apache.
pub(super) fn family(latencies: &[Latency]) -> Family {
    let mut family = Family::new(
        "rocketmq_rpc_latency",
        Kind::Histogram,
        "Milliseconds from reading a request to its written answer",
    );
    for latency in latencies {
        let labels = [
            ("protocol_type", ByteString::from_static("remoting")),
            ("request_code", lower(latency.request.map(|code| (code.name(), code.0)))),
            ("response_code", lower(latency.response.map(|code| (code.name(), code.0)))),
            ("is_long_polling", ByteString::from(latency.is_long_polling.to_string())),
            ("result", ByteString::from_static(latency.end.name())),
        ];
        let bounds = LATENCY_BOUNDS.iter().map(|bound| bound.as_secs_f64() * 1_000.0);
        family.push_histogram(&labels, bounds, &latency.counts, latency.total.as_secs_f64() * 1_000.0);
    }
    family
}

/// A code as Apache writes it: `send_message_v2`; one without a name is its number, and those that are counted together
/// have no number.
fn lower(code: Option<(Option<&str>, i32)>) -> ByteString {
    match code {
        Some((Some(name), _)) => name.to_ascii_lowercase().into(),
        Some((None, number)) => number.to_string().into(),
        None => ByteString::from_static("other"),
    }
}

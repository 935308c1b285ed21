//! What holds for any bytes: shared by the property test and the fuzz target.

use rocketwire_protocol::message::record::{self, NewRecord};

use super::place::{Place, announced_len, parse_place};

/// Reads the bytes as a place of the log, and as what damages a good record.
pub(crate) fn check(bytes: &[u8]) {
    // What it says of its own place is the only one at which it can be a record.
    let claimed = bytes.get(28..).and_then(|rest| rest.first_chunk()).map_or(0, |at| u64::from_be_bytes(*at));
    for offset in [0, claimed] {
        if let Some(Place::Record(record)) = parse_place(bytes, offset) {
            let size = announced_len(bytes).unwrap_or(0);
            assert!(record.raw().len() == size && size <= bytes.len());
            assert_eq!(record.physical_offset().cast_unsigned(), offset);
            assert!(record.check_crc().is_ok());
        }
    }
    let good = good_record(bytes);
    assert!(matches!(parse_place(&good, 77), Some(Place::Record(_))));
    assert!(!matches!(parse_place(&good, 78), Some(Place::Record(_))), "a record has one place");
    for cut in 0..good.len() {
        let found = parse_place(good.get(..cut).unwrap_or_default(), 77);
        assert!(!matches!(found, Some(Place::Record(_))), "it is cut off");
    }
    if let (Some(at), Some(value)) = (bytes.first(), bytes.get(1)) {
        let mut bad = good.clone();
        let at = usize::from(*at) % bad.len();
        if let Some(byte) = bad.get_mut(at) {
            *byte ^= value;
        }
        if let Some(Place::Record(record)) = parse_place(&bad, 77) {
            assert!(record.raw().len() <= bad.len());
        }
    }
}

/// A record with these bytes as its body, at 77 of the log.
fn good_record(body: &[u8]) -> Vec<u8> {
    let host = ([127, 0, 0, 1], 10911).into();
    let new = NewRecord {
        topic: "T",
        queue_id: 1,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: "TAGS\u{1}A\u{2}",
    };
    let mut bytes = Vec::new();
    assert!(record::encode(&new, &mut bytes).is_ok());
    record::patch(&mut bytes, 5, 77, 9);
    bytes
}

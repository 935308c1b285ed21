//! Decodes: crates/store/src/record.rs

#![no_main]

// The parser is private to the store, and needs of its crate only how to read a number.
#[allow(dead_code)]
#[path = "../../crates/store/src/octets.rs"]
mod octets;
#[allow(dead_code)]
#[path = "../../crates/store/src/record.rs"]
mod record;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let head = record::Head::parse(data);
    let topic = head.and_then(|head| head.topic(data.get(usize::try_from(head.topic_at).ok()?..)?));
    // What a whole record says, its head says too.
    if let Ok(whole) = record::Record::parse(data) {
        assert_eq!(topic, std::str::from_utf8(whole.topic()).ok());
        assert!(whole.size() <= data.len());
    }
});

//! Properties of anything that can be built, and of anything that can arrive.

use bytes::Bytes;
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use rocketwire_protocol::{
    Command, Fields, Flag, LanguageCode, Version,
    message::{NewRecord, Properties, RecordView, batch, properties, record},
};

use crate::{checks::*, support::golden};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9_%|-]{0,20}",
        any::<String>(),
        // What needs escapes, next to the edges of words of eight bytes.
        vec(
            prop_oneof![
                Just('"'),
                Just('\\'),
                Just('\n'),
                Just('\u{1}'),
                Just('\u{85}'),
                Just('\u{2028}'),
                Just('a'),
                Just('中')
            ],
            0..40
        )
        .prop_map(String::from_iter),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let fixed = (any::<i32>(), 0u8..=15, any::<i32>(), any::<i32>(), any::<i32>());
    let rest = (proptest::option::of(text()), vec((text(), text()), 0..12), vec(any::<u8>(), 0..100));
    (fixed, rest, any::<bool>()).prop_map(
        |((code, language, version, opaque, flag), (remark, fields, body), small)| Command {
            code: if small { code >> 16 } else { code },
            language: LanguageCode(language),
            version: Version(version),
            opaque,
            flag: Flag(flag),
            remark: remark.map(Into::into),
            fields: fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
            body: body.into(),
            ..Command::default()
        },
    )
}

proptest! {
    /// spec: remoting J13 B2 H11
    #[test]
    fn any_command_survives_both_encodings(command in command()) {
        check_command(&command);
    }

    /// spec: remoting B5
    #[test]
    fn any_fields_are_looked_up_like_a_list(pairs in vec((text(), text()), 0..12), other in text()) {
        let fields: Fields = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let last = |key: &str| pairs.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        for key in pairs.iter().map(|(k, _)| k).chain([&other]) {
            let found = fields.get(key);
            prop_assert_eq!(found.as_deref(), last(key));
        }
        prop_assert_eq!(fields.to_vec().len(), pairs.len());
        prop_assert_eq!(fields.is_empty(), pairs.is_empty());
    }

    #[test]
    fn any_properties_come_back(pairs in vec((text(), text()), 0..12)) {
        let mut all = Properties::new();
        let mut model: Vec<(String, String)> = Vec::new();
        for (name, value) in &pairs {
            all.set(name, value);
            let clean = |text: &str| text.replace(['\u{1}', '\u{2}'], " ");
            model.retain(|(n, _)| n != name);
            if properties::is_clean(name) {
                if !value.is_empty() {
                    model.push((name.clone(), clean(value)));
                }
            } else if !name.is_empty() && !value.is_empty() {
                model.push((clean(name), clean(value)));
            }
        }
        let found: Vec<_> = all.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        prop_assert_eq!(found, model);
    }

    #[test]
    fn any_record_comes_back(
        topic in prop_oneof!["[a-z]{1,140}", any::<String>()],
        numbers in any::<(i32, i32, i32, i64, i32, i64)>(),
        hosts in any::<(std::net::SocketAddr, std::net::SocketAddr)>(),
        body in vec(any::<u8>(), 0..300),
        properties in text(),
        places in any::<(i64, i64, i64)>(),
    ) {
        let (queue_id, flag, sys_flag, born_timestamp, reconsume_times, prepared_transaction_offset) = numbers;
        let new = NewRecord {
            topic: &topic,
            queue_id,
            flag,
            sys_flag,
            born_timestamp,
            born_host: hosts.0,
            store_host: hosts.1,
            reconsume_times,
            prepared_transaction_offset,
            body: &body,
            properties: &properties,
        };
        let mut out = Vec::new();
        record::encode(&new, &mut out).unwrap();
        prop_assert!(record::patch(&mut out, places.0, places.1, places.2));
        let view = RecordView::parse(&Bytes::from(out.clone())).unwrap();
        view.check_crc().unwrap();
        prop_assert_eq!((view.topic(), view.properties(), &view.body()[..]), (&*topic, &*properties, &body[..]));
        prop_assert_eq!((view.queue_id(), view.flag(), view.reconsume_times()), (queue_id, flag, reconsume_times));
        prop_assert_eq!(view.sys_flag().0 & !0x30, sys_flag & !0x30);
        prop_assert_eq!((view.born_timestamp(), view.prepared_transaction_offset()), (born_timestamp, prepared_transaction_offset));
        prop_assert_eq!((view.queue_offset(), view.physical_offset(), view.store_timestamp()), places);
        prop_assert_eq!((view.born_host().ip(), view.born_host().port()), (hosts.0.ip().to_canonical(), hosts.0.port()));
        prop_assert_eq!(view.store_host().ip(), hosts.1.ip().to_canonical());
        check_record(&out);
    }

    #[test]
    fn any_batch_comes_back(messages in vec((any::<i32>(), vec(any::<u8>(), 0..50), text()), 0..8)) {
        let mut out = Vec::new();
        for (flag, body, properties) in &messages {
            batch::encode_item(*flag, body, properties, &mut out).unwrap();
        }
        let again: Vec<_> = batch::items(out.into())
            .map(|item| item.map(|item| (item.flag, item.body.to_vec(), item.properties.to_string())))
            .collect::<Result<_, _>>()
            .unwrap();
        prop_assert_eq!(again, messages);
    }
}

/// Every check that holds for any bytes.
fn check_everything(data: &[u8]) {
    check_frame(data);
    check_json_header(data);
    check_binary_header(data);
    check_body_json(data);
    check_record(data);
    check_batch(data);
    check_properties(data);
    check_filter(data);
    check_compression(data);
}

/// What filters are made of; some of the sentences are some.
const WORDS: [&str; 36] = [
    "a",
    "b",
    "c",
    "1",
    "2.5",
    "-",
    "+",
    "'x'",
    "''",
    "TRUE",
    "NULL",
    "=",
    "=",
    "<>",
    ">",
    ">=",
    "<",
    "<=",
    "AND",
    "AND",
    "OR",
    "OR",
    "NOT",
    "IN",
    "('x', 'y')",
    "(",
    ")",
    "BETWEEN",
    "IS",
    "IS NULL",
    "CONTAINS",
    "STARTSWITH",
    "ENDSWITH",
    "a = 1",
    "b > 2",
    "--",
];

/// Header and body of a frame, or all of it.
fn part(frame: &[u8], which: u8) -> &[u8] {
    let header = u32::from_be_bytes([0, frame[5], frame[6], frame[7]]) as usize;
    match which % 3 {
        0 => frame,
        1 => &frame[8..8 + header],
        _ => &frame[8 + header..],
    }
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(data in vec(any::<u8>(), 0..200)) {
        check_everything(&data);
    }

    #[test]
    fn words_of_a_filter_do_no_harm(words in vec(select(WORDS.to_vec()), 0..24), values in vec(text(), 0..3)) {
        let pairs: Vec<(&str, &str)> = ["a", "b", "c"].into_iter().zip(values.iter().map(String::as_str)).collect();
        let properties: Properties = pairs.into_iter().collect();
        check_filter(format!("{}\0{properties}", words.join(" ")).as_bytes());
    }

    #[test]
    fn brackets_and_quotes_do_no_harm(data in "[\\[\\]{}\"':,a0/*\\\\$ref.-]{0,60}") {
        check_everything(data.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Real frames with some bytes changed, cut out or doubled.
    /// spec: remoting F15 B7 B8 B9 J10
    #[test]
    fn damaged_frames_do_no_harm(
        which in any::<Index>(),
        of in any::<u8>(),
        changes in vec((any::<Index>(), any::<u8>(), 0u8..4), 1..6),
    ) {
        thread_local! {
            static GOLDEN: Vec<Vec<u8>> = golden().into_iter().map(|golden| golden.bytes).collect();
        }
        GOLDEN.with(|all| {
            let mut data = part(&all[which.index(all.len())], of).to_vec();
            for (at, byte, how) in &changes {
                if data.is_empty() {
                    break;
                }
                let at = at.index(data.len());
                match how {
                    0 => data[at] = *byte,
                    1 => data[at] ^= 1 << (byte % 8),
                    2 => data.truncate(at),
                    _ => data.insert(at, *byte),
                }
            }
            check_everything(&data);
        });
    }
}

#[test]
fn golden_frames_hold_every_check() {
    for golden in golden() {
        for which in 0..3 {
            check_everything(part(&golden.bytes, which));
        }
    }
}

//! `extFields` as they are built, passed on and encoded.

use rocketwire_protocol::{Command, EncodeError, Encoding, Fields, RequestCode, frame};

use crate::support::{decode_one, encode, from_json, header_text, map};

fn request(fields: Fields) -> Command {
    let mut command = Command::request(RequestCode::HEART_BEAT);
    command.fields = fields;
    command
}

/// spec: remoting J3 B4
#[test]
fn an_empty_value_is_kept_by_json_and_lost_by_binary() {
    let request = request([("b", ""), ("c", "1")].into_iter().collect());
    assert_eq!(request.fields.get("b").as_deref(), Some(""));
    let json = decode_one(&encode(&request, Encoding::Json)).unwrap();
    assert_eq!(json.fields, request.fields);
    let binary = decode_one(&encode(&json, Encoding::Binary)).unwrap();
    assert_eq!(binary.fields.get("b"), None);
    // What arrived as null is not made up when it is passed on.
    let text = encode(&binary, Encoding::Json);
    assert!(header_text(&text).contains(r#""extFields":{"c":"1"}"#));
    let mut pushed = binary.fields.clone();
    pushed.push("d", "2");
    assert_eq!(
        map(&pushed).into_iter().collect::<Vec<_>>(),
        [("c".into(), "1".into()), ("d".into(), "2".into())]
    );
}

/// spec: remoting B13
#[test]
fn a_key_that_is_too_long_makes_encoding_fail_however_it_got_there() {
    let key = "k".repeat(32_768);
    let collected: Fields = [("a", "1"), (&key, "2")].into_iter().collect();
    let mut pushed = Fields::default();
    pushed.push(&key, "1");
    pushed.push("a", "2");
    for fields in [collected, pushed] {
        for encoding in [Encoding::Json, Encoding::Binary] {
            let mut out = b"before".to_vec();
            let result = frame::encode(&request(fields.clone()), encoding, &mut out);
            assert_eq!(result, Err(EncodeError::KeyTooLong(32_768)));
            assert_eq!(out, b"before");
        }
    }
    let decoded = from_json(&format!(r#"{{"code":34,"extFields":{{"{key}":"1"}}}}"#)).unwrap();
    let mut out = Vec::new();
    assert!(frame::encode(&decoded, Encoding::Binary, &mut out).is_err() && out.is_empty());
    let longest = "k".repeat(32_767);
    let fine = request([(longest.as_str(), "1")].into_iter().collect());
    let again = decode_one(&encode(&fine, Encoding::Binary)).unwrap();
    assert_eq!(again.fields, fine.fields);
}

#[test]
fn secrets_do_not_reach_debug() {
    let fields: Fields = [("AccessKey", "ak"), ("Signature", "sig"), ("SecurityToken", "st"), ("topic", "T")]
        .into_iter()
        .collect();
    assert_eq!(
        format!("{fields:?}"),
        r#"{"AccessKey": "***", "Signature": "***", "SecurityToken": "***", "topic": "T"}"#
    );
}

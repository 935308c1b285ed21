//! The vectors of spec/remoting.md appendix A, byte for byte.

use bytes::BytesMut;
use rocketwire_protocol::{
    Command, Encoding, Fields, FrameError, LanguageCode, Limits, RequestCode, ResponseCode, frame,
    header::{
        BoundaryType, SearchOffsetRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader,
    },
};

use crate::support::{decode_one, encode, header_text, hex, map};

fn java(mut command: Command, opaque: i32) -> Command {
    command.language = LanguageCode::JAVA;
    command.opaque = opaque;
    command
}

/// spec: remoting F1 F2 B1 B2
/// spec: client 1 2
#[test]
fn a1_1_and_2_a_request_in_both_encodings() {
    let request = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC).with_field("topic", "TopicTest");
    let request = java(request, 1);
    assert_eq!(
        encode(&request, Encoding::Binary),
        hex("0000002d 01000029 0069 00 01df 00000001 00000000 00000000 00000014
             0005 746f706963 00000009 546f70696354657374")
    );
    let json = encode(&request, Encoding::Json);
    assert_eq!(&json[..8], hex("00000087 00000083"));
    assert_eq!(
        header_text(&json),
        r#"{"code":105,"extFields":{"topic":"TopicTest"},"flag":0,"language":"JAVA","opaque":1,"serializeTypeCurrentRPC":"JSON","version":479}"#
    );
}

#[test]
fn a1_3_a_response_with_a_body() {
    let response = java(Command::response(ResponseCode::SUCCESS).with_body("{}"), 7);
    let bytes = encode(&response, Encoding::Json);
    assert_eq!(&bytes[..8], hex("00000065 0000005f"));
    assert_eq!(
        header_text(&bytes),
        r#"{"code":0,"flag":1,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":479}"#
    );
    assert_eq!(&bytes[bytes.len() - 2..], b"{}");
}

/// spec: remoting J2 B3
#[test]
fn a1_4_and_5_an_empty_remark() {
    let response = java(Command::error(ResponseCode::SYSTEM_ERROR, ""), 7);
    let binary = encode(&response, Encoding::Binary);
    assert_eq!(binary, hex("00000019 01000015 0001 00 01df 00000007 00000001 00000000 00000000"));
    assert_eq!(decode_one(&binary).unwrap().remark, None);
    assert_eq!(
        header_text(&encode(&response, Encoding::Json)),
        r#"{"code":1,"flag":1,"language":"JAVA","opaque":7,"remark":"","serializeTypeCurrentRPC":"JSON","version":479}"#
    );
}

/// spec: remoting B4 J3
#[test]
fn a1_6_and_7_an_empty_field() {
    let fields: Fields = [("b", ""), ("c", "1")].into_iter().collect();
    let mut request = java(Command::request(RequestCode::HEART_BEAT), 2);
    request.fields = fields;
    let binary = encode(&request, Encoding::Binary);
    assert_eq!(
        binary,
        hex("00000028 01000024 0022 00 01df 00000002 00000000 00000000 0000000f
             0001 62 00000000 0001 63 00000001 31")
    );
    let decoded = decode_one(&binary).unwrap();
    assert_eq!((decoded.fields.get("b"), decoded.fields.get("c").as_deref()), (None, Some("1")));
    let text = encode(&request, Encoding::Json);
    assert!(header_text(&text).contains(r#""extFields":{"b":"","c":"1"}"#), "{}", header_text(&text));
}

/// spec: remoting H9
#[test]
fn a1_8_a_send() {
    let header = SendMessageRequestHeaderV2 {
        producer_group: "pg".into(),
        topic: "T".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        born_timestamp: 1,
        ..SendMessageRequestHeaderV2::default()
    };
    let request = java(Command::of(&header).with_body(&b"mm"[..]), 5);
    assert_eq!(
        encode(&request, Encoding::Binary),
        hex("00000061 0100005b 0136 00 01df 00000005 00000000 00000000 00000046 0001 61 00000002 7067
             0001 62 00000001 54 0001 63 00000006 544257313032 0001 64 00000001 34 0001 65 00000001 30
             0001 66 00000001 30 0001 67 00000001 31 0001 68 00000001 30 6d6d")
    );
}

#[test]
fn a1_9_the_answer_to_a_send() {
    let header = SendMessageResponseHeader {
        msg_id: "7F000001".into(),
        queue_id: 1,
        queue_offset: 5,
        ..SendMessageResponseHeader::default()
    };
    let response = java(Command::response(ResponseCode::SUCCESS).with_header(&header), 9);
    assert_eq!(
        encode(&response, Encoding::Binary),
        hex("0000004c 01000048 0000 00 01df 00000009 00000001 00000000 00000033
             0005 6d73674964 00000008 3746303030303031 0007 71756575654964 00000001 31
             000b 71756575654f6666736574 00000001 35")
    );
}

#[test]
fn a1_10_no_language() {
    let mut response = java(Command::error(ResponseCode(-1006), "x"), 3);
    response.language = LanguageCode::UNKNOWN;
    assert_eq!(
        header_text(&encode(&response, Encoding::Json)),
        r#"{"code":-1006,"flag":1,"opaque":3,"remark":"x","serializeTypeCurrentRPC":"JSON","version":479}"#
    );
}

/// spec: remoting J13
#[test]
fn a1_11_escapes() {
    let remark = "no topic \"x\"/中\n<'\u{2028}😀\u{7f}\u{1}>";
    let response = Command::error(ResponseCode::SYSTEM_ERROR, remark);
    let bytes = encode(&response, Encoding::Json);
    let expected = r#""remark":"no topic \"x\"/中\n<'\u2028😀\u007F\u0001>""#;
    assert!(header_text(&bytes).contains(expected), "{}", header_text(&bytes));
    assert_eq!(decode_one(&bytes).unwrap().remark.as_deref(), Some(remark));
}

/// spec: remoting H2
#[test]
fn a1_12_an_enum_among_the_fields() {
    let header = SearchOffsetRequestHeader {
        topic: "t".into(),
        timestamp: 1,
        boundary_type: Some(BoundaryType::Upper),
        ..SearchOffsetRequestHeader::default()
    };
    let fields = map(&Fields::of(&header));
    let pairs: Vec<_> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("boundaryType", "UPPER"), ("queueId", "0"), ("timestamp", "1"), ("topic", "t")]);
}

const H: &str = "0069 00 01df 00000001 00000000";

fn input(before: &str, after: &str) -> Vec<u8> {
    hex(&format!("{before} {H} {after}"))
}

/// spec: remoting B5 B6
#[test]
fn a2_inputs_that_are_accepted() {
    let plain = decode_one(&input("00000019 01000015", "00000000 00000000")).unwrap();
    assert_eq!((plain.remark.as_deref(), plain.fields.is_present(), plain.body.len()), (None, false, 0));
    let body = decode_one(&input("0000001b 01000015", "00000000 00000000 abcd")).unwrap();
    assert_eq!(body.body, &[0xab, 0xcd][..]);
    let one = decode_one(&input("00000021 0100001d", "00000000 00000008 0001 61 00000001 62")).unwrap();
    assert_eq!(one.fields.get("a").as_deref(), Some("b"));
    let twice = input("00000029 01000025", "00000000 00000010 0001 61 00000001 62 0001 61 00000001 63");
    assert_eq!(decode_one(&twice).unwrap().fields.get("a").as_deref(), Some("c"));
    let no_key = decode_one(&input("00000020 0100001c", "00000000 00000007 0000 00000001 62")).unwrap();
    assert_eq!(no_key.fields.get("").as_deref(), Some("b"));
    let negative = decode_one(&input("00000019 01000015", "00000000 ffffffff")).unwrap();
    assert!(!negative.fields.is_present());
}

/// spec: remoting B7 B8 B9 F10 F11 F15
#[test]
fn a2_inputs_that_close() {
    for (before, after) in [
        ("00000019 01000016", "00000000 00000000"),
        ("00000019 01000014", "00000000 00000000"),
        ("00000019 02000015", "00000000 00000000"),
        ("00000019 ff000015", "00000000 00000000"),
        ("00000019 01000015", "ffffffff 00000000"),
        ("00000019 01000015", "00000016 00000000"),
        ("00000019 01000015", "00000000 00000016"),
        ("00000019 01000015", "00000000 00000005"),
        ("00000021 0100001d", "00000000 00000008 0001 61 00000009 62"),
        ("00000021 0100001d", "00000000 00000008 ffff 61 00000001 62"),
        ("00000021 0100001d", "00000000 00000008 0001 61 ffffffff 62"),
    ] {
        let mut bytes = BytesMut::from(&input(before, after)[..]);
        assert!(frame::decode(&mut bytes, &Limits::default()).is_err(), "{before} H {after}");
    }
}

/// spec: remoting F6 F7 F14
#[test]
fn a2_the_largest_frame() {
    let decode = |text: &str| frame::decode(&mut BytesMut::from(&hex(text)[..]), &Limits::default());
    assert!(matches!(decode("00fffffc 01000015"), Ok(None)));
    assert!(matches!(
        decode("00fffffd 01000015"),
        Err(FrameError::TooLarge { announced: 16_777_217, limit: 16_777_216 })
    ));
}

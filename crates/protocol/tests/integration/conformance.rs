//! The checklist of spec/remoting.md section 15: frames and both headers.

use bytes::BytesMut;
use rocketwire_protocol::{
    Command, Encoding, FrameError, LanguageCode, Limits, RequestCode, ResponseCode, Version, frame,
};

use crate::support::{decode_one, encode, framed, from_json, header_text, hex, map};

fn decode(bytes: &[u8]) -> Result<Option<Command>, FrameError> {
    frame::decode(&mut BytesMut::from(bytes), &Limits::default())
}

fn request() -> Command {
    Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC).with_field("topic", "T").with_body("body")
}

/// spec: remoting F1 F2 F3
#[test]
fn lengths_are_those_of_the_parts() {
    for encoding in [Encoding::Json, Encoding::Binary] {
        for body in ["", "x", "body"] {
            let bytes = encode(&request().with_body(body), encoding);
            let total = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            let word = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
            assert_eq!(total, bytes.len() - 4);
            assert_eq!((word >> 24) as u8, encoding.type_byte());
            assert_eq!(total, 4 + (word & 0x00ff_ffff) as usize + body.len());
            assert_eq!(decode_one(&bytes).unwrap().body, body);
        }
    }
}

/// spec: remoting F4
#[test]
fn a_frame_may_come_byte_by_byte() {
    for encoding in [Encoding::Json, Encoding::Binary] {
        let bytes = encode(&request(), encoding);
        let mut input = BytesMut::new();
        for (at, byte) in bytes.iter().enumerate() {
            assert!(
                frame::decode(&mut input, &Limits::default()).unwrap().is_none(),
                "complete after {at} of {} bytes",
                bytes.len()
            );
            input.extend_from_slice(&[*byte]);
        }
        assert_eq!(frame::decode(&mut input, &Limits::default()).unwrap().unwrap().body, "body");
    }
}

/// spec: remoting F5 F13
#[test]
fn frames_of_both_encodings_follow_each_other() {
    let mut stream = Vec::new();
    for opaque in 0..10 {
        let mut request = request();
        request.opaque = opaque;
        let encoding = if opaque % 3 == 0 { Encoding::Binary } else { Encoding::Json };
        stream.extend(encode(&request, encoding));
    }
    let mut input = BytesMut::from(&stream[..]);
    for opaque in 0..10 {
        let command = frame::decode(&mut input, &Limits::default()).unwrap().unwrap();
        assert_eq!(command.opaque, opaque);
        assert_eq!(command.encoding == Encoding::Binary, opaque % 3 == 0);
    }
    assert!(input.is_empty());
}

/// spec: remoting F6 F7 F8 F14
/// spec: client 9
#[test]
fn an_oversize_frame_is_refused_by_its_length_alone() {
    for word in ["00fffffd", "80000000", "ffffffff", "47455420"] {
        assert!(matches!(decode(&hex(word)), Err(FrameError::TooLarge { .. })), "{word}");
    }
    assert!(matches!(decode(&hex("00fffffc")), Ok(None)));
    let small = Limits::default().with_frame_max(100);
    let of = |total: u32| {
        let mut bytes = total.to_be_bytes().to_vec();
        bytes.extend_from_slice(&hex("00000002 7b7d"));
        bytes.resize(total as usize + 4, 0);
        frame::decode(&mut BytesMut::from(&bytes[..]), &small)
    };
    assert!(of(96).unwrap().is_some());
    assert_eq!(of(97).unwrap_err(), FrameError::TooLarge { announced: 101, limit: 100 });
}

/// spec: remoting F9 F10 F11 F12 F15
#[test]
fn frames_that_contradict_themselves_are_errors() {
    for total in 0..4u32 {
        assert_eq!(decode(&total.to_be_bytes()).unwrap_err(), FrameError::TooShort(total));
    }
    let length = |bytes: &str| matches!(decode(&hex(bytes)), Err(FrameError::HeaderLength { .. }));
    assert!(length("00000006 00000003 7b7d"), "the header is longer than the frame");
    assert!(length("00000004 00000000") && length("00000004 01000000"), "no header");
    assert!(length("00000018 01000014"), "a binary header has 21 bytes");
    for kind in [2, 3, 0x16, 0xff] {
        assert_eq!(decode(&framed(kind, b"{}", b"")).unwrap_err(), FrameError::UnknownEncoding(kind));
    }
    let mut limits = Limits::default();
    limits.header_max = 10;
    let long = framed(0, br#"{"code":105}"#, b"");
    assert!(frame::decode(&mut BytesMut::from(&long[..8]), &limits).is_err(), "the header's own limit");
}

/// spec: remoting J1 J2 J3 J4
#[test]
fn json_is_written_with_javas_members() {
    let text = |command: &Command| header_text(&encode(command, Encoding::Json)).to_owned();
    let plain = Command::request(RequestCode::HEART_BEAT);
    assert_eq!(
        text(&plain),
        r#"{"code":34,"flag":0,"language":"RUST","opaque":0,"serializeTypeCurrentRPC":"JSON","version":479}"#
    );
    assert!(text(&plain.clone().with_header(&())).contains(r#""extFields":{},"#));
    assert!(text(&plain.with_remark("")).contains(r#""remark":"","#));
}

/// spec: remoting J5 J6
#[test]
fn json_members_come_in_any_order_or_not_at_all() {
    let command = from_json(
        r#" { "version":7, "x":{"a":[1,"}",{}]}, "y":null, "opaque":5, "z":[[]], "code":34, "body":"AA==" } "#,
    )
    .unwrap();
    assert_eq!((command.code, command.opaque, command.version), (34, 5, Version(7)));
    assert!(command.body.is_empty());
    let command = from_json("{}").unwrap();
    assert_eq!((command.code, command.flag.0, command.version), (0, 0, Version(0)));
    assert_eq!(command.language, LanguageCode::JAVA);
    assert!(!command.fields.is_present() && command.remark.is_none());
    // The last of a name wins.
    assert_eq!(from_json(r#"{"code":1,"code":2}"#).unwrap().code, 2);
    // As C++ writes it, and Rust.
    assert_eq!(from_json("{\"code\":34,\"extFields\":null,\"remark\":null}\n").unwrap().code, 34);
}

/// spec: remoting J7
#[test]
fn json_fields_of_other_types_are_their_text() {
    let command = from_json(
        r#"{"extFields":{"n":1.50,"m":-7,"t":true,"f":false,"o":{"a":[1, 2]},"l":[],"z":null,"s":"x","e":""}}"#,
    )
    .unwrap();
    let fields = map(&command.fields);
    let expected = [
        ("e", ""),
        ("f", "false"),
        ("l", "[]"),
        ("m", "-7"),
        ("n", "1.50"),
        ("o", r#"{"a":[1, 2]}"#),
        ("s", "x"),
        ("t", "true"),
    ];
    assert_eq!(fields, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert!(from_json(r#"{"extFields":"x"}"#).is_err() && from_json(r#"{"extFields":[]}"#).is_err());
    let all = encode(&command, Encoding::Json);
    assert!(header_text(&all).contains(r#""m":"-7","t":"true""#), "texts only are sent");
}

/// spec: remoting J8 B12
#[test]
fn an_unknown_language_is_no_reason_to_fail() {
    for (text, language) in [
        (r#""go""#, LanguageCode::GO),
        (r#""COBOL""#, LanguageCode::UNKNOWN),
        (r#""""#, LanguageCode::UNKNOWN),
        ("null", LanguageCode::UNKNOWN),
        ("9", LanguageCode::GO),
    ] {
        let command = from_json(&format!(r#"{{"code":34,"language":{text}}}"#)).unwrap();
        assert_eq!((command.language, command.code), (language, 34), "{text}");
    }
    assert!(from_json(r#"{"language":14}"#).is_err(), "an ordinal that is not there closes in Java too");
    let mut bytes = encode(&request(), Encoding::Binary);
    bytes[10] = 99;
    let command = decode_one(&bytes).unwrap();
    assert_eq!((command.language, command.code), (LanguageCode(99), 105));
}

/// spec: remoting J9
#[test]
fn the_type_byte_says_the_encoding() {
    let command = from_json(r#"{"code":34,"serializeTypeCurrentRPC":"ROCKETMQ"}"#).unwrap();
    assert_eq!(command.encoding, Encoding::Json);
    assert!(from_json(r#"{"serializeTypeCurrentRPC":{"x":1}}"#).is_ok());
}

/// spec: remoting J10
#[test]
fn json_that_is_not_one_object_is_an_error() {
    for text in [
        "{\"code\":1",
        "{\"code\":",
        "{\"code\"",
        "{",
        "[]",
        "null",
        "7",
        "\"x\"",
        " ",
        "{} x",
        "{}{}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":tru}",
        "{\"a\":nul}",
        "{\"a\":1.2.3}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"x}",
        "{\"remark\":\"\\",
        "{\"a\":[1}",
        "{\"a\":-}",
        "{\"code\":\"x\"}",
        "{\"code\":2147483648}",
        "{\"code\":1.5}",
        "{\"code\":{}}",
    ] {
        assert!(matches!(from_json(text), Err(FrameError::Header(_))), "{text}");
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(1000), "]".repeat(1000));
    assert!(from_json(&deep).is_err());
}

/// spec: remoting J11 J12 B10
#[test]
fn any_opaque_flag_and_code_come_back_as_they_were() {
    for encoding in [Encoding::Json, Encoding::Binary] {
        for opaque in [i32::MIN, -1, 0, 1, i32::MAX] {
            let mut command = Command::response(ResponseCode(-1006));
            command.opaque = opaque;
            command.flag.0 |= 4 | i32::MIN;
            let again = decode_one(&encode(&command, encoding)).unwrap();
            assert_eq!((again.opaque, again.code, again.flag), (opaque, -1006, command.flag));
            assert!(again.is_response() && !again.is_oneway());
        }
    }
    assert!(from_json(r#"{"flag":3}"#).unwrap().is_response());
    // The fast way of reading a plain number and the slow one meet here.
    for (text, n) in [
        ("2147483647", i32::MAX),
        ("-2147483648", i32::MIN),
        ("0000000012", 12),
        ("-0", 0),
        ("00000000012", 12),
    ] {
        assert_eq!(
            from_json(&format!("{{\"code\":{text},\"opaque\": {text} }}")).map(|c| (c.code, c.opaque)),
            Ok((n, n))
        );
    }
    for text in ["2147483648", "-2147483649", "9999999999", "-", "1-", ""] {
        assert!(from_json(&format!("{{\"code\":{text}}}")).is_err(), "{text}");
    }
    let numbers = from_json(r#"{"code":"105","opaque":-1.0,"flag":null,"version":1e2}"#).unwrap();
    assert_eq!((numbers.code, numbers.opaque, numbers.flag.0, numbers.version.0), (105, -1, 0, 100));
}

/// spec: remoting J13
#[test]
fn texts_survive_whatever_is_in_them() {
    let command = from_json(
        r#"{"remark":"\u4e2d\ud83d\ude00\/\b\f\n\r\t\"\\ \ud800 x","extFields":{"\u0061":"\u0001"}}"#,
    )
    .unwrap();
    let remark = "中😀/\u{8}\u{c}\n\r\t\"\\ \u{fffd} x";
    assert_eq!(command.remark.as_deref(), Some(remark));
    assert_eq!(command.fields.get("a").as_deref(), Some("\u{1}"));
    for encoding in [Encoding::Json, Encoding::Binary] {
        let again = decode_one(&encode(&command, encoding)).unwrap();
        assert_eq!(again.remark.as_deref(), Some(remark));
        assert_eq!(again.fields, command.fields);
    }
    assert_eq!(from_json(r#"{"remark":12.50}"#).unwrap().remark.as_deref(), Some("12.50"));
}

/// A binary header with this remark region and this field region.
fn binary(remark: &str, fields: &str) -> Result<Command, FrameError> {
    decode_one(&framed(1, &hex(&format!("0022 0c 01df 00000001 00000000 {remark} {fields}")), b"body"))
}

/// spec: remoting B3 B4 B5 B6 B14
#[test]
fn binary_fields_are_null_empty_or_repeated() {
    let command = binary("00000001 78", "0000000f 0001 61 00000000 0001 62 00000001 63").unwrap();
    assert_eq!((command.remark.as_deref(), &command.body[..]), (Some("x"), &b"body"[..]));
    assert_eq!((command.fields.get("a"), command.fields.get("b").as_deref()), (None, Some("c")));
    // A fast header and the same fields copied by a hook.
    let twice = binary("00000000", "00000010 0001 61 00000001 62 0001 61 00000001 63").unwrap();
    assert_eq!(map(&twice.fields), [("a".to_owned(), "c".to_owned())].into());
    for none in ["00000000", "ffffffff", "80000000"] {
        let command = binary("00000000", none).unwrap();
        assert!(!command.fields.is_present() && command.remark.is_none());
    }
}

/// spec: remoting B7 B8 B9
#[test]
fn binary_lengths_that_run_away_are_errors() {
    for (remark, fields) in [
        ("00000016", "00000000"),
        ("7fffffff", "00000000"),
        ("ffffffff", "00000000"),
        ("00000000", "00000001"),
        ("00000000", "7fffffff"),
        ("00000000", "00000008 0001 61 00000009 62"),
        ("00000000", "00000008 0005 61 00000001 62"),
        ("00000000", "00000008 ffff 61 00000001 62"),
        ("00000000", "00000008 0001 61 ffffffff 62"),
        ("00000000", "00000001 00"),
        ("00000000", "00000003 0001 61"),
    ] {
        assert!(matches!(binary(remark, fields), Err(FrameError::Header(_))), "{remark} {fields}");
    }
}

/// spec: remoting B11
#[test]
fn a_code_beyond_16_bits_is_sent_as_json() {
    let command = decode_one(&encode(&Command::request(RequestCode(200_050)), Encoding::Binary)).unwrap();
    assert_eq!((command.code, command.encoding), (200_050, Encoding::Json));
    let command = decode_one(&encode(&Command::request(RequestCode(32_767)), Encoding::Binary)).unwrap();
    assert_eq!((command.code, command.encoding), (32_767, Encoding::Binary));
}

/// spec: remoting B15
#[test]
fn malformed_text_is_mended() {
    let command = binary("00000003 61ff62", "00000009 0001 61 00000002 c328").unwrap();
    assert_eq!(command.remark.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(command.fields.get("a").as_deref(), Some("\u{fffd}("));
    let json = framed(0, b"{\"remark\":\"a\xffb\",\"extFields\":{\"k\":\"\xc3(\"}}", b"\xff");
    let command = decode_one(&json).unwrap();
    assert_eq!(command.remark.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(command.fields.get("k").as_deref(), Some("\u{fffd}("));
    assert_eq!(command.body, &b"\xff"[..]);
}

#[test]
fn bytes_behind_the_map_belong_to_nobody() {
    let command = binary("00000000", "00000000 abcd").unwrap();
    assert_eq!(command.body, "body", "the body begins where the header length says");
}

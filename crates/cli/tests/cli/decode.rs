use rocketwire_protocol::{Command, Encoding, RequestCode, ResponseCode, frame};

use crate::support::run;

fn frames() -> Vec<u8> {
    let mut out = Vec::new();
    let mut send = Command::request(RequestCode::SEND_MESSAGE_V2)
        .with_field("a", "PG")
        .with_field("b", "Orders")
        .with_field("i", "TAGS\u{1}new\u{2}")
        .with_field("AccessKey", "hunter2")
        .with_body("hello\n");
    send.opaque = 7;
    frame::encode(&send, Encoding::Json, &mut out).unwrap();
    let mut refusal = Command::error(ResponseCode::TOPIC_NOT_EXIST, "no such topic");
    refusal.opaque = 7;
    frame::encode(&refusal, Encoding::Binary, &mut out).unwrap();
    out
}

#[test]
fn frames_become_words() {
    for input in [frames(), hex(&frames()).into_bytes()] {
        let text = run(&["decode"], &input).ok().stdout;
        for words in [
            "#1 request SEND_MESSAGE_V2(310), opaque 7, RUST",
            "producerGroup  PG",
            "topic          Orders",
            "properties     TAGS=new",
            "text, 6 bytes: hello\\n",
            "#2 response TOPIC_NOT_EXIST(17) to SEND_MESSAGE_V2(310), opaque 7",
            "no such topic",
            "binary header",
        ] {
            assert!(text.contains(words), "{words:?} is missing:\n{text}");
        }
        assert!(!text.contains("hunter2"), "secrets are not shown");
    }
}

#[test]
fn frames_become_json() {
    let text = format!("{{\"conn\":1,\"hex\":\"{}\"}}\n{{\"note\":\"no frame\"}}\n", hex(&frames()));
    let got = run(&["decode", "-", "-o", "json"], text.as_bytes()).ok().json();
    assert_eq!(got.len(), 2);
    assert_eq!(got[0]["name"], "SEND_MESSAGE_V2");
    assert_eq!((&got[0]["fields"]["topic"], &got[0]["body"]["text"]), (&"Orders".into(), &"hello\n".into()));
    assert_eq!(got[0]["fields"]["AccessKey"], "***");
    assert_eq!((&got[1]["kind"], &got[1]["answers"]), (&"response".into(), &"SEND_MESSAGE_V2(310)".into()));
}

#[test]
fn damage_is_named_behind_what_is_whole() {
    let mut cut = frames();
    cut.truncate(cut.len() - 3);
    let ended = run(&["decode"], &cut).failed(1, &["the frame at byte", "are there"]);
    assert!(ended.stdout.contains("SEND_MESSAGE_V2"));
    run(&["decode"], b"GET / HTTP/1.1\r\n\r\n").failed(1, &["no frame begins at byte 0"]);
    run(&["decode"], b"").failed(1, &["is empty"]);
    run(&["decode", "/does/not/exist"], b"").failed(1, &["/does/not/exist"]);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

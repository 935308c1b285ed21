use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, PartialOrd, Eq, Ord, Clone)]
#[serde(rename_all = "camelCase", default)]
struct Queue {
    broker_name: String,
    queue_id: i32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Zero,
    One,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct All {
    by_id: BTreeMap<i64, String>,
    by_queue: BTreeMap<Queue, i64>,
    flag: bool,
    kind: Option<Kind>,
    list: Vec<Queue>,
    number: i64,
    ratio: f64,
    text: Option<String>,
}

fn read(text: &str) -> All {
    decode(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn queue(broker_name: &str, queue_id: i32) -> Queue {
    Queue { broker_name: broker_name.to_owned(), queue_id }
}

#[test]
fn keys_may_be_bare_quoted_or_objects() {
    let all = read(
        r#"{byId:{0:"a","1":"b",'-2':'c'},"byQueue":{{"brokerName":"x","queueId":3}:5,{'queueId':4}:6}}"#,
    );
    let ids: Vec<_> = all.by_id.iter().map(|(id, text)| (*id, text.as_str())).collect();
    assert_eq!(ids, [(-2, "c"), (0, "a"), (1, "b")]);
    assert_eq!(all.by_queue.get(&queue("x", 3)), Some(&5));
    assert_eq!(all.by_queue.get(&queue("", 4)), Some(&6));
}

#[test]
fn scalars_come_as_peers_write_them() {
    assert_eq!(read(r#"{"number":"1795382113421"}"#).number, 1_795_382_113_421);
    assert_eq!(read(r#"{"number":1.0}"#).number, 1);
    assert_eq!(read(r#"{"number":""}"#).number, 0);
    assert_eq!(read(r#"{"number":-9223372036854775808}"#).number, i64::MIN);
    assert_eq!(read(r#"{"ratio":1.05}"#).ratio, 1.05);
    assert_eq!(read(r#"{"ratio":"2"}"#).ratio, 2.0);
    assert_eq!(read(r#"{"ratio":NaN}"#).ratio, 0.0);
    assert!(read(r#"{"flag":"TRUE"}"#).flag && read(r#"{"flag":1}"#).flag && !read(r#"{"flag":0}"#).flag);
    assert_eq!(read(r#"{"kind":1}"#).kind, Some(Kind::One));
    assert_eq!(read(r#"{"kind":"zero"}"#).kind, Some(Kind::Zero));
    assert_eq!(read(r#"{"text":7}"#).text.as_deref(), Some("7"));
    assert_eq!(read(r#"{"text":"a\u4e2d\n\/\ud83d\ude00中"}"#).text.as_deref(), Some("a中\n/😀中"));
}

#[test]
fn null_is_absence_and_the_last_of_a_name_wins() {
    let all =
        read(r#"{"number":null,"list":[null,{"queueId":null}],"byId":{0:null},"number":4,"text":null}"#);
    assert_eq!(all.number, 4);
    assert_eq!(all.list, [Queue::default()]);
    assert!(all.by_id.is_empty() && all.text.is_none());
    assert_eq!(read(r#"{"number":4,"number":null}"#).number, 0);
}

#[test]
fn layout_does_not_matter() {
    assert_eq!(read("\u{feff} {\t\"number\" : 4 ,\r\n}\n").number, 4);
    assert_eq!(read("{/* c */\"list\":[{\"queueId\":1,},],// end\n\"number\":4}").list.len(), 1);
    assert_eq!(read("{}"), All::default());
    assert_eq!(read(r#"{"unknown":{"a":[1,{2:3}]},"@type":"x","number":4}"#).number, 4);
}

#[test]
fn references_are_resolved() {
    let all = read(
        r#"{"byId":{0:"a"},"list":[{"brokerName":"x","queueId":1},{"$ref":"$.list[0]"},{"$ref":"$.list[1]"}]}"#,
    );
    assert_eq!(all.list, [queue("x", 1), queue("x", 1), queue("x", 1)]);
    let list: Vec<BTreeMap<String, Queue>> =
        decode(br#"[{"q":{"queueId":9}},{"p":{"$ref":"$[0].q"},"r":{"$ref":"$[0]['q']"}}]"#).unwrap();
    assert_eq!((list[1]["p"].queue_id, list[1]["r"].queue_id), (9, 9));
    for path in ["$.nothing", "$.list[7]", "..", "@", "$.list[x]", "$list"] {
        let text = format!(r#"{{"list":[{{"$ref":"{path}"}}]}}"#);
        let result: Result<All, _> = decode(text.as_bytes());
        assert_eq!(result, Err(BodyError::Reference(path.to_owned())));
    }
}

#[test]
fn references_neither_loop_nor_explode() {
    let result: Result<All, _> = decode(br#"{"list":[{"$ref":"$.list"}]}"#);
    assert!(matches!(result, Err(BodyError::Syntax { .. })), "{result:?}");
    // Each level names the one before ten times: 10^9 values out of a few hundred bytes.
    let mut text = String::from(r#"{"a0":[0]"#);
    for level in 1..=9 {
        let reference = format!(r#"{{"$ref":"$.a{}"}}"#, level - 1);
        text += &format!(r#","a{level}":[{}]"#, [reference.as_str(); 10].join(","));
    }
    text.push('}');
    let result: Result<All, _> = decode(text.as_bytes());
    assert_eq!(result, Err(BodyError::TooLarge { limit: MAX_VALUES }));
    // Long texts and large keys multiply as well.
    let references = vec![r#"{"$ref":"$.long"}"#; 10_000].join(",");
    let text = format!(r#"{{"long":{{"a":"{}"}},"list":[{references}]}}"#, "x".repeat(1 << 20));
    let result: Result<All, _> = decode(text.as_bytes());
    assert_eq!(result, Err(BodyError::TooLarge { limit: MAX_VALUES }));
    let key = vec!["1"; 1000].join(",");
    let text = format!(r#"{{"long":{{[{key}]:1}},"list":[{references}]}}"#);
    let result: Result<All, _> = decode(text.as_bytes());
    assert_eq!(result, Err(BodyError::TooLarge { limit: MAX_VALUES }));
}

#[test]
fn what_is_no_json_is_an_error_with_its_place() {
    let result = |text: &str| decode::<All>(text.as_bytes());
    assert_eq!(result(""), Err(BodyError::Empty));
    assert_eq!(result(" \n"), Err(BodyError::Empty));
    for (text, at) in [
        ("{", 1),
        (r#"{"a"}"#, 4),
        (r#"{"a":}"#, 5),
        (r#"{"a":1 "b"}"#, 7),
        (r#"{"a":x}"#, 6),
        ("{} x", 3),
        ("[1", 2),
        (r#"{"a":"b\"#, 6),
        ("/* x", 0),
        ("{/}", 1),
        (r#"{"a":1e999}"#, 10),
    ] {
        let found = result(text);
        assert!(matches!(found, Err(BodyError::Syntax { at: a, .. }) if a == at), "{text}: {found:?}");
    }
    for text in [r#"{"number":"x"}"#, r#"{"number":[]}"#, r#"{"kind":"TWO"}"#, r#"{"kind":2}"#, "[]", "7"] {
        assert!(matches!(result(text), Err(BodyError::Shape(_))), "{text}");
    }
}

#[test]
fn looking_for_references_takes_only_so_long() {
    let members: Vec<String> = (0..8_000).map(|n| format!(r#""k{n}":[]"#)).collect();
    let references = vec![r#"{"$ref":"$.k0"}"#; 8_000].join(",");
    let text = format!(r#"{{{},"list":[{references}]}}"#, members.join(","));
    let result: Result<All, _> = decode(text.as_bytes());
    assert!(matches!(result, Err(BodyError::TooLarge { .. })), "{result:?}");
}

#[test]
fn depth_is_limited() {
    let nested = |depth: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(decode::<All>(nested(32).as_bytes()).is_ok());
    assert!(decode::<All>(nested(33).as_bytes()).is_err());
    assert!(decode::<All>("[".repeat(1 << 20).as_bytes()).is_err());
    let keys = "{".repeat(1 << 20);
    assert!(decode::<All>(keys.as_bytes()).is_err());
}

fn sample() -> All {
    All {
        by_id: [(0, "a/b".to_owned()), (10, "中\u{1f600}".to_owned())].into(),
        by_queue: [(queue("x", 1), 5)].into(),
        flag: true,
        kind: Some(Kind::One),
        list: Vec::new(),
        number: -3,
        ratio: 1e20,
        text: None,
    }
}

#[test]
fn writes_each_style() {
    let written = |style| String::from_utf8(encode(&sample(), style).unwrap()).unwrap();
    assert_eq!(
        written(Style::Tolerated),
        r#"{"byId":{"0":"a/b","10":"中😀"},"byQueue":{{"brokerName":"x","queueId":1}:5},"flag":true,"kind":"ONE","list":[],"number":-3,"ratio":1.0E20}"#
    );
    assert!(written(Style::Legacy).starts_with(r#"{"byId":{0:"a/b",10:"中😀"},"#));
    assert!(written(Style::Strict).starts_with(r#"{"byId":{"0":"a\/b","10":"\u4E2D\uD83D\uDE00"},"#));
    for style in [Style::Tolerated, Style::Legacy, Style::Strict] {
        assert_eq!(read(&written(style)), sample());
    }
}

#[test]
fn nulls_are_left_out_wherever_they_stand_first() {
    let map: BTreeMap<&str, Option<i32>> = [("a", None), ("b", Some(1)), ("c", None)].into();
    assert_eq!(encode(&map, Style::Tolerated).unwrap(), br#"{"b":1}"#);
    let list = [Some("null"), None];
    assert_eq!(encode(&list, Style::Tolerated).unwrap(), br#"["null",null]"#);
    let none: BTreeMap<&str, Vec<Option<i32>>> = [("a", vec![None])].into();
    assert_eq!(encode(&none, Style::Tolerated).unwrap(), br#"{"a":[null]}"#);
}

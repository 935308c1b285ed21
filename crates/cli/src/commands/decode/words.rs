//! One command as lines for people, or as a value.

use rocketwire_protocol::{Command, Encoding, LanguageCode, RequestCode, ResponseCode, message::properties};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{body, preview};

/// The one-letter names of SEND_MESSAGE_V2's fields.
const SEND_V2: [(&str, &str); 14] = [
    ("a", "producerGroup"),
    ("b", "topic"),
    ("c", "defaultTopic"),
    ("d", "defaultTopicQueueNums"),
    ("e", "queueId"),
    ("f", "sysFlag"),
    ("g", "bornTimestamp"),
    ("h", "flag"),
    ("i", "properties"),
    ("j", "reconsumeTimes"),
    ("k", "unitMode"),
    ("l", "maxReconsumeTimes"),
    ("m", "batch"),
    ("n", "brokerName"),
];

const PULL_BITS: [(i64, &str); 5] =
    [(1, "COMMIT_OFFSET"), (2, "SUSPEND"), (4, "SUBSCRIPTION"), (8, "CLASS_FILTER"), (16, "LITE_PULL")];

const SECRETS: [&str; 3] = ["AccessKey", "Signature", "SecurityToken"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Frame {
    frame: usize,
    bytes: usize,
    kind: &'static str,
    code: i32,
    name: Option<&'static str>,
    /// What a response answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<String>,
    opaque: i32,
    language: Option<&'static str>,
    version: i32,
    encoding: &'static str,
    remark: Option<String>,
    fields: Map<String, Value>,
    body: Option<Value>,
}

/// `request`: the code of the request that this is, or answers, if known.
pub(crate) fn json(command: &Command, request: Option<i32>, frame: usize, bytes: usize) -> Frame {
    let (name, answers) = names(command, request);
    Frame {
        frame,
        bytes,
        kind: kind(command),
        code: command.code,
        name,
        answers,
        opaque: command.opaque,
        language: command.language.name(),
        version: command.version.0,
        encoding: encoding(command),
        remark: command.remark.as_ref().map(ToString::to_string),
        fields: fields(command, request)
            .into_iter()
            .map(|(key, value)| (key, Value::String(value)))
            .collect(),
        body: body::summary(&command.body, request, command.is_response()).map(|summary| summary.json),
    }
}

/// A head line, then a line for each field and the body.
pub(crate) fn text(command: &Command, request: Option<i32>, frame: usize, bytes: usize) -> Vec<String> {
    let code = if command.is_response() {
        ResponseCode(command.code).to_string()
    } else {
        RequestCode(command.code).to_string()
    };
    let answers = names(command, request).1.map(|to| format!(" to {to}")).unwrap_or_default();
    let language = match command.language.name() {
        Some(name) => name.to_owned(),
        None if command.language == LanguageCode::UNKNOWN => "no language".to_owned(),
        None => format!("language {}", command.language.0),
    };
    let mut lines = vec![format!(
        "#{frame} {} {code}{answers}, opaque {}, {language} version {}, {} header, {bytes} bytes",
        kind(command),
        command.opaque,
        command.version.0,
        encoding(command),
    )];
    let mut rows = Vec::new();
    if let Some(remark) = command.remark.as_ref().filter(|remark| !remark.is_empty()) {
        rows.push(("remark".to_owned(), preview(remark.as_bytes(), 400)));
    }
    for (key, value) in fields(command, request) {
        let value = in_words(command, &key, &value);
        rows.push((key, value));
    }
    if let Some(summary) = body::summary(&command.body, request, command.is_response()) {
        rows.push(("body".to_owned(), summary.words));
    }
    let width = rows.iter().map(|(key, _)| key.chars().count()).max().unwrap_or_default();
    lines.extend(rows.iter().map(|(key, value)| format!("    {key:width$}  {value}")));
    lines
}

/// Fields with their long names, secrets hidden.
fn fields(command: &Command, request: Option<i32>) -> Vec<(String, String)> {
    let is_v2 = !command.is_response()
        && matches!(
            request.map(RequestCode),
            Some(
                RequestCode::SEND_MESSAGE_V2
                    | RequestCode::SEND_BATCH_MESSAGE
                    | RequestCode::SEND_REPLY_MESSAGE_V2
            )
        );
    let long = |key: &str| match SEND_V2.iter().find(|(short, _)| is_v2 && *short == key) {
        Some((_, long)) => (*long).to_owned(),
        None => key.to_owned(),
    };
    let shown = |key: &str, value: &str| match SECRETS.contains(&key) {
        true => "***".to_owned(),
        false => value.to_owned(),
    };
    command.fields.to_vec().iter().map(|(key, value)| (long(key), shown(key, value))).collect()
}

/// A field's value, spelled out where the number or the bytes say little.
fn in_words(command: &Command, key: &str, value: &str) -> String {
    let pull = matches!(command.request_code(), RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE);
    match key {
        "properties" => {
            let pairs: Vec<String> =
                properties::iter(value).map(|(name, value)| format!("{name}={}", clean(value))).collect();
            pairs.join(" ")
        }
        "sysFlag" if pull && !command.is_response() => {
            let bits: i64 = value.parse().unwrap_or_default();
            let names: Vec<&str> =
                PULL_BITS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
            format!("{} ({})", clean(value), names.join(", "))
        }
        _ => clean(value),
    }
}

fn clean(value: &str) -> String {
    preview(&value.to_owned().into(), 400)
}

fn names(command: &Command, request: Option<i32>) -> (Option<&'static str>, Option<String>) {
    if command.is_response() {
        let answers = request.map(|code| RequestCode(code).to_string());
        (ResponseCode(command.code).name(), answers)
    } else {
        (RequestCode(command.code).name(), None)
    }
}

fn kind(command: &Command) -> &'static str {
    match (command.is_response(), command.is_oneway()) {
        (true, _) => "response",
        (false, true) => "oneway",
        (false, false) => "request",
    }
}

fn encoding(command: &Command) -> &'static str {
    match command.encoding {
        Encoding::Json => "json",
        Encoding::Binary => "binary",
    }
}

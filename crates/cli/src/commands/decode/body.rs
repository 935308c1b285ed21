//! What a body holds, as far as it shows by itself or by the request's code.

use bytes::Bytes;
use rocketwire_protocol::{
    RequestCode,
    message::{RecordView, batch, records},
};
use serde_json::{Value, json};

use super::preview;

/// A body, in words and as a value.
pub(crate) struct Summary {
    pub(crate) words: String,
    pub(crate) json: Value,
}

/// `request`: the code of the request that this is, or answers. `None` for an empty body.
pub(crate) fn summary(body: &Bytes, request: Option<i32>, is_response: bool) -> Option<Summary> {
    if body.is_empty() {
        return None;
    }
    let code = request.map(RequestCode);
    if code == Some(RequestCode::SEND_BATCH_MESSAGE)
        && !is_response
        && let Ok(items) = batch::items(body.clone()).collect::<Result<Vec<_>, _>>()
    {
        return Some(batch_of(&items, body.len()));
    }
    if let Ok(records) = records(body.clone()).collect::<Result<Vec<_>, _>>() {
        return Some(stored(&records, body.len()));
    }
    Some(plain(body))
}

fn stored(records: &[RecordView], bytes: usize) -> Summary {
    let each: Vec<Value> = records
        .iter()
        .map(|record| {
            json!({
                "topic": record.topic(), "queueId": record.queue_id(), "queueOffset": record.queue_offset(),
                "physicalOffset": record.physical_offset(), "bodyBytes": record.body().len(),
                "storeTimestamp": record.store_timestamp(), "reconsumeTimes": record.reconsume_times(),
            })
        })
        .collect();
    let place = |record: &RecordView| {
        format!("{} queue {} offset {}", record.topic(), record.queue_id(), record.queue_offset())
    };
    let span = match records {
        [] => String::new(),
        [one] => format!(": {}", place(one)),
        [first, .., last] => format!(": {} to {}", place(first), last.queue_offset()),
    };
    Summary {
        words: format!("{} of {bytes} bytes{span}", count(records.len(), "stored message")),
        json: json!({ "kind": "records", "bytes": bytes, "records": each }),
    }
}

fn batch_of(items: &[batch::Item], bytes: usize) -> Summary {
    let sizes: Vec<usize> = items.iter().map(|item| item.body.len()).collect();
    Summary {
        words: format!("batch of {} in {bytes} bytes", count(items.len(), "message")),
        json: json!({ "kind": "batch", "bytes": bytes, "bodyBytes": sizes }),
    }
}

fn plain(body: &Bytes) -> Summary {
    let bytes = body.len();
    let is_text = std::str::from_utf8(body)
        .is_ok_and(|text| !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')));
    let kind = match body.first() {
        Some(b'{' | b'[') if is_text => "json",
        _ if is_text => "text",
        _ => "binary",
    };
    let shown = if is_text {
        preview(body, 160)
    } else {
        let head: String = body.iter().take(32).map(|b| format!("{b:02x}")).collect();
        if bytes > 32 { format!("{head}..") } else { head }
    };
    let mut json = json!({ "kind": kind, "bytes": bytes });
    // The dialect of bodies is not JSON, so it stays text.
    let (name, value) = if is_text {
        ("text", String::from_utf8_lossy(body).into_owned())
    } else {
        ("hex", body.iter().map(|b| format!("{b:02x}")).collect())
    };
    if let Some(object) = json.as_object_mut() {
        object.insert(name.to_owned(), Value::String(value));
    }
    Summary { words: format!("{kind}, {bytes} bytes: {shown}"), json }
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

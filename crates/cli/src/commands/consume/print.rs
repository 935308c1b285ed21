//! Messages, printed.

use rocketwire_protocol::message::MessageExt;
use serde::Serialize;
use serde_json::{Map, Value};

use super::pull::Batch;
use crate::{
    failure::Failure,
    output::{Format, Output},
};

pub(crate) struct Printer {
    out: Output,
    format: Format,
    left: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    topic: &'a str,
    broker_name: &'a str,
    queue_id: i32,
    queue_offset: i64,
    msg_id: String,
    offset_msg_id: String,
    tags: Option<&'a str>,
    keys: Vec<&'a str>,
    born_timestamp: i64,
    store_timestamp: i64,
    reconsume_times: i32,
    properties: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
}

impl Printer {
    pub(crate) fn new(format: Format, count: Option<u64>) -> Printer {
        Printer { out: Output::new(), format, left: count }
    }

    /// Prints a batch, as far as there are messages to print, and says where to go on behind the printed ones.
    pub(crate) fn batch(&mut self, batch: &Batch) -> Result<i64, Failure> {
        let mut next_offset = batch.next_offset;
        for message in &batch.messages {
            if self.is_done() {
                next_offset = message.queue_offset;
                break;
            }
            self.message(message)?;
            if let Some(left) = &mut self.left {
                *left -= 1;
            }
        }
        // Only what has left this process may be committed.
        self.out.flush()?;
        Ok(next_offset)
    }

    /// Whether as many were printed as were wanted.
    pub(crate) fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    fn message(&mut self, message: &MessageExt) -> Result<(), Failure> {
        match self.format {
            Format::Text => self.out.line(&message.body),
            Format::Json => self.out.json(&printed(message)),
        }
    }
}

fn printed(message: &MessageExt) -> Printed<'_> {
    let body = std::str::from_utf8(&message.body).ok();
    let hex = || message.body.iter().map(|b| format!("{b:02x}")).collect();
    let pairs = rocketwire_protocol::message::properties::iter(&message.properties);
    Printed {
        topic: &message.topic,
        broker_name: &message.broker_name,
        queue_id: message.queue_id,
        queue_offset: message.queue_offset,
        msg_id: message.msg_id(),
        offset_msg_id: message.offset_msg_id().to_string(),
        tags: message.tags(),
        keys: message.keys().collect(),
        born_timestamp: message.born_timestamp,
        store_timestamp: message.store_timestamp,
        reconsume_times: message.reconsume_times,
        properties: pairs.map(|(name, value)| (name.to_owned(), Value::String(value.to_owned()))).collect(),
        body_hex: body.is_none().then(hex),
        body,
    }
}

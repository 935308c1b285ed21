//! Request and reply over messages (spec client E.11).

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use bytestring::ByteString;
use rocketwire_protocol::{
    Command,
    header::ReplyMessageRequestHeader,
    message::{Message, MessageExt, SysFlag, properties, property},
};
use tokio::{sync::oneshot, time::Instant};

use super::{ProducerCore, Target};
use crate::{Invalid, SendError, identity::now_ms, tasks::after};

/// Requests that wait for their reply, by correlation id. One entry per caller that waits.
#[derive(Debug, Default)]
pub(crate) struct Replies(Mutex<HashMap<String, oneshot::Sender<MessageExt>>>);

impl Replies {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<MessageExt>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, id: &str) -> (Waiting<'_>, oneshot::Receiver<MessageExt>) {
        let (sender, reply) = oneshot::channel();
        self.lock().insert(id.to_owned(), sender);
        (Waiting { replies: self, id: id.to_owned() }, reply)
    }

    /// Hands a reply to whoever waits for it; a late one is dropped.
    pub(crate) fn arrived(&self, reply: MessageExt) {
        let waiting = reply.property(property::CORRELATION_ID).and_then(|id| self.lock().remove(id));
        match waiting {
            // The caller may have given up this very moment.
            Some(waiting) => drop(waiting.send(reply)),
            None => tracing::debug!(id = reply.msg_id(), "nobody waits for this reply"),
        }
    }
}

/// Takes the entry away when the caller is done or dropped.
struct Waiting<'a> {
    replies: &'a Replies,
    id: String,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.replies.lock().remove(&self.id);
    }
}

impl ProducerCore {
    pub(super) async fn request(
        &self,
        mut message: Message,
        timeout: Duration,
    ) -> Result<MessageExt, SendError> {
        let begun = Instant::now();
        let deadline = after(timeout);
        let client = &self.client.inner;
        let topic = message.topic().clone();
        self.check_open(&topic)?;
        let route = self.route(&topic, deadline).await;
        route.map_err(|error| SendError::route(&topic, error, begun.elapsed()))?;
        if !client.is_announced() {
            // The broker finds the way back by the heartbeat, so it must have one before the request.
            let _ = tokio::time::timeout_at(deadline, client.heartbeat_all()).await;
        }
        let id = client.unique_id();
        let set = message.properties_mut();
        set.set(property::CORRELATION_ID, &id);
        set.set(property::REPLY_TO_CLIENT, &client.client_id);
        set.set(property::TTL, &timeout.as_millis().to_string());
        let (_waiting, reply) = client.replies.wait(&id);
        let left = deadline.saturating_duration_since(Instant::now());
        self.send_to(Target::Any, message, left).await?;
        match tokio::time::timeout_at(deadline, reply).await {
            Ok(Ok(reply)) => Ok(reply),
            _ => Err(SendError::no_reply(&topic, begun.elapsed())),
        }
    }
}

/// The message that answers `request`; send it with any producer.
///
/// # Errors
/// [`Invalid::NotARequest`] if `request` does not say where the reply goes.
pub fn reply_to(request: &MessageExt, body: impl Into<Bytes>) -> Result<Message, Invalid> {
    let required = |name| request.property(name).ok_or(Invalid::NotARequest(name));
    let cluster = required(property::CLUSTER)?;
    let mut reply = Message::new(format!("{cluster}_REPLY_TOPIC"), body);
    let set = reply.properties_mut();
    set.set(property::MSG_TYPE, property::MSG_TYPE_REPLY);
    set.set(property::CORRELATION_ID, required(property::CORRELATION_ID)?);
    set.set(property::REPLY_TO_CLIENT, required(property::REPLY_TO_CLIENT)?);
    set.set(property::TTL, request.property(property::TTL).unwrap_or("3000"));
    Ok(reply)
}

/// The reply in a PUSH_REPLY_MESSAGE_TO_CLIENT. `None` if it cannot be read.
pub(crate) fn read_reply(command: &Command, max_decompressed: usize) -> Option<MessageExt> {
    let header: ReplyMessageRequestHeader = command.header().ok()?;
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut text = header.properties.map(|text| text.to_string()).unwrap_or_default();
    properties::append(&mut text, property::ARRIVE_TIME, &now_ms().to_string());
    let mut reply = MessageExt {
        topic: header.topic,
        broker_name: ByteString::new(),
        queue_id: header.queue_id,
        queue_offset: 0,
        physical_offset: 0,
        flag: header.flag,
        sys_flag: SysFlag(header.sys_flag),
        properties: text.into(),
        body: command.body.clone(),
        body_crc: 0,
        born_host: header.born_host.parse().unwrap_or(unknown),
        born_timestamp: header.born_timestamp,
        store_host: header.store_host.parse().unwrap_or(unknown),
        store_timestamp: header.store_timestamp,
        reconsume_times: header.reconsume_times.unwrap_or(0),
        prepared_transaction_offset: 0,
        store_size: 0,
    };
    reply.decompress(max_decompressed).ok()?;
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(text: &str) -> Command {
        Command::of(&ReplyMessageRequestHeader {
            topic: "c_REPLY_TOPIC".into(),
            properties: Some(text.into()),
            born_host: "10.0.0.9:1".into(),
            store_host: "nonsense".into(),
            ..ReplyMessageRequestHeader::default()
        })
        .with_body("answer")
    }

    #[test]
    fn a_reply_goes_back_to_the_cluster_and_client_that_asked() {
        // spec: client 70
        let text = "CLUSTER\u{1}c\u{2}CORRELATION_ID\u{1}7\u{2}REPLY_TO_CLIENT\u{1}me\u{2}TTL\u{1}5\u{2}";
        let request = read_reply(&pushed(text), 100).expect("a message");
        let reply = reply_to(&request, "answer").expect("it is a request");
        assert_eq!(&**reply.topic(), "c_REPLY_TOPIC");
        let text =
            "MSG_TYPE\u{1}reply\u{2}CORRELATION_ID\u{1}7\u{2}REPLY_TO_CLIENT\u{1}me\u{2}TTL\u{1}5\u{2}";
        assert_eq!(reply.properties().as_str(), text);
        let no_request = read_reply(&pushed("CORRELATION_ID\u{1}7\u{2}"), 100).expect("a message");
        assert_eq!(reply_to(&no_request, "answer"), Err(Invalid::NotARequest("CLUSTER")));
    }

    #[test]
    fn an_entry_ends_with_its_caller() {
        let replies = Replies::default();
        let (waiting, mut reply) = replies.wait("7");
        replies.arrived(read_reply(&pushed("CORRELATION_ID\u{1}other\u{2}"), 100).expect("a message"));
        assert!(reply.try_recv().is_err(), "not this one's");
        replies.arrived(read_reply(&pushed("CORRELATION_ID\u{1}7\u{2}"), 100).expect("a message"));
        assert_eq!(reply.try_recv().expect("the reply").body, "answer");
        let (other, _) = replies.wait("8");
        drop((waiting, other));
        assert!(replies.lock().is_empty());
    }
}

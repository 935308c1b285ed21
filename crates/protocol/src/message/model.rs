//! A message to be sent.

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    NameError, Properties,
    name::{self, check_topic},
    properties::{self, is_clean},
    property,
};

/// A message as a producer hands it over (Java: `Message`).
///
/// ```
/// use rocketwire_protocol::message::Message;
///
/// let message = Message::new("TopicTest", "hello")
///     .with_tag("TagA")
///     .with_key("order-7")
///     .with_property("region", "eu")?;
/// assert_eq!(message.property("TAGS"), Some("TagA"));
/// # Ok::<(), rocketwire_protocol::message::MessageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    topic: ByteString,
    flag: i32,
    properties: Properties,
    body: Bytes,
}

/// A message that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The topic may not be called so.
    #[error(transparent)]
    Topic(#[from] NameError),
    /// The topic is one of the broker's own.
    #[error("Sending message to topic[{0}] is forbidden.")]
    TopicForbidden(String),
    /// There is no body.
    #[error("the message body length is zero")]
    BodyEmpty,
    /// The body is larger than the producer and the broker accept.
    #[error("the message body size over max value, MAX: {limit}")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The property has a name that RocketMQ uses itself.
    #[error("The Property<{0}> is used by system, input another please")]
    PropertyReserved(String),
    /// An empty name or value, or a separator (0x01, 0x02) in one of them.
    #[error("property {0:?}: name and value may neither be empty nor contain 0x01 or 0x02")]
    PropertyIllegal(String),
    /// All properties together do not fit a record.
    #[error("properties of {0} bytes exceed 32767 bytes")]
    PropertiesTooLong(usize),
}

impl Message {
    /// A message for `topic`; [`Message::check`] looks at both.
    pub fn new(topic: impl Into<ByteString>, body: impl Into<Bytes>) -> Message {
        Message { topic: topic.into(), flag: 0, properties: Properties::new(), body: body.into() }
    }

    /// The tag that consumers filter by; a message has one.
    pub fn with_tag(mut self, tag: &str) -> Message {
        self.properties.set(property::TAGS, tag);
        self
    }

    /// One more key to find the message by. A key has no spaces.
    pub fn with_key(mut self, key: &str) -> Message {
        let keys = match self.properties.get(property::KEYS) {
            Some(keys) => format!("{keys}{}{key}", property::KEY_SEPARATOR),
            None => key.to_owned(),
        };
        self.properties.set(property::KEYS, &keys);
        self
    }

    /// Delays delivery by one of the broker's levels, by default 1 (1 s) to 18 (2 h).
    pub fn with_delay_level(mut self, level: u32) -> Message {
        self.properties.set(property::DELAY, &level.to_string());
        self
    }

    /// Whether the answer waits for disk and replicas, as the broker is configured. Default: yes.
    pub fn with_wait_store(mut self, wait: bool) -> Message {
        self.properties.set(property::WAIT, if wait { "true" } else { "false" });
        self
    }

    /// A number for the user's own purposes.
    pub fn with_flag(mut self, flag: i32) -> Message {
        self.flag = flag;
        self
    }

    /// Another body.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Message {
        self.body = body.into();
        self
    }

    /// A property of the user (Java: `putUserProperty`). Names that RocketMQ reserves are refused, as are empty
    /// names and values and those that hold a separator.
    pub fn with_property(mut self, name: &str, value: &str) -> Result<Message, MessageError> {
        if property::is_reserved(name) {
            return Err(MessageError::PropertyReserved(name.to_owned()));
        }
        if !is_clean(name) || !is_clean(value) {
            return Err(MessageError::PropertyIllegal(name.to_owned()));
        }
        self.properties.set(name, value);
        Ok(self)
    }

    /// The topic.
    pub fn topic(&self) -> &ByteString {
        &self.topic
    }

    /// The user's number.
    pub fn flag(&self) -> i32 {
        self.flag
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// All properties.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// All properties, reserved ones included: for whoever sends the message.
    pub fn properties_mut(&mut self) -> &mut Properties {
        &mut self.properties
    }

    /// A property's value.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name)
    }

    /// Whether the answer waits for disk and replicas.
    pub fn wait_store(&self) -> bool {
        self.property(property::WAIT) != Some("false")
    }

    /// The delay level; 0 if there is none.
    pub fn delay_level(&self) -> i32 {
        self.property(property::DELAY).and_then(|level| level.parse().ok()).unwrap_or(0)
    }

    /// Checks what can be checked before sending (Java: `Validators.checkMessage`); `max_body` in bytes.
    pub fn check(&self, max_body: usize) -> Result<(), MessageError> {
        check_topic(&self.topic)?;
        if name::is_send_forbidden(&self.topic) {
            return Err(MessageError::TopicForbidden(self.topic.to_string()));
        }
        if self.body.is_empty() {
            return Err(MessageError::BodyEmpty);
        }
        if self.body.len() > max_body {
            return Err(MessageError::BodyTooLarge { limit: max_body });
        }
        if self.properties.encoded_len() > properties::MAX_LEN {
            return Err(MessageError::PropertiesTooLong(self.properties.encoded_len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_what_java_builds() {
        let message = Message::new("T", "m")
            .with_tag("A")
            .with_key("k-0")
            .with_key("k-1")
            .with_delay_level(3)
            .with_wait_store(false)
            .with_flag(9);
        assert_eq!(
            message.properties().as_str(),
            "TAGS\u{1}A\u{2}KEYS\u{1}k-0 k-1\u{2}DELAY\u{1}3\u{2}WAIT\u{1}false\u{2}"
        );
        assert_eq!((message.delay_level(), message.wait_store(), message.flag()), (3, false, 9));
        assert!(Message::new("T", "m").wait_store());
    }

    #[test]
    fn refuses_what_cannot_be_sent() {
        let message = || Message::new("T", "body");
        for name in ["TAGS", "UNIQ_KEY", "__RMQ.TRANSIENT.x"] {
            assert_eq!(
                message().with_property(name, "v"),
                Err(MessageError::PropertyReserved(name.to_owned()))
            );
        }
        for (name, value) in [("", "v"), ("a", ""), ("a\u{1}b", "v"), ("a", "v\u{2}TAGS\u{1}x")] {
            assert_eq!(
                message().with_property(name, value),
                Err(MessageError::PropertyIllegal(name.to_owned()))
            );
        }
        assert_eq!(message().check(4), Ok(()));
        assert_eq!(message().check(3), Err(MessageError::BodyTooLarge { limit: 3 }));
        assert_eq!(message().with_body("").check(3), Err(MessageError::BodyEmpty));
        assert!(matches!(Message::new("a b", "x").check(1), Err(MessageError::Topic(_))));
        assert_eq!(
            Message::new("SELF_TEST_TOPIC", "x").check(1).unwrap_err().to_string(),
            "Sending message to topic[SELF_TEST_TOPIC] is forbidden."
        );
        let long = message().with_key(&"k".repeat(32_767));
        assert!(matches!(long.check(9), Err(MessageError::PropertiesTooLong(_))));
    }
}

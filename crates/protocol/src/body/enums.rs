//! Java's enums. Their order is that of their ordinals, which C++ and Go write instead of names.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

use crate::LanguageCode;

macro_rules! enums {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $wire:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $wire)] $variant,)*
        }

        impl $name {
            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $wire,)*
                }
            }
        }

        /// The name on the wire.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    )*};
}

enums! {
    /// Who begins: the consumer or the broker (Java: `ConsumeType`).
    ConsumeType {
        /// A pull consumer.
        Actively = "CONSUME_ACTIVELY",
        /// A push consumer.
        #[default]
        Passively = "CONSUME_PASSIVELY",
        /// A pop consumer.
        Pop = "CONSUME_POP",
    }

    /// Who gets a message (Java: `MessageModel`).
    MessageModel {
        /// Every consumer of the group.
        Broadcasting = "BROADCASTING",
        /// One consumer of the group.
        #[default]
        Clustering = "CLUSTERING",
    }

    /// Where a new group begins (Java: `ConsumeFromWhere`).
    ConsumeFromWhere {
        /// At the end of the queues.
        #[default]
        LastOffset = "CONSUME_FROM_LAST_OFFSET",
        /// Not in use any more.
        LastOffsetAndFromMinWhenBootFirst = "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        /// Not in use any more.
        MinOffset = "CONSUME_FROM_MIN_OFFSET",
        /// Not in use any more.
        MaxOffset = "CONSUME_FROM_MAX_OFFSET",
        /// At the beginning of the queues.
        FirstOffset = "CONSUME_FROM_FIRST_OFFSET",
        /// At a time.
        Timestamp = "CONSUME_FROM_TIMESTAMP",
    }

    /// How many tags a topic's messages have (Java: `TopicFilterType`).
    TopicFilterType {
        /// One at most.
        #[default]
        SingleTag = "SINGLE_TAG",
        /// Several.
        MultiTag = "MULTI_TAG",
    }

    /// How a group gets its messages (Java: `MessageRequestMode`).
    MessageRequestMode {
        /// By PULL_MESSAGE, from queues of its own.
        #[default]
        Pull = "PULL",
        /// By POP_MESSAGE, from queues of all.
        Pop = "POP",
    }

    /// What came of a message that was consumed directly (Java: `CMResult`).
    CMResult {
        /// Consumed.
        #[default]
        Success = "CR_SUCCESS",
        /// To be consumed again later.
        Later = "CR_LATER",
        /// Rolled back.
        Rollback = "CR_ROLLBACK",
        /// Committed.
        Commit = "CR_COMMIT",
        /// The listener threw.
        ThrowException = "CR_THROW_EXCEPTION",
        /// The listener returned null.
        ReturnNull = "CR_RETURN_NULL",
    }
}

/// By its name; one that is not known is null, as in Java.
impl Serialize for LanguageCode {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.name() {
            Some(name) => out.serialize_str(name),
            None => out.serialize_none(),
        }
    }
}

/// From its name or its code; what is not known becomes [`LanguageCode::UNKNOWN`].
impl<'de> Deserialize<'de> for LanguageCode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Language;

        impl Visitor<'_> for Language {
            type Value = LanguageCode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a language")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<LanguageCode, E> {
                Ok(LanguageCode::from_name(name))
            }

            fn visit_i64<E: de::Error>(self, code: i64) -> Result<LanguageCode, E> {
                let code = u8::try_from(code).map(LanguageCode);
                Ok(code.ok().filter(|code| code.name().is_some()).unwrap_or(LanguageCode::UNKNOWN))
            }
        }

        from.deserialize_any(Language)
    }
}

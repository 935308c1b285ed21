//! Message layouts: what a broker stores, what a pull returns and what a batch carries.
//!
//! | module | what is there |
//! |---|---|
//! | [`Message`], [`MessageExt`] | a message to send, a message received |
//! | [`record`] | the stored record: one layout for the log, pull answers and callbacks |
//! | [`batch`] | the body of a batch |
//! | [`properties`], [`property`] | the property string and the names that RocketMQ reserves |
//! | [`id`] | unique ids of producers and offset ids of brokers |
//! | [`compression`] | bodies that a producer compressed |
//! | [`name`] | which names topics and groups may have, and which are the system's |

pub mod batch;
pub mod compression;
mod ext;
pub mod id;
mod model;
pub mod name;
pub mod properties;
pub mod property;
pub mod record;
mod sys_flag;
mod tags;

pub use compression::{CompressionError, CompressionType, compress, decompress};
pub use ext::MessageExt;
pub use id::{OffsetMessageId, UniqIdGenerator};
pub use model::{Message, MessageError};
pub use name::{NameError, dlq_topic, retry_topic};
pub use properties::Properties;
pub use record::{NewRecord, RecordError, RecordView, records};
pub use sys_flag::{SysFlag, TransactionType};
pub use tags::tags_code;

//! Receiving messages: handed over (push) or fetched (pull).

mod concurrent;
mod core;
mod delivery;
mod handler;
mod offset_store;
mod options;
mod orderly;
mod pull;
mod pull_loop;
mod push;
mod rebalance;
mod send_back;
mod status;
mod work;

pub(crate) use self::core::PushCore;
pub(crate) use concurrent::consume_directly;
pub use delivery::{Delivery, DeliveryStream};
pub use handler::{ConsumeResult, OrderlyResult};
pub use options::{ConsumeFrom, PushConsumerOptions};
pub use pull::PullConsumer;
pub(crate) use pull_loop::with_original_topic;
pub use push::{PushConsumer, PushConsumerBuilder, ShutdownReport};
pub(crate) use status::{offsets, reset_offsets, running_info};

//! The topics of the broker (Java: `TopicConfigManager`; spec broker B.3, B.17, C.9).

pub(crate) mod attributes;
#[cfg(test)]
mod model_test;
mod staged;
mod system;
mod table;
#[cfg(test)]
mod tests;
mod topic;

pub(crate) use attributes::AttributeError;
pub(crate) use staged::Staged;
pub(crate) use system::system_topics;
pub(crate) use table::{Template, TopicError, TopicLimits, TopicOrigin, TopicSnapshot, Topics, bump};
use topic::{PERM_INHERIT, UNIT_FLAG, open};
pub(crate) use topic::{PERM_READ, PERM_WRITE, Topic, new_config, unit_sub_flag};

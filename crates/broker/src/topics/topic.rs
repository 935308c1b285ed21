//! One topic.

use std::sync::Arc;

use bytestring::ByteString;
use rocketwire_protocol::body::TopicConfig;

use crate::{call::owned, meters::Meter, metrics::Traffic};

/// Messages may be read.
pub(crate) const PERM_READ: i32 = 4;
/// Messages may be sent.
pub(crate) const PERM_WRITE: i32 = 2;
/// The topic may be the template of another.
pub(crate) const PERM_INHERIT: i32 = 1;

/// Bits of `topicSysFlag`: a topic of a unit, and one of groups that read topics of units.
pub(super) const UNIT_FLAG: i32 = 1;
const UNIT_SUB_FLAG: i32 = 2;

/// `topicSysFlag` of a retry topic.
pub(crate) fn unit_sub_flag(is_unit: bool) -> i32 {
    if is_unit { UNIT_SUB_FLAG } else { 0 }
}

/// A topic as the hot path needs it. `Q` is how the store names a queue.
#[derive(Debug)]
pub(crate) struct Topic<Q> {
    /// Its settings.
    pub(crate) config: TopicConfig,
    /// What was stored in it since the start.
    pub(crate) puts: Arc<Meter>,
    /// The store's queues by number, enough for reading and writing.
    queues: Vec<Q>,
    traffic: Arc<Traffic>,
}

impl<Q: Copy> Topic<Q> {
    /// The store's queue of a number, if there is one.
    pub(crate) fn queue(&self, queue_id: i32) -> Option<Q> {
        self.queues.get(usize::try_from(queue_id).ok()?).copied()
    }

    /// The topic's name.
    pub(crate) fn name(&self) -> &ByteString {
        &self.config.topic_name
    }

    /// What came in for it.
    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Whether messages may be sent.
    pub(crate) fn is_writable(&self) -> bool {
        self.config.perm & PERM_WRITE != 0
    }

    /// Whether messages may be pulled.
    pub(crate) fn is_readable(&self) -> bool {
        self.config.perm & PERM_READ != 0
    }

    /// Numbers of the queues that a pull may name.
    pub(crate) fn read_queues(&self) -> impl Iterator<Item = (i32, Q)> + '_ {
        (0..self.config.read_queue_nums).filter_map(|id| Some((id, self.queue(id)?)))
    }

    /// Every queue, whether it is for reading or writing.
    pub(crate) fn all_queues(&self) -> impl Iterator<Item = (i32, Q)> + '_ {
        (0..).zip(self.queues.iter().copied())
    }
}

/// A topic with as many queues for reading as for writing.
pub(crate) fn new_config(name: &str, queues: i32, perm: i32) -> TopicConfig {
    TopicConfig { perm, ..TopicConfig::new(name, queues, queues) }
}

/// A topic with the queues of the store. `before` is what it replaces: what was counted goes on.
pub(super) fn open<Q>(
    mut config: TopicConfig,
    before: Option<&Topic<Q>>,
    queue: impl Fn(&str, u32) -> Q,
) -> Topic<Q> {
    let puts = before.map(|topic| Arc::clone(&topic.puts)).unwrap_or_default();
    let traffic = before.map(|topic| Arc::clone(&topic.traffic)).unwrap_or_default();
    config.topic_name = owned(&config.topic_name);
    let count = config.read_queue_nums.max(config.write_queue_nums);
    let queues = (0..u32::try_from(count).unwrap_or(0)).map(|id| queue(&config.topic_name, id)).collect();
    Topic { config, puts, queues, traffic }
}

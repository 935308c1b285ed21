//! Whether the broker as a whole takes messages and gives them out (Java: `brokerPermission`).
//!
//! An operator takes the right to write before a broker is stopped: name servers tell producers to go elsewhere,
//! consumers empty it. As in Java it is the routes that keep producers away; of messages that come all the same only those
//! to ordered topics are refused.

use std::sync::atomic::{AtomicI32, Ordering};

use rocketwire_protocol::{ResponseCode, body::TopicConfig};

use crate::{
    call::{Call, Stop, refuse},
    shared::Shared,
    topics::{PERM_READ, PERM_WRITE},
};

/// Both.
pub(crate) const ALL: i32 = PERM_READ | PERM_WRITE;

/// Permission bits, which an operator may change.
#[derive(Debug)]
pub(crate) struct Permission(AtomicI32);

impl Permission {
    /// These bits. `None`: there are no such.
    pub(crate) fn new(bits: i32) -> Option<Permission> {
        (bits & !ALL == 0).then(|| Permission(AtomicI32::new(bits)))
    }

    /// The bits now.
    pub(crate) fn bits(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }

    fn has(&self, bit: i32) -> bool {
        self.bits() & bit != 0
    }
}

impl Shared {
    /// Refuses what a broker does not take that may not be written to.
    pub(crate) fn check_writable(&self, call: Call<'_>) -> Result<(), Stop> {
        if self.permission.has(PERM_WRITE) {
            return Ok(());
        }
        let remark = format!("the broker[{}] sending message is forbidden", self.ip(call));
        Err(refuse(ResponseCode::NO_PERMISSION, remark))
    }

    /// Whether messages may be pulled.
    pub(crate) fn is_readable(&self) -> bool {
        self.permission.has(PERM_READ)
    }

    /// What the broker calls itself in texts.
    pub(crate) fn ip(&self, call: Call<'_>) -> std::net::IpAddr {
        self.options.advertised.unwrap_or_else(|| call.connection.local_addr()).ip().to_canonical()
    }

    /// A topic as name servers are told of it.
    pub(crate) fn announced(&self, topic: &TopicConfig) -> TopicConfig {
        let bits = self.permission.bits();
        let perm = if bits == ALL { topic.perm } else { topic.perm & bits };
        TopicConfig { perm, ..topic.clone() }
    }

    /// Changes the permission, and tells name servers. Not kept over a restart.
    pub(crate) fn permit(&self, permission: &Permission) {
        self.permission.0.store(permission.bits(), Ordering::Relaxed);
        self.topics_mut().touch(self.now_ms());
        let topics: Vec<_> = self.topics().iter().cloned().collect();
        for topic in topics {
            self.listener.topic_changed(&self.announced(&topic.config));
        }
    }
}

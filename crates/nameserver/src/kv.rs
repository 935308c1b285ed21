//! Named values for operators (Java: `KVConfigManager`; spec broker A.3).

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;
use rocketwire_protocol::body::{self, BodyError};

/// Keeps the KV configuration over a restart. A name server without one keeps it in memory only.
pub trait KvKeeper: Send + Sync + 'static {
    /// Saves what `table` gives, and tells `done` how that went. Must not block.
    ///
    /// `table` gives the newest state at the moment it is called: call it when the save before has ended, so that
    /// the newest is the last that is written.
    fn keep(&self, table: KvTable, done: KvDone);
}

/// Gives the configuration as it is to be saved.
pub type KvTable = Box<dyn FnOnce() -> Bytes + Send>;
/// Is told the end of a save.
pub type KvDone = Box<dyn FnOnce(Result<(), String>) + Send>;

type Namespaces = BTreeMap<ByteString, BTreeMap<ByteString, ByteString>>;
/// The name of the only member, as in Java's `kvConfig.json`.
const CONFIG_TABLE: &str = "configTable";

/// Values by namespace and key.
#[derive(Debug)]
pub(crate) struct KvConfig {
    namespaces: Namespaces,
    max_entries: usize,
    max_bytes: usize,
}

/// Why an entry is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KvError {
    /// The table is full.
    TooMany,
    /// A name or value is too long.
    TooLong,
}

impl KvConfig {
    /// An empty table with its bounds.
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> KvConfig {
        KvConfig { namespaces: BTreeMap::new(), max_entries, max_bytes }
    }

    /// What is saved.
    pub(crate) fn encode(&self) -> Bytes {
        body::encode(&BTreeMap::from([(CONFIG_TABLE, &self.namespaces)]))
    }

    /// Takes back what was saved.
    pub(crate) fn restore(&mut self, saved: &[u8]) -> Result<(), BodyError> {
        let mut saved: BTreeMap<ByteString, Namespaces> = body::decode(saved)?;
        self.namespaces = saved.remove(CONFIG_TABLE).unwrap_or_default();
        Ok(())
    }

    /// Sets a value.
    pub(crate) fn put(&mut self, namespace: &str, key: &str, value: &str) -> Result<(), KvError> {
        if [namespace, key, value].iter().any(|text| text.len() > self.max_bytes) {
            return Err(KvError::TooLong);
        }
        let entries: usize = self.namespaces.values().map(BTreeMap::len).sum();
        if entries >= self.max_entries && self.get(namespace, key).is_none() {
            return Err(KvError::TooMany);
        }
        self.namespaces.entry(namespace.into()).or_default().insert(key.into(), value.into());
        Ok(())
    }

    /// A value.
    pub(crate) fn get(&self, namespace: &str, key: &str) -> Option<&ByteString> {
        self.namespaces.get(namespace)?.get(key)
    }

    /// Forgets a value.
    pub(crate) fn delete(&mut self, namespace: &str, key: &str) {
        if let Some(entries) = self.namespaces.get_mut(namespace) {
            entries.remove(key);
            if entries.is_empty() {
                self.namespaces.remove(namespace);
            }
        }
    }

    /// All of a namespace.
    pub(crate) fn namespace(&self, namespace: &str) -> Option<&BTreeMap<ByteString, ByteString>> {
        self.namespaces.get(namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_and_go_within_bounds() {
        let mut kv = KvConfig::new(2, 8);
        kv.put("n", "a", "1").unwrap();
        kv.put("n", "b", "2").unwrap();
        assert_eq!(kv.put("n", "c", "3"), Err(KvError::TooMany));
        kv.put("n", "a", "4").unwrap();
        assert_eq!(kv.put("n", "a", "123456789"), Err(KvError::TooLong));
        assert_eq!(kv.get("n", "a").unwrap(), "4");
        assert_eq!(kv.namespace("n").unwrap().len(), 2);
        kv.delete("n", "a");
        kv.delete("n", "b");
        kv.delete("other", "b");
        assert!(kv.namespace("n").is_none());
    }

    #[test]
    fn what_was_saved_comes_back() {
        let mut kv = KvConfig::new(9, 99);
        kv.put("n", "a", "1").unwrap();
        kv.put("m", "b", "\"2\"").unwrap();
        let saved = kv.encode();
        let mut again = KvConfig::new(9, 99);
        again.restore(&saved).unwrap();
        assert_eq!(again.get("m", "b").unwrap(), "\"2\"");
        assert_eq!(again.encode(), saved);
        // As Java's name server writes it.
        again.restore(br#"{"configTable":{"ORDER_TOPIC_CONFIG":{"T":"broker-a:4"}}}"#).unwrap();
        assert_eq!(again.get("ORDER_TOPIC_CONFIG", "T").unwrap(), "broker-a:4");
        assert!(again.restore(b"{").is_err());
    }
}

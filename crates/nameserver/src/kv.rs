//! Named values for operators (Java: `KVConfigManager`; spec broker A.3). In memory only.

use std::collections::BTreeMap;

use bytestring::ByteString;

/// Values by namespace and key.
#[derive(Debug)]
pub(crate) struct KvConfig {
    namespaces: BTreeMap<ByteString, BTreeMap<ByteString, ByteString>>,
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
}

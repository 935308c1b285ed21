//! Apache's tables (`config/*.json`), in fastjson's dialect.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use bytestring::ByteString;
use rocketwire_protocol::body::{
    self, SubscriptionGroupConfig, SubscriptionGroupWrapper, TopicConfig, TopicConfigSerializeWrapper,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::ImportError;

/// What the broker knew beside its log.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) topics: BTreeMap<ByteString, TopicConfig>,
    pub(super) groups: BTreeMap<ByteString, SubscriptionGroupConfig>,
    /// By group and topic: the next offset of each queue.
    pub(super) offsets: BTreeMap<(String, String), BTreeMap<i32, i64>>,
    /// By delay level: the next offset to deliver.
    pub(super) delays: BTreeMap<i32, i64>,
    /// `None`: the broker had no timer messages.
    pub(super) timers: Option<Timers>,
}

/// How far timer messages were delivered (`TimerCheckpoint`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timers {
    /// What was due before this is delivered, in milliseconds since 1970.
    pub(super) taken_to_ms: i64,
    /// The timer topic was read up to here.
    pub(super) read_to: i64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConsumerOffsets {
    /// By `topic@group`.
    offset_table: BTreeMap<ByteString, BTreeMap<i32, i64>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DelayOffsets {
    offset_table: BTreeMap<i32, i64>,
}

impl Config {
    pub(super) fn read(source: &Path) -> Result<Self, ImportError> {
        let not_apache = |reason| Err(ImportError::NotApache { dir: source.to_owned(), reason });
        if !source.join("commitlog").is_dir() {
            return not_apache("there is no folder commitlog");
        }
        let dir = source.join("config");
        let topics: Option<TopicConfigSerializeWrapper> = table(&dir, "topics.json")?;
        let Some(topics) = topics else {
            return match dir.join("topics").is_dir()
                || dir.join("rocksdb").is_dir()
                || dir.join("metadata").is_dir()
            {
                true => not_apache(
                    "its tables are in RocksDB, which is not read; write them as JSON with `mqadmin rocksDBConfigToJson` first",
                ),
                false => not_apache("there is no config/topics.json"),
            };
        };
        let groups: SubscriptionGroupWrapper = table(&dir, "subscriptionGroup.json")?.unwrap_or_default();
        let offsets: ConsumerOffsets = table(&dir, "consumerOffset.json")?.unwrap_or_default();
        let delays: DelayOffsets = table(&dir, "delayOffset.json")?.unwrap_or_default();
        Ok(Self {
            topics: topics.topic_config_table,
            groups: groups.subscription_group_table,
            offsets: offsets.offset_table.into_iter().filter_map(by_group).collect(),
            delays: delays.offset_table,
            timers: timers(&dir)?,
        })
    }
}

/// `config/timercheck`: time, place in a file that is not needed, offset.
fn timers(dir: &Path) -> Result<Option<Timers>, ImportError> {
    let path = dir.join("timercheck");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ImportError::io("read", &path)(error)),
    };
    let number =
        |at: usize| bytes.get(at..)?.first_chunk().copied().map(i64::from_be_bytes).filter(|it| *it >= 0);
    Ok(number(0).zip(number(16)).map(|(taken_to_ms, read_to)| Timers { taken_to_ms, read_to }))
}

fn by_group(
    (key, queues): (ByteString, BTreeMap<i32, i64>),
) -> Option<((String, String), BTreeMap<i32, i64>)> {
    let (topic, group) = key.split_once('@')?;
    Some(((group.to_owned(), topic.to_owned()), queues))
}

/// A table; like Java, its backup when it is missing or cannot be understood.
fn table<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<Option<T>, ImportError> {
    let mut first = None;
    for name in [name.to_owned(), format!("{name}.bak")] {
        let path = dir.join(name);
        match fs::read(&path) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => {}
            Ok(bytes) => match body::decode(&bytes) {
                Ok(table) => return Ok(Some(table)),
                Err(source) => drop(first.get_or_insert(ImportError::Config { path, source })),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ImportError::io("read", &path)(error)),
        }
    }
    first.map_or(Ok(None), Err)
}

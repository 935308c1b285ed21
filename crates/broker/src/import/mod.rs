//! Takes over the folder of Apache's broker (4.9 and 5.x): topics, messages with their queue offsets, groups and how far they
//! have come, delays and transactions that are under way.
//!
//! The source is only read. Records are laid out alike in both (spec broker C.1), so they are copied as they are; only their place in the
//! log changes, and with it the offset message id.
//!
//! | module | what it reads |
//! |---|---|
//! | `commit_log` | `commitlog/`: the records |
//! | `consume_queue` | `consumequeue/`: where queues end whose records are gone |
//! | `config` | `config/*.json`: topics, groups, offsets, delays |

mod commit_log;
mod config;
mod consume_queue;
mod error;
mod place;
#[cfg(test)]
mod place_checks;
mod report;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use rocketwire_protocol::message::{RecordView, TransactionType, name};
use rocketwire_store::import::{ImportError as StoreError, Importer};
use rocketwire_store::{Storage, StoreOptions};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use commit_log::Log;
use config::Config;

pub use error::ImportError;
pub use report::{ImportReport, ImportedQueue, LeftOut};

/// Copies Apache's store folder `source` into a new store in `options.dir`, which must be empty. Blocks on the disk.
///
/// The folder is the one that holds `commitlog` (`storePathRootDir`, by default `~/store`); its broker must be
/// stopped. When this fails, what is in the target is of no use: remove it.
///
/// # Errors
///
/// When the source is none, in use, or damaged in the middle; when the target is not empty; when the disk says no.
pub fn import_apache(
    source: &Path,
    options: StoreOptions,
    storage: Arc<dyn Storage>,
) -> Result<ImportReport, ImportError> {
    let config = Config::read(source)?;
    let _held = hold(source)?;
    let log = Log::open(source)?;
    let importer = Importer::create(options, storage)?;
    let mut import = Import { config, importer, report: ImportReport::default(), lives: BTreeSet::new() };
    import.records(&log)?;
    import.ends(source)?;
    import.tables()?;
    import.importer.finish()?;
    Ok(import.report.finish())
}

/// Keeps Apache's broker from running meanwhile: it wants its lock file for itself. Nothing is written to it.
fn hold(source: &Path) -> Result<Option<File>, ImportError> {
    let path = source.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ImportError::io("open", &path)(error)),
    };
    match fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::AGAIN | Errno::ACCESS) => Err(ImportError::InUse { dir: source.to_owned() }),
        Err(error) => Err(ImportError::io("lock", &path)(error.into())),
    }
}

struct Import {
    config: Config,
    importer: Importer,
    report: ImportReport,
    /// Topics of which at least one record was taken since they were created last.
    lives: BTreeSet<String>,
}

impl Import {
    fn records(&mut self, log: &Log) -> Result<(), ImportError> {
        let torn = log.each(|record, file, position| {
            self.record(record).map_err(|error| match error {
                ImportError::Store(StoreError::Order { topic, queue_id, expected, found }) => {
                    ImportError::Damaged {
                        file: file.to_owned(),
                        position,
                        reason: format!(
                            "queue {topic}/{queue_id} goes on with {found} instead of {expected}"
                        ),
                    }
                }
                other => other,
            })
        })?;
        self.report.torn_bytes = torn;
        Ok(())
    }

    fn record(&mut self, record: &RecordView) -> Result<(), ImportError> {
        let topic = record.topic();
        if let Some(reason) = self.refusal(topic, record) {
            self.report.leave_out(topic, reason);
            return Ok(());
        }
        let queue_id = record.queue_id().cast_unsigned();
        let is_queued = !matches!(
            record.sys_flag().transaction_type(),
            TransactionType::Prepared | TransactionType::Rollback
        );
        let next = self.importer.next_offset(topic, queue_id);
        if is_queued && record.queue_offset() == 0 && next.is_some_and(|next| next > 0) {
            // The topic was deleted and made again: Java forgets its queues and leaves its records in the log.
            self.importer.begin_again(topic, queue_id);
            let is_new = |queue_id| self.importer.next_offset(topic, queue_id).is_some();
            self.report.reborn(topic, is_new);
            self.lives.remove(topic);
        }
        let lost = next.map_or(0, |next| record.queue_offset() - next);
        self.importer.append(&record.raw())?;
        self.report.add(record, is_queued, if is_queued { lost.max(0) } else { 0 });
        self.lives.insert(topic.to_owned());
        Ok(())
    }

    /// Why a record is left out.
    fn refusal(&self, topic: &str, record: &RecordView) -> Option<LeftOut> {
        let is_known = self.config.topics.contains_key(topic) || name::SYSTEM_TOPICS.contains(&topic);
        match topic {
            _ if !is_known => Some(LeftOut::DeletedTopic),
            name::TIMER_TOPIC if self.config.timers.is_none() => Some(LeftOut::Timer),
            _ if topic.starts_with("rmq_sys_REVIVE_LOG_") => Some(LeftOut::Pop),
            _ if record.queue_id() < 0 || record.queue_offset() < 0 => Some(LeftOut::Nonsense),
            _ if record.property("INNER_NUM").is_some() => Some(LeftOut::BatchQueue),
            _ => None,
        }
    }

    /// Queues whose records are all gone go on where they were.
    fn ends(&mut self, source: &Path) -> Result<(), ImportError> {
        for (topic, queue_id, end) in consume_queue::ends(source)? {
            let is_wanted = self.config.topics.contains_key(&*topic)
                && !self.lives.contains(&topic)
                && !topic.starts_with("rmq_sys_REVIVE_LOG_");
            if is_wanted
                || (self.lives.contains(&topic) && self.importer.next_offset(&topic, queue_id).is_none())
            {
                self.importer.begin_queue(&topic, queue_id, end);
                self.report.empty(&topic, queue_id, end);
            }
        }
        Ok(())
    }

    fn tables(&mut self) -> Result<(), ImportError> {
        let ends: BTreeMap<(String, i32), i64> = self.report.ends();
        for (name, content) in tables::of(&self.config, &ends) {
            self.importer.save_table(name, &content)?;
        }
        self.report.take(&self.config);
        Ok(())
    }
}

//! Offsets of a consumer: in memory, and from time to time at the broker or in a file (spec client F.11).

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rocketwire_protocol::body::MessageQueue;
use tokio::time::Instant;

use crate::{
    RequestError,
    client::Inner,
    offsets::{OffsetTable, local_file},
};

/// Where a consumer stands.
pub(crate) struct OffsetStore {
    table: Mutex<OffsetTable>,
    /// Broadcasting: every client has its own offsets, in this file.
    file: Option<PathBuf>,
    /// Held while the file is written: of two at a time, the older offsets might come last.
    saving: Mutex<()>,
}

impl OffsetStore {
    /// Offsets at the brokers.
    pub(crate) fn broker() -> OffsetStore {
        OffsetStore { table: Mutex::default(), file: None, saving: Mutex::default() }
    }

    /// Offsets in a file.
    pub(crate) fn file(path: PathBuf) -> Result<OffsetStore, RequestError> {
        let mut table = OffsetTable::default();
        for (queue, offset) in local_file::load(&path)? {
            table.update(&queue, offset, false);
        }
        table.take_dirty();
        Ok(OffsetStore { table: Mutex::new(table), file: Some(path), saving: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, OffsetTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The offset in memory.
    pub(crate) fn read(&self, queue: &MessageQueue) -> Option<i64> {
        self.lock().read(queue)
    }

    /// The offset that is stored; `None` if there is none.
    pub(crate) async fn stored(
        &self,
        client: &Inner,
        group: &str,
        queue: &MessageQueue,
    ) -> Result<Option<i64>, RequestError> {
        if self.file.is_some() {
            return Ok(self.read(queue));
        }
        let address = client.queue_address(queue).await?;
        client.broker(&address).committed(group, queue, false).await
    }

    pub(crate) fn update(&self, queue: &MessageQueue, offset: i64, increase_only: bool) {
        self.lock().update(queue, offset, increase_only);
    }

    pub(crate) fn freeze(&self, queue: &MessageQueue, offset: i64) {
        self.lock().freeze(queue, offset);
    }

    pub(crate) fn snapshot(&self) -> Vec<(MessageQueue, i64)> {
        self.lock().snapshot()
    }

    /// Forgets queues that belong to others now. A file keeps them: nobody else does.
    pub(crate) fn retain(&self, assigned: impl Fn(&MessageQueue) -> bool) {
        if self.file.is_none() {
            self.lock().retain(assigned);
        }
    }

    /// Stores one queue's offset, if it has one, without waiting for an answer.
    pub(crate) async fn persist_one(&self, client: &Inner, group: &str, queue: &MessageQueue) {
        if let Some(offset) = self.read(queue) {
            if self.file.is_some() {
                self.save();
            } else {
                self.commit_oneway(client, group, queue, offset).await;
            }
        }
    }

    /// [`OffsetStore::persist_one`], and forgets it. A file keeps it.
    pub(crate) async fn persist_and_forget(&self, client: &Inner, group: &str, queue: &MessageQueue) {
        self.persist_one(client, group, queue).await;
        match self.file {
            Some(_) => self.lock().thaw(queue),
            None => self.lock().remove(queue),
        }
    }

    /// Stores what changed, or `all`, without waiting for answers.
    pub(crate) async fn persist(&self, client: &Inner, group: &str, all: bool) {
        let changed = self.lock().take_dirty();
        if self.file.is_some() {
            if !changed.is_empty() {
                self.save();
            }
            return;
        }
        let offsets = if all { self.snapshot() } else { changed };
        for (queue, offset) in offsets {
            self.commit_oneway(client, group, &queue, offset).await;
        }
    }

    /// Stores what is not stored yet and waits for the answers; how many queues failed.
    pub(crate) async fn flush(&self, client: &Inner, group: &str, deadline: Instant) -> usize {
        if self.file.is_some() {
            return usize::from(!self.save());
        }
        // Offsets that went out without an answer may be lost with their connection, so all go once more.
        self.lock().take_dirty();
        let mut failed = 0;
        for (queue, offset) in self.snapshot() {
            let commit = async {
                let address = client.queue_address(&queue).await?;
                client.broker(&address).commit(group, &queue, offset).await
            };
            match tokio::time::timeout_at(deadline, commit).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%queue, offset, %error, "the offset is not committed");
                    self.lock().mark_dirty(&queue);
                    failed += 1;
                }
                Err(_) => {
                    self.lock().mark_dirty(&queue);
                    failed += 1;
                }
            }
        }
        failed
    }

    async fn commit_oneway(&self, client: &Inner, group: &str, queue: &MessageQueue, offset: i64) {
        let address = client.queue_address(queue).await;
        let sent = match &address {
            Ok(address) => client.broker(address).commit_oneway(group, queue, offset).await,
            Err(error) => Err(error.clone()),
        };
        if let Err(error) = sent {
            tracing::warn!(%queue, offset, %error, "the offset is not committed yet");
            self.lock().mark_dirty(queue);
        }
    }

    fn save(&self) -> bool {
        let Some(path) = &self.file else { return true };
        let _alone = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = local_file::save(path, self.snapshot());
        if let Err(error) = &saved {
            tracing::error!(%error, "offsets are not saved");
        }
        saved.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_corrected_offset_in_a_file_moves_on_when_the_queue_is_taken_again() {
        // spec: client 91 108
        let folder = std::env::temp_dir().join(format!("rocketwire-freeze-{:x}", crate::identity::random()));
        let store = OffsetStore::file(folder.join("offsets.json")).expect("no file yet");
        let client = crate::Client::builder().name_servers("127.0.0.1:1").build().expect("a client");
        let queue = MessageQueue::new("T", "a", 0);
        store.freeze(&queue, 20);
        store.update(&queue, 21, true);
        assert_eq!(store.read(&queue), Some(20), "a late handler changes nothing");
        store.persist_and_forget(&client.inner, "G", &queue).await;
        assert_eq!(store.stored(&client.inner, "G", &queue).await.expect("from the file"), Some(20));
        store.update(&queue, 25, true);
        assert_eq!(store.read(&queue), Some(25));
        std::fs::remove_dir_all(&folder).expect("the folder is there");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn saving_from_several_threads_at_once_keeps_the_newest() {
        // spec: client 108
        let folder = std::env::temp_dir().join(format!("rocketwire-saves-{:x}", crate::identity::random()));
        let path = folder.join("offsets.json");
        let store = std::sync::Arc::new(OffsetStore::file(path.clone()).expect("no file yet"));
        let client = crate::Client::builder().name_servers("127.0.0.1:1").build().expect("a client");
        let mut saving = tokio::task::JoinSet::new();
        for id in 0..8 {
            let (store, client) = (store.clone(), client.clone());
            saving.spawn(async move {
                let queue = MessageQueue::new("T", "a", id);
                let mut failed = 0;
                for offset in 0..50 {
                    store.update(&queue, offset, true);
                    failed += store.flush(&client.inner, "G", Instant::now()).await;
                }
                failed
            });
        }
        assert_eq!(saving.join_all().await, [0; 8]);
        let saved = local_file::load(&path).expect("the file");
        assert!(saved.len() == 8 && saved.iter().all(|(_, offset)| *offset == 49), "{saved:?}");
        std::fs::remove_dir_all(&folder).expect("the folder is there");
    }
}

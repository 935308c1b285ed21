//! The producers and consumers of a client, by group.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{RequestError, RequestErrorKind, consumer::PushCore, producer::ProducerCore};

/// Who lives in this client. Holds no one alive.
#[derive(Default)]
pub(crate) struct Groups(Mutex<Members>);

#[derive(Default)]
struct Members {
    producers: BTreeMap<String, Weak<ProducerCore>>,
    consumers: BTreeMap<String, Weak<PushCore>>,
}

impl Groups {
    fn lock(&self) -> MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a producer, unless the group has one.
    pub(crate) fn add_producer(
        &self,
        group: &str,
        new: impl FnOnce() -> ProducerCore,
    ) -> Result<Arc<ProducerCore>, RequestError> {
        let mut members = self.lock();
        if members.producers.get(group).is_some_and(|core| core.strong_count() > 0) {
            return Err(taken(group));
        }
        let core = Arc::new(new());
        members.producers.insert(group.to_owned(), Arc::downgrade(&core));
        Ok(core)
    }

    /// Forgets a group's producer, if that one is gone.
    pub(crate) fn remove_producer(&self, group: &str) {
        let mut members = self.lock();
        if members.producers.get(group).is_some_and(|core| core.strong_count() == 0) {
            members.producers.remove(group);
        }
    }

    /// Forgets a producer that leaves, though somebody may still have it.
    pub(crate) fn forget_producer(&self, core: &Arc<ProducerCore>) {
        let mut members = self.lock();
        let is_it = |known: &Weak<ProducerCore>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(core));
        if members.producers.get(&*core.group).is_some_and(is_it) {
            members.producers.remove(&*core.group);
        }
    }

    pub(crate) fn add_consumer(&self, core: &Arc<PushCore>) -> Result<(), RequestError> {
        let mut members = self.lock();
        if members.consumers.get(&*core.group).is_some_and(|core| core.strong_count() > 0) {
            return Err(taken(&core.group));
        }
        members.consumers.insert(core.group.to_string(), Arc::downgrade(core));
        Ok(())
    }

    pub(crate) fn remove_consumer(&self, group: &str) {
        self.lock().consumers.remove(group);
    }

    pub(crate) fn producer(&self, group: &str) -> Option<Arc<ProducerCore>> {
        self.lock().producers.get(group)?.upgrade()
    }

    pub(crate) fn consumer(&self, group: &str) -> Option<Arc<PushCore>> {
        self.lock().consumers.get(group)?.upgrade()
    }

    pub(crate) fn producer_groups(&self) -> Vec<String> {
        let members = self.lock();
        let alive = members.producers.iter().filter(|(_, core)| core.strong_count() > 0);
        alive.map(|(group, _)| group.clone()).collect()
    }

    pub(crate) fn consumers(&self) -> Vec<Arc<PushCore>> {
        self.lock().consumers.values().filter_map(Weak::upgrade).collect()
    }
}

fn taken(group: &str) -> RequestError {
    RequestError::new("joining the group", None, RequestErrorKind::GroupTaken(group.to_owned()))
}

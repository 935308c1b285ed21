//! Deleting a topic, so that a crash at any moment leaves nothing of it that nobody can delete any more.
//!
//! ```text
//! messages -> offsets of its groups -> the topic itself -> parked pulls, name server
//! ```
//! The topic goes last: as long as it is there the operator, who had no answer, can delete it again. Were it the first to
//! go, its messages would stay in the log, and be those of the next topic of its name. From the first step on its
//! queues are gone in the store, which refuses what senders still bring.

use std::sync::Arc;

use rocketwire_protocol::ResponseCode;
use rocketwire_store::QueueId;

use crate::{
    call::{Stop, refuse},
    planted::{crash_point, planted},
    pull,
    shared::Shared,
    tables::TopicsFile,
    topics::Topic,
};

/// Deletes a topic, if there is one, and its messages, even if there is none. Blocks on the disk.
pub(crate) fn delete_topic(shared: &Arc<Shared>, name: &str) -> Result<(), Stop> {
    let deleted = shared.tables.change_topics(|file| {
        if planted("topic forgotten before its messages") {
            let topic = forget(shared, file, name)?;
            crash_point("deletion.stored");
            return delete_messages(shared, name).map(|()| topic);
        }
        delete_messages(shared, name)?;
        forget(shared, file, name)
    });
    let failed = |error| {
        refuse(
            ResponseCode::SYSTEM_ERROR,
            format!("topic {name} was not deleted as a whole: {error}; try it again"),
        )
    };
    if let Some(topic) = deleted.map_err(failed)? {
        let queues: Vec<QueueId> = topic.all_queues().map(|(_, queue)| queue).collect();
        pull::release(shared, queues);
        shared.listener.topic_removed(name);
    }
    Ok(())
}

fn delete_messages(shared: &Shared, name: &str) -> Result<(), String> {
    shared.store.delete_topic(name).map_err(|error| error.to_string())?;
    crash_point("deletion.stored");
    shared.offsets().remove_topic(name);
    shared.tables.save_offsets(shared).map_err(|error| error.to_string())?;
    crash_point("deletion.forgotten");
    Ok(())
}

/// Forgets the topic, durably. When that fails, it is still there, and empty.
fn forget(
    shared: &Shared,
    file: &mut TopicsFile<'_>,
    name: &str,
) -> Result<Option<Arc<Topic<QueueId>>>, String> {
    let Some(topic) = shared.topic(name) else { return Ok(None) };
    let now_ms = shared.now_ms();
    let without = shared.topics().snapshot_without(name, now_ms);
    if let Err(error) = file.save(without) {
        // Its queues are gone with its messages: it gets others.
        let queue = |topic: &str, id: u32| shared.store.queue(topic, id);
        let _ = shared.topics_mut().update(topic.config.clone(), now_ms, queue);
        return Err(error.to_string());
    }
    shared.topics_mut().remove(name, now_ms);
    // A consumer may have committed something since.
    shared.offsets().remove_topic(name);
    Ok(Some(topic))
}

#[cfg(test)]
mod tests {
    use rocketwire_store::MemoryStorage;

    use super::*;
    use crate::{Broker, testing, topics::new_config};

    /// Topics, queues of the store, groups' offsets.
    fn counts(broker: &Broker) -> [usize; 3] {
        let shared = broker.shared();
        [broker.topics().len(), shared.store.queues().len(), shared.offsets().all().len()]
    }

    #[test]
    fn a_thousand_topics_that_come_and_go_leave_nothing_behind() {
        let storage = MemoryStorage::new();
        let broker = testing::broker(&storage, &testing::clock());
        let before = counts(&broker);
        for n in 0..1_000 {
            let name = format!("topic-{n}");
            broker.create_topic(new_config(&name, 4, 6)).unwrap();
            broker.shared().offsets().commit(&"CG".into(), &name.as_str().into(), 0, 1);
            delete_topic(broker.shared(), &name).unwrap();
            assert_eq!(counts(&broker), before, "round {n}");
        }
        drop(broker);
        let broker = testing::broker(&storage.snapshot(), &testing::clock());
        assert_eq!(counts(&broker), before, "nothing comes back");
    }
}

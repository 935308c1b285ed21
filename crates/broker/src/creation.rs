//! Topics that are being created or changed: those that come together are saved together.
//!
//! ```text
//! request without its topic -> add -> waiting -+
//! request without its topic -> add -> waiting -+-> one save -> shown to everybody -> name server -> requests go on
//! request of an operator    -> add -> waiting -+
//! ```
//! The table of topics is saved as a whole, so a save costs the same for one topic as for a thousand. Nobody sees a
//! topic that is not saved: a crash would take it back together with what was answered about it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, Weak,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use rocketwire_protocol::{ResponseCode, body::TopicConfig};

use crate::{
    call::{Refused, Stop, refuse},
    overload::waited_too_long,
    shared::{Shared, lock},
    topics::{Staged, TopicError, TopicOrigin},
};

/// Topics that somebody wants.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// They are saved together.
    pub(crate) configs: Vec<TopicConfig>,
    /// Who wants them.
    pub(crate) origin: TopicOrigin,
}

impl Wanted {
    /// One topic.
    pub(crate) fn one(config: TopicConfig, origin: TopicOrigin) -> Wanted {
        Wanted { configs: vec![config], origin }
    }
}

/// Is told what became of it. Runs on the thread that saves: it must not wait for the disk.
pub(crate) type Done = Box<dyn FnOnce(Result<(), Stop>) + Send>;

/// Requests that wait for their topics to be saved.
pub(crate) struct Creations {
    shared: OnceLock<Weak<Shared>>,
    state: Mutex<State>,
    limit: usize,
}

#[derive(Default)]
struct State {
    waiting: Vec<Creation>,
    /// How many are being saved.
    in_work: usize,
    is_running: bool,
}

struct Creation {
    wanted: Wanted,
    since: Duration,
    patience: Duration,
    done: Done,
}

impl Creations {
    /// At most `limit` requests wait at a time.
    pub(crate) fn new(limit: usize) -> Creations {
        Creations { shared: OnceLock::new(), state: Mutex::default(), limit }
    }

    /// Names the broker, once it exists.
    pub(crate) fn set(&self, shared: &Arc<Shared>) {
        // It is set once, right after the tables were restored.
        let _ = self.shared.set(Arc::downgrade(shared));
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        let state = self.state();
        state.waiting.len() + state.in_work
    }

    /// Has topics saved and shown, then tells `done`. Who waits for longer than `patience` is sent away.
    pub(crate) fn add(&self, wanted: Wanted, patience: Duration, done: Done) {
        let Some(shared) = self.shared.get().and_then(Weak::upgrade) else {
            return done(Err(refuse(ResponseCode::SERVICE_NOT_AVAILABLE, "the broker is being closed")));
        };
        let must_start = {
            let mut state = self.state();
            let waiting = state.waiting.len() + state.in_work;
            if waiting >= self.limit {
                drop(state);
                return done(Err(too_many(waiting).into()));
            }
            state.waiting.push(Creation { wanted, since: shared.now(), patience, done });
            !std::mem::replace(&mut state.is_running, true)
        };
        if must_start {
            start(shared);
        }
    }

    /// As [`Creations::add`], and waits for the end. Not for threads that others wait for.
    pub(crate) fn add_and_wait(&self, wanted: Wanted) -> Result<(), Stop> {
        let (told, outcome) = sync_channel(1);
        self.add(wanted, Duration::MAX, tell(told));
        let lost =
            || Err(refuse(ResponseCode::SYSTEM_ERROR, "the topic was not created: the save was interrupted"));
        outcome.recv().unwrap_or_else(|_| lost())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What is to be saved next; `None` if nobody waits, and then nobody saves any more.
    fn next(&self) -> Option<Vec<Creation>> {
        let mut state = self.state();
        let batch = std::mem::take(&mut state.waiting);
        state.in_work = batch.len();
        state.is_running = !batch.is_empty();
        state.is_running.then_some(batch)
    }
}

fn tell(told: SyncSender<Result<(), Stop>>) -> Done {
    // Who does not wait any more does not need to know.
    Box::new(move |outcome| drop(told.send(outcome)))
}

fn too_many(waiting: usize) -> Refused {
    let remark = format!(
        "[OVERLOAD]system busy, start flow control for a while: {waiting} requests wait for their topics to be \
         saved; see max_topic_creations"
    );
    Refused::new(ResponseCode::SYSTEM_BUSY, remark)
}

/// A thread of its own for as long as there is something to save: threads of the runtime may all be waiting for it.
fn start(shared: Arc<Shared>) {
    let on_thread = Arc::clone(&shared);
    let run = move || run(&on_thread);
    if let Err(error) = std::thread::Builder::new().name("rw-topics".into()).spawn(run) {
        tracing::warn!(%error, "there is no thread to save topics on; connections wait for the disk");
        self::run(&shared);
    }
}

fn run(shared: &Shared) {
    // Should something below panic, the next creation starts anew; who waited is told that nothing came of it.
    struct Stopped<'a>(&'a Creations);
    impl Drop for Stopped<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                *self.0.state() = State::default();
            }
        }
    }
    let stopped = Stopped(&shared.creations);
    while let Some(batch) = stopped.0.next() {
        save(shared, batch);
    }
}

fn save(shared: &Shared, batch: Vec<Creation>) {
    let now = shared.now();
    let waiting = batch.len();
    let mut waiting_for = Vec::with_capacity(waiting);
    let saved = shared.tables.change_topics(|file| {
        let topics = shared.topics();
        let mut staged = topics.stage();
        for Creation { wanted, since, patience, done } in batch {
            let waited = now.saturating_sub(since);
            let outcome = match waited > patience {
                true => Err(waited_too_long(waited, waiting).into()),
                false => stage(shared, &topics, &mut staged, wanted).map_err(Stop::from),
            };
            waiting_for.push((outcome, done));
        }
        if staged.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = topics.snapshot_with(&staged);
        drop(topics);
        file.save(snapshot)?;
        Ok(shared.topics_mut().publish(staged))
    });
    match saved {
        Ok(changed) => {
            for topic in changed {
                shared.listener.topic_changed(&shared.announced(&topic.config));
            }
            waiting_for.into_iter().for_each(|(outcome, done)| done(outcome));
        }
        Err(error) => {
            let error: rocketwire_store::TableError = error;
            let remark = format!("the topic was not created, because it cannot be saved: {error}");
            let failed = || refuse(ResponseCode::SYSTEM_ERROR, remark.clone());
            waiting_for.into_iter().for_each(|(outcome, done)| done(outcome.and_then(|()| Err(failed()))));
        }
    }
}

type Topics = crate::topics::Topics<rocketwire_store::QueueId>;

fn stage(
    shared: &Shared,
    topics: &Topics,
    staged: &mut Staged<rocketwire_store::QueueId>,
    wanted: Wanted,
) -> Result<(), TopicError> {
    let now_ms = shared.now_ms();
    for config in wanted.configs {
        topics.add(staged, config, wanted.origin, now_ms, |topic, id| shared.store.queue(topic, id))?;
    }
    Ok(())
}

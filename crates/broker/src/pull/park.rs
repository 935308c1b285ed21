//! Parking pulls and waking them.

use std::{
    sync::{Arc, OnceLock, Weak, atomic::Ordering},
    time::Duration,
};

use rocketwire_protocol::{Command, ResponseCode};
use rocketwire_remoting::Responder;
use rocketwire_store::{Arrival, Events, QueueId, ReadStatus};

use super::{PullTask, read::moved};
use crate::{
    call::{Disk, Refused, Stop},
    filter::Filter,
    hold::Hold,
    planted::planted,
    shared::Shared,
    statistics::Statistics,
};

/// A pull that may be parked.
#[derive(Debug)]
pub(crate) struct HeldPull {
    pub(crate) task: PullTask,
    pub(crate) timeout: Duration,
    /// What to answer if it cannot be parked.
    pub(crate) answer: Command,
}

/// A parked pull and the way to its client.
#[derive(Debug)]
pub(crate) struct Held {
    task: PullTask,
    responder: Responder,
}

/// Parks a pull until something arrives. If that happened since it was read, it is answered at once.
pub(crate) fn park(shared: &Arc<Shared>, pull: HeldPull, mut responder: Responder) {
    responder.suspended();
    let deadline = shared.now() + pull.timeout;
    if park_until(shared, Held { task: pull.task, responder }, deadline, pull.answer) {
        Statistics::add(&shared.statistics.pulls_held, 1);
    }
}

/// Parks a pull, or gives this answer because too many are; whether it was parked.
fn park_until(shared: &Arc<Shared>, held: Held, deadline: Duration, answer: Command) -> bool {
    let queue = held.task.queue;
    let hold = Hold {
        connection: held.responder.connection().id(),
        offset: held.task.offset,
        deadline,
        filter: held.task.filter.clone(),
        token: held,
    };
    let connection = hold.token.responder.connection().clone();
    let refused = {
        let mut holds = shared.holds();
        let refused = holds.park(queue, hold);
        shared.held.store(holds.len(), Ordering::SeqCst);
        refused
    };
    if let Err(hold) = refused {
        hold.token.responder.send(answer);
        return false;
    }
    // Each of these may have happened before the hold was in the table, and nobody tells again.
    let end = shared.store.bounds(queue).max;
    wake(shared, take(shared, |holds| holds.grown(queue, end)));
    if shared.store.queue_name(queue).is_none() {
        release(shared, [queue]);
    }
    if !connection.is_open() {
        drop_connection(shared, connection.id());
    }
    // The broker may have begun to stop since this pull was decided about, and released all parked ones.
    if shared.is_stopping() {
        release_all(shared);
    }
    true
}

/// Wakes pulls when messages arrive; called from the store's thread.
#[derive(Default)]
pub(crate) struct Wake(OnceLock<Weak<Shared>>);

impl Wake {
    /// Names the broker, once it exists.
    pub(crate) fn set(&self, shared: &Arc<Shared>) {
        // It is set once, right after the store was opened.
        let _ = self.0.set(Arc::downgrade(shared));
    }
}

impl Events for Wake {
    fn arrived(&self, arrivals: &[Arrival]) {
        let Some(shared) = self.0.get().and_then(Weak::upgrade) else {
            return;
        };
        if shared.held.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = take(&shared, |holds| {
            let mut woken = Vec::new();
            for arrival in arrivals {
                woken.extend(holds.arrived(arrival.queue, arrival.next_offset, arrival.tags_code));
            }
            woken
        });
        wake(&shared, woken);
    }

    fn poisoned(&self, error: &str) {
        tracing::error!("the store takes no more messages until the broker is restarted: {error}");
    }
}

/// Answers parked pulls whose queue has grown. Whether one with an SQL92 filter wants what has come is seen elsewhere:
/// this may be the store's writer.
fn wake(shared: &Arc<Shared>, woken: Vec<Hold<Held>>) {
    let is_unsure = |hold: &Hold<Held>| matches!(hold.filter, Filter::Sql(_));
    if !woken.iter().any(is_unsure) {
        return answer_all(shared, woken);
    }
    let (unsure, sure) = woken.into_iter().partition(is_unsure);
    answer_all(shared, sure);
    for Hold { deadline, token, .. } in unsure {
        let Some(slot) = shared.blocking.slot() else {
            token.responder.send(too_many_reads().into());
            continue;
        };
        let shared = Arc::clone(shared);
        slot.run(move || look_again(&shared, token, deadline));
    }
}

/// Answers a pull with an SQL92 filter if it wants something that has come, else parks it behind that.
fn look_again(shared: &Arc<Shared>, mut held: Held, deadline: Duration) {
    if let Some(response) = moved(shared, &held.task) {
        return held.responder.send(response);
    }
    match held.task.look(shared, Disk::Allowed) {
        Ok(outcome) => {
            let is_nothing =
                matches!(outcome.status, ReadStatus::NoMatchedMessage | ReadStatus::OffsetOverflowOne);
            let (next, messages) = (outcome.next_offset, outcome.count);
            let answer = held.task.response(outcome);
            let is_nothing = is_nothing && !planted("a parked SQL pull wakes for any message");
            if is_nothing && !shared.is_stopping() && shared.now() < deadline {
                held.task.offset = next;
                park_until(shared, held, deadline, answer);
            } else {
                held.task.count(shared, &answer, messages);
                held.responder.send(answer);
            }
        }
        Err(Stop::Refused(refused)) => held.responder.send(refused.into()),
        Err(Stop::NeedsDisk | Stop::NeedsTopic(_)) => held.responder.send(too_many_reads().into()),
    }
}

/// Answers parked pulls, each by a last read.
fn answer_all(shared: &Arc<Shared>, holds: Vec<Hold<Held>>) {
    for hold in holds {
        let Held { task, responder } = hold.token;
        match task.serve(shared, Disk::Avoid) {
            Ok(response) => responder.send(response),
            Err(Stop::Refused(refused)) => responder.send(refused.into()),
            Err(Stop::NeedsDisk | Stop::NeedsTopic(_)) => answer_from_disk(shared, task, responder),
        }
    }
}

fn answer_from_disk(shared: &Arc<Shared>, task: PullTask, responder: Responder) {
    let Some(slot) = shared.blocking.slot() else {
        responder.send(too_many_reads().into());
        return;
    };
    let shared = Arc::clone(shared);
    slot.run(move || {
        let response = match task.serve(&shared, Disk::Allowed) {
            Ok(response) => response,
            Err(Stop::Refused(refused)) => refused.into(),
            Err(Stop::NeedsDisk | Stop::NeedsTopic(_)) => too_many_reads().into(),
        };
        responder.send(response);
    });
}

/// The answer when too many reads wait for the disk.
pub(crate) fn too_many_reads() -> Refused {
    let remark = "[OVERLOAD]system busy, start flow control for a while: too many reads wait for the disk; see max_cold_reads";
    Refused::new(ResponseCode::SYSTEM_BUSY, remark)
}

/// Answers pulls whose time is up.
pub(crate) fn sweep_deadlines(shared: &Arc<Shared>) {
    let now = shared.now();
    answer_all(shared, take(shared, |holds| holds.expired(now)));
}

/// Answers pulls whose queue has grown without a matching message, which moves their clients on.
pub(crate) fn sweep_grown(shared: &Arc<Shared>) {
    let queues: Vec<QueueId> = shared.holds().queues();
    for queue in queues {
        let end = shared.store.bounds(queue).max;
        answer_all(shared, take(shared, |holds| holds.grown(queue, end)));
    }
}

/// Answers the parked pulls of queues that are gone with their topic.
pub(crate) fn release(shared: &Arc<Shared>, queues: impl IntoIterator<Item = QueueId>) {
    for queue in queues {
        answer_all(shared, take(shared, |holds| holds.grown(queue, i64::MAX)));
    }
}

/// Answers all parked pulls: the broker stops.
pub(crate) fn release_all(shared: &Arc<Shared>) {
    answer_all(shared, take(shared, |holds| holds.drain()));
}

/// Drops the pulls of a closed connection.
pub(crate) fn drop_connection(shared: &Shared, connection: u64) {
    let mut holds = shared.holds();
    holds.connection_closed(connection);
    shared.held.store(holds.len(), Ordering::SeqCst);
}

fn take<T>(shared: &Shared, f: impl FnOnce(&mut crate::hold::Holds<QueueId, Held>) -> T) -> T {
    let mut holds = shared.holds();
    let taken = f(&mut holds);
    shared.held.store(holds.len(), Ordering::SeqCst);
    taken
}

//! Where processors run: Java's "processor + executor" pairs.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    planted::planted,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
        thread,
    },
};

/// Where a processor runs, and how many requests may wait there.
#[derive(Clone, Debug)]
pub struct Lane(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Inline { waiting: AtomicUsize, limit: usize },
    Blocking(Arc<Pool>),
}

impl Lane {
    /// On the connection's task, for what never blocks. Answers that come later run as tasks, 10,000 at most.
    pub fn inline() -> Lane {
        Lane::inline_with(10_000)
    }

    /// [`Lane::inline`] with at most `limit` answers under way that come later.
    pub fn inline_with(limit: usize) -> Lane {
        Lane(Arc::new(Kind::Inline { waiting: AtomicUsize::new(0), limit }))
    }

    /// On up to `threads` threads of its own, for what blocks (a cold disk). `queue` requests may wait; more are
    /// answered SYSTEM_BUSY `[OVERLOAD]..`. Threads start when needed and end after ten idle seconds, or when the last
    /// clone of the lane is gone and the queue is empty.
    pub fn blocking(name: &str, threads: usize, queue: usize) -> Lane {
        Lane::blocking_with(name, threads, queue, Duration::MAX)
    }

    /// [`Lane::blocking`] whose requests are answered SYSTEM_BUSY `[TIMEOUT_CLEAN_QUEUE]..` once they waited for
    /// `max_wait` (Java: `BrokerFastFailure`).
    pub fn blocking_with(name: &str, threads: usize, queue: usize, max_wait: Duration) -> Lane {
        Lane(Arc::new(Kind::Blocking(Arc::new(Pool {
            name: name.to_owned(),
            threads: threads.max(1),
            queue,
            max_wait,
            state: Mutex::default(),
            ready: Condvar::new(),
        }))))
    }

    /// The pool of a blocking lane.
    pub(crate) fn pool(&self) -> Option<&Arc<Pool>> {
        match &*self.0 {
            Kind::Inline { .. } => None,
            Kind::Blocking(pool) => Some(pool),
        }
    }

    /// Room for one more answer that comes later, until the permit drops.
    pub(crate) fn permit(&self) -> Option<Permit> {
        if let Kind::Inline { waiting, limit } = &*self.0
            && waiting.fetch_add(1, Ordering::Relaxed) >= *limit
        {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit(self.clone()))
    }
}

/// Nobody will submit any more: idle threads end, busy ones once the queue is empty.
impl Drop for Kind {
    fn drop(&mut self) {
        if let Kind::Blocking(pool) = self {
            pool.lock().closed = true;
            pool.ready.notify_all();
        }
    }
}

/// One answer under way.
pub(crate) struct Permit(Lane);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Kind::Inline { waiting, .. } = &*self.0.0 {
            waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What a job is told when its turn comes.
pub(crate) enum Turn {
    Run,
    /// It waited too long: how long, and how many wait behind it.
    TooLate {
        waited: Duration,
        behind: usize,
    },
}

type Job = Box<dyn FnOnce(Turn) + Send>;

/// A few threads with a bounded queue.
pub(crate) struct Pool {
    name: String,
    threads: usize,
    queue: usize,
    max_wait: Duration,
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(Instant, Job)>,
    running: usize,
    idle: usize,
    closed: bool,
}

const IDLE: Duration = Duration::from_secs(10);

impl Pool {
    /// Queues a job; `false`: the queue is full.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) -> bool {
        self.push(&mut self.lock(), job)
    }

    fn push(self: &Arc<Self>, state: &mut State, job: Job) -> bool {
        if state.jobs.len() >= self.queue {
            return false;
        }
        state.jobs.push_back((Instant::now(), job));
        // An idle thread takes one job, and counts as idle until it has woken.
        if state.jobs.len() <= state.idle {
            if !planted("lost wake: a lane's thread sleeps on") {
                self.ready.notify_one();
            }
        } else if state.running < self.threads {
            let pool = self.clone();
            let thread = thread::Builder::new().name(self.name.clone());
            match thread.spawn(move || pool.work()) {
                Ok(_) => state.running += 1,
                // Without any thread the job would wait for ever.
                Err(_) if state.running == 0 => {
                    state.jobs.pop_back();
                    return false;
                }
                Err(_) => {}
            }
        }
        true
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some((queued, job)) = state.jobs.pop_front() {
                let behind = state.jobs.len();
                drop(state);
                let waited = queued.elapsed();
                let turn = if waited < self.max_wait { Turn::Run } else { Turn::TooLate { waited, behind } };
                job(turn);
                state = self.lock();
                continue;
            }
            if state.closed {
                state.running -= 1;
                return;
            }
            state.idle += 1;
            let (again, timeout) =
                self.ready.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.running -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_full_queue_refuses_and_an_old_job_is_told() {
        let lane = Lane::blocking_with("test", 1, 1, Duration::ZERO);
        let pool = lane.pool().unwrap();
        let (started, wait) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        assert!(pool.submit(Box::new(move |_| {
            started.send(()).unwrap();
            gate.recv().unwrap();
        })));
        wait.recv().unwrap();
        let (done, result) = mpsc::channel();
        assert!(
            pool.submit(Box::new(move |turn| { done.send(matches!(turn, Turn::TooLate { .. })).unwrap() }))
        );
        assert!(!pool.submit(Box::new(|_| unreachable!("the queue holds one"))));
        go.send(()).unwrap();
        assert!(result.recv().unwrap());
    }
    #[test]
    fn jobs_that_come_at_once_get_a_thread_each() {
        let lane = Lane::blocking("test", 2, 2);
        let pool = lane.pool().unwrap();
        // A thread that was needed once is idle now; two jobs come before it has woken.
        assert!(pool.submit(Box::new(|_| ())));
        while pool.lock().idle == 0 {
            std::thread::yield_now();
        }
        let (met, was_met) = mpsc::channel();
        let (meet, other) = mpsc::channel();
        let first = move |_| met.send(other.recv_timeout(Duration::from_secs(30)).is_ok()).unwrap();
        let second = move |_| meet.send(()).unwrap_or_default();
        {
            let mut state = pool.lock();
            assert!(pool.push(&mut state, Box::new(first)) && pool.push(&mut state, Box::new(second)));
        }
        assert!(was_met.recv().unwrap(), "the second runs while the first waits for it");
    }
}

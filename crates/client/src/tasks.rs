//! The tasks of a client or a consumer: all of them are known, and all of them end.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::Instant};

/// Spawned tasks, and the signal that asks them to end. Dropped, it aborts what still runs.
#[derive(Debug)]
pub(crate) struct Tasks {
    set: Mutex<Option<JoinSet<()>>>,
    stop: watch::Sender<bool>,
}

/// The moment when this time will be over. What no clock could add to now ends in thirty years.
pub(crate) fn after(time: Duration) -> Instant {
    const LONGEST: Duration = Duration::from_secs(30 * 365 * 86_400);
    Instant::now() + time.min(LONGEST)
}

/// Asks "has this been told to stop?", or waits for it.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn new(signal: watch::Receiver<bool>) -> Stop {
        Stop(signal)
    }

    /// Ends when the tasks are to stop.
    pub(crate) async fn wait(&mut self) {
        // An error means that the sender is gone, which is a stop as well.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Sleeps; `false` if the stop came first.
    pub(crate) async fn sleep(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.wait()).await.is_err()
    }
}

impl Tasks {
    pub(crate) fn new() -> Tasks {
        Tasks { set: Mutex::new(Some(JoinSet::new())), stop: watch::Sender::new(false) }
    }

    /// Runs a task, unless it is too late. The task should look at [`Tasks::stop_signal`].
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = set.as_mut() {
            // What has ended is collected here, so that a long life does not gather results.
            while set.try_join_next().is_some() {}
            set.spawn(task);
        }
    }

    pub(crate) fn stop_signal(&self) -> Stop {
        Stop(self.stop.subscribe())
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Asks all tasks to end.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Asks all tasks to end, waits for them until the deadline, and aborts the rest; how many those were.
    pub(crate) async fn close(&self, deadline: Instant) -> usize {
        self.stop();
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut set) = set else { return 0 };
        while let Ok(Some(_)) = tokio::time::timeout_at(deadline, set.join_next()).await {}
        let left = set.len();
        set.shutdown().await;
        left
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn close_waits_for_those_that_listen_and_aborts_the_others() {
        let tasks = Tasks::new();
        let ended = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let (mut stop, ended) = (tasks.stop_signal(), ended.clone());
            tasks.spawn(async move {
                stop.wait().await;
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        tasks.spawn(std::future::pending());
        let left = tasks.close(Instant::now() + Duration::from_secs(5)).await;
        assert_eq!((ended.load(Ordering::Relaxed), left), (3, 1));
        tasks.spawn(async { panic!("too late to run") });
        assert_eq!(tasks.close(Instant::now()).await, 0, "closing again changes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_ends_early_when_told_to_stop() {
        let tasks = Tasks::new();
        let mut stop = tasks.stop_signal();
        assert!(stop.sleep(Duration::from_millis(5)).await);
        tasks.stop();
        assert!(!stop.sleep(Duration::from_secs(3600)).await);
    }
}

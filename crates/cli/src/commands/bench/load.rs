//! What every closed loop has: a window, threads with a runtime each, a tally and a report.

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::watch;

use super::histogram::Latencies;
use crate::{
    failure::Failure,
    output::{Format, Output},
    runtime,
};

/// The time that counts. What begins before it is warm-up.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
}

/// What one thread counted.
pub(crate) struct Tally {
    pub(crate) latencies: Latencies,
    pub(crate) errors: AtomicU64,
    /// When the first and the last thing that counts happened, for loads that can run dry: nanoseconds into the
    /// window; the last is 0 if there was none.
    first_ns: AtomicU64,
    last_ns: AtomicU64,
    /// The first error, for the report.
    pub(crate) first_error: std::sync::OnceLock<String>,
}

impl Tally {
    fn new() -> Tally {
        Tally {
            latencies: Latencies::new(),
            errors: AtomicU64::new(0),
            first_ns: AtomicU64::new(u64::MAX),
            last_ns: AtomicU64::new(0),
            first_error: std::sync::OnceLock::new(),
        }
    }

    /// Notes that something happens now; whether it counts.
    pub(crate) fn arrived(&self, window: Window) -> bool {
        let now = Instant::now();
        let counts = now >= window.start && now <= window.end;
        if counts {
            let ns = (now - window.start).as_nanos() as u64;
            self.first_ns.fetch_min(ns, Relaxed);
            self.last_ns.fetch_max(ns, Relaxed);
        }
        counts
    }

    /// Adds what another thread counted.
    fn merge(&self, other: &Tally) {
        self.latencies.merge(&other.latencies);
        self.errors.fetch_add(other.errors.load(Relaxed), Relaxed);
        self.first_ns.fetch_min(other.first_ns.load(Relaxed), Relaxed);
        self.last_ns.fetch_max(other.last_ns.load(Relaxed), Relaxed);
        if let Some(error) = other.first_error.get() {
            self.first_error.get_or_init(|| error.clone());
        }
    }

    /// The time in which everything that counts happened, if that is known better than by the window.
    fn busy(&self) -> Option<Duration> {
        let (first, last) = (self.first_ns.load(Relaxed), self.last_ns.load(Relaxed));
        last.checked_sub(first).filter(|ns| *ns > 0).map(Duration::from_nanos)
    }

    /// Counts a failed call.
    pub(crate) fn failed(&self, error: impl ToString) {
        self.errors.fetch_add(1, Relaxed);
        self.first_error.get_or_init(|| error.to_string());
    }
}

/// One task of a closed loop: call, count, call again, until the window ends. One look at the clock a call.
pub(crate) async fn closed_loop<E: ToString, F: Future<Output = Result<(), E>>>(
    window: Window,
    tally: Arc<Tally>,
    mut call: impl FnMut() -> F,
) {
    let mut begun = Instant::now();
    while begun < window.end {
        let result = call().await;
        let now = Instant::now();
        match result {
            Ok(()) if begun >= window.start && now <= window.end => tally.latencies.record(now - begun),
            Ok(()) => {}
            Err(error) => {
                tally.failed(error);
                // What fails at once must not keep the others from running.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        begun = now;
    }
}

/// A failure that is ours.
pub(crate) fn panicked() -> Failure {
    Failure::new("a task of the load panicked: please report it")
}

/// How a load is run.
pub(crate) struct Plan {
    /// Each with a runtime of its own.
    pub(crate) threads: usize,
    /// Not counted, before the window.
    pub(crate) warm_up: Duration,
    /// Of the window.
    pub(crate) duration: Duration,
    pub(crate) format: Format,
}

impl Plan {
    /// With a warm-up of a quarter of the duration, one second at most.
    pub(crate) fn new(threads: usize, duration: Duration, format: Format) -> Plan {
        Plan { threads, warm_up: (duration / 4).min(Duration::from_secs(1)), duration, format }
    }
}

/// Runs a load and prints the report.
///
/// `prepare` gets the number of the thread and connects; what it returns is run once all are ready.
pub(crate) fn run<P, L>(plan: &Plan, prepare: impl Fn(usize) -> P + Sync) -> Result<(), Failure>
where
    P: Future<Output = Result<L, Failure>>,
    L: AsyncFnOnce(Window, Arc<Tally>) -> Result<(), Failure>,
{
    measure(plan, prepare)?.print(plan.format)
}

/// Runs a load, see [`run`].
pub(crate) fn measure<P, L>(plan: &Plan, prepare: impl Fn(usize) -> P + Sync) -> Result<Report, Failure>
where
    P: Future<Output = Result<L, Failure>>,
    L: AsyncFnOnce(Window, Arc<Tally>) -> Result<(), Failure>,
{
    let (go, started) = watch::channel(None);
    let (ready, readiness) = mpsc::channel();
    let (running, ended) = mpsc::channel();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads)
            .map(|number| {
                let (ready, running) = (ready.clone(), running.clone());
                let (started, prepare) = (started.clone(), &prepare);
                scope.spawn(move || one_thread(prepare(number), ready, running, started))
            })
            .collect();
        drop((ready, running));
        // Each thread says that it is connected, or drops its end because it could not.
        let all_ready = readiness.iter().count() == plan.threads;
        let (window, cpu) = if all_ready { watch_window(&go, &ended, plan) } else { (None, None) };
        drop(go);
        let tally = Tally::new();
        for thread in threads {
            let one = thread
                .join()
                .map_err(|_| Failure::new("a thread of the load panicked: please report it"))??;
            tally.merge(&one);
        }
        window
            .map(|window: Window| Report::new(&tally, window.end - window.start, cpu))
            .ok_or_else(|| Failure::new("the load did not start"))
    })
}

fn one_thread<L>(
    prepare: impl Future<Output = Result<L, Failure>>,
    ready: mpsc::Sender<()>,
    _running: mpsc::Sender<Infallible>,
    mut started: watch::Receiver<Option<Window>>,
) -> Result<Tally, Failure>
where
    L: AsyncFnOnce(Window, Arc<Tally>) -> Result<(), Failure>,
{
    let tally = Arc::new(Tally::new());
    runtime::current_thread()?.block_on(async {
        let load = prepare.await?;
        let _ = ready.send(());
        drop(ready);
        match started.wait_for(Option::is_some).await.map(|window| *window) {
            Ok(Some(window)) => load(window, tally.clone()).await,
            // Another thread could not connect, and says why.
            _ => Ok(()),
        }
    })?;
    Arc::into_inner(tally)
        .ok_or_else(|| Failure::new("a task of the load outlived its thread: please report it"))
}

/// Starts the window, and measures the process's CPU time in it; a load that has nothing left to do ends it early.
fn watch_window(
    go: &watch::Sender<Option<Window>>,
    ended: &mpsc::Receiver<Infallible>,
    plan: &Plan,
) -> (Option<Window>, Option<Duration>) {
    let start = Instant::now() + plan.warm_up;
    let window = Window { start, end: start + plan.duration };
    go.send_replace(Some(window));
    thread::sleep(window.start.saturating_duration_since(Instant::now()));
    let before = cpu_time();
    // Nobody says anything: the time is over, or the last thread has dropped its end.
    let _ = ended.recv_timeout(window.end.saturating_duration_since(Instant::now()));
    let cpu = cpu_time().zip(before).map(|(after, before)| after.saturating_sub(before));
    (Some(window), cpu)
}

/// CPU time of this process so far, all threads, user and system.
#[cfg(unix)]
fn cpu_time() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

#[cfg(not(unix))]
fn cpu_time() -> Option<Duration> {
    None
}

/// What a load came to.
#[derive(Serialize)]
pub(crate) struct Report {
    /// Requests (or messages) a second.
    rps: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    errors: u64,
    /// CPU time of this process for each request.
    cpu_us: Option<f64>,
    requests: u64,
    seconds: f64,
    /// Messages that were stored and did not arrive, of loads that look for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_error: Option<String>,
}

impl Report {
    fn new(tally: &Tally, elapsed: Duration, cpu: Option<Duration>) -> Report {
        let requests = tally.latencies.count();
        let elapsed = tally.busy().unwrap_or(elapsed);
        let each = cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / requests.max(1) as f64);
        Report {
            rps: (requests as f64 / elapsed.as_secs_f64()).round(),
            p50_us: tally.latencies.quantile_us(0.5),
            p99_us: tally.latencies.quantile_us(0.99),
            p999_us: tally.latencies.quantile_us(0.999),
            max_us: tally.latencies.max_us(),
            errors: tally.errors.load(Relaxed),
            cpu_us: each.map(|us| (us * 1000.0).round() / 1000.0),
            requests,
            seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            missing: None,
            first_error: tally.first_error.get().cloned(),
        }
    }

    pub(crate) fn with_missing(self, missing: u64) -> Report {
        Report { missing: Some(missing), ..self }
    }

    /// Prints it; a run in which something failed or nothing succeeded is a failure.
    pub(crate) fn print(&self, format: Format) -> Result<(), Failure> {
        let mut out = Output::new();
        match format {
            Format::Json => out.json(self)?,
            Format::Text => {
                out.line(format!("{:>12.0}  a second for {} s", self.rps, self.seconds))?;
                out.line(format!("{:>12.1}  us, half of them (p50)", self.p50_us))?;
                out.line(format!("{:>12.1}  us, 99 of 100 (p99)", self.p99_us))?;
                out.line(format!("{:>12.1}  us, 999 of 1000 (p999)", self.p999_us))?;
                out.line(format!("{:>12.1}  us, the slowest", self.max_us))?;
                if let Some(cpu) = self.cpu_us {
                    out.line(format!("{cpu:>12.3}  us of CPU each, on this side"))?;
                }
                out.line(format!("{:>12}  failed", self.errors))?;
                if let Some(missing) = self.missing {
                    out.line(format!("{missing:>12}  stored, but not consumed"))?;
                }
            }
        }
        out.flush()?;
        match (&self.first_error, self.missing) {
            (Some(error), _) => {
                Err(Failure::new(format_args!("{} calls failed, the first one so: {error}", self.errors)))
            }
            (None, Some(missing @ 1..)) => Err(Failure::new(format_args!(
                "{missing} messages were stored and did not arrive: they are lost, or the consumer is too slow"
            ))),
            (None, _) if self.requests == 0 => {
                Err(Failure::new("not one call ended within the time: use a longer --duration"))
            }
            (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn nothing(_: Window, _: Arc<Tally>) -> Result<(), Failure> {
        Ok(())
    }

    #[test]
    fn one_thread_that_cannot_connect_ends_the_load_of_all() {
        let plan = Plan::new(3, Duration::from_secs(3600), Format::Json);
        let measured = measure(&plan, async |thread| match thread {
            1 => Err(Failure::new("no route")),
            _ => Ok(nothing),
        });
        assert!(measured.err().unwrap().to_string().contains("no route"));
    }

    #[test]
    fn a_load_with_nothing_left_to_do_ends_before_its_time() {
        let plan = Plan { warm_up: Duration::ZERO, ..Plan::new(2, Duration::from_secs(3600), Format::Json) };
        assert_eq!(measure(&plan, async |_| Ok(nothing)).ok().unwrap().requests, 0);
    }
}

//! What each path says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering};

use bytestring::ByteString;
use rocketwire_broker::{Broker, Family, Kind};
use rocketwire_remoting::{Counters, Server};

use super::{latency, text};

/// What is told of a node.
pub(crate) struct Site {
    cluster: ByteString,
    broker_name: ByteString,
    stage: Mutex<Stage>,
}

/// How far a node is.
enum Stage {
    /// Its store is being opened, which may take a recovery.
    Starting,
    /// The server is gone when the node begins to stop, which needs it for itself: it is only ever used under the lock.
    Running(Broker, Weak<Server>),
    Stopping(Broker),
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Answer {
    pub(super) fn plain(status: &'static str, body: impl Into<String>) -> Answer {
        Answer { status, content_type: TEXT, body: body.into() }
    }
}

impl Site {
    pub(crate) fn new(cluster: ByteString, broker_name: ByteString) -> Site {
        Site { cluster, broker_name, stage: Mutex::new(Stage::Starting) }
    }

    /// The answer for a path. May block on the disk.
    pub(super) fn answer(&self, path: &str) -> Answer {
        match path {
            "/metrics" => Answer { status: "200 OK", content_type: PROMETHEUS, body: self.metrics() },
            "/healthz" => verdict(self.illness()),
            "/readyz" => verdict(self.illness().or_else(|| self.unready())),
            _ => Answer::plain("404 Not Found", "there are /metrics, /healthz and /readyz\n"),
        }
    }

    /// The node serves clients.
    pub(super) fn running(&self, broker: &Broker, server: &Arc<Server>) {
        *self.stage() = Stage::Running(broker.clone(), Arc::downgrade(server));
    }

    /// The node begins to stop.
    pub(super) fn stopping(&self) {
        if let Some(broker) = self.broker() {
            *self.stage() = Stage::Stopping(broker);
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broker(&self) -> Option<Broker> {
        match &*self.stage() {
            Stage::Starting => None,
            Stage::Running(broker, _) | Stage::Stopping(broker) => Some(broker.clone()),
        }
    }

    fn network(&self) -> Vec<Family> {
        match &*self.stage() {
            Stage::Running(_, server) => server.upgrade().map(|server| network(&server)).unwrap_or_default(),
            Stage::Starting | Stage::Stopping(_) => Vec::new(),
        }
    }

    /// Why only a restart can help.
    fn illness(&self) -> Option<String> {
        let reason = self.broker()?.poisoned()?;
        Some(format!("the store takes no more messages until a restart: {reason}"))
    }

    /// Why messages had better go elsewhere for now.
    fn unready(&self) -> Option<String> {
        let broker = match &*self.stage() {
            Stage::Starting => return Some("the node is starting: its store is being opened".to_owned()),
            Stage::Stopping(_) => return Some("the node is stopping".to_owned()),
            Stage::Running(broker, _) => broker.clone(),
        };
        let disk = broker.disk();
        let (free, limit) = (disk.available, disk.limit);
        disk.is_full.then(|| format!("the disk is full: {free} bytes are free, {limit} have to be"))
    }

    fn metrics(&self) -> String {
        let mut families = self.broker().map(|broker| broker.metrics()).unwrap_or_default();
        families.extend(self.network());
        let version = Family {
            samples: vec![rocketwire_broker::Sample {
                suffix: "",
                labels: vec![("version", env!("CARGO_PKG_VERSION").into())],
                value: 1.0,
            }],
            ..Family::new("rocketwire_build_info", Kind::Gauge, "1, with the version as a label")
        };
        families.push(version);
        let base = [("cluster", &*self.cluster), ("node_type", "broker"), ("node_id", &*self.broker_name)];
        text::render(&families, &base)
    }
}

fn verdict(trouble: Option<String>) -> Answer {
    match trouble {
        None => Answer::plain("200 OK", "ok\n"),
        Some(reason) => Answer::plain("503 Service Unavailable", reason + "\n"),
    }
}

fn network(server: &Arc<Server>) -> Vec<Family> {
    let Counters {
        connections,
        connections_refused,
        accept_errors,
        requests,
        strays,
        timeouts,
        protocol_errors,
        stalled,
        ..
    } = server.counters();
    let counters = [
        ("rocketwire_connections_total", "Connections accepted", connections),
        (
            "rocketwire_connections_refused_total",
            "Connections closed because there were too many",
            connections_refused,
        ),
        ("rocketwire_accept_errors_total", "Connections that could not be accepted", accept_errors),
        ("rocketwire_requests_total", "Requests of clients", requests),
        ("rocketwire_stray_answers_total", "Answers of clients that nobody waited for", strays),
        ("rocketwire_call_timeouts_total", "Requests to clients that were not answered in time", timeouts),
        (
            "rocketwire_protocol_errors_total",
            "Connections closed because their bytes were no frames",
            protocol_errors,
        ),
        ("rocketwire_stalled_total", "Connections closed because the peer read or wrote too slowly", stalled),
    ];
    let mut families: Vec<Family> = counters
        .into_iter()
        .map(|(name, help, counter)| Family::one(name, Kind::Counter, help, counter.load(Ordering::Relaxed)))
        .collect();
    let open = server.connections();
    let sum = |value: fn(&rocketwire_remoting::Connection) -> usize| open.iter().map(value).sum::<usize>();
    families.extend([
        latency::family(&server.latencies()),
        Family::one("rocketwire_connections", Kind::Gauge, "Connections now", open.len()),
        Family::one("rocketwire_connections_limit", Kind::Gauge, "max_connections", server.max_connections()),
        Family::one(
            "rocketwire_requests_served",
            Kind::Gauge,
            "Requests in work or parked",
            sum(|c| c.served()),
        ),
        Family::one(
            "rocketwire_calls_in_flight",
            Kind::Gauge,
            "Requests to clients in flight",
            sum(|c| c.in_flight()),
        ),
        Family::one(
            "rocketwire_unwritten_bytes",
            Kind::Gauge,
            "Bytes that clients have not taken",
            sum(|c| c.pending_bytes()),
        ),
    ]);
    families
}

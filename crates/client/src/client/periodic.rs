//! What a client does by itself (spec client G.2). No task keeps the client alive.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::sync::Notify;

use super::Inner;
use crate::tasks::{Stop, after};

/// The first heartbeat of a client, unless something asks for one earlier (Java: 1 s).
const FIRST_HEARTBEAT: Duration = Duration::from_secs(1);
/// Heartbeats that are asked for come no closer than this.
const HEARTBEAT_PAUSE: Duration = Duration::from_millis(100);
/// The first time offsets are stored (Java: 10 s).
const FIRST_PERSIST: Duration = Duration::from_secs(10);
/// Every so many rounds all offsets are stored, not only those that changed: a broker that lost its last ones
/// gets them back.
const PERSIST_ALL_EVERY: u32 = 6;

pub(super) fn spawn(inner: &Arc<Inner>) {
    let this = || (Arc::downgrade(inner), inner.tasks.stop_signal());
    let (weak, stop) = this();
    inner.tasks.spawn(refresh_routes(weak, stop, inner.options.route_interval));
    let (weak, stop) = this();
    inner.tasks.spawn(send_heartbeats(
        weak,
        inner.heartbeat_wanted.clone(),
        stop,
        inner.options.heartbeat_interval,
    ));
    let (weak, stop) = this();
    inner.tasks.spawn(persist_offsets(weak, stop, inner.options.offset_interval));
}

async fn refresh_routes(client: Weak<Inner>, mut stop: Stop, interval: Duration) {
    while stop.sleep(interval).await {
        let Some(client) = client.upgrade() else { return };
        let mut topics = client.routes().topics();
        for consumer in client.groups.consumers() {
            topics.extend(consumer.topics());
        }
        topics.sort();
        topics.dedup();
        for topic in topics {
            let deadline = after(client.options.api_timeout);
            // A failure keeps the route that is known: brokers may be well while name servers are not.
            if let Err(error) = client.ask(&topic, deadline).await {
                tracing::warn!(%error, "the route could not be refreshed");
            }
        }
    }
}

async fn send_heartbeats(client: Weak<Inner>, wanted: Arc<Notify>, mut stop: Stop, interval: Duration) {
    let mut wait = FIRST_HEARTBEAT;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = wanted.notified() => {}
            () = stop.wait() => return,
        }
        let Some(client) = client.upgrade() else { return };
        client.heartbeat_all().await;
        drop(client);
        wait = interval;
        if !stop.sleep(HEARTBEAT_PAUSE).await {
            return;
        }
    }
}

async fn persist_offsets(client: Weak<Inner>, mut stop: Stop, interval: Duration) {
    let mut round = 0u32;
    let mut wait = FIRST_PERSIST.min(interval.saturating_mul(2));
    while stop.sleep(wait).await {
        let Some(client) = client.upgrade() else { return };
        round = round.wrapping_add(1);
        for consumer in client.groups.consumers() {
            consumer.persist_offsets(round.is_multiple_of(PERSIST_ALL_EVERY)).await;
        }
        wait = interval;
    }
}

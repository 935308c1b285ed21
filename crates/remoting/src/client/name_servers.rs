//! Which name server is asked.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rocketwire_protocol::Command;
use tokio::time::Instant;

use super::RemotingClient;
use crate::{RpcError, Tried, planted::planted};

#[derive(Default)]
pub(super) struct NameServers(Mutex<State>);

#[derive(Default)]
struct State {
    list: Vec<String>,
    /// The one in use.
    pinned: usize,
}

impl NameServers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes another list, shuffled; returns the address in use if it is not in it.
    pub(super) fn replace(&self, mut new: Vec<String>) -> Option<String> {
        let mut state = self.lock();
        let same = new.len() == state.list.len() && new.iter().all(|addr| state.list.contains(addr));
        if new.is_empty() || same {
            return None;
        }
        let random = RandomState::new();
        new.sort_by_cached_key(|addr| random.hash_one(addr));
        let pinned = state.list.get(state.pinned).cloned();
        let kept = pinned.as_ref().and_then(|addr| new.iter().position(|other| other == addr));
        state.list = new;
        state.pinned = kept.unwrap_or(0);
        if kept.is_none() { pinned } else { None }
    }

    pub(super) fn list(&self) -> Vec<String> {
        self.lock().list.clone()
    }

    /// All addresses, the one in use first.
    fn order(&self) -> Vec<String> {
        let state = self.lock();
        let mut order = state.list.clone();
        let first = state.pinned.min(order.len().saturating_sub(1));
        order.rotate_left(first);
        order
    }

    fn pin(&self, addr: &str) {
        let mut state = self.lock();
        if let Some(at) = state.list.iter().position(|other| other == addr) {
            state.pinned = at;
        }
    }
}

/// Tries each address in turn until one answers or the time is over.
pub(super) async fn invoke(
    client: &RemotingClient,
    servers: &NameServers,
    command: Command,
    timeout: Duration,
) -> Result<Command, RpcError> {
    let begun = Instant::now();
    let order = servers.order();
    let mut tried: Vec<Tried> = Vec::new();
    for (at, addr) in order.iter().enumerate() {
        let left = timeout.saturating_sub(begun.elapsed());
        // Without any time the first one is tried all the same: its error says what was too short.
        if left.is_zero() && at > 0 {
            break;
        }
        let shares = if planted("a silent name server uses up the budget") { 1 } else { order.len() - at };
        let share = left / shares as u32;
        match client.invoke(addr, command.clone(), share).await {
            Ok(response) => {
                servers.pin(addr);
                return Ok(response);
            }
            // The request itself is at fault: no other address will take it.
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => tried.push(Tried { addr: addr.clone(), attempts: 1, error: Arc::new(error) }),
        }
    }
    Err(RpcError::NoNameServer { tried })
}

//! Handlers side by side: the usual way to consume (spec client F.8).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rocketwire_protocol::{body::CMResult, body::ConsumeMessageDirectlyResult, message::MessageExt};
use tokio::time::Instant;

use super::{
    ConsumeResult, OrderlyResult,
    core::{ActiveQueue, PushCore},
    handler::Handler,
    send_back::send_back,
    work::Batch,
};
use crate::identity::now_ms;

/// Pause before a message that could not be sent back comes again (Java: 5 s).
const LOCAL_RETRY: Duration = Duration::from_secs(5);
/// The level that a message goes back with whose handler takes too long.
const EXPIRED_LEVEL: i32 = 3;
/// Messages of a queue that one scan sends back at the most.
const EXPIRED_PER_SCAN: usize = 16;

/// Starts the workers and the scan for handlers that hang.
pub(crate) fn spawn(core: &Arc<PushCore>) {
    for _ in 0..core.options.concurrency {
        core.handling.spawn(work(core.clone()));
    }
    core.handling.spawn(scan_expired(core.clone()));
}

async fn work(core: Arc<PushCore>) {
    while let Some(batch) = core.work.next().await {
        consume(&core, batch).await;
        core.work.finished();
    }
}

async fn consume(core: &Arc<PushCore>, batch: Batch) {
    let Batch { queue, mut messages } = batch;
    if queue.is_dropped() {
        return;
    }
    {
        let mut state = queue.state();
        let now = std::time::Instant::now();
        messages.retain(|message| state.start(message.queue_offset, now));
    }
    if messages.is_empty() {
        return;
    }
    let offsets: Vec<i64> = messages.iter().map(|message| message.queue_offset).collect();
    queue.running.fetch_add(1, Ordering::AcqRel);
    let result = call(core, messages).await.unwrap_or_else(|panic| {
        tracing::error!(
            group = &*core.group, queue = %queue.queue, ?offsets, %panic,
            "the handler panicked; its messages come again"
        );
        ConsumeResult::ReconsumeLater
    });
    queue.running.fetch_sub(1, Ordering::AcqRel);
    queue.last_consume_ms.store(now_ms(), Ordering::Relaxed);
    settle(core, &queue, offsets, result).await;
}

/// What the handler says. A body that nobody can read means later.
async fn call(core: &PushCore, messages: Vec<Arc<MessageExt>>) -> Result<ConsumeResult, String> {
    let Handler::Concurrent(handler) = &core.handler else { return Ok(ConsumeResult::ReconsumeLater) };
    if messages.iter().any(|message| message.sys_flag.is_compressed()) {
        return Ok(ConsumeResult::ReconsumeLater);
    }
    handler.clone().handle(messages).await
}

/// Sends back what failed, takes the rest out of the process queue and notes how far the queue is done.
async fn settle(
    core: &Arc<PushCore>,
    active: &Arc<ActiveQueue>,
    mut offsets: Vec<i64>,
    result: ConsumeResult,
) {
    let (done, level) = result.split(offsets.len());
    core.counts.ok.fetch_add(done as u64, Ordering::Relaxed);
    core.counts.failed.fetch_add((offsets.len() - done) as u64, Ordering::Relaxed);
    if active.is_dropped() {
        // Nothing of it was committed, so whoever has the queue now gets all of it.
        return;
    }
    let failed = offsets.split_off(done);
    let (mut finished, mut again) = (offsets, Vec::new());
    for offset in failed {
        let Some(message) = active.state().started(offset) else {
            continue; // it took too long, and was sent back meanwhile
        };
        if !core.is_clustering() {
            tracing::warn!(
                group = &*core.group,
                id = message.msg_id(),
                "broadcasting: the message failed and is dropped"
            );
            finished.push(offset);
        } else if send_back(core, &message, level).await {
            finished.push(offset);
        } else {
            again.push(message);
        }
    }
    if !again.is_empty() {
        later(core, active, again);
    }
    let commit = active.state().remove(finished);
    active.room.notify_one();
    if let Some(offset) = commit
        && !active.is_dropped()
    {
        core.offsets.update(&active.queue, offset, true);
    }
}

/// Neither the broker nor the retry topic took the messages: they come again here, and stay unfinished until then.
fn later(core: &Arc<PushCore>, active: &Arc<ActiveQueue>, messages: Vec<Arc<MessageExt>>) {
    let once_more = |message: Arc<MessageExt>| {
        let mut message = Arc::unwrap_or_clone(message);
        message.reconsume_times = message.reconsume_times.saturating_add(1);
        let message = Arc::new(message);
        active.state().change(message.queue_offset, message.clone()).then_some(message)
    };
    let messages = messages.into_iter().filter_map(once_more).collect();
    let (core, active) = (core.clone(), active.clone());
    let mut stop = core.fetching.stop_signal();
    let handling = core.clone();
    handling.handling.spawn(async move {
        // Stopped early: the messages are not committed, so whoever gets the queue gets them.
        if stop.sleep(LOCAL_RETRY).await {
            core.work.push([Batch { queue: active, messages }]);
        }
    });
}

/// Messages whose handler takes longer than the option says are sent back, so that they do not hold up the offset.
async fn scan_expired(core: Arc<PushCore>) {
    let mut stop = core.fetching.stop_signal();
    while stop.sleep(core.options.consume_timeout).await {
        for active in core.queues() {
            let now = std::time::Instant::now();
            let expired = active.state().expired(core.options.consume_timeout, EXPIRED_PER_SCAN, now);
            for (offset, message) in expired {
                if send_back(&core, &message, EXPIRED_LEVEL).await {
                    tracing::warn!(
                        id = message.msg_id(),
                        "the handler takes too long; the message comes again"
                    );
                    let commit = active.state().remove([offset]);
                    if let Some(offset) = commit {
                        core.offsets.update(&active.queue, offset, true);
                    }
                    active.room.notify_one();
                }
            }
        }
    }
}

/// CONSUME_MESSAGE_DIRECTLY: the handler gets a message at once, whatever the offsets say.
pub(crate) async fn consume_directly(core: &PushCore, message: MessageExt) -> ConsumeMessageDirectlyResult {
    let begun = Instant::now();
    let batch = vec![Arc::new(message)];
    let (result, remark) = match &core.handler {
        Handler::Concurrent(handler) => match handler.clone().handle(batch).await {
            Ok(result) if result.split(1).0 == 1 => (CMResult::Success, None),
            Ok(_) => (CMResult::Later, None),
            Err(panic) => (CMResult::ThrowException, Some(panic)),
        },
        Handler::Orderly(handler) => match handler.clone().handle(batch).await {
            Ok(OrderlyResult::Success) => (CMResult::Success, None),
            Ok(_) => (CMResult::Later, None),
            Err(panic) => (CMResult::ThrowException, Some(panic)),
        },
    };
    ConsumeMessageDirectlyResult {
        auto_commit: true,
        consume_result: Some(result),
        order: core.is_orderly(),
        remark: remark.map(Into::into),
        spent_time_mills: i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX),
    }
}

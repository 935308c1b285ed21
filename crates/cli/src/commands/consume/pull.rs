//! Reading one queue.

use std::time::Duration;

use rocketwire::{Client, FilterExpression, MessageQueue, PullOptions, PullStatus, RequestError};
use rocketwire_protocol::message::MessageExt;
use tokio::sync::mpsc;

use crate::failure::Failure;

/// How long the broker may hold a pull at the end of the queue.
const WAIT: Duration = Duration::from_secs(15);
/// Between two attempts to read a queue that cannot be read.
const PAUSE: Duration = Duration::from_secs(1);
/// Attempts before a run that is to end by itself gives up.
const ATTEMPTS: u32 = 3;

/// Messages that follow each other in a queue.
pub(crate) struct Batch {
    pub(crate) queue: MessageQueue,
    pub(crate) messages: Vec<MessageExt>,
    /// Where to go on behind them.
    pub(crate) next_offset: i64,
}

/// Where to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) begin: i64,
    /// Where to stop, if at all.
    pub(crate) end: Option<i64>,
}

/// Where the group stands in a queue, or where it is to begin.
///
/// A broker says 0 for a group that it does not know as long as the first message of the queue is at hand (request
/// 14), so that 0 counts as "nothing committed" here.
pub(crate) async fn start(
    client: &Client,
    group: &str,
    queue: &MessageQueue,
    latest: bool,
    to_end: bool,
) -> Result<Range, Failure> {
    let committed = client.committed(group, queue).await.map_err(Failure::new)?.filter(|offset| *offset > 0);
    let max = match latest || to_end {
        true => Some(client.max_offset(queue).await.map_err(Failure::new)?),
        false => None,
    };
    let begin = match (committed, max.filter(|_| latest)) {
        (Some(committed), _) => committed,
        (None, Some(max)) => max,
        (None, None) => client.min_offset(queue).await.map_err(Failure::new)?.max(0),
    };
    Ok(Range { begin, end: max.filter(|_| to_end) })
}

pub(crate) fn options(group: &str, filter: FilterExpression, to_end: bool, timeout: Duration) -> PullOptions {
    let mut options = PullOptions::default();
    options.group = group.to_owned();
    options.filter = filter;
    options.timeout = timeout;
    options.wait = if to_end { Duration::ZERO } else { WAIT };
    options
}

/// Reads until the end of the range, or until nobody takes the batches any more.
pub(crate) async fn run(
    client: Client,
    queue: MessageQueue,
    range: Range,
    options: PullOptions,
    batches: mpsc::Sender<Batch>,
) -> Result<(), Failure> {
    let mut offset = range.begin;
    let mut failures = 0;
    while range.end.is_none_or(|end| offset < end) {
        let pulled = match client.pull(&queue, offset, &options).await {
            Ok(pulled) => pulled,
            Err(error) => {
                failures += 1;
                survive(&queue, &error, failures, range.end.is_some())?;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        failures = 0;
        if pulled.status == PullStatus::NoNewMessage && range.end.is_some() {
            break;
        }
        let moved = pulled.next_offset != offset;
        offset = pulled.next_offset;
        // Messages that the filter kept away are done with, too.
        if moved && pulled.status != PullStatus::OffsetIllegal {
            let batch = Batch { queue: queue.clone(), messages: pulled.messages, next_offset: offset };
            if batches.send(batch).await.is_err() {
                break;
            }
        }
    }
    Ok(())
}

/// Whether reading may go on after an error: a broker that restarts should not end whoever waits for messages.
fn survive(queue: &MessageQueue, error: &RequestError, failures: u32, to_end: bool) -> Result<(), Failure> {
    if !error.is_retryable() || (to_end && failures >= ATTEMPTS) {
        return Err(Failure::new(error));
    }
    if failures == 1 {
        super::note_trouble(queue, error);
    }
    Ok(())
}

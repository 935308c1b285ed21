//! The consumer's side: a pull that waits at each queue.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rocketwire::{Client, MessageQueue, PullOptions, RequestError};

use super::{
    Args,
    flights::{Flights, Schedule},
};
use crate::{
    commands::bench::load::{self, Tally},
    failure::Failure,
};

/// How long messages may be under way after the last send.
const GRACE: Duration = Duration::from_secs(10);

/// The queues, each with the offset behind its last message.
pub(super) async fn ends(args: &Args, client: &Client) -> Result<Vec<(MessageQueue, i64)>, Failure> {
    let mut ends = Vec::new();
    for queue in client.queues(&args.topic).await.map_err(Failure::new)? {
        let end = client.max_offset(&queue).await.map_err(Failure::new)?;
        ends.push((queue, end.max(0)));
    }
    Ok(ends)
}

/// Reads all queues until the window has ended and nothing is under way any more.
pub(super) async fn run(
    args: &Args,
    client: &Client,
    queues: &mut Vec<(MessageQueue, i64)>,
    flights: &Arc<Flights>,
    schedule: Schedule,
    tally: &Arc<Tally>,
) -> Result<(), Failure> {
    let mut options = PullOptions::default();
    options.group.clone_from(&args.group);
    options.wait = Duration::from_secs(15);
    let mut tasks = tokio::task::JoinSet::new();
    for (queue, end) in queues.drain(..) {
        let reader = Reader {
            client: client.clone(),
            queue,
            options: options.clone(),
            flights: flights.clone(),
            tally: tally.clone(),
            schedule,
        };
        tasks.spawn(reader.run(end));
    }
    tokio::time::sleep_until(schedule.end.into()).await;
    while flights.under_way() && schedule.end.elapsed() < GRACE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err_and(|error| error.is_panic()) {
            return Err(load::panicked());
        }
    }
    Ok(())
}

struct Reader {
    client: Client,
    queue: MessageQueue,
    options: PullOptions,
    flights: Arc<Flights>,
    tally: Arc<Tally>,
    schedule: Schedule,
}

impl Reader {
    async fn run(self, mut offset: i64) {
        loop {
            if let Err(error) = self.once(&mut offset).await {
                self.tally.failed(error);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn once(&self, offset: &mut i64) -> Result<(), RequestError> {
        let pulled = self.client.pull(&self.queue, *offset, &self.options).await?;
        let now = Instant::now();
        *offset = pulled.next_offset;
        for number in pulled.messages.iter().filter_map(|message| self.flights.number(&message.body)) {
            if self.flights.consumed(number) {
                self.tally.latencies.record(now.saturating_duration_since(self.schedule.due(number)));
            }
        }
        Ok(())
    }
}

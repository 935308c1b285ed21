//! Reading all queues by pulls, one under way in each.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rocketwire::{Client, MessageQueue, PullOptions, RequestError};

use super::{Args, arrived};
use crate::{
    args::From,
    commands::bench::load::{self, Tally, Window},
    failure::Failure,
};

/// A queue, and what of it is to be read.
pub(super) struct Queue {
    queue: MessageQueue,
    begin: i64,
    /// Where to stop, if at all.
    end: Option<i64>,
}

pub(super) async fn queues(args: &Args, client: &Client) -> Result<Vec<Queue>, Failure> {
    let mut queues = Vec::new();
    for queue in client.queues(&args.topic).await.map_err(Failure::new)? {
        let end = client.max_offset(&queue).await.map_err(Failure::new)?.max(0);
        let begin = match args.from {
            From::Earliest => client.min_offset(&queue).await.map_err(Failure::new)?.max(0),
            From::Latest => end,
        };
        queues.push(Queue { queue, begin, end: args.end.then_some(end) });
    }
    match args.end && queues.iter().all(|read| read.end == Some(read.begin)) {
        true => Err(Failure::new(format_args!("there is nothing to read in {}", args.topic))),
        false => Ok(queues),
    }
}

pub(super) async fn run(
    args: &Args,
    client: &Client,
    queues: Vec<Queue>,
    window: Window,
    tally: &Arc<Tally>,
) -> Result<(), Failure> {
    let mut options = PullOptions::default();
    options.group.clone_from(&args.group);
    options.max_messages = args.batch.pull_batch;
    let mut tasks = Vec::new();
    for queue in queues {
        tasks.push(tokio::spawn(read(client.clone(), queue, options.clone(), window, tally.clone())));
    }
    for task in tasks {
        task.await.map_err(|_| load::panicked())?;
    }
    Ok(())
}

/// Reads a queue until its end or that of the window.
async fn read(client: Client, read: Queue, mut options: PullOptions, window: Window, tally: Arc<Tally>) {
    let mut offset = read.begin;
    while Instant::now() < window.end && read.end.is_none_or(|end| offset < end) {
        options.wait = window.end.saturating_duration_since(Instant::now()).min(Duration::from_secs(5));
        if let Err(error) = once(&client, &read.queue, &mut offset, &options, window, &tally).await {
            tally.failed(error);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn once(
    client: &Client,
    queue: &MessageQueue,
    offset: &mut i64,
    options: &PullOptions,
    window: Window,
    tally: &Tally,
) -> Result<(), RequestError> {
    let pulled = client.pull(queue, *offset, options).await?;
    *offset = pulled.next_offset;
    if !pulled.messages.is_empty() {
        arrived(tally, window, pulled.messages.iter());
    }
    Ok(())
}

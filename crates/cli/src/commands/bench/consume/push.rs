//! Consuming as applications do.

use std::{
    iter,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rocketwire::{Client, ConsumeFrom};
use rocketwire_protocol::message::MessageExt;
use tokio::sync::Notify;

use super::{Args, arrived};
use crate::{
    args::From,
    commands::{
        bench::load::{Tally, Window},
        consume::pull,
    },
    failure::Failure,
};

/// How long handlers and commits may take at the end.
const GRACE: Duration = Duration::from_secs(5);

pub(super) struct Plan {
    /// Messages that the group has before it, if that is where to end.
    total: Option<u64>,
}

impl Plan {
    pub(super) async fn new(args: &Args, client: &Client) -> Result<Plan, Failure> {
        if !args.end {
            return Ok(Plan { total: None });
        }
        let mut total = 0;
        for queue in client.queues(&args.topic).await.map_err(Failure::new)? {
            let range = pull::start(client, &args.group, &queue, args.from == From::Latest, args.end).await?;
            total += range.end.unwrap_or(0).saturating_sub(range.begin).max(0).unsigned_abs();
        }
        match total {
            0 => Err(Failure::new(format_args!(
                "group {} has read all of {} already: use another --group",
                args.group, args.topic
            ))),
            _ => Ok(Plan { total: Some(total) }),
        }
    }

    /// Consumes until the end of the topic or that of the window.
    pub(super) async fn run(
        self,
        args: &Args,
        client: &Client,
        window: Window,
        tally: Arc<Tally>,
    ) -> Result<(), Failure> {
        let (seen, at_end) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let told = at_end.clone();
        let handler = move |message: Arc<MessageExt>| {
            arrived(&tally, window, iter::once(&*message));
            if Some(seen.fetch_add(1, Relaxed) + 1) == self.total {
                told.notify_one();
            }
            std::future::ready(())
        };
        let consumer = client
            .push_consumer(args.group.as_str())
            .subscribe(args.topic.as_str(), "*")
            .consume_from(match args.from {
                From::Earliest => ConsumeFrom::First,
                From::Latest => ConsumeFrom::Last,
            })
            .options(|options| options.pull_batch = args.batch.pull_batch)
            .start(handler)
            .await
            .map_err(Failure::new)?;
        tokio::select! {
            () = at_end.notified() => {}
            () = tokio::time::sleep_until(window.end.into()) => {}
        }
        consumer.shutdown(GRACE).await;
        Ok(())
    }
}
